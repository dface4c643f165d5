"""What the commands print: plans, fronts, layers, runs and spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.core.units import (
    format_bytes,
    format_count,
    format_duration,
    format_macs,
    format_params,
    format_percent,
    format_pixels,
)
from bft_nas.network import Architecture, Layer, cost
from bft_nas.network.blocks import DIALECTS
from bft_nas.network.fusion import FUSIONS_IN_SHORT
from bft_nas.network.references import PublishedCount, reference, scaled
from bft_nas.record.columns import (
    LATENCY_COLUMNS,
    REFERENCE_COLUMNS,
    Column,
    column_named,
    columns_for,
    columns_in,
    is_missing,
)
from bft_nas.record.facts import Facts, asked_facts, budgets_text, confirmation_epochs, started
from bft_nas.record.fidelity import fidelity_of
from bft_nas.record.latency import measured_on
from bft_nas.record.placement import placement_texts
from bft_nas.record.standings import (
    UNCONFIRMED,
    VERDICT_HEADINGS,
    candidate_texts,
    rival_texts,
    verdict_rows,
    verdicts_of,
    winner_text,
)
from bft_nas.searching.control import control_text
from bft_nas.space.roomier import roomier

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bft_nas.export.write import ExportReport
    from bft_nas.record import Run
    from bft_nas.searching.loop import Clock, Prepared


class _PlainConsole(Console):
    """Prints texts as they are: markup in a name is none, and a line break in one is escaped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def make_console() -> Console:
    """Standard output for texts without markup; as wide as the tables need where no terminal says how wide it is."""
    console = _PlainConsole()
    return console if console.is_terminal else _PlainConsole(width=160, soft_wrap=True)


def plan_facts(prepared: Prepared, run: Run, *, confirmation: str = "") -> Facts:
    """What a search is about to do; what its confirmation costs is said elsewhere in words."""
    settings, space, protocol = prepared.settings, prepared.space, prepared.protocol
    reach = space.reach
    largest = f"reaches {format_macs(reach.smallest, up=True)} to {format_macs(reach.largest)} MACs"
    short = [f for f in settings.budgets if f > reach.largest]
    other = roomier(space, settings.space, settings.fusion, min(settings.budgets))
    near = f"; so near the least there is little to choose from, {other} leaves more" if other else ""
    limits = [f"{settings.trials} candidates"] if settings.trials is not None else []
    limits += [f"{format_duration(settings.seconds)}"] if settings.seconds is not None else []
    name = prepared.images.dataset.name
    sides = "/".join(str(protocol.proxy_resolution(each)) for each in space.resolutions)
    facts = asked_facts(
        run,
        data=protocol.data if name == protocol.data else f"{protocol.data}, now {name}",
        notes=prepared.images.dataset.notes,
        space=f": {', '.join(f.name for f in space.families)}; {format_count(space.size)} choices",
        budget=f", above all of the space, which {largest}"
        if short
        else f", reachable: the space {largest}{near}",
        protocol=(f"batch {protocol.batch_size}", f"images of {sides} pixels", protocol.recipe.precision),
        limits=f", {' or '.join(limits)}",
    )
    if prepared.dropped:
        facts.insert(1, ("left out", f"{', '.join(prepared.dropped)}: cannot stay within the budget"))
    told = [("confirmation", confirmation)] if confirmation else []
    return [*facts, *told, ("run", str(run.folder))]


def print_facts(console: Console, facts: Facts) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(f"{name:<{width}}  ", style="bold", end="")
        console.print(value, soft_wrap=True)


def print_front(console: Console, run: Run, results: pd.DataFrame) -> None:
    """The table of the front, and the winner of each budget."""
    from bft_nas.record.pareto import front, winners

    best, best_by_proxy = winners(results, run.settings.budgets), front(results)
    numbers = set(best["number"])
    columns = columns_for("summary", results)
    table = _table(columns, f"Front of {run.name}")
    for row in best_by_proxy.to_dict("records"):
        first, *others = _cells(columns, row)
        table.add_row(f"* {first}" if row["number"] in numbers else first, *others)
    if table.row_count:
        console.print(table)
        console.print(
            f"{FUSIONS_IN_SHORT}; {DIALECTS}; the head's fusion last",
            style="dim",
        )
    if setup := measured_on(results):
        console.print(f"latency of one image (half of the queries) in {setup}", style="dim")
    for row in best.to_dict("records"):
        console.print("winner", style="bold", end=" ")
        console.print(winner_text(row))
    for number in sorted(numbers - set(best_by_proxy["number"])):
        console.print(
            f"candidate {number} is not on the front, which is by the proxy trainings; it won by its confirmation"
        )
    if best.empty:
        failed = int((results["state"] == "failed").sum())
        console.print("no winner: " + (f"all {failed} candidates failed" if failed else "no candidate yet"))


def _table(columns: Sequence[Column], title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column.heading, justify=column.alignment)
    return table


def _cells(columns: Sequence[Column], row: Mapping[Any, Any]) -> list[str]:
    """The cells of a row; the reason of a failure is a sentence and stands where there is room for one."""
    cells = {column.name: column.cell(row) for column in columns}
    if row["state"] == "failed":
        cells["fusions"] = str(row["reason"])
    return list(cells.values())


def print_references(console: Console, references: pd.DataFrame, best: pd.DataFrame) -> None:
    """The outcomes of the references, the most accurate first, and how many an unconfirmed winner is ahead of."""
    if references.empty:
        return
    columns = columns_for("references", references, REFERENCE_COLUMNS)
    table = _table(columns, "References under the same protocol")
    ranked = references.sort_values(["budget", "accuracy"], ascending=[True, False])
    for _, rows in ranked.groupby("budget", sort=True):
        for row in rows.to_dict("records"):
            table.add_row(*_cells(columns, row))
        table.add_section()
    console.print(table)
    for row in best.to_dict("records"):
        if not is_missing(row.get("confirmed")):
            continue
        same = references[(references["budget"] == row["for_budget"]) & (references["state"] == "complete")]
        beaten = int((same["accuracy"] < row["accuracy"]).sum())
        if not same.empty:
            console.print(
                f"within {format_macs(row['for_budget'])} candidate {row['number']} is ahead of {beaten} of "
                f"{len(same)} references after the proxy training ({UNCONFIRMED})"
            )


def print_confirmation(console: Console, run: Run) -> None:
    """What was confirmed within each budget, how far the winner is ahead, and how well the proxy had ranked it."""
    found = verdicts_of(run)
    for verdict in found:
        seeds = sorted({seed for each in verdict.everyone for seed in each.network.sample})
        first = verdict.winner.network
        epochs = confirmation_epochs(run, first.epochs)
        table = Table(
            title=f"Confirmed within {format_macs(verdict.budget)}: {epochs}, seeds {', '.join(map(str, seeds))}, "
            f"protocol {first.protocol}",
            title_justify="left",
            title_style="bold",
        )
        for heading in VERDICT_HEADINGS:
            justify: Any = "left" if heading in ("network", "fusions", "the winner's lead") else "right"
            table.add_column(heading, justify=justify)
        for place, (network, *cells) in enumerate(verdict_rows(verdict)):
            table.add_row(network if place else f"* {network}", *cells)
        console.print(table)
        for text in rival_texts(verdict):
            console.print(text)
    if found:
        console.print(fidelity_of(run).summary)
    if control := control_text(run):
        console.print(control)


def print_placement(console: Console, run: Run) -> None:
    """What butterflies are worth at equal MACs in each family, by the proxy training."""
    for text in placement_texts(run):
        console.print("butterflies", style="bold", end=" ")
        console.print(text)


def print_reference_counts(console: Console, counts: Sequence[PublishedCount]) -> None:
    """Each reference's count here beside the published one."""
    table = Table(box=None, pad_edge=False)
    for column in (
        "reference",
        "width",
        "pixels",
        "MACs",
        "published",
        "",
        "parameters",
        "published",
        "source",
    ):
        table.add_column(column, justify="left" if column in ("reference", "source") else "right")
    for published in counts:
        counted = cost(reference(published.name, width=published.width, resolution=published.resolution))
        table.add_row(
            published.name,
            f"{published.width:g}",
            str(published.resolution),
            # Rounded, as they are no bounds here.
            f"{counted.macs / 1e6:.1f}M",
            f"{published.macs / 1e6:g}M",
            f"{counted.macs / published.macs - 1:+.1%}",
            format_params(counted.params),
            format_params(1e6 * published.params) if published.params is not None else "",
            published.source,
        )
    console.print(table)


def print_scaled_references(console: Console, budget: int, resolution: int) -> None:
    """Every reference as wide as a budget in MACs allows, at 1000 classes; UserError where it allows none."""
    table = Table(box=None, pad_edge=False)
    for column in ("reference", "width", "pixels", "MACs", "parameters", "fusions, stage by stage"):
        table.add_column(column, justify="left" if column.startswith(("ref", "fus")) else "right")
    for name, found in scaled(budget, resolution=resolution).items():
        if found is None:
            table.add_row(name, "", str(resolution), "infeasible")
            continue
        width, architecture = found
        counted = cost(architecture)
        table.add_row(
            name,
            f"{width:.3f}",
            str(resolution),
            format_macs(counted.macs),
            format_params(counted.params),
            architecture.fusion_pattern,
        )
    console.print(table)


def print_clock(console: Console, clock: Clock) -> None:
    """Where the seconds went."""
    whole = clock.whole
    searching = whole - clock.timing
    outside = (
        max(0.0, 1 - (clock.training + clock.confirming) / (searching * clock.workers)) if searching else 0.0
    )
    parts = {
        "preparing": clock.preparing,
        "proposing": clock.proposing,
        "proxy trainings": clock.training,
        **({"confirmation": clock.confirming} if clock.confirming else {}),
        "recording": clock.recording,
        **({"timing": clock.timing} if clock.timing else {}),
    }
    each = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in parts.items())
    at_once = f" by {clock.workers} workers" if clock.workers > 1 else ""
    console.print(f"{whole:.1f} s: {each}{at_once} ({format_percent(outside, digits=1)} outside training)")


def candidate_facts(run: Run, row: Mapping[str, Any]) -> Facts:
    """What one candidate is, and its outcome."""
    outcome = ", ".join(filter(None, [column_named("accuracy").cell(row), str(row["reason"])]))
    return [
        ("run", str(run.folder)),
        ("candidate", str(row["number"])),
        ("accuracy", f"{outcome} (protocol {run.protocol_hash})"),
        ("confirmed", column_named("confirmed").cell(row) or UNCONFIRMED),
        *(("compared", text) for text in candidate_texts(verdicts_of(run), int(row["number"]))),
        *(
            (each.heading, each.cell(row))
            for each in (*columns_in("card"), *LATENCY_COLUMNS)
            if each.cell(row)
        ),
    ]


def print_layers(console: Console, architecture: Architecture) -> None:
    """One network, layer by layer."""
    counted = cost(architecture)
    table = Table(box=None, pad_edge=False)
    for column, justify in (
        ("layer", "left"),
        ("output", "right"),
        ("fusion", "left"),
        ("factors", "left"),
        ("MACs", "right"),
        ("share", "right"),
        ("parameters", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for layer in counted.layers:
        table.add_row(
            layer.name,
            f"{layer.out_channels}x{format_pixels(layer.size, layer.width)}",
            str(layer.fusion or ""),
            _factors(layer),
            f"{layer.macs:,}",
            format_percent(layer.macs / counted.macs, digits=1),
            f"{layer.params:,}",
        )
    table.add_section()
    table.add_row(
        "total", "", "", "", f"{counted.macs:,}", format_percent(1, digits=1), f"{counted.params:,}"
    )
    console.print(table)
    console.print(
        f"peak activation memory {format_bytes(counted.peak_memory)} for one image in float32; "
        f"{format_percent(counted.butterfly_share, digits=0)} of the fusions' MACs in butterflies"
    )


def _factors(layer: Layer) -> str:
    plan = layer.plan
    if plan is None:
        return ""
    factors = "*".join(map(str, plan.factors))
    return f"{plan.copies} x {factors}" if plan.copies > 1 else factors


def print_runs(console: Console, folders: Sequence[Path]) -> None:
    """What each run was asked, its outcome, and below them why another one cannot be read."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "started", "space", "budget", "data", "candidates", "best", "protocol"):
        table.add_column(column)
    unread = []
    for folder in folders:
        try:
            table.add_row(*_run_row(folder))
        except (UserError, RunError) as error:
            unread.append(f"{folder.name}: {error}")
    if table.row_count:
        console.print(table)
    for reason in unread:
        console.print(reason, soft_wrap=True)


def _run_row(folder: Path) -> tuple[str, ...]:
    from bft_nas.record import Run

    run = Run(folder)
    results = run.results()
    best = results["accuracy"].max() if results["accuracy"].notna().any() else None
    return (
        run.name,
        started(run),
        run.settings.space,
        budgets_text(run.settings.budgets),
        run.data_name,
        str(len(results)),
        format_percent(best) if best is not None else "",
        run.protocol_hash,
    )


def print_export(console: Console, report: ExportReport) -> None:
    """What was written, how far it is from the trained network, and its MACs."""
    table = Table(box=None, pad_edge=False)
    for column in ("file", "size", "largest difference", "MACs"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for file in report.files:
        table.add_row(
            str(report.folder / file.name),
            format_bytes(file.size),
            "" if file.difference is None else f"{file.difference:.1e}",
            "" if file.macs is None else f"{file.macs:,}",
        )
    console.print(table)
