"""Whoever starts a command need not have a home."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = "import sys; sys.modules['pwd'] = None; import bft_nas.engines"


@pytest.mark.parametrize("home", ["/" + 300 * "x", None])
def test_without_a_home_that_can_be_looked_into_there_is_no_token(home: str | None) -> None:
    others = {name: value for name, value in os.environ.items() if name != "HOME"}
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env=others if home is None else {**others, "HOME": home}, check=True
    )
