"""The kernel's memory accesses, under the compiler's sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

import bft_nas.butterfly


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_no_access_outside_any_buffer_and_no_undefined_behaviour(tmp_path: Path) -> None:
    program = tmp_path / "sanitized"
    kernel = Path(bft_nas.butterfly.__file__).parent
    # Rows begin anywhere, on purpose: the vectors that reach them say so, which the alignment check does not know.
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all"]
    source = Path(__file__).with_name("kernel_sanitized.c")
    command = ["gcc", "-O0", "-g", *sanitizers, "-Wno-psabi", f"-I{kernel}", str(source), "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
