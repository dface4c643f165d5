"""The sources of the kernels under each compiler that is installed, and the reason that a failed build leaves."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bft_nas.kernels import norm
from tests.kernels.sources import SOURCES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_all_sources_compile_without_a_warning_and_make_a_library(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    library = tmp_path / "kernels.so"
    options = ["-O0", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-ffp-contract=fast"]
    sources = sorted(map(str, SOURCES.glob("**/*.c")))
    subprocess.run([compiler, *options, *sources, "-lm", "-lpthread", "-o", str(library)], check=True)
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
