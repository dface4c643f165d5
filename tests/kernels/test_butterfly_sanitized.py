"""The kernel's memory accesses, under the compiler's sanitizers."""

import shutil
from pathlib import Path

import pytest

from tests.kernels.sanitizing import run_sanitized


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_no_access_outside_any_buffer_and_no_undefined_behaviour(tmp_path: Path) -> None:
    source = Path(__file__).with_name("butterfly_sanitized.c")
    # Rows begin anywhere, on purpose: the vectors that reach them say so, which the alignment check does not know.
    run_sanitized(source, tmp_path / "sanitized", "-fno-sanitize=alignment")
