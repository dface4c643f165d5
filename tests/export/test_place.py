"""The folder of an export: all of it or nothing, and its user's files are never touched, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bft_nas.core.errors import UserError
from bft_nas.core.files import locks
from bft_nas.export.place import check_free, staged
from tests.conftest import closed

OWNED = ("architecture.json", "model.py", "weights", "model.so", "__pycache__")
NEW = ("model.py", "architecture.json", "weights")


def write(folder: Path, text: str = "new") -> None:
    """An export of three files."""
    with staged(folder, OWNED) as staging:
        for name in NEW:
            (staging / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if not path.is_dir()
    }


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """An export with files of its user's, one in a folder."""
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "model.so").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "results").mkdir()
    (folder / "results" / "a.csv").write_text("mine")
    return folder


NEW_FILES = dict.fromkeys(NEW, "new")
MINE = {"notes.txt": "mine", "results/a.csv": "mine"}


def test_a_new_folder_has_all_or_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "where" / "model"
    with pytest.raises(UnicodeEncodeError), staged(folder, OWNED) as staging:
        (staging / "model.py").write_text("né", encoding="ascii")
    assert not list(tmp_path.iterdir())
    write(folder)
    assert contents(tmp_path / "some") == {f"where/model/{name}": "new" for name in NEW}


def test_a_previous_export_goes_and_what_its_user_added_stays(before: Path) -> None:
    inodes = {path: path.stat().st_ino for path in (before, before / "notes.txt", before / "results")}
    with closed(before / "results"):
        write(before)
    assert contents(before) == NEW_FILES | MINE
    # A shell or a container may be in it.
    assert inodes == {path: path.stat().st_ino for path in inodes}


def test_what_another_runtime_has_of_the_same_network_stays(tmp_path: Path) -> None:
    owned = ("architecture.json", "model.py", "weights.safetensors", "model.c")
    for names, weights, left in (
        (owned[:3], "first", set(owned[:3])),
        (owned, "first", set(owned)),
        (owned[:3], "first", set(owned)),
        (owned[:3], "second", set(owned[:3])),
    ):
        with staged(tmp_path / "model", owned) as staging:
            for name in names:
                (staging / name).write_text(weights)
        assert set(contents(tmp_path / "model")) == left


def test_the_folder_above_need_not_be_open(before: Path) -> None:
    with closed(before.parent):
        check_free(before)
        write(before)
    assert contents(before) == NEW_FILES | MINE


def test_an_empty_folder_stays_the_one_that_it_is(tmp_path: Path) -> None:
    inode = tmp_path.stat().st_ino
    write(tmp_path)
    assert contents(tmp_path) == NEW_FILES
    assert tmp_path.stat().st_ino == inode


@pytest.mark.parametrize("move", range(7))
def test_where_a_file_cannot_be_moved_all_is_as_it_was(
    move: int, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = contents(before)
    rename, moves = Path.rename, []

    def fail_once(source: Path, place: Path) -> Path:
        moves.append(source)
        if len(moves) == move + 1:
            raise PermissionError(1, "Operation not permitted")
        return rename(source, place)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(UserError, match=r"model: cannot be written \(Operation not permitted\)$"):
        write(before)
    assert contents(before) == was
    assert [path.name for path in before.parent.iterdir()] == ["model"]


KILLED = """
import os, sys
from pathlib import Path
from tests.export.test_place import write
rename, moves = Path.rename, []
def die(source, place):
    moves.append(source)
    if len(moves) == int(sys.argv[2]) + 1:
        os.kill(os.getpid(), 9)
    return rename(source, place)
Path.rename = die
write(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("move", [0, 1, 2, 4, 5, 6])
def test_killed_while_files_are_exchanged_it_is_no_export_until_the_next_one(move: int, before: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(before), str(move)], check=False)
    assert ended.returncode == -9
    assert MINE.items() <= contents(before).items()
    told = [
        (before / name).exists() and (before / name).read_text() for name in ("architecture.json", "model.py")
    ]
    # Before the first move it is the old one.
    assert told == ["old", "old"] if move == 0 else not all(told)
    write(before)
    assert contents(before) == NEW_FILES | MINE


def test_of_two_at_once_the_later_one_stays_whole(before: Path) -> None:
    with staged(before, OWNED) as staging:
        for name in NEW:
            (staging / name).write_text("later")
        write(before, "earlier")
        assert (before / "weights").read_text() == "earlier"
    assert contents(before) == dict.fromkeys(NEW, "later") | MINE


def test_a_folder_that_another_made_meanwhile_is_exchanged(tmp_path: Path) -> None:
    with staged(tmp_path / "model", OWNED) as staging:
        for name in NEW:
            (staging / name).write_text("later")
        write(tmp_path / "model", "earlier")
    assert contents(tmp_path) == {f"model/{name}": "later" for name in NEW}


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)


def test_what_a_killed_export_has_left_is_removed_by_the_next_one(before: Path) -> None:
    prefixes = (before.parent / ".model-", before / ".bft-nas-export-")
    for prefix in prefixes:
        for name in ("killed__", "at_work_", "new_____", "of_another"):
            Path(f"{prefix}{name}", "export" if name != "new_____" else ".").mkdir(parents=True)
        # Of a version that had the user's files there for a moment.
        Path(f"{prefix}swapping", "export").mkdir(parents=True)
        Path(f"{prefix}swapping", "previous").mkdir(parents=True)
    with opened(Path(f"{prefixes[0]}at_work_")) as beside, opened(Path(f"{prefixes[1]}at_work_")) as within:
        for number in (beside, within):
            fcntl.flock(number, fcntl.LOCK_EX)
        known = set(before.iterdir())
        with staged(before, OWNED) as staging:
            (own,) = {path for path in before.iterdir() if path.name.startswith(".bft")} - known
            assert staging.parent == own
            with opened(own) as number:
                assert not locks(number, fcntl.LOCK_EX)
    left = [
        {path.name.rpartition("-")[2] for path in place.glob(".*-*")} for place in (before.parent, before)
    ]
    assert left == [
        {"at_work_", "new_____", "of_another", "swapping"},
        {"at_work_", "new_____", "of_another"},
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_mount_point_takes_an_export(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    inside = f"""
import subprocess, sys
from pathlib import Path
subprocess.run(["mount", "-t", "tmpfs", "none", "{place}"], check=True)
from tests.export.test_place import NEW_FILES, contents, write
for text in ("old", "new"):
    write(Path("{place}"), text)
assert contents(Path("{place}")) == NEW_FILES
"""
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("no namespaces here")
    subprocess.run(["unshare", "-m", sys.executable, "-c", inside], check=True)
