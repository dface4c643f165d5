"""`bft_nas.train`: a network trained to the end, and what it is worth on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.api.teachers import WEIGHT, load_teacher
from bft_nas.api.trained import Trained
from bft_nas.api.training_options import OF_RAY, RETRIES, TrainingOptions
from bft_nas.api.training_progress import TrainingWatcher, shown
from bft_nas.api.training_work import (
    Work,
    check_shares,
    evaluated,
    images_of,
    on_device,
    resumed,
    run_to_the_end,
    take_part,
)
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.files import is_file
from bft_nas.core.units import format_macs
from bft_nas.data.dataset import (
    Room,
    anchored,
    deployment_classes,
    is_there,
    load_dataset,
    with_margin,
)
from bft_nas.network import Architecture
from bft_nas.network.references import REFERENCES, widest
from bft_nas.record import DataFacts, Run
from bft_nas.record.trained import TRAINING_FILE, Evaluation, is_trained
from bft_nas.training.plans import load_plan, plan_for
from bft_nas.training.protocol import Protocol

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.engines.ray_train import Cluster
    from bft_nas.training.processes import Processes
    from bft_nas.training.recipe import Precision

KEPT_GIVEN = ("resume", "data", "trained", "runs", "max_unreadable", "engine", *OF_RAY)
"""The options that go with a training that there is already."""
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


def train(
    network: str | Path | None = None,
    *,
    candidate: int | None = None,
    flops: str | float | None = None,
    resolution: int | None = None,
    classes: int | None = None,
    data: str | Path | None = None,
    max_unreadable: int | None = None,
    recipe: str | Path | None = None,
    teacher: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
    compile: bool | None = None,
    patience: int | None = None,
    balance: bool | None = None,
    sync_norms: bool | None = None,
    seed: int | None = None,
    engine: str | None = None,
    workers: int | None = None,
    retries: int | None = None,
    ray_address: str | None = None,
    ray_storage: str | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    runs: str | Path | None = None,
    trained: str | Path | None = None,
    progress: bool | TrainingWatcher = True,
) -> Trained:
    """Train a network to the end at its deployment resolution, as ``bft-nas train`` does, and return it.

    Args:
        network: the name of a run, whose winner or ``candidate`` is trained; an architecture.json; or the name of a
            reference, which is made as wide as ``flops`` allows.
        progress: True shows it, False is silent; a `TrainingWatcher` of your own is notified instead.

    The other keywords are the command's options (docs/training.md has the table). Interrupted by Ctrl-C or SIGTERM, it
    has written a checkpoint, from which ``train(resume=NAME)`` goes on.

    Raises:
        UserError: a mistake in what was given; nothing was written.
        RunError: something in the way, such as a full disk, or the network cannot be trained.

    >>> train("mobile-50M", data="photos/").evaluation()  # doctest: +SKIP
    """
    given = {key: value for key, value in locals().items() if value is not None and key != "progress"}
    what = given.pop("network", None)
    from bft_nas.training.processes import joined

    with joined() as processes:
        if not processes.first:
            return take_part(processes)
        what = None if what is None else str(what)
        with open_training(what, given, processes=processes) as work, shown(progress) as watcher:
            run_to_the_end(work, watcher)
            return work.trained


@contextmanager
def open_training(
    what: str | None, given: Mapping[str, Any], *, command: str = "", processes: Processes | None = None
) -> Iterator[Work]:
    """A training, made where there is none, for as long as this process is at it.

    Args:
        what: see `train`; None for one that is resumed.
        given: the options that were given, by name.
        command: to be kept in its folder.
        processes: that train together, of which this is the first one; by default it is alone.

    Raises:
        UserError: a mistake in what was given; nothing was written by then.
    """
    from bft_nas.training.processes import ALONE

    options, processes = TrainingOptions.of(given), processes or ALONE
    cluster = _cluster(options, processes)
    count = cluster.share.workers if cluster is not None else processes.count
    if options.resume is not None:
        if what is not None:
            raise UserError(f"{setting('resume')}: not together with a network; expected one of them")
        known = Trained.open(options.resume, trained=options.trained)
        check_shares(known.protocol, count)
        with _resumed(known, given, processes, cluster) as work:
            yield work
        return
    if what is None:
        raise UserError(
            f"network: missing; expected a run, an architecture.json, a reference, or {setting('resume')}"
        )
    source = source_of(what, options)
    before = options.trained / (options.name or source.name)
    if processes.launch and is_file(before / TRAINING_FILE):
        known = Trained(before)
        if known.facts.get("launch") == processes.launch:
            # torchrun starts all processes again when it has lost one.
            kept = {name: value for name, value in given.items() if name in KEPT_GIVEN}
            with _resumed(known, kept, processes, cluster) as work:
                yield work
            return
    dataset = _load(source, options)
    architecture = _architecture(source, options, dataset)
    plan = plan_for(len(dataset.train.labels)) if options.recipe is None else load_plan(str(options.recipe))
    protocol = _protocol(dataset, options, plan.epochs, plan.batch_size)
    images = on_device(dataset)
    on_gpu = cluster.share.gpus > 0 if cluster is not None else images.device.type == "cuda"
    recipe = replace(
        plan.recipe,
        precision=options.precision or plan.precision or ("bfloat16" if on_gpu else "float32"),
        compiled=options.compile or plan.recipe.compiled,
        patience=plan.recipe.patience if options.patience is None else options.patience,
        balance=options.balance or plan.recipe.balance,
        sync_norms=options.sync_norms or plan.recipe.sync_norms,
    )
    protocol = replace(protocol, recipe=recipe)
    if protocol.batch_size < 2 * recipe.accumulation:
        raise UserError(
            f"recipe {plan.name}: accumulation {recipe.accumulation}: a batch of {protocol.batch_size} would be parted "
            "into single images; expected 2 or more a part"
        )
    check_shares(protocol, count)
    teacher = None
    if options.teacher is not None:
        teacher = load_teacher(
            options.teacher, dataset.classes, trained=options.trained, device=images.device
        )
        weight = protocol.recipe.distillation or WEIGHT
        protocol = replace(protocol, recipe=replace(protocol.recipe, distillation=weight))
    elif protocol.recipe.distillation:
        raise UserError(f"recipe {plan.name}: distillation without a teacher; expected {setting('teacher')}")
    made = Trained.create(
        options.name or source.name,
        architecture,
        protocol,
        source=source.said,
        data=anchored(options.data or source.data),
        facts=DataFacts(dataset.classes, images.mean, images.std, dataset.notes, dataset.left_out),
        plan=plan.name,
        teacher=None if options.teacher is None else _place_of(options.teacher, options.trained),
        command=command,
        launch=processes.launch,
        trained=options.trained,
    )
    with made.at_work():
        work = Work(made, images, teacher, processes, cluster)
        work.announce(given)
        yield work


@contextmanager
def _resumed(
    trained: Trained, given: Mapping[str, Any], processes: Processes, cluster: Cluster | None
) -> Iterator[Work]:
    for name in given:
        if name not in KEPT_GIVEN:
            raise UserError(f"{setting(name)}: a training that is resumed keeps its own; expected none")
    with trained.at_work():
        work = resumed(trained, given, processes=processes, cluster=cluster)
        work.announce(given)
        yield work


def evaluate(
    name: str | Path, *, data: str | Path | None = None, trained: str | Path | None = None
) -> Evaluation:
    """What a trained network is worth, as ``bft-nas evaluate`` says it: at the end of its training, or on other data.

    Args:
        name: of the network, or its folder.
        data: whose test images it is tried on; by default what is on record, for which no image is read again.
        trained: where trained networks are.

    Raises:
        UserError: there is no such network, or it is not trained to the end; the data has other classes or no test
            images.
    """
    found = Trained.open(name, trained=TrainingOptions.of({"trained": trained} if trained else {}).trained)
    if data is None:
        known = found.evaluation()
        if known is None:
            raise UserError(
                f"trained network '{found.name}': not trained to the end; expected {setting('resume')} first"
            )
        return known
    images = images_of(found, {"data": str(data)}, checked=False)
    if images.dataset.classes != found.data.classes:
        raise UserError(f"{setting('data')} '{data}': its classes are others than those of the training")
    return evaluated(found, images, data=str(data))


def source_of(what: str, options: TrainingOptions) -> Source:
    """What network a name stands for.

    Raises:
        UserError: none, or an option that does not go with it.
    """
    is_reference, is_description = what in REFERENCES, what.endswith(".json")
    for name, needed in (("flops", is_reference), ("candidate", not (is_reference or is_description))):
        if getattr(options, name) is not None and not needed:
            kind = "a reference" if name == "flops" else "a run"
            raise UserError(f"{setting(name)}: goes with {kind}; '{one_line(what)[:80]}' is none")
    if is_reference:
        if options.flops is None:
            raise UserError(f"{setting('flops')}: missing; expected a budget in MACs for {what}, such as 50M")
        budget = format_macs(options.flops)
        return Source(f"{what} within {budget}", f"{what}-{budget}", DATA, options.resolution or 224, None)
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
    said = f"candidate {number} of {run.name}"
    return Source(said, f"{run.name}-{number}", run.settings.data, architecture.resolution, architecture)


def _place_of(teacher: str, trained: Path) -> str:
    """Where a teacher is, by a path that still holds in another directory."""
    found = Trained.open(teacher, trained=trained).folder if is_trained(teacher, trained=trained) else teacher
    return str(Path(found).absolute())


def _load(source: Source, options: TrainingOptions) -> Dataset:
    data = options.data or source.data
    if options.data is None and not is_there(data):
        raise UserError(f"no data at {data} any more; expected {setting('data')} with where they are now")
    dataset = load_dataset(
        data, size=with_margin(source.resolution), max_unreadable=options.max_unreadable, room=Room.here()
    )
    if len(dataset.train.labels) < 2:
        raise UserError(f"{setting('data')} '{data}': one image to train on; expected 2 or more")
    return dataset


def _architecture(source: Source, options: TrainingOptions, dataset: Dataset) -> Architecture:
    own = len(dataset.classes)
    found = source.architecture
    if found is None:
        classes = options.classes or deployment_classes(options.data or source.data, own)
        budget, name = options.flops or 0, source.said.partition(" ")[0]
        made = widest(name, budget, resolution=source.resolution, classes=classes)
        if made is None:
            raise UserError(f"{setting('flops')} {format_macs(budget)}: {name} has no network within it")
        found = made[1]
    if found.classes < own:
        raise UserError(
            f"{source.said}: made for {found.classes} classes, and the data has {own}; expected no more than that"
        )
    return found


def _protocol(dataset: Dataset, options: TrainingOptions, epochs: int, batch_size: int) -> Protocol:
    batch = options.batch_size or batch_size
    if batch < 2:
        raise UserError(f"{setting('batch_size')} {batch}: a single image has no spread for batch norm")
    batch = min(batch, len(dataset.train.labels))
    return Protocol.of(
        dataset, 1, epochs=options.epochs or epochs, batch_size=batch, seed=options.seed, norm_images=2048
    )


def _cluster(options: TrainingOptions, processes: Processes) -> Cluster | None:
    """The one that is asked for."""
    if options.engine != "ray":
        return None
    if processes.count > 1:
        raise UserError(f"{setting('engine')} ray: starts its own workers; expected no torchrun")
    from bft_nas.engines.ray_train import join_cluster

    return join_cluster(
        options.ray_address,
        workers=options.workers,
        storage=options.ray_storage,
        retries=RETRIES if options.retries is None else options.retries,
    )
