"""What the pages of one file have in common: their frame, facts at the top, and the place of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from bft_nas.dashboard._page import STYLE
from bft_nas.dashboard._style import alternative

# The browser itself refuses whatever would leave the file. Plotly makes the code that feeds WebGL as it runs.
WITHOUT_SCRIPTS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
WITH_SCRIPTS = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:"
)


def page_of(
    title: str, content: str, *, scripts: str = "", style: str = "", mark: str = "", kind: str = ""
) -> str:
    """A whole page under its title, that loads nothing from anywhere.

    Args:
        title: plain text.
        content: HTML of what stands under it.
        scripts: HTML after it; with any, Plotly is there.
        style: CSS beside that of all pages.
        mark: an HTML comment at the beginning.
        kind: the class of what holds the content.
    """
    policy = WITH_SCRIPTS if scripts else WITHOUT_SCRIPTS
    plotly = f"<script>{get_plotlyjs()}</script>\n" if scripts else ""
    main = f'<main class="{kind}">' if kind else "<main>"
    return f"""<!doctype html>
{mark}<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - bft-nas</title>
<style>{STYLE}{style}</style>
{plotly}</head>
<body>
{main}
<h1>{escape(title)}</h1>
{content}
</main>
{scripts}</body>
</html>
"""


def facts_list(facts: Sequence[tuple[str, str]]) -> str:
    """Names and values as a list of definitions; empty without any."""
    if not facts:
        return ""
    pairs = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def figure_place(name: str, figure: go.Figure) -> str:
    """Where the script draws a figure, as soon as the page is laid out."""
    # As high as the page's style says: higher where a narrow window folds the legend.
    style = f'class="{name}" style="--height: {figure.layout.height}px"'
    figure.update_layout(height=None)
    return f'<figure {style} role="img" aria-label="{escape(alternative(figure))}"><div id="{name}"></div></figure>'
