"""What the commands print: plans, fronts, layers, runs and spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.core.units import format_count, format_duration, format_macs, format_percent
from bft_nas.network import Architecture, Layer, cost
from bft_nas.network.blocks import DIALECTS
from bft_nas.network.references import REFERENCES, PublishedCount, reference, widest
from bft_nas.record.facts import Facts
from bft_nas.space.space import SearchSpace

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


def plan_facts(prepared: Prepared, run: Run) -> Facts:
    """What a search is about to do."""
    settings, space, protocol = prepared.settings, prepared.space, prepared.protocol
    reach, resolutions = space.reach, space.resolutions
    largest = f"reaches {format_macs(reach.smallest, up=True)} to {format_macs(reach.largest)} MACs"
    short = [f for f in settings.budgets if f > reach.largest]
    budget = ", ".join(map(format_macs, settings.budgets)) + " MACs"
    budget += f", above all of the space, which {largest}" if short else f", reachable: the space {largest}"
    limits = [f"{settings.trials} candidates"] if settings.trials is not None else []
    limits += [f"{format_duration(settings.seconds)}"] if settings.seconds is not None else []
    name = prepared.images.dataset.name
    data = protocol.data if name == protocol.data else f"{protocol.data}, now {name}"
    facts = [
        (
            "space",
            f"{space.name}: {', '.join(f.name for f in space.families)}; {format_count(space.size)} choices",
        ),
        ("budget", budget),
        (
            "deployment",
            f"{' '.join(map(str, resolutions))} pixels, {settings.classes} classes",
        ),
        (
            "data",
            f"{data}, {protocol.data_classes} classes, {protocol.train_images} images to train on, "
            f"{protocol.validation_images} to validate",
        ),
        *(("", note) for note in prepared.images.dataset.notes),
        (
            "protocol",
            f"{protocol.hash}: {protocol.epochs} epochs, batch {protocol.batch_size}, "
            f"images of {'/'.join(str(protocol.proxy_resolution(r)) for r in resolutions)} pixels, "
            f"{protocol.recipe.precision}",
        ),
        ("search", f"{settings.sampler}, seed {settings.seed}, {' or '.join(limits)}"),
        ("run", str(run.folder)),
    ]
    if prepared.dropped:
        facts.insert(1, ("left out", f"{', '.join(prepared.dropped)}: cannot stay within the budget"))
    return facts


def print_facts(console: Console, facts: Facts) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(f"{name:<{width}}  ", style="bold", end="")
        console.print(value, markup=False, highlight=False, soft_wrap=True)


def print_front(console: Console, run: Run, results: pd.DataFrame) -> None:
    """The table of the front, and the winner of each budget."""
    from bft_nas.record.pareto import front, winners

    best = winners(results, run.settings.budgets)
    numbers = set(best["number"])
    table = Table(title=f"Front of {run.name}", title_justify="left", title_style="bold")
    for column in ("", "accuracy", "MACs", "parameters", "network", "pixels", "fusions, stage by stage"):
        table.add_column(
            column, justify="right" if column in ("", "accuracy", "MACs", "parameters") else "left"
        )
    for row in front(results).to_dict("records"):
        star = "* " if row["number"] in numbers else ""
        table.add_row(
            f"{star}{row['number']}",
            format_percent(row["accuracy"]),
            format_macs(row["macs"]),
            f"{row['params'] / 1e6:.2f}M",
            row["family"],
            str(row["resolution"]),
            row["fusions"],
        )
    if table.row_count:
        console.print(table)
        console.print(
            f"d dense, b4 butterfly of radix 4; {DIALECTS}; the head's fusion last",
            style="dim",
        )
    for row in best.to_dict("records"):
        console.print("winner", style="bold", end=" ")
        console.print(
            f"within {format_macs(row['for_budget'])}: candidate {row['number']}, "
            f"{format_percent(row['accuracy'])} at {format_macs(row['macs'])} MACs",
            highlight=False,
        )
    if best.empty:
        failed = int((results["state"] == "failed").sum())
        console.print("no winner: " + (f"all {failed} candidates failed" if failed else "no candidate yet"))


def print_references(console: Console, references: pd.DataFrame, best: pd.DataFrame) -> None:
    """The outcomes of the references, the most accurate first, and how many of them each winner beats."""
    if references.empty:
        return
    table = Table(title="References under the same protocol", title_justify="left", title_style="bold")
    for column in ("network", "width", "accuracy", "MACs", "parameters", "pixels", "fusions, stage by stage"):
        table.add_column(
            column, justify="right" if column in ("width", "accuracy", "MACs", "parameters") else "left"
        )
    ranked = references.sort_values(["budget", "accuracy"], ascending=[True, False])
    for _, rows in ranked.groupby("budget", sort=True):
        for row in rows.to_dict("records"):
            failed = row["state"] == "failed"
            table.add_row(
                row["name"],
                f"{row['width']:.2f}",
                "failed" if failed else format_percent(row["accuracy"]),
                format_macs(row["macs"]),
                f"{row['params'] / 1e6:.2f}M",
                str(row["resolution"]),
                row["reason"] if failed else row["fusions"],
            )
        table.add_section()
    console.print(table)
    for row in best.to_dict("records"):
        same = references[(references["budget"] == row["for_budget"]) & (references["state"] == "complete")]
        beaten = int((same["accuracy"] < row["accuracy"]).sum())
        if not same.empty:
            console.print(
                f"within {format_macs(row['for_budget'])} candidate {row['number']} is more accurate than "
                f"{beaten} of {len(same)} references",
                highlight=False,
            )


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
            f"{counted.macs / 1e6:.1f}M",
            f"{published.macs / 1e6:g}M",
            f"{100 * (counted.macs / published.macs - 1):+.1f} %",
            f"{counted.params / 1e6:.2f}M",
            f"{published.params:g}M" if published.params is not None else "",
            published.source,
        )
    console.print(table)


def print_scaled_references(console: Console, budget: int, resolution: int) -> None:
    """Every reference as wide as a budget in MACs allows, at 1000 classes."""
    table = Table(box=None, pad_edge=False)
    for column in ("reference", "width", "pixels", "MACs", "parameters", "fusions, stage by stage"):
        table.add_column(column, justify="left" if column.startswith(("ref", "fus")) else "right")
    for name in REFERENCES:
        found = widest(name, budget, resolution=resolution)
        if found is None:
            table.add_row(name, "", str(resolution), "out of reach")
            continue
        width, architecture = found
        counted = cost(architecture)
        table.add_row(
            name,
            f"{width:.3f}",
            str(resolution),
            f"{counted.macs / 1e6:.2f}M",
            f"{counted.params / 1e6:.2f}M",
            architecture.fusion_pattern,
        )
    console.print(table)


def print_clock(console: Console, clock: Clock) -> None:
    """Where the seconds went."""
    whole = clock.whole
    outside = 100 * max(0.0, 1 - clock.training / (whole * clock.workers)) if whole else 0.0
    parts = ("preparing", "proposing", "training", "recording")
    each = ", ".join(f"{part} {getattr(clock, part):.1f} s" for part in parts)
    at_once = f" by {clock.workers} workers" if clock.workers > 1 else ""
    console.print(f"{whole:.1f} s: {each}{at_once} ({outside:.1f} % outside training)", highlight=False)


def candidate_facts(run: Run, row: Mapping[str, Any]) -> Facts:
    """What one candidate is, and its outcome."""
    result = f"failed: {row['reason']}" if row["state"] == "failed" else format_percent(row["accuracy"])
    if row["state"] == "stopped":
        result += f", {row['reason']}"
    return [
        ("run", str(run.folder)),
        ("candidate", str(row["number"])),
        ("accuracy", f"{result} (protocol {run.protocol_hash})"),
        ("network", f"{row['family']} at {row['resolution']} pixels, {run.settings.classes} classes"),
        ("MACs", f"{format_macs(row['macs'])} of {format_macs(row['budget'])}"),
        ("fusions", row["fusions"]),
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
            f"{layer.out_channels}x{layer.size}x{layer.size}",
            str(layer.fusion or ""),
            _factors(layer),
            f"{layer.macs:,}",
            f"{100 * layer.macs / counted.macs:.1f} %",
            f"{layer.params:,}",
        )
    table.add_section()
    table.add_row("total", "", "", "", f"{counted.macs:,}", "100.0 %", f"{counted.params:,}")
    console.print(table)
    console.print(
        f"peak activation memory {counted.peak_memory / 1e6:.2f} MB for one image in float32; "
        f"{100 * counted.butterfly_share:.0f} % of the fusions' MACs in butterflies",
        highlight=False,
    )


def _factors(layer: Layer) -> str:
    plan = layer.plan
    if plan is None:
        return ""
    factors = "*".join(map(str, plan.factors))
    return f"{plan.copies} x {factors}" if plan.copies > 1 else factors


def print_spaces(console: Console, spaces: Sequence[SearchSpace]) -> None:
    """What each space holds."""
    table = Table(box=None, pad_edge=False)
    for column in ("space", "families", "choices", "MACs at 1000 classes"):
        table.add_column(column)
    for space in spaces:
        reach = space.reach
        table.add_row(
            space.name,
            ", ".join(family.name for family in space.families),
            format_count(space.size),
            f"{format_macs(reach.smallest, up=True)} to {format_macs(reach.largest)}",
        )
    console.print(table)


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
        run.created[:16].replace("T", " "),
        run.settings.space,
        ", ".join(map(format_macs, run.settings.budgets)),
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
            f"{file.size / 1e6:.2f} MB",
            "" if file.difference is None else f"{file.difference:.1e}",
            "" if file.macs is None else f"{file.macs:,}",
        )
    console.print(table)
