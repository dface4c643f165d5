"""Kernels under the compiler's sanitizers."""

import subprocess
from pathlib import Path

import bft_nas.kernels

SOURCES = Path(bft_nas.kernels.__file__).parent / "csrc"


def run_sanitized(program: Path, executable: Path, *options: str) -> None:
    """Build a test program with the kernels, and run it: it is to say ``clean`` and nothing else."""
    sanitizers = ["-fsanitize=address,undefined", *options, "-fno-sanitize-recover=all"]
    command = [
        "gcc",
        "-O0",
        "-g",
        *sanitizers,
        "-Wno-psabi",
        f"-I{SOURCES}",
        str(program),
        *sorted(map(str, SOURCES.glob("**/*.c"))),
        "-lm",
        "-lpthread",
        "-o",
        str(executable),
    ]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([str(executable)], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
