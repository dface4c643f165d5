"""A training to the end that is open: what is needed to run it, in the process that opened it and in others."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.api.evaluation import evaluated, unreadable_of
from bft_nas.api.teachers import check_found, check_teacher, load_teacher, moved_along, trained_teacher
from bft_nas.api.trained import Trained
from bft_nas.api.training_log import tensorboard_log
from bft_nas.api.training_progress import SilentTraining, TrainingWatcher
from bft_nas.core.errors import RunError, UserError, setting
from bft_nas.data.dataset import (
    Room,
    anchored,
    is_there,
    load_dataset,
    with_margin,
)
from bft_nas.record.card import accuracy_text, write_card
from bft_nas.record.trained import Evaluation
from bft_nas.training.curve import CHECKPOINT, FullCurve

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.data.images import Images
    from bft_nas.engines.ray_train import Cluster
    from bft_nas.training.processes import Processes
    from bft_nas.training.protocol import Protocol
    from bft_nas.training.teacher import Teacher


@dataclass(frozen=True)
class OpenTraining:
    """A training that is about to begin or to go on."""

    trained: Trained
    images: Images
    data: str
    """Where they are, and the test images with them."""
    teacher: Teacher | None
    processes: Processes
    cluster: Cluster | None = None
    first: OpenTraining | None = None
    """The training of its teacher, which comes before."""

    def run(self, watcher: TrainingWatcher) -> Evaluation:
        """Train to the end, evaluate once on the test images, and write the model card.

        Raises:
            UserError, RunError: something in the way; the checkpoint is as it was.
            TrainingFailed: the network cannot be trained.
        """
        if self.first is not None:
            teacher = self.first.make_teacher(watcher)
            check_teacher(self.trained, teacher)
            self.trained.note_teacher(teacher.digest)
            return replace(self, teacher=teacher, first=None).run(watcher)
        trained = self.trained
        if not trained.finished:
            self.train(watcher)
        evaluation = trained.evaluation()
        if evaluation is None:
            evaluation = evaluated(trained, self.images, self.data)
            trained.write_evaluation(evaluation)
        write_card(trained)
        trained.report()
        return evaluation

    def make_teacher(self, watcher: TrainingWatcher) -> Teacher:
        """Train it to the end, so that it teaches another one; see `run`."""
        watcher.say(f"its teacher first, in {self.trained.folder}")
        evaluation = run_to_the_end(self, watcher)
        watcher.say(f"the teacher is trained: {accuracy_text(evaluation)}")
        return trained_teacher(self.trained, self.trained.data.classes, device=self.images.device)

    def train(self, watcher: TrainingWatcher) -> None:
        """Train to the end alone, together with the other processes, or on the cluster; see `run`."""
        from bft_nas.training.begin import begin
        from bft_nas.training.checkpoint import DAMAGED, set_aside_damaged

        trained, protocol, images = self.trained, self.trained.protocol, self.images

        checkpoint = trained.folder / CHECKPOINT
        damage = set_aside_damaged(checkpoint)
        if damage:
            aside = checkpoint.with_suffix(DAMAGED).name
            watcher.say(
                f"{checkpoint}: {damage}; it is kept as {aside}, and the training restarts from scratch"
            )
        with ExitStack() as stack:
            logs: list[Callable[[FullCurve], None]] = []

            def keep(curve: FullCurve) -> None:
                trained.write_curve([asdict(row) for row in curve])

            def on_begin(curve: FullCurve) -> None:
                if curve:
                    # Whoever was killed had perhaps stored an epoch and not yet told of it.
                    keep(curve)
                if not logs:
                    logs.append(stack.enter_context(tensorboard_log(trained.folder, curve)))
                watcher.begin(curve, protocol, len(images.dataset.train.labels))

            def on_epoch(curve: FullCurve) -> None:
                keep(curve)
                logs[0](curve)
                watcher.epoch(curve)

            if self.cluster is not None:
                from bft_nas.engines.ray_train import Hears, train_on_cluster

                hears = Hears(on_begin, on_epoch, watcher.step, watcher.say)
                train_on_cluster(
                    self.cluster,
                    trained.architecture,
                    protocol,
                    images.dataset,
                    trained.folder,
                    teacher=self.teacher,
                    hears=hears,
                )
                return
            training = begin(
                trained.architecture,
                protocol,
                images,
                trained.folder,
                teacher=self.teacher,
                processes=self.processes,
            )
            on_begin(training.curve)
            training.run(on_epoch=on_epoch, on_step=watcher.step, say=watcher.say)

    def announce(self, given: Mapping[str, Any]) -> None:
        """Let the other processes take part; see `take_part`."""
        content = {
            "folder": str(self.trained.folder.absolute()),
            "finished": self.trained.finished,
            "files": self.trained.description(),
            "data": self.data,
            "max_unreadable": given.get("max_unreadable"),
            "trained": str(Path(given.get("trained") or self.trained.folder.parent).absolute()),
        }
        self.processes.from_first(json.dumps(content).encode())


def count_of(processes: Processes, cluster: Cluster | None) -> int:
    """How many processes share a training, at most."""
    return processes.count if cluster is None else cluster.portion.workers


def check_shares(protocol: Protocol, count: int) -> None:
    """UserError where so many processes cannot share a batch."""
    if count > 1 and protocol.batch_size // protocol.recipe.accumulation < 2 * count:
        raise UserError(
            f"{setting('batch_size')} {protocol.batch_size}: {count} processes share a batch; expected 2 images "
            "or more for each"
        )


def take_part(processes: Processes) -> Trained:
    """Train in a process that is not the first one, as that one says.

    Needs neither the run nor the folder of the training, but the data and the teacher, at the places where the first
    process has them.

    Raises:
        UserError: they are not there.
        RunError: another process ended before its end.
        TrainingFailed: the network cannot be trained.
    """
    content = json.loads(processes.from_first(None) or b"")
    if not content["finished"]:
        with tempfile.TemporaryDirectory(prefix="bft-nas-") as folder:
            copy = Trained(Path(folder))
            copy.write_description(content["files"])
            given = {name: content[name] for name in ("data", "max_unreadable", "trained")}
            work = resumed(copy, given, processes=processes)
            work.train(SilentTraining())
    return Trained(Path(content["folder"]))


def resumed(
    trained: Trained, given: Mapping[str, Any], *, processes: Processes, cluster: Cluster | None = None
) -> OpenTraining:
    """A training that there is already; where its images are now may be given.

    Raises:
        UserError: images or teacher are not what they were.
    """
    name, place = trained.facts["teacher"], Path(given.get("trained") or trained.folder.parent)
    if taught := name is not None and not trained.finished:
        name = moved_along(name, place)
        # Before the images are decoded, which takes its time.
        check_found(name, trained=place)
    (images, data), teacher = images_of(trained, given), None
    if taught:
        teacher = load_teacher(name, trained.data.classes, trained=place, device=images.device)
        check_teacher(trained, teacher)
    return OpenTraining(trained, images, data, teacher, processes, cluster)


def run_to_the_end(work: OpenTraining, watcher: TrainingWatcher) -> Evaluation:
    """Train, and return what the network is worth then; see `OpenTraining.run`.

    Raises:
        RunError: something in the way, or the network cannot be trained.
    """
    from bft_nas.training.loop import TrainingFailed

    try:
        return work.run(watcher)
    except TrainingFailed as failure:
        raise RunError(f"'{work.trained.folder}': the training failed: {failure}") from failure


def on_device(dataset: Dataset) -> Images:
    import torch

    from bft_nas.data.images import Images

    return Images(dataset, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def images_of(trained: Trained, given: Mapping[str, Any], *, checked: bool = True) -> tuple[Images, str]:
    """The images of a training that there is already, and where they are now, which may be given."""
    data = anchored(str(given["data"])) if given.get("data") else trained.facts["data"]
    if not given.get("data") and not is_there(data):
        raise UserError(f"no data at {data} any more; expected {setting('data')} with where they are now")
    limit = given.get("max_unreadable")
    if limit is None and (checked or data == trained.facts["data"]):
        # They are the images of the training, which left as many out.
        limit = unreadable_of(trained.data)
    size = with_margin(trained.architecture.resolution)
    dataset = load_dataset(data, size=size, max_unreadable=limit, room=Room.here())
    if checked and dataset.digest != trained.protocol.data_digest:
        raise UserError(f"{setting('data')} '{data}': other images than the training began with")
    # Other data, too, are on the scale that the network has learnt.
    kinds = zip((False, True), trained.data.whites, strict=False)
    whites = {**dataset.whites, **{floats: white for floats, white in kinds if white}}
    dataset = replace(dataset, normalisation=(trained.data.mean, trained.data.std), whites=whites)
    return on_device(dataset), data
