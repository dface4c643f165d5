"""Kernels under the compiler's sanitizers."""

import subprocess
from pathlib import Path


def run_sanitized(source: Path, kernel: Path, program: Path, *options: str) -> None:
    """Build a test program with the kernels of a folder, and run it: it is to say ``clean`` and nothing else."""
    sanitizers = ["-fsanitize=address,undefined", *options, "-fno-sanitize-recover=all"]
    command = [
        "gcc",
        "-O0",
        "-g",
        *sanitizers,
        "-Wno-psabi",
        f"-I{kernel}",
        str(source),
        "-lm",
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
