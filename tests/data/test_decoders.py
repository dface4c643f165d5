"""Files decoded side by side: by processes as by threads, and no process outlives the one that it works for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from bft_nas.data import decoders
from bft_nas.data.dataset import load_dataset
from bft_nas.data.decode import EXTENSIONS, NotNow
from bft_nas.data.decoders import Decoders, decode_all
from tests.data.samples import write_class_folders, write_every_mode
from tests.processes import children_of

REAL = load_dataset("fashion-mnist", size=28, images=40).train


def gone(process: int) -> bool:
    """Whether it has ended, within a minute."""
    for _ in range(600):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_processes_say_the_same_as_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_every_mode(tmp_path, REAL.images)
    paths = sorted(path for path in tmp_path.glob("*/*") if path.suffix[1:] in EXTENSIONS)
    threads = list(decode_all(paths, 16))
    monkeypatch.setattr(decoders, "MANY", 1)
    processes = list(decode_all(paths, 16))
    assert len(threads) == len(processes) == len(paths)
    assert any(isinstance(each, str) for each in threads)
    for one, other in zip(threads, processes, strict=True):
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            np.testing.assert_array_equal(one.pixels, other.pixels)
            assert (one.extent, one.frames, one.transparent) == (
                other.extent,
                other.frames,
                other.transparent,
            )


@pytest.mark.parametrize(("together", "workers"), [("1", 16), ("3", 5), ("64", 1)])
def test_processes_that_train_together_share_the_cores(
    together: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "usable_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", together)
    assert Decoders(16, processes=True).workers == workers
    assert Decoders(16, 7, processes=True).workers == 7


def test_a_process_that_dies_is_replaced_and_a_file_that_kills_it_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path, REAL.images[:4], np.zeros(4, np.int64), ["a"])
    paths = sorted(tmp_path.glob("a/*.png"))
    # A decoder waits for what somebody writes into it, for as long as it lives.
    endless = tmp_path / "a" / "endless.png"
    os.mkfifo(endless)
    others = set(children_of(os.getpid()))
    with closing(Decoders(16, 1, processes=True)) as pool:
        before = pool.ask(paths).result()
        asked = pool.ask([*paths, endless])
        killed: list[int] = []
        while not asked.done() and len(killed) < 2 * decoders.TRIES:
            # There is nobody to write to before the file is opened.
            with suppress(OSError):
                written = os.open(endless, os.O_WRONLY | os.O_NONBLOCK)
                (child,) = set(children_of(os.getpid())) - others
                os.kill(child, signal.SIGKILL)
                killed.append(child)
                assert gone(child)
                os.close(written)
            time.sleep(0.02)
        *pictures, reason = asked.result(timeout=60)
        assert (
            reason
            == "cannot be decoded (the process that tried was killed by signal 9); expected a complete image"
        )
        # The file may be whole, and the memory have been short.
        assert isinstance(reason, NotNow)
        assert len(set(killed)) == 2 * decoders.TRIES
        for one, other in zip(before, pictures, strict=True):
            assert not isinstance(one, str)
            assert not isinstance(other, str)
            np.testing.assert_array_equal(one.pixels, other.pixels)
    assert all(gone(child) for child in killed)


@pytest.mark.parametrize("refused", [False, True])
def test_pipes_are_large_where_the_system_lets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    write_class_folders(tmp_path, REAL.images[:1], np.zeros(1, np.int64), ["a"])
    command, sizes = fcntl.fcntl, []

    def answer(file: int, number: int, size: int) -> int:
        # As for a user whose pipes have as many pages as they may.
        if refused:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        sizes.append(command(file, number, size))
        return sizes[-1]

    monkeypatch.setattr(fcntl, "fcntl", answer)
    with closing(Decoders(16, 1, processes=True)) as pool:
        (picture,) = pool.ask(list(tmp_path.glob("a/*.png"))).result()
    assert not isinstance(picture, str)
    assert sizes == ([] if refused else [decoders.PIPE] * 2)


@pytest.mark.parametrize("processes", [False, True])
def test_what_may_pass_is_told_from_what_is_wrong_with_a_file(tmp_path: Path, processes: bool) -> None:
    (tmp_path / "letter.png").write_bytes(b"Dear all")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    # Reading it fails as a disk does.
    files = [Path("/proc/self/mem"), tmp_path / "letter.png", tmp_path / "nowhere.png"]
    with closing(Decoders(16, 1, processes=processes)) as pool:
        reasons = pool.ask(files).result()
    assert "Input/output error" in str(reasons[0])
    assert [isinstance(reason, NotNow) for reason in reasons] == [True, False, False]


OWNER = """
import sys, time
from pathlib import Path
from bft_nas.data.decoders import Decoders
decoders = Decoders(16, 2, processes=True)
stuck, *paths = [Path(name) for name in sys.argv[1:]]
decoders.ask(paths).result()
decoders.ask([stuck])
endless = [decoders.ask(paths) for _ in range(100_000)]
print("busy", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_when_the_one_they_work_for_dies(tmp_path: Path, number: signal.Signals) -> None:
    write_class_folders(tmp_path, REAL.images[:4], np.zeros(4, np.int64), ["a"])
    names = [str(path) for path in sorted(tmp_path.glob("a/*.png"))]
    # Whoever decodes it hears of nothing else.
    os.mkfifo(tmp_path / "stuck.png")
    names.insert(0, str(tmp_path / "stuck.png"))
    with subprocess.Popen([sys.executable, "-c", OWNER, *names], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "busy\n"
        workers = children_of(owner.pid)
        assert len(workers) == 2
        owner.send_signal(number)
    assert all(gone(worker) for worker in workers)
