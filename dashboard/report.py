"""The report of a run: one HTML file that opens from disk and loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from bft_nas.dashboard._page import STYLE
from bft_nas.dashboard.curves import curves_figure as learning_curves
from bft_nas.dashboard.front import candidates_text, front_figure
from bft_nas.files import write_text
from bft_nas.pareto import complete, front, winners
from bft_nas.units import format_macs

Row = Mapping[Any, Any]

# The browser itself refuses whatever would leave the file.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
WHAT_IS_COUNTED = (
    "A MAC is one multiply-accumulate for one image at the deployment resolution. Counted are those of"
    " convolutions, linear layers and butterfly stages, and the accumulates of a butterfly's residual; not"
    " counted are bias, batch normalisation, activations, pooling and the additions of skip connections."
)
WHAT_IS_COMPARABLE = (
    "Accuracy is that of the brief proxy training, on the validation split. It ranks the candidates of this"
    " search and is not what full training reaches; two accuracies are comparable only under the same"
    " protocol hash."
)
HOW_REFERENCES_ARE_TRAINED = (
    "Known networks, trained under the protocol of the candidates; the width of each is solved to be the largest"
    " within the budget."
)
WHAT_IS_PUBLISHED = (
    "They are ImageNet top-1 of full trainings by others and stand on an axis of their own, at the right: they do"
    " not compare with the accuracy of the proxy training. Dotted lines connect the best rows of a family;"
    " pointing at a row tells its source."
)
# A click in the legend shows the published results, and Plotly leaves their axis as it is.
AXIS_FOLLOWS_LAYER = """
const figure = document.getElementById("{plot_id}");
figure.on("plotly_restyle", () => {
  const shown = figure.data.some((trace) => trace.yaxis === "y2" && trace.visible === true);
  if (shown !== figure.layout.yaxis2.visible) Plotly.relayout(figure, {"yaxis2.visible": shown});
});
"""


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading and the HTML of a row's cell."""

    heading: str
    cell: Callable[[Row], str]
    kind: str = ""
    """The cell's CSS class: ``number`` for what is aligned to the right."""


def write_report(
    path: Path,
    *,
    title: str,
    results: pd.DataFrame,
    curves: pd.DataFrame,
    budgets: Sequence[int],
    facts: Sequence[tuple[str, str]],
    references: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    imagenet: bool = False,
) -> None:
    """Writes a run's figures and tables as one self-contained HTML file; an older one is replaced at once.

    Args:
        path: the file; its folder exists.
        title: the heading, plain text.
        results: one row a candidate, failed ones included. May be empty.
        curves: one row a candidate and epoch, with ``number``, ``epoch``, ``accuracy`` and ``train_loss``.
        budgets: MACs, smallest first.
        facts: names and values that stand under the heading, such as the space, the data, the protocol hash.
        references: networks trained under the same protocol, one row a reference and budget, with a ``name``
            beside the columns of ``results``; failed ones included.
        published: what `bft_nas.published.published_results` returns.
        imagenet: the run's data is ImageNet, so that the published results are shown from the start.

    Raises:
        OSError: the file cannot be written; an older one is then as it was.
    """
    references = pd.DataFrame() if references is None else references
    published = pd.DataFrame() if published is None else published
    write_text(path, _page(title, results, curves, budgets, facts, references, published, imagenet))


def _page(
    title: str,
    results: pd.DataFrame,
    curves: pd.DataFrame,
    budgets: Sequence[int],
    facts: Sequence[tuple[str, str]],
    references: pd.DataFrame,
    published: pd.DataFrame,
    imagenet: bool,
) -> str:
    best = winners(results, budgets)
    accuracy_figure = front_figure(
        results, budgets, title="", references=references, published=published, show_published=imagenet
    )
    curves_figure = learning_curves(curves, highlighted=best["number"].tolist() if not best.empty else ())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_facts(facts)}

<h2>Accuracy against MACs</h2>
<p class="about">{candidates_text(results).capitalize()}. The solid line is the front: no candidate is both
cheaper and more accurate. Dashed lines are budgets, rings their winners.{_references_text(references)}</p>
{_published_text(published, imagenet)}
{_figure("front", "Validation accuracy against MACs of every candidate", accuracy_figure)}

<h2>Winner of each budget</h2>
<p class="about">The most accurate candidate within the budget. Fusions stage by stage: {_key()}; an inverted
block has two, expansion/projection.</p>
{_winners_table(best, budgets)}

<h2>The front</h2>
{_table("The front", FRONT_COLUMNS, front(results), "No candidate is complete.")}
{_references(references)}

<h2>Learning curves</h2>
<p class="about">Validation accuracy after each epoch of the proxy training; the winners drawn strongly.</p>
{_figure("curves", "Validation accuracy after each epoch", curves_figure)}

<h2>All candidates</h2>
{_table("All candidates", ALL_COLUMNS, results, "No candidate has been recorded.")}

<h2>What the numbers mean</h2>
<p>{escape(WHAT_IS_COUNTED)}</p>
<p>{escape(WHAT_IS_COMPARABLE)}</p>
</main>
</body>
</html>
"""


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    pairs = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def _references_text(references: pd.DataFrame) -> str:
    if complete(references).empty:
        return ""
    return " Crosses are references, trained under the same protocol; names stand where there is room."


def _published_text(published: pd.DataFrame, shown: bool) -> str:
    if published.empty:
        return ""
    how = "are drawn in purple" if shown else "appear with a click on their entry in the legend"
    return f'<p class="about">Published results {how}. {escape(WHAT_IS_PUBLISHED)}</p>'


def _references(references: pd.DataFrame) -> str:
    if references.empty:
        return ""
    ordered = references.sort_values(["budget", "accuracy", "name"], ascending=[True, False, True])
    return f"""
<h2>References</h2>
<p class="about">{escape(HOW_REFERENCES_ARE_TRAINED)}</p>
{_table("References", REFERENCE_COLUMNS, ordered, "")}
"""


def _figure(name: str, label: str, figure: go.Figure) -> str:
    # As high as the page's style says: higher where a narrow window folds the legend.
    drawn = figure.update_layout(height=None).to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        post_script=AXIS_FOLLOWS_LAYER if "yaxis2" in figure.layout else None,
        config={
            "responsive": True,
            "displaylogo": False,
            "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
        },
    )
    return f'<figure class="{name}" aria-label="{escape(label)}">{drawn}</figure>'


def _table(label: str, columns: Sequence[Column], rows: pd.DataFrame, if_none: str) -> str:
    if rows.empty:
        return f'<p class="about">{escape(if_none)}</p>'
    body = "".join(_table_row(columns, row) for row in rows.to_dict("records"))
    return _scroll(label, columns, body)


def _table_row(columns: Sequence[Column], row: Row) -> str:
    cells = "".join(f"<td{_kind(column)}>{column.cell(row)}</td>" for column in columns[1:])
    kind, head = _kind(columns[0]), columns[0].cell(row)
    if row["state"] != "failed":
        return f'<tr><th scope="row"{kind}>{head}</th>{cells}</tr>'
    # A reason is a sentence: it has a line of its own, where it is seen without scrolling.
    return (
        f'<tr class="failed"><th scope="row"{kind} rowspan="2">{head}</th>{cells}</tr>'
        f'<tr class="reason"><td colspan="{len(columns) - 1}"><div>{escape(str(row["reason"]))}</div></td></tr>'
    )


def _winners_table(best: pd.DataFrame, budgets: Sequence[int]) -> str:
    if not budgets:
        return '<p class="about">No budget was given.</p>'
    by_budget = {row["for_budget"]: row for row in best.to_dict("records")}
    body = ""
    for budget in budgets:
        if budget in by_budget:
            body += _table_row(WINNER_COLUMNS, by_budget[budget])
        else:
            body += (
                f'<tr class="failed"><th scope="row" class="number">{_macs(budget)}</th>'
                f'<td colspan="{len(WINNER_COLUMNS) - 1}">no complete candidate within it</td></tr>'
            )
    return _scroll("Winner of each budget", WINNER_COLUMNS, body)


def _scroll(label: str, columns: Sequence[Column], body: str) -> str:
    heads = "".join(f'<th scope="col"{_kind(column)}>{escape(column.heading)}</th>' for column in columns)
    # Focusable, so that a wide table scrolls with the keyboard too.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(column: Column) -> str:
    return f' class="{column.kind}"' if column.kind else ""


def _key() -> str:
    return (
        '<span class="stages key"><code>d</code></span> dense,'
        ' <span class="stages key"><code class="butterfly">b4</code></span> butterfly of radix 4'
    )


def _stages(row: Row) -> str:
    items = "".join(f"<li>{_stage(stage)}</li>" for stage in str(row["fusions"]).split())
    return f'<ol class="stages">{items}</ol>'


def _stage(stage: str) -> str:
    kind = ' class="butterfly"' if "b" in stage else ""
    return f"<code{kind}>{escape(stage)}</code>"


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: escape(str(row[name]))


def _code(name: str) -> Callable[[Row], str]:
    return lambda row: f"<code>{escape(str(row[name]))}</code>"


def _exact(name: str, short: Callable[[int], str]) -> Callable[[Row], str]:
    """A large number as people say it, with all its digits when pointed at."""

    def cell(row: Row) -> str:
        if pd.isna(row[name]):
            return ""
        return f'<span title="{int(row[name]):,}">{short(int(row[name]))}</span>'

    return cell


def _macs(macs: int) -> str:
    return f'<span title="{macs:,}">{format_macs(macs)}</span>'


def _millions(number: int) -> str:
    return f"{number / 1e6:.2f}M" if number >= 1_000_000 else f"{number / 1e3:.0f}K"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _accuracy(row: Row) -> str:
    if pd.isna(row["accuracy"]):
        return "failed"
    stopped = ", stopped" if row["state"] == "stopped" else ""
    return f"{row['accuracy']:.2%}{stopped}"


def _square(row: Row) -> str:
    return "" if pd.isna(row["resolution"]) else f"{int(row['resolution'])}x{int(row['resolution'])}"


def _seconds(row: Row) -> str:
    return "" if pd.isna(row["seconds"]) else f"{row['seconds']:.1f}"


BUDGET = Column("Budget", _exact("budget", format_macs), "number")
NUMBER = Column("No.", lambda row: f"#{row['number']}", "number")
ACCURACY = Column("Accuracy", _accuracy, "number")
MACS = Column("MACs", _exact("macs", format_macs), "number")
PARAMETERS = Column("Parameters", _exact("params", _millions), "number")
MEMORY = Column("Peak memory", _exact("peak_memory", _mebibytes), "number")
RESOLUTION = Column("Resolution", _square, "number")
FAMILY = Column("Family", _text("family"))
BUTTERFLIES = Column("Butterflies", lambda row: f"{row['butterfly_share']:.0%}", "number")
FUSIONS = Column("Fusions", _code("fusions"))

WINNER_COLUMNS = (
    Column("Budget", _exact("for_budget", format_macs), "number"),
    NUMBER,
    ACCURACY,
    MACS,
    PARAMETERS,
    FAMILY,
    RESOLUTION,
    Column("Fusions stage by stage", _stages),
)
FRONT_COLUMNS = (NUMBER, ACCURACY, MACS, PARAMETERS, MEMORY, FAMILY, RESOLUTION, BUTTERFLIES, FUSIONS)
REFERENCE_COLUMNS = (
    Column("Name", _text("name")),
    ACCURACY,
    MACS,
    PARAMETERS,
    RESOLUTION,
    BUDGET,
    FAMILY,
    BUTTERFLIES,
)
ALL_COLUMNS = (
    NUMBER,
    ACCURACY,
    MACS,
    PARAMETERS,
    MEMORY,
    FAMILY,
    RESOLUTION,
    BUDGET,
    BUTTERFLIES,
    Column("Epochs", _text("epochs"), "number"),
    Column("Seconds", _seconds, "number"),
    FUSIONS,
    Column("Hash", _code("hash")),
)
