"""A teacher out of a search, which is first trained to the end itself: a search's weights are of no use."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bft_nas.api.sources import Source
from bft_nas.api.teachers import WORDS
from bft_nas.api.trained import Trained
from bft_nas.api.training_options import TrainingOptions
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.units import format_macs
from bft_nas.network import Architecture
from bft_nas.network.references import widest
from bft_nas.record import Run
from bft_nas.record.pareto import complete
from bft_nas.record.trained import candidate_source, check_new
from bft_nas.record.trained_folder import is_trained
from bft_nas.training.protocol import Protocol

if TYPE_CHECKING:
    from bft_nas.data.images import Images


@dataclass(frozen=True)
class Teaching:
    """The training of a teacher, by the recipe and on the data of the network that it is to teach."""

    name: str
    """Of its folder."""
    said: str
    """What network it is, in words."""
    architecture: Architecture
    protocol: Protocol
    images: Images
    """Of its own resolution."""
    known: Trained | None
    """What there is of it already."""


def teacher_source(what: str, source: Source, options: TrainingOptions) -> Source | None:
    """The network of a run that one of `WORDS` stands for; None where a teacher was given otherwise, or none.

    Args:
        what: is to be trained.
        source: the same.
        options: of the training.

    Raises:
        UserError: it is not out of a run, the run has no such network, or that is what is to be trained.
    """
    if options.teacher not in WORDS:
        return None
    shown = f"{setting('teacher')} {options.teacher}"
    if source.run is None:
        raise UserError(f"{shown}: goes with a run; '{one_line(what)[:80]}' is none")
    found = (_most_accurate_reference if options.teacher == "reference" else _widest)(source.run, shown)
    if source.architecture is not None and found.architecture is not None:
        if found.architecture.hash == source.architecture.hash:
            raise UserError(
                f"{shown}: {found.said}, which is what is to be trained; expected another teacher"
            )
        if found.architecture.classes < source.architecture.classes:
            raise UserError(f"{shown}: {found.said} is made for other classes; expected another teacher")
    return found


def teaching_of(
    name: str,
    chosen: Source,
    protocol: Protocol,
    images: Images,
    options: TrainingOptions,
    load: Callable[[int], Images],
) -> Teaching:
    """How a teacher is to be trained, or what there is of it already.

    Args:
        name: of the folder of the network that it is to teach.
        chosen: see `teacher_source`.
        protocol: of the network that it is to teach, but for what only a teacher adds.
        images: the same.
        options: of the training.
        load: loads the images of a resolution, where it is another one.

    Raises:
        UserError: another network is in its place, or one trained otherwise.
    """
    assert chosen.architecture is not None
    name = f"{name}-teacher"
    own = load(chosen.resolution)
    own = images if own.dataset.digest == images.dataset.digest else own
    protocol = replace(
        protocol, data_digest=own.dataset.digest, recipe=replace(protocol.recipe, distillation=0.0)
    )
    known = None
    if is_trained(str(options.trained / name)):
        known = Trained.open(options.trained / name)
        if known.architecture.hash != chosen.architecture.hash or not _same(known.protocol, protocol):
            raise UserError(
                f"'{known.folder}': no {chosen.said} trained by this recipe on these images; expected another "
                f"{setting('name')}, or a teacher by its own name"
            )
    else:
        check_new(name, options.trained)
    return Teaching(name, chosen.said, chosen.architecture, protocol, own, known)


def is_complete(trained: Trained) -> bool:
    """Whether nothing is left to be done for it to teach."""
    return trained.finished and trained.evaluation() is not None


def _same(one: Protocol, other: Protocol) -> bool:
    """Whether both train by one recipe on the same images; which seed and which versions does not matter."""
    return one == replace(
        other, seed=one.seed, torch_version=one.torch_version, bft_nas_version=one.bft_nas_version
    )


def _most_accurate_reference(run: Run, shown: str) -> Source:
    known = complete(run.references())
    if known.empty:
        raise UserError(
            f"{shown}: run '{run.name}' has no trained reference; expected bft-nas compare "
            f"{shlex.quote(run.found_by)} first"
        )
    # As winners are: by what was confirmed, where anything was.
    by = [name for name in ("confirmed", "accuracy") if name in known]
    best = known.sort_values([*by, "macs"], ascending=[*(False for _ in by), True], na_position="last").iloc[
        0
    ]
    name, budget, resolution = str(best["name"]), int(best["budget"]), int(best["resolution"])
    made = widest(name, budget, resolution=resolution, classes=run.settings.classes)
    if made is None:
        raise UserError(
            f"{shown}: {name} has no network within {format_macs(budget)}; expected another teacher"
        )
    said = f"reference {name} of {run.name} within {format_macs(budget)}"
    return Source(said, name, run.settings.data, resolution, made[1], run)


def _widest(run: Run, shown: str) -> Source:
    results = run.results()
    left = results[results["state"] != "failed"]
    if left.empty:
        raise UserError(f"{shown}: run '{run.name}' has no trained candidate yet; expected another teacher")
    row = left.sort_values(["macs", "accuracy"], ascending=False).iloc[0]
    number = int(row["number"])
    architecture = run.architecture(number)
    said = candidate_source(run.name, number)
    return Source(said, run.name, run.settings.data, architecture.resolution, architecture, run)
