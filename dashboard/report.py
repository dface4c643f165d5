"""The report of a run: one HTML file that opens from disk and loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.errors import UserError
from bft_nas.core.files import write_text
from bft_nas.core.units import format_macs
from bft_nas.dashboard._confirmed import (
    HOW_REFERENCES_ARE_TRAINED,
    confirmed_title,
    ranked_references,
    sentence,
    what_is_confirmed,
)
from bft_nas.dashboard._download import export_command
from bft_nas.dashboard._embedded import embedded
from bft_nas.dashboard._html import facts_list, figure_place, page_of
from bft_nas.dashboard._run_data import RunData, read_run
from bft_nas.dashboard._style import Problem, cannot_be_shown, guarded
from bft_nas.dashboard._tables import key, table, texts_table, winners_table
from bft_nas.dashboard.butterflies import WHERE_THEY_ARE, butterfly_figure
from bft_nas.dashboard.choices import WHAT_DECIDES, importance_figure, parallel_figure
from bft_nas.dashboard.curves import curves_figure
from bft_nas.dashboard.front import candidates_text, front_figure
from bft_nas.dashboard.network import architecture_yaml, bars_of, comparison_figure, strip_figure
from bft_nas.dashboard.placement import WHAT_THEY_ARE_WORTH, placement_figure
from bft_nas.dashboard.search_course import SEARCH_VIEWS, search_figures
from bft_nas.dashboard.standings import HOW_FAR_APART, NONE_CONFIRMED, standings_figure
from bft_nas.network import Architecture
from bft_nas.network.blocks import DIALECTS
from bft_nas.network.published import published_results
from bft_nas.record import REFERENCE_COLUMNS, Run
from bft_nas.record.columns import columns_for
from bft_nas.record.latency import measured_on
from bft_nas.record.pareto import complete, front, front_in, winners
from bft_nas.record.standings import UNCONFIRMED, VERDICT_HEADINGS, rival_texts, verdict_rows, winner_text

# The first one is the app's as well.
SCRIPTS = [Path(__file__).parent / name for name in ("assets/formats.js", "report.js")]
SECTIONS = {
    "one": "One candidate",
    "two": "Two side by side",
    "pay": "Where butterflies pay",
    "search": "The search itself",
    "tables": "Tables",
    "meaning": "What the numbers mean",
}
WHAT_IS_COUNTED = (
    "A MAC is one multiply-accumulate for one image at the deployment resolution. Counted are those of"
    " convolutions, linear layers and butterfly stages, and the accumulates of a butterfly's residual; not"
    " counted are bias, batch normalisation, activations, pooling and the additions of skip connections."
)
WHAT_IS_COMPARABLE = (
    "Accuracy is that of the brief proxy training, on the validation split. It ranks the candidates of this"
    " search and is not what full training reaches; two accuracies are comparable only under the same"
    " protocol hash. What is confirmed was trained longer, with several seeds, under a protocol of its own."
)
WHAT_IS_PUBLISHED = (
    "They are ImageNet top-1 of full trainings by others and stand on an axis of their own, at the right: they do"
    " not compare with the accuracy of the proxy training. Dotted lines connect the best rows of a family. The solid"
    " line is the best static row within each number of MACs: without butterflies, not quantised, distilled, sparse,"
    " dynamic, weight-shared or trained on other images besides. Pointing at a row shows its source, and how far a row"
    " with butterflies is above or below that line."
)


def write_report(
    path: Path,
    data: RunData,
    architecture: Callable[[int], Architecture],
    *,
    export: Callable[[int], str] = lambda number: "",
    published: pd.DataFrame | None = None,
    on_problem: Problem = lambda name, error: None,
) -> None:
    """Writes a run's views as one self-contained HTML file; an older one is replaced at once.

    A view that cannot be made says so in its place.

    Args:
        path: the file; its folder exists.
        data: the run.
        architecture: that of a candidate; one for which it raises UserError is shown without its network.
        export: the command that exports a candidate; empty for one without weights.
        published: what `bft_nas.network.published.published_results` returns.
        on_problem: receives each view that cannot be made.

    Raises:
        RunError: the file cannot be written; an older one is then as it was.
    """
    networks: dict[int, Architecture] = {}
    for number in data.results["number"] if len(data.results) else ():
        try:
            network = architecture(number)
            bars_of(network)
            architecture_yaml(network)
        except UserError:
            continue
        except Exception as error:
            on_problem(f"the network of candidate {number}", error)
            continue
        networks[number] = network
    exports = {number: command for number in networks if (command := export(number))}
    published = pd.DataFrame() if published is None else published
    write_text(path, _page(data, networks, exports, published, on_problem))


def write_run_report(
    run: Run, path: Path | None = None, *, on_problem: Problem = lambda name, error: None
) -> Path:
    """Writes the report of a run as it is now, by default into its folder; returns the path.

    ``on_problem`` receives each view that cannot be made, which says so in its place.

    Raises:
        UserError: a file of the run cannot be read, or there is no folder for the report.
        RunError: the report cannot be written.

    >>> write_run_report(Run.open("mobile-50M"))  # doctest: +SKIP
    PosixPath('runs/mobile-50M/report.html')
    """
    path = run.folder / "report.html" if path is None else path
    try:
        if not path.parent.is_dir():
            raise UserError(f"report '{path}': expected a folder that there is")
        if path.is_dir():
            raise UserError(f"report '{path}': expected a file, not a folder")
    except OSError as error:
        raise UserError(f"report '{path}': cannot be written ({error.strerror})") from None
    write_report(
        path,
        read_run(run),
        run.architecture,
        export=lambda number: export_command(run.folder, number) if run.weights_file(number) else "",
        published=published_results(),
        on_problem=on_problem,
    )
    return path


def _page(
    data: RunData,
    networks: Mapping[int, Architecture],
    exports: Mapping[int, str],
    published: pd.DataFrame,
    on_problem: Problem,
) -> str:
    def say(name: str, make: Callable[[], str]) -> str:
        try:
            return make()
        except Exception as error:
            on_problem(name, error)
            return f'<p class="about">{escape(cannot_be_shown(error))}</p>'

    results, references = data.results, data.references
    best, on_front = winners(results, data.budgets), front(results)
    chosen = _chosen(results, best, on_front)
    views = "".join(f'<a href="#{name}">{heading}</a>' for name, heading in SECTIONS.items())
    figures = _figures(data, networks, published, chosen, on_problem)
    places = {name: figure_place(name, figure) for name, figure in figures.items()}
    content = f"""{say("facts", lambda: facts_list(data.facts))}
<nav aria-label="Sections">{views}</nav>

{say("standings", lambda: _standings(data, places))}
<h2>Accuracy against MACs</h2>
<p class="about">{candidates_text(results).capitalize()}. The solid line is the front: after the proxy training, no
candidate is both cheaper and more accurate (unconfirmed). Dashed lines are budgets, rings their winners:
{escape("; ".join(map(winner_text, best.to_dict("records"))) or "none yet")}.{_references_text(references)}
A click on a point shows its network below.</p>
{places["front"]}
{_published_text(published, data.imagenet)}
{_latency(data, places)}
{_section("one", say("one", lambda: _one(data, chosen, places)))}
{_section("two", say("two", lambda: _two(chosen, places)))}
{_section("pay", _pay(places))}
{_section("search", _search(places))}
{_section("tables", say("tables", lambda: _tables(data, best, on_front, say)))}
{_section("meaning", f"<p>{escape(WHAT_IS_COUNTED)}</p><p>{escape(WHAT_IS_COMPARABLE)}</p>")}"""
    scripts = f"""<script type="text/plain" id="data">{embedded(data, networks, figures, chosen, exports)}</script>
<script>{"".join(path.read_text(encoding="utf-8") for path in SCRIPTS)}</script>
"""
    return page_of(data.name, content, scripts=scripts, kind="report")


def _chosen(
    results: pd.DataFrame, best: pd.DataFrame, on_front: pd.DataFrame
) -> tuple[int | None, int | None]:
    """The winner of the largest budget, and beside it another winner, one of the front or any other."""
    ranked = [frame["number"].tolist()[::-1] for frame in (best, on_front, results) if len(frame)]
    numbers = list(dict.fromkeys(int(number) for each in ranked for number in each))
    first, second, *_ = [*numbers, None, None]
    return first, second


def _figures(
    data: RunData,
    networks: Mapping[int, Architecture],
    published: pd.DataFrame,
    chosen: tuple[int | None, int | None],
    on_problem: Problem,
) -> dict[str, go.Figure]:
    """All figures, by the id of the element that each is drawn in; those of networks only where there are any."""
    draw = guarded(on_problem)
    views = {
        "front": lambda: front_figure(
            data.results,
            data.budgets,
            references=data.references,
            published=published,
            show_published=data.imagenet,
        ),
        "curves": lambda: curves_figure(data.curves),
        "butterflies": lambda: butterfly_figure(front(data.results), networks),
        "placement": lambda: placement_figure(data.results, data.headed),
        "importances": lambda: importance_figure(data.proposals, data.results),
        "parallel": lambda: parallel_figure(data.results, data.proposals),
    }
    if data.verdicts:
        views["standings"] = lambda: standings_figure(data.verdicts)
    if data.latencies:
        views["latency"] = lambda: front_figure(
            data.results, data.budgets, references=data.references, against="latency"
        )
    if networks:
        # The script draws others in their place, that of a chosen candidate whose network is not on disk included.
        any_network = next(iter(networks.values()))
        a, b = (networks.get(-1 if number is None else number, any_network) for number in chosen)
        views |= {"strip": lambda: strip_figure(a), "comparison": lambda: comparison_figure(a, b)}
    return {name: draw(name, make) for name, make in views.items()} | search_figures({data.name: data}, draw)


def _section(name: str, content: str) -> str:
    return f'<section id="{name}"><h2>{SECTIONS[name]}</h2>{content}</section>'


def _one(data: RunData, chosen: tuple[int | None, int | None], places: Mapping[str, str]) -> str:
    if chosen[0] is None:
        return '<p class="about">No candidate has been recorded.</p>'
    limits = f'type="number" min="0" max="{data.results["number"].max()}" inputmode="numeric"'
    return f"""
<p class="about">Click a point, a row or a curve; with Shift, or where a click is set to it, for the one beside.</p>
<div class="choose">
<label>Candidate <input id="candidate" {limits}></label>
<label>beside <input id="beside" {limits}></label>
<fieldset><legend>A click chooses</legend>
<label><input type="radio" name="click" checked> the candidate</label>
<label><input type="radio" name="click" id="second"> the one beside it</label></fieldset>
</div>
<div class="columns">
<div>{_bare_table("facts", "The candidate and its outcome")}</div>
<div><h3>Learning curve</h3>
{places["curves"]}</div>
</div>
<div id="network">
<h3>Its network, layer by layer</h3>
<p class="about">A bar for each layer: as wide as the root of its output channels, as high as its MACs. The numbers
are the radices of butterflies; pointing at a layer shows its shape.</p>
{places.get("strip", "")}
</div>
<details><summary>Its description as YAML</summary>
<div class="yaml"><button type="button" id="copy">Copy</button><pre id="yaml" tabindex="0"></pre></div></details>
<p class="about">As an ordinary PyTorch model: <code id="export"></code></p>"""


def _two(chosen: tuple[int | None, int | None], places: Mapping[str, str]) -> str:
    if chosen[1] is None:
        return '<p class="about">There are no two candidates.</p>'
    if "comparison" not in places:
        return '<p class="about">No network is on disk.</p>'
    return f"""
<p class="about">Layers of the same place stand across from each other, at one scale. The table has the layers that
differ.</p>
<p class="about" id="alone" hidden>Choose one to stand beside.</p>
<div id="both">
{places["comparison"]}
{_bare_table("differences", "What differs, layer by layer", "scroll tall")}
</div>"""


def _pay(places: Mapping[str, str]) -> str:
    return f"""
<h3>Over the front, stage by stage</h3>
<p class="about">{escape(WHERE_THEY_ARE)}</p>
{places["butterflies"]}
<h3>What they are worth, family by family</h3>
<p class="about">{escape(WHAT_THEY_ARE_WORTH)}</p>
{places["placement"]}
<h3>Which choices decide</h3>
<p class="about">{escape(WHAT_DECIDES)}</p>
{places["importances"]}
<h3>All choices at once</h3>
<p class="about">A line for each complete candidate, of thousands for the front and some of the others, in the colour of
its share of butterflies as in the front; dragging along an axis leaves those that pass there.</p>
<div class="wide" role="region" tabindex="0" aria-label="All choices at once">
{places["parallel"]}</div>"""


def _search(places: Mapping[str, str]) -> str:
    views = (f"<div><h3>{heading}</h3>{places[name]}</div>" for name, heading in SEARCH_VIEWS.items())
    return f"""
<p class="about">The hypervolume is the part of the rectangle up to the largest budget and up to full accuracy that
the front dominates. Time is counted without the pauses between an interrupted search and its resumption.</p>
<div class="columns">{"".join(views)}</div>"""


def _tables(
    data: RunData,
    best: pd.DataFrame,
    on_front: pd.DataFrame,
    say: Callable[[str, Callable[[], str]], str],
) -> str:
    results = data.results
    families = sorted(results["family"].unique()) if len(results) else []
    everything = f"""
<div class="choose">
{_select("status", "Status", [(state, state) for state in ("complete", "stopped", "failed")])}
{_select("family", "Family", [(family, family) for family in families])}
{_select("fusion", "Fusions", [("butterfly", "with butterflies"), ("dense", "without butterflies")])}
{_select("within", "Within", [(str(budget), f"{format_macs(budget)} MACs") for budget in data.budgets])}
<span><output id="shown"></output>
<button type="button" id="back">Previous</button> <button type="button" id="on">Next</button>
<button type="button" id="csv">Download as CSV</button></span>
</div>
{_bare_table("all", "All candidates")}"""
    return f"""
<h3>Winner of each budget</h3>
<p class="about">The most accurate candidate within the budget{_unconfirmed(best, data)}. Fusions stage by stage:
{key()}; {DIALECTS}.</p>
{say("winners", lambda: winners_table(best, data.budgets))}
{say("confirmed", lambda: _confirmed(data))}
<h3>The front</h3>
{say("table of the front", lambda: _front_table(on_front))}
{say("references", lambda: _references(data.references))}
<h3>All candidates</h3>
{everything if len(results) else '<p class="about">No candidate has been recorded.</p>'}"""


def _standings(data: RunData, places: Mapping[str, str]) -> str:
    if not data.verdicts:
        return ""
    told = "".join(f"<li>{escape(text)}</li>" for verdict in data.verdicts for text in rival_texts(verdict))
    return f"""
<h2>What was confirmed</h2>
<p class="about">{escape(what_is_confirmed(data.verdicts))} {escape(HOW_FAR_APART)}</p>
{places["standings"]}
<ul>{told}</ul>"""


def _latency(data: RunData, places: Mapping[str, str]) -> str:
    if "latency" not in places:
        return ""
    return f"""
<h2>Accuracy against latency</h2>
<p class="about">How long one image takes, of half of the queries, in {escape(measured_on(data.results))}. It compares
with no other machine, runtime or number of threads. Only the front, its references and what was confirmed are
measured.</p>
{places["latency"]}"""


def _references_text(references: pd.DataFrame) -> str:
    if complete(references).empty:
        return ""
    return " Crosses are references, trained under the same protocol; names stand where there is room."


def _published_text(published: pd.DataFrame, shown: bool) -> str:
    if published.empty:
        return ""
    how = "are drawn in purple" if shown else "appear with a click on their entry in the legend"
    return f'<p class="about">Published results {how}. {escape(WHAT_IS_PUBLISHED)}</p>'


def _front_table(on_front: pd.DataFrame) -> str:
    timed = front_in(on_front)
    about = f'<p class="about">The front {timed}: more candidates than on the line of the figure.</p>'
    return (about if timed else "") + table(
        "The front", columns_for("front", on_front), on_front, "No candidate is complete."
    )


def _unconfirmed(best: pd.DataFrame, data: RunData) -> str:
    """Which of the winners are not confirmed."""
    confirmed = {verdict.budget for verdict in data.verdicts if verdict.winner.error is not None}
    budgets = [int(budget) for budget in best["for_budget"] if budget not in confirmed]
    within = f" within {' and '.join(map(format_macs, budgets))}" if confirmed else ""
    return f", {UNCONFIRMED}{within}" if budgets or not confirmed else ""


def _confirmed(data: RunData) -> str:
    if not data.verdicts:
        return f'<p class="about">{NONE_CONFIRMED}</p>{_control(data)}'
    parts = ["<h3>What was confirmed</h3>"]
    for verdict in data.verdicts:
        title = confirmed_title(verdict)
        rows = texts_table(title, VERDICT_HEADINGS, verdict_rows(verdict))
        parts.append(f'<p class="about">{escape(title)}</p>{rows}')
    return "".join(parts) + _control(data)


def _control(data: RunData) -> str:
    return f'<p class="about">{escape(sentence(data.control))}</p>' if data.control else ""


def _references(references: pd.DataFrame) -> str:
    if references.empty:
        return ""
    ordered = ranked_references(references)
    return f"""
<h3>References</h3>
<p class="about">{escape(HOW_REFERENCES_ARE_TRAINED)}</p>
{table("References", columns_for("references", ordered, REFERENCE_COLUMNS), ordered, "")}
"""


def _bare_table(name: str, label: str, kind: str = "scroll") -> str:
    """What the script fills."""
    return (
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{label}">'
        f'<table id="{name}"><thead></thead><tbody></tbody></table></div>'
    )


def _select(name: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    items = (f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return (
        f'<label>{label} <select id="{name}"><option value="">all</option>{"".join(items)}</select></label>'
    )
