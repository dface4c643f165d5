"""Files that are written whole or not at all, and places that are asked before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bft_nas.core.errors import RunError, UserError
from bft_nas.core.files import cache_folder, check_writable, expanded, straight, write_text


def test_a_file_that_is_replaced_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "file"
    for mode in (0o600, 0o664):
        place.touch()
        place.chmod(mode)
        write_text(place, f"{mode}")
        assert (place.read_text(), place.stat().st_mode & 0o777) == (f"{mode}", mode)
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one(there: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    if there:
        (tmp_path / "folder" / "file").write_text("before")
    link = tmp_path / "link"
    link.symlink_to("folder/file")
    write_text(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "text"
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["file"]


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Both ends, so that nothing waits.
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_name_may_be_as_long_as_the_file_system_has_them(tmp_path: Path) -> None:
    write_text(tmp_path / ("a" * 255), "text")
    assert [each.name for each in tmp_path.iterdir()] == ["a" * 255]


def test_what_cannot_be_written_is_named_and_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in (".", "loop", "missing/file", "a" * 256):
        with pytest.raises(RunError, match=r"cannot be written \([^\n]+\)$"):
            write_text(tmp_path / name, "text")
    assert [each.name for each in tmp_path.iterdir()] == ["loop"]


def test_a_folder_that_can_be_written_or_made_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "missing" / "deeper")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_written_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    with pytest.raises(UserError, match=rf"^{place}: cannot be written \([^\n]+\)$"):
        check_writable(Path(place))


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user of a container whom its system does not know."""
    monkeypatch.delenv("HOME")
    monkeypatch.setitem(sys.modules, "pwd", None)


def test_without_a_home_there_is_no_place_for_a_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    without_home(monkeypatch)
    assert expanded("~/photos") == Path("~/photos")
    with pytest.raises(OSError, match="Not a directory"):
        cache_folder("images").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("images") == tmp_path / "bft-nas" / "images"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("../a/../a/b", "../a/b"), ("b/../../a", "../a"), ("b", "b"), ("b/..", "."), ("none/../b", "none/../b")],
)
def test_a_path_goes_up_no_further_than_it_must(
    path: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    assert straight(Path(path)) == Path(expected)


def test_a_path_through_a_symbolic_link_still_leads_where_it_led(tmp_path: Path) -> None:
    for name in ("far/runs", "far/link", "runs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/link")
    path = tmp_path / "link" / ".." / "runs"
    assert straight(path).samefile(tmp_path / "far" / "runs")
