"""A training to the end on a Ray cluster by Ray Train: workers that share it, and begin again with as many as are left.

Ray only executes: its storage has the checkpoints while the training lasts, each of which reaches the network's own
folder too, so that it can be resumed anywhere.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import ray
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bft_nas.core.errors import RunError, UserError, one_line, setting
from bft_nas.core.files import write_bytes
from bft_nas.core.interrupts import Interrupt, awaited
from bft_nas.engines._ray_mailbox import Mailbox
from bft_nas.engines._ray_train_worker import Courier, TrainingSetup, train_share
from bft_nas.engines._ray_worker import Portion
from bft_nas.engines.ray_cluster import clear, connected, leave
from bft_nas.training.checkpoint import stored_bytes
from bft_nas.training.curve import BEST, CHECKPOINT, LAST, FullCurve, FullEpoch
from bft_nas.training.loop import Diverged

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.network import Architecture
    from bft_nas.training.protocol import Protocol
    from bft_nas.training.teacher import Teacher

SECONDS_TO_LOOK = 0.25
"""Between two looks into the mailbox."""


@dataclass(frozen=True)
class Cluster:
    """Where a training is executed, and how often it begins again."""

    portion: Portion
    storage: str | None
    retries: int


@contextmanager
def join_cluster(
    address: str | None, *, workers: int | None, storage: str | None, retries: int
) -> Iterator[Cluster]:
    """Join a cluster for a training, until the block ends; see `bft_nas.engines.ray_cluster.connect`.

    Raises:
        UserError: nobody answers, or there are fewer GPUs than workers.
    """
    with connected(address, workers=workers) as portion:
        if 0 < portion.gpus < 1:
            raise UserError(
                f"{setting('workers')} {portion.workers}: more than the cluster has GPUs; expected one for each"
            )
        yield Cluster(portion, storage, retries)


@dataclass(frozen=True)
class Hears:
    """Who hears of a training."""

    begin: Callable[[FullCurve], None]
    """It begins, or goes on after a curve."""
    epoch: Callable[[FullCurve], None]
    step: Callable[[int, int], None]
    say: Callable[[str], None]


def train_on_cluster(
    cluster: Cluster,
    architecture: Architecture,
    protocol: Protocol,
    dataset: Dataset,
    folder: Path,
    *,
    teacher: Teacher | None,
    hears: Hears,
) -> None:
    """Train until the last epoch; the folder has the files that `bft_nas.training.finish.FullTraining` leaves in it.

    The first SIGINT or SIGTERM has the workers write a checkpoint and raises `bft_nas.core.interrupts.Interrupt`.

    Raises:
        Diverged: the loss became NaN or infinite twice, or far worse than chance.
        RunError: workers were lost too often; the checkpoint of the last epoch is in the folder.
    """
    _Course(cluster, folder, hears).run(architecture, protocol, dataset, teacher)


class _Course:
    """One use of Ray Train, and what came of it so far."""

    def __init__(self, cluster: Cluster, folder: Path, hears: Hears) -> None:
        self.cluster = cluster
        self.folder = folder
        self.hears = hears
        self.own = folder / ".ray"
        self.storage = cluster.storage or str(self.own.absolute())
        self.name = f"bft-nas-{uuid.uuid4().hex[:12]}"
        # Where this process is: no other node that is lost takes it along.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.working = False
        """There are workers that have begun."""
        self.over = False
        self.interrupt = 0
        self.failure = ""
        self.lost = ""

    def run(
        self, architecture: Architecture, protocol: Protocol, dataset: Dataset, teacher: Teacher | None
    ) -> None:
        portion = self.cluster.portion
        before = stored_bytes(self.folder / CHECKPOINT)
        trainer = TorchTrainer(
            train_share,
            train_loop_config={
                "setup": TrainingSetup(architecture, protocol, teacher, portion.cpus, portion.gpus),
                "dataset": ray.put(dataset),
                "checkpoint": None if before is None else ray.put(before),
                "mailbox": self.mailbox,
            },
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if portion.gpus else "gloo"),
            scaling_config=ScalingConfig(
                # With fewer where the cluster has no more: nobody waits for a node that is lost.
                num_workers=(1, portion.workers) if portion.workers > 1 else 1,  # type: ignore[arg-type]
                use_gpu=portion.gpus > 0,
                resources_per_worker={"CPU": portion.cpus, **({"GPU": portion.gpus} if portion.gpus else {})},
            ),
            run_config=RunConfig(
                name=self.name,
                storage_path=self.storage,
                failure_config=FailureConfig(max_failures=self.cluster.retries),
                # The last one may be on its way to the folder while the next one is written.
                checkpoint_config=CheckpointConfig(num_to_keep=2),
                callbacks=[Courier(self.mailbox)],  # type: ignore[list-item]
            ),
        )
        logging.getLogger("ray.train").setLevel(logging.CRITICAL)
        problems: list[BaseException] = []

        def fit() -> None:
            try:
                trainer.fit()
            except BaseException as error:
                problems.append(error)

        try:
            self._follow(Thread(target=fit, daemon=True))
        except BaseException:
            # Nobody follows the workers any more. In a session of somebody else's they fail, as the mailbox is gone.
            leave()
            raise
        finally:
            self._clear()
        self._conclude(problems)

    def _follow(self, fitting: Thread) -> None:
        fitting.start()
        asked = False
        with awaited() as check:
            while fitting.is_alive():
                self._read()
                try:
                    if not asked:
                        check()
                except Interrupt as interrupt:
                    if not self.working:
                        raise
                    asked = True
                    ray.get(self.mailbox.ask_to_end.remote(interrupt.number))
                fitting.join(SECONDS_TO_LOOK)
                if asked and not self.working:
                    # Whoever would have written a checkpoint is lost; that of the last epoch is there.
                    check()
            self._read()

    def _read(self) -> None:
        letters: list[tuple[Any, ...]] = ray.get(self.mailbox.take.remote())
        epochs = [content for kind, *content in letters if kind == "epoch"]
        if epochs:
            self._keep(*epochs[-1])
        for kind, *content in letters:
            if kind == "begin":
                self.working = True
                curve, count = content
                self.hears.say(f"{count} worker" + "s" * (count > 1))
                self.hears.begin(_curve(curve))
            elif kind == "step":
                self.hears.step(*content)
            elif kind == "say":
                self.hears.say(content[0])
            elif kind == "failed":
                self.failure = content[0]
            elif kind == "lost":
                self.working, self.lost = False, content[0]
                self.hears.say(f"{self.lost}; the training goes on from its last epoch")
            elif not content[0]["over"] and not content[0]["interrupt"]:
                self.hears.epoch(_curve(content[0]["curve"]))

    def _keep(self, metrics: dict[str, Any], checkpoint: Any) -> None:
        """Bring the files of a checkpoint to where the network has them."""
        try:
            with checkpoint.as_directory() as name:
                found = {file.name: file.read_bytes() for file in Path(name).iterdir()}
        except OSError as error:
            if metrics["over"]:
                raise RunError(f"{checkpoint.path}: cannot be read ({error.strerror or error})") from error
            return  # There is a later one by now.
        for file in (BEST, CHECKPOINT, LAST):
            if file in found:
                write_bytes(self.folder / file, found[file])
        self.over, self.interrupt = metrics["over"], metrics["interrupt"]
        if self.over:
            with suppress(FileNotFoundError):
                (self.folder / CHECKPOINT).unlink()

    def _clear(self) -> None:
        """Leave nothing of it in the cluster."""
        if ray.is_initialized():
            with suppress(Exception):
                ray.kill(self.mailbox)
        clear(self.storage, self.name)
        shutil.rmtree(self.own, ignore_errors=True)

    def _conclude(self, problems: Sequence[BaseException]) -> None:
        if self.over:
            return
        if self.failure:
            raise Diverged(self.failure)
        if self.interrupt:
            raise Interrupt(self.interrupt, at_once=False)
        if problems and not isinstance(problems[0], TrainingFailedError):
            raise problems[0]
        times = f", {self.cluster.retries + 1} times" if self.cluster.retries else ""
        why = (
            self.lost + times if self.lost else one_line(problems[0])[:200] if problems else "nobody says why"
        )
        raise RunError(
            f"'{self.folder}': the training ended early ({why}); expected {setting('resume')} to go on"
        )


def _curve(rows: Sequence[Sequence[Any]]) -> FullCurve:
    return tuple(FullEpoch(*row) for row in rows)
