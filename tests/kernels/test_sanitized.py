"""The memory accesses of the kernels on every ISA target, under the compiler's sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernels.sources import SOURCES, WARNINGS

# Symbols of lines, not of variables: compiling is most of the time.
OPTIONS = [
    *("-O0", "-g1", "-Wno-psabi", f"-I{SOURCES}"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-recover=alignment"),
]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every source of the kernels, compiled once for all programs, without a warning."""
    folder = tmp_path_factory.mktemp("sanitized")
    sources = sorted(map(str, SOURCES.glob("**/*.c")))
    subprocess.run(["gcc", *OPTIONS, *WARNINGS, "-c", *sources], cwd=folder, check=True, capture_output=True)
    return sorted(map(str, folder.glob("*.o")))


# The butterfly's rows begin anywhere, on purpose: the vectors that reach them say so, which the check does not know.
@pytest.mark.parametrize(
    ("kernel", "aligned"), [("butterfly", False), ("depthwise", True), ("norm", True)], ids=str
)
def test_no_access_outside_any_buffer_and_no_undefined_behaviour(
    kernel: str, aligned: bool, objects: list[str], tmp_path: Path
) -> None:
    program = Path(__file__).with_name(f"{kernel}_sanitized.c")
    executable = str(tmp_path / kernel)
    linked = [*OPTIONS, str(program), *objects, "-lm", "-lpthread", "-o", executable]
    subprocess.run(["gcc", *linked], check=True, capture_output=True)
    done = subprocess.run(
        [executable],
        env={"UBSAN_OPTIONS": f"halt_on_error={int(aligned)}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
