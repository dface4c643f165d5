"""Trainings on a Ray cluster by Ray Tune: actors that are used again, retries, checkpoints in any storage of Tune's.

Tune only executes. What is trained next, whether a training continues and its outcome are the driver's to say and to
record, so that a run can be resumed by any engine: each epoch's checkpoint reaches the run's folder too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bft_nas.core.errors import RunError, one_line
from bft_nas.core.files import write_bytes
from bft_nas.engines._ray_shelf import Shelf
from bft_nas.engines._ray_worker import Portion, RaySetup, train_reporting
from bft_nas.engines.ray_cluster import at_once, clear, leave, nodes
from bft_nas.record.candidate import WEIGHTS
from bft_nas.searching.jobs import Driver, Engine, Job, Outcome
from bft_nas.training.curve import CHECKPOINT, Curve, Epoch

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from bft_nas.data.dataset import Dataset
    from bft_nas.data.images import Images
    from bft_nas.training.protocol import Protocol

SECONDS_TO_NOTICE = 60.0
"""That a node is lost: Ray's own checks take a third of it."""
WITH_ITS_NODE = " with its node"


def ray_engine(
    images: Images,
    protocol: Protocol,
    *,
    portion: Portion,
    storage: str,
    retries: int = 2,
    timeout: float = 600.0,
) -> Engine:
    """An engine of trainings on the cluster that was joined by `bft_nas.engines.ray_cluster.connect`.

    Args:
        storage: where Tune keeps checkpoints while a training lasts: a folder that all nodes share, or a URI such as
            ``s3://bucket/path``.
        retries: how often a candidate is tried again when its worker died or hung; then it has failed.
        timeout: seconds without a step after which a worker ends itself.
    """
    return lambda driver: _Tuning(driver, images.dataset, protocol, portion, storage, retries, timeout).run()


class _Tuning:
    """One use of Tune: what the driver receives from it, and it from the driver."""

    def __init__(
        self,
        driver: Driver,
        dataset: Dataset,
        protocol: Protocol,
        portion: Portion,
        storage: str,
        retries: int,
        timeout: float,
    ) -> None:
        self.driver = driver
        self.portion = portion
        self.retries = retries
        self.storage = storage
        # Where this process is: no other node that is lost takes it along.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.shelf: Any = (
            ray.remote(Shelf).options(num_cpus=0, scheduling_strategy=here).remote(at_once(portion, nodes()))
        )
        setup = RaySetup(protocol, portion, timeout)
        self.trainable = tune.with_resources(
            tune.with_parameters(train_reporting, dataset=dataset, setup=setup, shelf=self.shelf),
            {"cpu": portion.cpus, "gpu": portion.gpus},
        )
        self.jobs: dict[str, Job] = {}
        self.node_lost: dict[str, float] = {}
        """When a trial's node was first found to be lost."""
        self.asked_in_vain = False
        """The driver had nothing to be trained, which only the news of a training can change."""
        self.problem: Exception | None = None
        self.controller: Any = None
        """Tune's own, as soon as there is a training."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune to store with its own state: it is never restored, the run is."""
        return {}

    def run(self) -> None:
        """Until the driver has nothing more and nothing is being trained."""
        name = f"bft-nas-{uuid.uuid4().hex[:12]}"
        tuner = tune.Tuner(
            self.trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Asks(self), scheduler=_Stops(self), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=self.storage,
                failure_config=tune.FailureConfig(max_failures=self.retries),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                callbacks=[_Records(self)],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except BaseException:
            # Ends the actors of this search, at once where the session with Ray is its own.
            leave()
            if ray.is_initialized() and self.controller is not None:
                with suppress(Exception, _SearchEnds):
                    self.controller.cleanup()
            if self.problem is not None:
                raise self.problem from None
            raise
        finally:
            if ray.is_initialized():
                ray.kill(self.shelf)
            clear(self.storage, name)

    def suggest(self, trial: str) -> dict[str, Any] | str | None:
        """The next job as Tune's configuration; None for now, or that there is none and none will be."""
        if self.asked_in_vain or len(self.jobs) >= self.portion.workers:
            return None
        job = self.driver.next()
        if job is None:
            self.shelf.expect.remote(len(self.jobs))
            self.asked_in_vain = bool(self.jobs)
            return None if self.jobs else Searcher.FINISHED
        self.jobs[trial] = job
        self._shelve(job)
        candidate = job.candidate
        return {
            "number": candidate.number,
            "architecture": candidate.architecture.to_json(),
            "macs": candidate.macs,
            "budget": candidate.budget,
            "weights": job.weights is not None,
            "protocol": job.protocol.to_dict() if job.protocol is not None else None,
        }

    def _shelve(self, job: Job) -> None:
        """Have the worker that begins a job, or begins it again, find the checkpoint that the run has."""
        if job.checkpoint.is_file():
            ray.get(self.shelf.put.remote(job.candidate.number, job.checkpoint.read_bytes()))

    def epoch(self, trial: str, result: Mapping[str, Any]) -> bool:
        """Whether a training continues."""
        self.asked_in_vain = False
        if result["over"]:
            return True
        return self.driver.epoch(self.jobs[trial].candidate, _curve(result))

    def keep(self, trial: str, folder: Path) -> None:
        """Bring a checkpoint, or at the end the weights, to where the run has them."""
        job = self.jobs[trial]
        if (folder / CHECKPOINT).is_file():
            write_bytes(job.checkpoint, (folder / CHECKPOINT).read_bytes(), durable=False)
        if job.weights is not None and (folder / WEIGHTS).is_file():
            write_bytes(job.weights, (folder / WEIGHTS).read_bytes())

    def end(self, trial: str, result: Mapping[str, Any]) -> None:
        """A training is over, or was stopped early."""
        self.asked_in_vain = False
        job = self.jobs.pop(trial)
        curve = _curve(result)
        seconds = result["seconds"] if result["over"] else sum(row.seconds for row in curve)
        if result["over"] and not result["reason"]:
            # Of the last epoch nothing was said before the weights were there.
            self.driver.epoch(job.candidate, curve)
        failed = bool(result["reason"])
        outcome = Outcome(
            () if failed else curve, seconds, result["reason"], result["diverged"], result["traceback"]
        )
        self.driver.end(job.candidate, outcome)

    def lose(self, trial: Trial, *, for_good: bool) -> None:
        """A worker died; Tune has it replaced, or it was tried often enough."""
        self.asked_in_vain = False
        error = trial.get_error()
        if isinstance(error, RayTaskError):
            if isinstance(error.cause, RunError):
                raise error.cause
            raise RuntimeError(f"a worker met a defect of the program:\n{error}")
        job = self.jobs[trial.trial_id]
        how = _how(error)
        reason = f"its worker died{how}"
        if how == WITH_ITS_NODE:
            # Ray continues to place workers there until it has noticed: all of that is one loss, not several.
            lost_before = self.node_lost.get(trial.trial_id, -SECONDS_TO_NOTICE)
            if time.monotonic() - lost_before < SECONDS_TO_NOTICE:
                trial.max_failures += 1
            else:
                self.node_lost[trial.trial_id] = time.monotonic()
        if not for_good:
            self._shelve(job)
            self.driver.lost(job.candidate, f"{reason}; resumes from its last epoch")
            return
        del self.jobs[trial.trial_id]
        times = f", {self.retries + 1} times" if self.retries else ""
        self.driver.end(job.candidate, Outcome((), 0.0, reason + times))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Tune takes an exception of its callbacks for a trial's failure; here it is one of the search."""
        try:
            yield
        except Exception as error:
            self.problem = error
            raise _SearchEnds from error


class _SearchEnds(BaseException):
    """Something in the driver ends the search; nothing in Tune catches it."""


class _Asks(Searcher):
    """Tune's way to ask what to train."""

    def __init__(self, tuning: _Tuning) -> None:
        super().__init__()
        self.tuning = tuning

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        with self.tuning.guarded():
            return self.tuning.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """`_Records` has what came of it."""

    def save(self, checkpoint_path: str) -> None:
        """The study is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """The study is on disk."""


class _Stops(FIFOScheduler):
    """Tune's way to ask whether a training continues."""

    def __init__(self, tuning: _Tuning) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tuning = tuning

    def on_trial_add(self, controller: Any, trial: Trial) -> None:
        self.tuning.controller = controller

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        with self.tuning.guarded():
            goes_on = self.tuning.epoch(trial.trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class _Records(tune.Callback):
    """Tune's way to tell what happened, in the order in which it is to be recorded."""

    def __init__(self, tuning: _Tuning) -> None:
        self.tuning = tuning

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: tune.Checkpoint, **info: Any
    ) -> None:
        with self.tuning.guarded(), checkpoint.as_directory() as folder:
            self.tuning.keep(trial.trial_id, Path(folder))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        with self.tuning.guarded():
            self.tuning.end(trial.trial_id, trial.last_result)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        with self.tuning.guarded():
            self.tuning.lose(trial, for_good=False)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        with self.tuning.guarded():
            self.tuning.lose(trial, for_good=True)


def _curve(result: Mapping[str, Any]) -> Curve:
    return tuple(Epoch(*row) for row in result["curve"])


def _how(error: BaseException | None) -> str:
    """What Ray knows of a worker's end, in a few words."""
    if isinstance(error, OutOfMemoryError):
        return " (out of memory)"
    return WITH_ITS_NODE if "node has died" in one_line(error) else ""
