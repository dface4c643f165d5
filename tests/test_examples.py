"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import bft_nas

PACKAGE = Path(bft_nas.__file__).parent
MODULES = sorted(
    ".".join(("bft_nas", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    # The dashboard is a link, which is not followed.
    for path in (*PACKAGE.rglob("*.py"), *(PACKAGE / "dashboard").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_do_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
