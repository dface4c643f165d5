"""What is trained to the end: the network that a name stands for."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.api.training_options import TrainingOptions
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.files import is_file
from bft_nas.core.units import format_macs, in_millions
from bft_nas.data.dataset import deployment_classes
from bft_nas.network import Architecture
from bft_nas.network.references import REFERENCES, widest
from bft_nas.record import RUN_FILE, Run, run_names
from bft_nas.record.trained import candidate_source

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset

DATA = "fashion-mnist"
"""What a reference is trained on unless told otherwise."""


@dataclass(frozen=True)
class Source:
    """The network that is to be trained."""

    said: str
    """What it is, in words."""
    name: str
    """For its folder, unless another one is given."""
    data: str
    """On which it is trained unless told otherwise."""
    resolution: int
    architecture: Architecture | None
    """None for a reference, which is as wide as its budget allows for the classes of the data."""
    run: Run | None = None
    """The search that it is out of, if any."""
    reference: str = ""
    """Which one it is, where it has no architecture yet."""


def source_of(what: str, options: TrainingOptions) -> Source:
    """What network a name stands for.

    Raises:
        UserError: none, or an option that does not go with it.
    """
    is_reference, is_description = what in REFERENCES, what.endswith(".json")
    is_run = any(is_file(folder / RUN_FILE) for folder in (options.runs / what, Path(what)))
    if not (is_reference or is_description or is_run):
        raise _unknown(what, options.runs)
    for name, needed in (("flops", is_reference), ("candidate", not (is_reference or is_description))):
        if getattr(options, name) is not None and not needed:
            kind = "a reference" if name == "flops" else "a run"
            raise UserError(f"{setting(name)}: goes with {kind}; '{one_line(what)[:80]}' is none")
    if is_reference:
        if options.flops is None:
            raise UserError(f"{setting('flops')}: missing; expected a budget in MACs for {what}, such as 50M")
        budget = format_macs(options.flops)
        said, name, side = f"{what} within {budget}", f"{what}-{budget}", options.resolution or 224
        return Source(said, name, DATA, side, None, reference=what)
    for name in ("resolution", "classes"):
        if getattr(options, name) is not None:
            raise UserError(f"{setting(name)}: goes with a reference; '{one_line(what)[:80]}' is none")
    if is_description:
        path = Path(what)
        if not is_file(path):
            raise UserError(f"{one_line(what)[:80]}: no such file; expected an architecture.json")
        try:
            architecture = Architecture.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"{path}: no architecture ({one_line(error)[:120]})") from None
        name = path.resolve().parent.name if path.stem == "architecture" else path.stem
        return Source(str(path), name or "network", DATA, architecture.resolution, architecture)
    run = Run.open(what, runs=options.runs)
    number = run.number_or_winner(options.candidate)
    row = run.row(number)
    if row["state"] == "failed":
        raise UserError(f"candidate {number} of {run.name}: failed ({row['reason']}); expected another one")
    architecture = run.architecture(number)
    name = f"{run.name}-{number}"
    said = candidate_source(run.name, number)
    return Source(said, name, run.settings.data, architecture.resolution, architecture, run)


def _unknown(what: str, runs: Path) -> UserError:
    close = " or ".join(get_close_matches(what, (*run_names(runs), *REFERENCES)))
    return UserError(
        f"'{one_line(what)[:80]}': no run under '{runs}', architecture.json or reference; "
        f"expected {close or 'a name that bft-nas runs or bft-nas references lists'}"
    )


def architecture_of(source: Source, options: TrainingOptions, dataset: Dataset) -> Architecture:
    """The network itself, for the classes of the data.

    Raises:
        UserError: it has too few of them, or no reference is within the budget.
    """
    own = len(dataset.classes)
    found = source.architecture
    if found is None:
        data, side = options.data or source.data, source.resolution
        classes = options.classes or deployment_classes(data, own, side=side)
        budget, name = options.flops or 0, source.reference
        scaled = partial(widest, name, resolution=source.resolution, classes=classes)
        made = scaled(budget)
        if made is None:
            meant = in_millions(budget, lambda macs: scaled(macs) is not None)
            raise UserError(
                f"{setting('flops')} {format_macs(budget)}: {name} has no network within it{meant}"
            )
        found = made[1]
    if found.classes < own:
        raise UserError(
            f"{source.said}: made for {found.classes} classes, and the data has {own}; expected no more than that"
        )
    return found
