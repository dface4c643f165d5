"""What is shown while candidates are trained, and what else is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bft_nas.api.progress import PlainProgress, show_progress
from bft_nas.network import Architecture, Head, Stem
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.record import Candidate
from bft_nas.training.curve import Epoch

NET = Architecture("mobilenet_v1", 224, Stem(8), (SeparableBlock(8),), Head())


def lines_of(position: int, **options: str | float | None) -> list[str]:
    """What is said of an epoch, and of the end, of number 7 after so many others."""
    console = Console(file=io.StringIO(), width=200)
    given = {"trials": 4, "seconds": None, "epochs": 2, "best": None} | options
    with show_progress(console, **given) as display:  # type: ignore[arg-type]
        assert isinstance(display, PlainProgress)
        candidate = Candidate(7, NET, 49_900_000, 50_000_000)
        display.begin(candidate, position)
        display.epoch(candidate, Epoch(1, 1.0, 0.75, 1.0))
        display.end(candidate, 0.8, "", 3.0)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "candidate 7 (3 of 4)"),
        ({"trials": None}, "candidate 7"),
        ({"noun": "reference"}, "reference 3/4"),
        ({"noun": "confirmation"}, "confirmation 3/4"),
        ({"noun": "confirmation", "at_most": True}, "confirmation 3 of at most 4"),
    ],
)
def test_a_candidate_has_the_number_that_commands_take(
    options: dict[str, str | int | None], expected: str
) -> None:
    assert [line.partition(":")[0] for line in lines_of(2, **options)] == [expected, expected]


def test_what_may_end_sooner_has_its_time_left_at_most() -> None:
    (epoch, _), (sure, _) = (lines_of(0, at_most=at_most) for at_most in (True, False))
    assert ", at most " in epoch
    assert "at most" not in sure


@pytest.mark.parametrize(("then", "expected"), [("the confirmation", ", then the confirmation"), ("", "")])
@pytest.mark.parametrize("seconds", [None, 600.0])
def test_what_comes_after_the_time_left_is_named(then: str, expected: str, seconds: float | None) -> None:
    epoch, _ = lines_of(0, then=then, seconds=seconds)
    assert epoch.partition(" left")[2] == expected
