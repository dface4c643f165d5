"""The dashboard: a page in a browser that shows the runs of a folder and follows those that are running."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from dash import Dash, set_props
from flask import request

from bft_nas.core.errors import UserError, printable
from bft_nas.dashboard import _callbacks, _candidate, _front, _tabs, _trained
from bft_nas.dashboard._layout import TRAINED, shell
from bft_nas.dashboard._page import STYLE
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import tell_terminal

# In the style of the report; what the page has beside that is styled in assets/.
PAGE = f"""<!doctype html>
<html lang="en">
<head>
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{%title%}}</title>
{{%favicon%}}
<style>{STYLE}</style>
{{%css%}}
<script async src="/_dash-component-suites/plotly/package_data/plotly.min.js"></script>
</head>
<body>
{{%app_entry%}}
<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>
"""


class _App(Dash):
    """One whose pages have the name of what they show in their title."""

    def interpolate_index(self, *args: Any, **parts: Any) -> str:
        shown = "trained networks" if request.path == TRAINED else request.args.get("run", "")
        title = f"{printable(shown)[:80]} · {self.title}" if shown else self.title
        parts["title"] = escape(title)
        return str(super().interpolate_index(*args, **parts))  # type: ignore[no-untyped-call]


def make_app(runs: Runs, shown: Sequence[str] = ()) -> Dash:
    """The app of a folder's runs and trained networks; it loads nothing from any other host.

    Args:
        runs: what it may read.
        shown: the names of runs to show unless the address asks for others: the first one, and all of them in the
            plots of the search. The newest one if empty.

    >>> app = make_app(Runs(Path("runs")), ["mobile-50M"])  # doctest: +SKIP
    """
    app = _App(
        "bft_nas.dashboard",
        title="bft-nas",
        update_title="",
        serve_locally=True,
        index_string=PAGE,
        suppress_callback_exceptions=True,
        on_error=_tell,
        enable_mcp=False,
    )
    app.layout = shell
    _callbacks.register(app, runs, tuple(shown))
    _front.register(app, runs)
    _candidate.register(app, runs)
    _tabs.register(app, runs)
    _trained.register(app, runs)
    return app


def _tell(error: Exception) -> None:
    """Say on the page what went wrong; the page stays as it was."""
    tell_terminal("page", error)
    said = str(error) if isinstance(error, UserError) else "Something went wrong; the terminal says what."
    set_props("trouble", {"children": said, "hidden": False})
