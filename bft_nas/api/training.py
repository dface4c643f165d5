"""`bft_nas.train`: a network trained to the end, and what it is worth on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.api.evaluation import evaluated, kept_evaluation
from bft_nas.api.sources import Source, architecture_of, source_of
from bft_nas.api.teachers import WEIGHT, check_found, load_teacher, moved_along, place_of, trained_teacher
from bft_nas.api.teaching import Teaching, is_complete, teacher_source, teaching_of
from bft_nas.api.trained import Trained
from bft_nas.api.training_options import OF_RAY, RETRIES, TrainingOptions
from bft_nas.api.training_progress import TrainingWatcher, shown
from bft_nas.api.training_work import (
    OpenTraining,
    check_shares,
    count_of,
    images_of,
    on_device,
    resumed,
    run_to_the_end,
    take_part,
)
from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import is_file
from bft_nas.core.options import naming_keywords
from bft_nas.data.dataset import (
    Room,
    anchored,
    check_test,
    is_there,
    load_dataset,
    with_margin,
)
from bft_nas.data.division import same_names
from bft_nas.data.reading import apart
from bft_nas.record import DataFacts
from bft_nas.record.trained import Evaluation, check_new
from bft_nas.record.trained_folder import TRAINING_FILE, is_trained
from bft_nas.training.plans import Plan, load_plan, plan_for
from bft_nas.training.protocol import Protocol

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.data.images import Images
    from bft_nas.engines.ray_train import Cluster
    from bft_nas.training.processes import Processes
    from bft_nas.training.recipe import Precision
    from bft_nas.training.teacher import Teacher

KEPT_GIVEN = ("resume", "data", "trained", "runs", "max_unreadable", "engine", *OF_RAY)
"""The options that go with a training that there is already."""


@naming_keywords
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
) -> Iterator[OpenTraining]:
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
    with (
        _cluster(options, processes) as cluster,
        _opened(what, options, given, command, processes, cluster) as work,
    ):
        yield work


@contextmanager
def _opened(
    what: str | None,
    options: TrainingOptions,
    given: Mapping[str, Any],
    command: str,
    processes: Processes,
    cluster: Cluster | None,
) -> Iterator[OpenTraining]:
    count = count_of(processes, cluster)
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
    with _begun(what, source, options, given, command, processes, cluster) as work:
        yield work


@contextmanager
def _begun(
    what: str,
    source: Source,
    options: TrainingOptions,
    given: Mapping[str, Any],
    command: str,
    processes: Processes,
    cluster: Cluster | None,
) -> Iterator[OpenTraining]:
    """A new training, and that of its teacher before it where there is one."""
    chosen = teacher_source(what, source, options)
    name = options.name or source.name
    # All that was named comes before the images, which may take minutes to be decoded.
    check_new(name, options.trained)
    named = _named_plan(options)
    if chosen is None and options.teacher is not None:
        check_found(options.teacher, trained=options.trained)
    dataset = _load(source, options)
    architecture = architecture_of(source, options, dataset)
    images = on_device(dataset)
    on_gpu = cluster.portion.gpus > 0 if cluster is not None else images.device.type == "cuda"
    count = count_of(processes, cluster)
    plan = named or _plan_for(dataset, architecture.resolution, options)
    protocol = _protocol(dataset, plan, options, on_gpu, count)
    taught = _teacher_for(name, source, chosen, protocol, images, options, processes)
    if taught.place is not None:
        weight = protocol.recipe.distillation or WEIGHT
        protocol = replace(protocol, recipe=replace(protocol.recipe, distillation=weight))
    where = anchored(options.data or source.data)
    create = partial(Trained.create, data=where, plan=plan.name, command=command, trained=options.trained)
    with ExitStack() as stack:
        first, own = None, taught.training
        if own is not None and taught.teacher is None:
            begun = own.known or create(
                own.name, own.architecture, own.protocol, source=own.said, facts=_facts(own.images)
            )
            stack.enter_context(begun.at_work())
            first = OpenTraining(begun, own.images, where, None, processes, cluster)
        made = create(
            name,
            architecture,
            protocol,
            source=source.said,
            facts=_facts(images),
            teacher=taught.place,
            teacher_first=own is not None,
            teacher_digest=None if taught.teacher is None else taught.teacher.digest,
            launch=processes.launch,
        )
        stack.enter_context(made.at_work())
        work = OpenTraining(made, images, made.facts["data"], taught.teacher, processes, cluster, first)
        work.announce(given)
        yield work


@dataclass(frozen=True)
class _Taught:
    """By whom a network is taught, if by anybody."""

    place: str | None = None
    """Where that one is."""
    teacher: Teacher | None = None
    """None where it is yet to be trained."""
    training: Teaching | None = None
    """Its own, of one out of a search."""


def _teacher_for(
    name: str,
    source: Source,
    chosen: Source | None,
    protocol: Protocol,
    images: Images,
    options: TrainingOptions,
    processes: Processes,
) -> _Taught:
    """The teacher that is asked for, or the ``chosen`` one out of a search; see `teaching_of`."""
    classes, device = images.dataset.classes, images.device
    if chosen is None:
        if options.teacher is None:
            return _Taught()
        ready = load_teacher(options.teacher, classes, trained=options.trained, device=device)
        return _Taught(place_of(options.teacher, options.trained), ready)

    def load(resolution: int) -> Images:
        same = resolution == source.resolution
        return images if same else on_device(_load(replace(source, resolution=resolution), options))

    training = teaching_of(name, chosen, protocol, images, options, load)
    place, known = str((options.trained / training.name).absolute()), training.known
    if known is not None and is_complete(known):
        return _Taught(place, trained_teacher(known, classes, device=device), training)
    _check_alone(processes)
    return _Taught(place, None, training)


def _facts(images: Images) -> DataFacts:
    of = images.dataset
    whites = tuple(of.whites.get(floats, 0) for floats in (False, True))
    return DataFacts(of.classes, images.mean, images.std, of.notes, of.left_out, whites)


def _named_plan(options: TrainingOptions) -> Plan | None:
    """The recipe that is asked for by name; UserError for what no images would mend."""
    plan = None if options.recipe is None else load_plan(options.recipe)
    batch = options.batch_size or (2 if plan is None else plan.batch_size)
    if batch < 2:
        raise UserError(f"{setting('batch_size')} {batch}: a single image has no spread for batch norm")
    if plan is not None and plan.recipe.distillation and options.teacher is None:
        raise UserError(f"recipe {plan.name}: distillation without a teacher; expected {setting('teacher')}")
    return plan


def _plan_for(dataset: Dataset, side: int, options: TrainingOptions) -> Plan:
    """The recipe where none is named, for images of so many pixels a side; one that is named is taken as it is."""
    plan = plan_for(len(dataset.train.labels), side)
    return plan.within(options.epochs or plan.epochs)


def _protocol(dataset: Dataset, plan: Plan, options: TrainingOptions, on_gpu: bool, count: int) -> Protocol:
    """What the options and the device make of a recipe's file, for so many processes."""
    protocol = Protocol.of(
        dataset,
        1,
        epochs=options.epochs or plan.epochs,
        batch_size=min(options.batch_size or plan.batch_size, len(dataset.train.labels)),
        seed=options.seed,
        norm_images=2048,
    )
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
    return protocol


def _check_alone(processes: Processes) -> None:
    """UserError where several processes would train a teacher before they train its pupil."""
    if processes.count > 1:
        raise UserError(
            f"{setting('teacher')}: is trained first, which takes one process; expected the training to begin in one, "
            f"or a teacher that is trained"
        )


@contextmanager
def _resumed(
    trained: Trained, given: Mapping[str, Any], processes: Processes, cluster: Cluster | None
) -> Iterator[OpenTraining]:
    for name in given:
        if name not in KEPT_GIVEN:
            raise UserError(f"{setting(name)}: a training that is resumed keeps its own; expected none")
    with ExitStack() as stack:
        stack.enter_context(trained.at_work())
        teacher = _teacher_on_the_way(trained)
        if teacher is None:
            work = resumed(trained, given, processes=processes, cluster=cluster)
        else:
            _check_alone(processes)
            stack.enter_context(teacher.at_work())
            found = images_of(trained, given)
            same = teacher.protocol.data_digest == trained.protocol.data_digest
            theirs = found if same else images_of(teacher, given)
            first = OpenTraining(teacher, *theirs, None, processes, cluster)
            work = OpenTraining(trained, *found, None, processes, cluster, first)
        work.announce(given)
        yield work


def _teacher_on_the_way(trained: Trained) -> Trained | None:
    """A network's teacher whose training has to end before its own goes on."""
    place = trained.facts["teacher"]
    if place is None or trained.finished or not trained.facts["teacher_first"]:
        return None
    place = moved_along(place, trained.folder.parent)
    if not is_trained(place):
        return None
    teacher = Trained.open(place)
    return None if is_complete(teacher) else teacher


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
        return kept_evaluation(found)
    images, source = images_of(found, {"data": str(data)}, checked=False)
    classes = images.dataset.classes
    if not same_names(classes, found.data.classes):
        raise UserError(
            f"{setting('data')} '{data}': its classes are others than those of the training; "
            f"{apart(classes, found.data.classes, 'the training')}"
        )
    return evaluated(found, images, source, tested=True)


def _load(source: Source, options: TrainingOptions) -> Dataset:
    data = options.data or source.data
    if options.data is None and not is_there(data):
        raise UserError(f"no data at {data} any more; expected {setting('data')} with where they are now")
    dataset = load_dataset(
        data, size=with_margin(source.resolution), max_unreadable=options.max_unreadable, room=Room.here()
    )
    if len(dataset.train.labels) < 2:
        raise UserError(f"{setting('data')} '{data}': one image to train on; expected 2 or more")
    check_test(data)
    return dataset


def _cluster(options: TrainingOptions, processes: Processes) -> AbstractContextManager[Cluster | None]:
    """The one that is asked for."""
    if options.engine != "ray":
        return nullcontext()
    if processes.count > 1:
        raise UserError(f"{setting('engine')} ray: starts its own workers; expected no torchrun")
    from bft_nas.engines.ray_train import join_cluster

    return join_cluster(
        options.ray_address,
        workers=options.workers,
        storage=options.ray_storage,
        retries=RETRIES if options.retries is None else options.retries,
    )
