"""Trainings on this machine: one after the other in this process, or several in processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import RunError
from bft_nas.core.machine import usable_cores, usable_memory
from bft_nas.core.memory import is_out_of_memory
from bft_nas.engines._shared import ImageFile, SharedSide
from bft_nas.engines._worker import WorkerSetup, serve
from bft_nas.searching.jobs import Driver, Engine, Job, Outcome, train_job
from bft_nas.training.loop import OUT_OF_MEMORY, TrainingFailed, failing

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess

    from bft_nas.data.images import Images
    from bft_nas.training.protocol import Protocol

GRACE = 5.0
"""Seconds that a worker has to end when it is asked to."""
SECONDS_TO_DIE = 0.1
"""Of a process that was killed."""
SECONDS_TO_LISTEN = 1.0
"""Before it is looked who has been silent for too long."""
PRELOADED = ("bft_nas.engines._worker", "safetensors.torch", "torch._dynamo")
"""What a worker imports before its first epoch is over; the last one with the first optimiser."""
PROCESS_MEMORY = 250 << 20
"""Bytes that a worker takes before it trains."""
PIXEL_MEMORY, MACS_MEMORY = 1_100, 5e-6
"""Bytes that its training takes for each pixel of a batch, at most: so many, and more for each of the network's MACs.
Measured were 1,000 at 15M MACs, 600 at 50M, 3,600 at 600M."""


def default_workers(protocol: Protocol, resolutions: Sequence[int], budget: int) -> int:
    """One for each GPU; without one, one for each core, but no more than there is memory for.

    Small networks do not keep a second thread busy: it speeds a training up by 1.04 to 1.36, a second worker by 1.9.

    Args:
        protocol: of the trainings.
        resolutions: at deployment, in pixels a side.
        budget: the most MACs that a network may have.
    """
    import torch

    gpus = torch.cuda.device_count()
    if gpus:
        return gpus
    side = max(protocol.proxy_resolution(each) for each in resolutions)
    pixel = PIXEL_MEMORY + MACS_MEMORY * budget
    each = PROCESS_MEMORY + pixel * protocol.batch_size * side * side
    memory = usable_memory()
    return usable_cores() if memory is None else max(1, min(usable_cores(), int(memory / each)))


def local_engine(
    images: Images, protocol: Protocol, *, workers: int = 1, retries: int = 2, timeout: float = 600.0
) -> Engine:
    """An engine of so many trainings at once on this machine; threads, and GPUs where there are any, are shared out.

    Args:
        workers: 1 trains in this process, more in processes of their own.
        retries: how often a candidate is tried again when its worker died or hung; then it has failed.
        timeout: seconds without a sign of life after which a worker is taken to hang.
    """
    if workers == 1:
        return lambda driver: _one_by_one(driver, images, protocol)
    return lambda driver: _Pool(driver, images, protocol, workers, retries, timeout).run()


def _one_by_one(driver: Driver, images: Images, protocol: Protocol) -> None:
    while (job := driver.next()) is not None:
        candidate = job.candidate
        outcome = train_job(
            job,
            protocol,
            images,
            on_epoch=partial(driver.epoch, candidate),
            on_step=partial(driver.step, candidate),
        )
        driver.end(candidate, outcome)


class _Worker:
    """A process that trains one job after another, and the end of the pipe to it."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.job: Job | None = None
        self.process: ForkServerProcess | SpawnProcess | None = None
        self.connection: Connection[Any, Any]
        self.silent = 0.0
        """Seconds that were spent listening since its last sign of life."""

    def begin(self, job: Job, side: SharedSide) -> None:
        """Send a job and its images, starting the process if there is none; OSError when there is no room for one."""
        if self.process is None:
            try:
                self._start()
            except (EOFError, ConnectionError):
                # What it was to be forked from has just died.
                time.sleep(SECONDS_TO_DIE)
                try:
                    self._start()
                except EOFError:
                    raise OSError("no process could be forked") from None
        self.job = job
        self.silent = 0.0
        # If it died idle, the pipe says so when it is read.
        with suppress(OSError):
            self.connection.send((job, side))

    def _start(self) -> None:
        context = _context()
        connection, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.setup), daemon=True)
        try:
            with _without_script():
                process.start()
        except (OSError, EOFError):
            connection.close()
            raise
        finally:
            theirs.close()
        self.connection, self.process = connection, process

    def ask_to_end(self) -> None:
        """Tell the process to end, without waiting for it."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the process, which may hear nothing."""
        if self.process is not None:
            self.process.kill()

    def end(self) -> str:
        """End the process, gently at first; how it ended."""
        if self.process is None:
            return ""
        # It may be dying by itself, and then says how.
        self.process.join(0.5)
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.connection.close()
        self.process = None
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _context() -> ForkServerContext | SpawnContext:
    """How workers are started.

    On Linux by forks of a process that has imported all they need, which takes seconds, and that shares its memory with
    them; and that has not computed anything, so that there is no thread or GPU for a fork to lose.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    # First, since it changes which signals are blocked.
    resource_tracker.ensure_running()
    # Ctrl-C reaches every process of a terminal; what is started here does not hear of it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def _without_script() -> Iterator[None]:
    """Spare a process that is spawned here the script that this one runs, which need not be made to be imported."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class _Pool:
    """Several workers, as many of them busy as there are jobs."""

    def __init__(
        self, driver: Driver, images: Images, protocol: Protocol, workers: int, retries: int, timeout: float
    ) -> None:
        import torch

        # It imports what workers need while the first images are made ready.
        _context()
        self.driver = driver
        self.retries = retries
        self.timeout = timeout
        self.losses: dict[int, int] = {}
        gpus = torch.cuda.device_count()
        threads = max(1, usable_cores() // workers)
        self.protocol = protocol
        self.images = ImageFile(images)
        self.workers = [
            _Worker(WorkerSetup(protocol, self.images.data, f"cuda:{i % gpus}" if gpus else "cpu", threads))
            for i in range(workers)
        ]

    def run(self) -> None:
        """Until the driver has nothing more and every worker is idle."""
        try:
            while True:
                asked_in_vain = False
                for worker in self.workers:
                    if worker.job is None:
                        job = self.driver.next()
                        if job is None:
                            asked_in_vain = True
                            break
                        self._begin(worker, job)
                busy = {worker.connection: worker for worker in self.workers if worker.job is not None}
                if not busy:
                    if asked_in_vain:
                        return
                    continue
                self._listen(busy)
        finally:
            # All of them first, so that their ends are waited for together.
            for worker in self.workers:
                worker.ask_to_end()
            for worker in self.workers:
                worker.end()
            self.images.close()

    def _listen(self, busy: Mapping[Any, _Worker]) -> None:
        """Hear who has something to say, and end who has been silent for too long."""
        before = time.monotonic()
        speaking = wait(list(busy), timeout=SECONDS_TO_LISTEN)
        # No longer than was asked for: this process may have been stopped meanwhile, with all of its workers.
        listened = min(time.monotonic() - before, SECONDS_TO_LISTEN)
        for worker in busy.values():
            worker.silent += listened
        for connection in speaking:
            self._hear(busy[connection])
        for worker in busy.values():
            if worker.job is not None and worker.silent > self.timeout:
                worker.kill()
                worker.end()
                self._lose(worker, f"gave no sign of life for {self.timeout:g} s")

    def _hear(self, worker: _Worker) -> None:
        assert worker.job is not None
        candidate = worker.job.candidate
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):
            self._lose(worker, worker.end())
            return
        worker.silent = 0.0
        if kind == "step":
            self.driver.step(candidate, *content)
        elif kind == "epoch":
            goes_on = self.driver.epoch(candidate, *content)
            try:
                worker.connection.send(goes_on)
            except OSError:
                self._lose(worker, worker.end())
        elif kind == "end":
            worker.job = None
            self.driver.end(candidate, *content)
        elif kind == "stuck":
            raise RunError(content[0])
        else:
            raise RuntimeError(f"a worker met a defect of the program, {content[0]}\n{content[1]}")

    def _begin(self, worker: _Worker, job: Job) -> None:
        size = (job.protocol or self.protocol).proxy_resolution(job.candidate.architecture.resolution)
        try:
            with failing():
                images = self.images.at(size)
        except TrainingFailed as failure:
            self.driver.end(job.candidate, Outcome.failed(failure, 0.0))
            return
        try:
            worker.begin(job, images)
        except OSError as error:
            # The others give back what they hold: not to be tried again at once.
            kind = f"{OUT_OF_MEMORY}: " if is_out_of_memory(error) else ""
            reason = f"{kind}its worker cannot be started ({error.strerror or error})"
            self.driver.end(job.candidate, Outcome((), 0.0, reason))

    def _lose(self, worker: _Worker, how: str) -> None:
        """Begin a worker's job again from its last epoch, or give it up when that was done often enough."""
        job = worker.job
        assert job is not None
        worker.job = None
        number = job.candidate.number
        self.losses[number] = self.losses.get(number, 0) + 1
        reason = f"its worker {how}"
        if self.losses[number] > self.retries:
            times = f", {self.losses[number]} times" if self.losses[number] > 1 else ""
            self.driver.end(job.candidate, Outcome((), 0.0, reason + times))
            return
        self.driver.lost(job.candidate, f"{reason}; resumes from its last epoch")
        self._begin(worker, job)
