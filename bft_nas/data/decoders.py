"""Images decoded side by side: few of them by threads, many by processes, of which each thread has one."""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from bft_nas.core.launched import neighbours
from bft_nas.core.machine import usable_cores
from bft_nas.core.memory import keep_freed_memory
from bft_nas.data.decode import Encoded, NotNow, Picture, decode

Decoded = list[Picture | str]

MANY = 2_000
"""Images from which processes are started, which take 0.15 s of a core each (benchmarks/results/loading.md)."""
CHUNK = 8
"""Images that a process is asked for at once."""
WAITING = 4
"""Chunks for each decoder that are asked for before they are needed."""
PIPE = 1 << 20
"""Bytes that fit into a pipe, where the system lets one choose."""
TRIES = 2
"""After which a file in whose decoding the process died is taken for the reason."""


def the_file(path: Path) -> Encoded:
    """What is decoded of a path, where it is one."""
    return path


def decode_all(
    paths: Sequence[Path], size: int, content: Callable[[Path], Encoded] = the_file
) -> Generator[Picture | str, None, None]:
    """For each path in turn its picture, or in words why there is none; ``content`` is asked for a few ahead."""
    processes = len(paths) >= MANY
    with no_warnings(only=not processes), closing(Decoders(size, processes=processes)) as decoders:
        waiting: deque[Future[Decoded]] = deque()
        starts = range(0, len(paths), CHUNK)
        chunks = ([content(path) for path in paths[start : start + CHUNK]] for start in starts)
        while True:
            waiting += [decoders.ask(chunk) for chunk in islice(chunks, decoders.ahead - len(waiting))]
            if not waiting:
                return
            yield from waiting.popleft().result()


class Decoders:
    """Threads that decode, each by a process of its own where there are processes.

    They are there from the first question on until they are closed. The processes also end when this one dies, however
    it does.

    Args:
        size: the side of the pictures, see `bft_nas.data.decode.decode`.
        workers: by default one for each core, which processes that train together share.
    """

    def __init__(self, size: int, workers: int | None = None, *, processes: bool) -> None:
        self.size = size
        self.workers = workers or max(1, usable_cores() // neighbours())
        self.ahead = WAITING * self.workers
        self._by_processes = processes
        self._threads: ThreadPoolExecutor | None = None
        self._processes: list[_Process] = []
        self._idle: SimpleQueue[_Process] = SimpleQueue()

    def ask(self, files: Sequence[Encoded]) -> Future[Decoded]:
        """For each file its picture, or in words why there is none."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.workers)
            self._processes = [_Process(self.size) for _ in range(self.workers if self._by_processes else 0)]
            self._idle = SimpleQueue()
            for each in self._processes:
                self._idle.put(each)
        return self._threads.submit(self._decoded, files)

    def _decoded(self, files: Sequence[Encoded]) -> Decoded:
        if not self._by_processes:
            return [decode(file, self.size) for file in files]
        process = self._idle.get()
        try:
            return process.decoded(files)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End, whatever is still asked for."""
        if self._threads is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.closed = True
            process.process.kill()
        self._threads.shutdown()
        for process in self._processes:
            process.end()
        self._threads, self._processes = None, []


class _Process:
    """A process that decodes what it is asked for, and is started again when it died of it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.closed = False
        self._start()

    def _start(self) -> None:
        # A plain program, not one of multiprocessing: it has none of this process's memory, files and modules.
        program = f"import sys; sys.path[:] = {sys.path!r}; from bft_nas.data.decoders import serve; serve({self.size})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            # Ctrl-C reaches every process of a terminal's group; when these end is not for it to say.
            start_new_session=True,
        )
        for pipe in (self.process.stdin, self.process.stdout):
            # What all of a user's pipes may take is limited; a smaller one does as well. Some systems cannot be asked.
            with suppress(OSError, AttributeError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)  # type: ignore[arg-type]

    def decoded(self, files: Sequence[Encoded]) -> Decoded:
        """See `Decoders.ask`."""
        for _ in range(TRIES):
            try:
                return self._exchange(files)
            except (OSError, EOFError, pickle.UnpicklingError):
                how = self.end()
                if self.closed:
                    raise
                self._start()
        if len(files) == 1:
            # It may have been the first one to be killed for want of memory.
            return [NotNow(f"cannot be decoded (the process that tried {how}); expected a complete image")]
        return [picture for file in files for picture in self.decoded([file])]

    def _exchange(self, files: Sequence[Encoded]) -> Decoded:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        pickle.dump(files, self.process.stdin)
        self.process.stdin.flush()
        found: Decoded = pickle.load(self.process.stdout)
        return found

    def end(self) -> str:
        """Kill it, since nothing that it has is worth anything, and say how it ended."""
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def serve(size: int) -> None:
    """Decode what is asked for through standard input, until nobody is at its other end."""
    # What a library prints must not get among the pictures.
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    keep_freed_memory()
    with no_warnings(), suppress(EOFError, BrokenPipeError):
        while True:
            files: Sequence[Encoded] = pickle.load(questions)
            pickle.dump([decode(file, size) for file in files], answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _end_with_owner() -> None:
    """End this process when nobody is at the other end of standard input, whatever file it is stuck with."""
    owner = select.poll()
    # Whether there is anything to read is not asked: what remains is that the pipe is closed.
    owner.register(0, 0)
    owner.poll()
    os._exit(0)


@contextmanager
def no_warnings(*, only: bool = True) -> Iterator[None]:
    """Without what Pillow says of files that it reads all the same."""
    if not only:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
