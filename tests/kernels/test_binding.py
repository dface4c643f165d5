"""Where the kernels find the OpenMP that torch brought along."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest
import torch

from bft_nas.kernels.binding import _openmp

OF_TORCH = next(Path(torch.__file__).resolve().parent.glob("lib/libgomp*"), None)

needs_one = pytest.mark.skipif(OF_TORCH is None, reason="torch has another OpenMP here")


def maps(folder: Path, *libraries: str) -> Path:
    """What Linux says of a process that loaded some libraries."""
    start = "7f7c0a000000-7f7c0a00b000 r--p 00000000 00:24 12345                      "
    path = folder / "maps"
    path.write_text("".join(f"{start}{each}\n" for each in ("/usr/lib/libc.so.6", *libraries)))
    return path


def address(library: Path) -> int | None:
    return ctypes.cast(ctypes.CDLL(str(library)).GOMP_parallel, ctypes.c_void_p).value


@needs_one
def test_its_path_may_have_spaces(tmp_path: Path) -> None:
    assert OF_TORCH is not None
    folder = tmp_path / "my  project"
    folder.mkdir()
    copied = folder / "libgomp.so.1"
    shutil.copy(OF_TORCH, copied)
    assert _openmp(maps(tmp_path, str(copied)))[0] == address(copied)


@needs_one
def test_of_several_it_is_the_one_beside_torch(tmp_path: Path) -> None:
    assert OF_TORCH is not None
    copied = tmp_path / "libgomp-other.so.1"
    shutil.copy(OF_TORCH, copied)
    # Whichever stands first in the alphabet.
    for other in (str(copied), "/a/libgomp.so.1", "/~/libgomp.so.1"):
        assert _openmp(maps(tmp_path, other, str(OF_TORCH)))[0] == address(OF_TORCH)


def test_there_is_none_where_its_file_is_gone_or_nothing_is_told(tmp_path: Path) -> None:
    assert _openmp(maps(tmp_path, "/gone/libgomp.so.1 (deleted)")) == (None, None)
    assert _openmp(maps(tmp_path)) == _openmp(tmp_path / "no maps") == (None, None)
