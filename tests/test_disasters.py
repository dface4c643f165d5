"""A full disk, a folder that cannot be written any more, a torn checkpoint: named, survived, and resumed from."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.record import Run
from tests.conftest import SPACE

TRIALS = 4
SEARCH = (
    *("search", "--flops", "2M", "--space", "tiny.yaml", "--sampler", "random", "--name", "run"),
    *(
        "--images",
        "1500",
        "--epochs",
        "3",
        "--trials",
        str(TRIALS),
        "--no-references",
        "--no-confirm",
        "--no-timing",
    ),
)
ALONE = ("--workers", "1")
RESUME = ("search", "--resume", "run", "--no-references", "--no-confirm", "--no-timing", *ALONE)


def start(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-m", "bft_nas.cli.main", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As two workers have on two cores, so that sums are the same to the last bit.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_until(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not sign():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def record(folder: Path) -> pd.DataFrame:
    """What is on record, but for the time it took."""
    return Run.open("run", runs=folder / "runs").results().drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("peace")
    (folder / "tiny.yaml").write_text(SPACE)
    search = start(folder, *SEARCH, *ALONE)
    assert search.wait(300) == 0, search.communicate()
    return record(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose runs are on a disk of 8 MB."""
    runs = tmp_path / "runs"
    runs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(runs)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    (tmp_path / "tiny.yaml").write_text(SPACE)
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_full_disk_is_named_and_the_search_goes_on_when_there_is_room(
    small_disk: Path, undisturbed: pd.DataFrame
) -> None:
    search = start(small_disk, *SEARCH, "--workers", "2")
    wait_until((small_disk / "runs/run/candidates/0001/checkpoint.pt").exists, search)
    fill(small_disk / "runs/ballast")
    said, complaint = search.communicate(timeout=120)
    assert search.returncode == 1, said
    assert complaint.count("\n") <= 2
    assert "cannot be written (No space left on device)" in complaint
    assert "resume with: bft-nas search --resume run" in complaint
    assert "Traceback" not in complaint
    (small_disk / "runs/ballast").unlink()
    assert not list((small_disk / "runs").rglob("*.tmp"))
    again = start(small_disk, *RESUME)
    said, complaint = again.communicate(timeout=120)
    assert again.returncode == 0, complaint
    found = record(small_disk).sort_values("number").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, undisturbed)


def test_a_folder_that_became_read_only_is_named_and_the_search_goes_on_when_it_is_writable(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    # Root may write everywhere, unless it gives that up.
    humbled = ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override")
    before = humbled if os.geteuid() == 0 else ()
    if before and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to change that")
    (tmp_path / "tiny.yaml").write_text(SPACE)
    search = start(tmp_path, *SEARCH, *ALONE, before=before)
    candidates = tmp_path / "runs/run/candidates"
    wait_until((candidates / "0001/checkpoint.pt").exists, search)
    for folder in (candidates / "0001", candidates, candidates.parent):
        folder.chmod(0o555)
    said, complaint = search.communicate(timeout=120)
    assert search.returncode == 1, said
    assert "cannot be written (Permission denied)" in complaint
    assert "resume with: bft-nas search --resume run" in complaint
    assert "Traceback" not in complaint
    for folder in (candidates / "0001", candidates, candidates.parent):
        folder.chmod(0o755)
    again = start(tmp_path, *RESUME)
    assert again.wait(120) == 0, again.communicate()
    pd.testing.assert_frame_equal(record(tmp_path), undisturbed)


def test_a_torn_checkpoint_is_named_and_its_training_restarts_from_scratch(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    search = start(tmp_path, *SEARCH, *ALONE)
    checkpoint = tmp_path / "runs/run/candidates/0001/checkpoint.pt"
    wait_until(checkpoint.exists, search)
    search.send_signal(signal.SIGKILL)
    search.wait()
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    again = start(tmp_path, *RESUME)
    said, complaint = again.communicate(timeout=120)
    assert again.returncode == 0, complaint
    assert "candidates/0001/checkpoint.pt: cannot be read" in said
    assert "its training restarts from scratch" in said
    pd.testing.assert_frame_equal(record(tmp_path), undisturbed)
