"""The sources of the kernels under another compiler, and the reason that a failed build leaves."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bft_nas.kernels import norm
from tests.kernels.sources import SOURCES, WARNINGS

ROOT = Path(__file__).parents[2]


def test_clang_makes_a_library_of_all_sources_without_a_warning(tmp_path: Path) -> None:
    """What gcc makes of them is installed, and without a warning by `test_sanitized`."""
    if shutil.which("clang") is None:
        pytest.skip("no clang on this machine")
    library = tmp_path / "kernels.so"
    options = ["-O0", "-fPIC", "-shared", *WARNINGS, "-ffp-contract=fast"]
    sources = sorted(map(str, SOURCES.glob("**/*.c")))
    subprocess.run(["clang", *options, *sources, "-lm", "-lpthread", "-o", str(library)], check=True)
    interface = ctypes.CDLL(str(library)).norm_interface
    interface.restype = ctypes.c_int64
    assert interface() == norm._INTERFACE << 12 | norm._CALL.size


def test_a_failed_build_keeps_what_the_compiler_said(tmp_path: Path) -> None:
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(SOURCES, tmp_path / "bft_nas" / "kernels" / "csrc")
    (tmp_path / "bft_nas" / "kernels" / "__init__.py").touch()
    # The first one to be compiled, so that the others are not.
    (tmp_path / "bft_nas/kernels/csrc/butterfly/butterfly.c").write_text(
        "int broken(void) { return unheard_of; }\n"
    )
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    assert not list(tmp_path.glob("bft_nas/kernels/*.so"))
    assert "unheard_of" in (tmp_path / "bft_nas" / "kernels" / "build.log").read_text()
