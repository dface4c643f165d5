"""Which candidates are trained past a rung: a function of the curves alone."""

from __future__ import annotations

import pytest

from bft_nas.record import Progress
from bft_nas.searching.halving import Halving


@pytest.mark.parametrize(
    ("halving", "rungs"),
    [
        (Halving(3, 1, 27), (1, 3, 9)),
        (Halving(2, 2, 9), (2, 4, 8)),
        (Halving(4, 1, 2), (1,)),
        (Halving(3, 5, 5), ()),
    ],
)
def test_rungs(halving: Halving, rungs: tuple[int, ...]) -> None:
    assert halving.rungs == rungs


def test_only_the_best_part_goes_on_and_the_first_to_come_always_does() -> None:
    halving = Halving(eta=3, least=1, most=9)
    known: dict[int, Progress] = {}
    went_on = []
    for number, accuracy in enumerate([0.5, 0.4, 0.3, 0.2, 0.6, 0.1]):
        known[number] = Progress(100, (accuracy,))
        if halving.goes_on(number, known):
            went_on.append(number)
        else:
            known[number] = Progress(100, (accuracy,), stopped=True)
    assert went_on == [0, 4]


def test_between_rungs_everybody_goes_on() -> None:
    halving = Halving(eta=3, least=1, most=9)
    known = {0: Progress(100, (0.1, 0.2)), 1: Progress(50, (0.9, 0.9))}
    assert halving.goes_on(0, known)


def test_at_a_rung_others_are_compared_as_they_were_there_and_not_as_they_are_now() -> None:
    halving = Halving(eta=2, least=1, most=4)
    known = {0: Progress(100, (0.3, 0.9)), 1: Progress(100, (0.5,))}
    assert halving.goes_on(1, known)
    known = {0: Progress(100, (0.5, 0.2)), 1: Progress(100, (0.3,))}
    assert not halving.goes_on(1, known)


def test_a_cheap_candidate_is_kept_beside_an_accurate_one() -> None:
    halving = Halving(eta=2, least=1, most=4)
    known = {
        n: Progress(macs, (acc,))
        for n, (macs, acc) in enumerate([(90, 0.8), (10, 0.3), (80, 0.5), (95, 0.7)])
    }
    assert [halving.goes_on(number, known) for number in range(4)] == [True, True, False, False]


def test_who_was_stopped_is_promoted_when_worse_ones_have_come() -> None:
    halving = Halving(eta=3, least=1, most=9)
    known = {0: Progress(100, (0.9, 0.9, 0.9)), 1: Progress(100, (0.8,), stopped=True)}
    assert halving.promoted(known) is None
    for number in range(2, 6):
        known[number] = Progress(100, (0.1,), stopped=True)
    assert halving.promoted(known) == 1
    # The furthest come first.
    known |= {
        6: Progress(50, (0.95, 0.95, 0.95), stopped=True),
        7: Progress(100, (0.9, 0.9, 0.4), stopped=True),
    }
    assert halving.promoted(known) == 6


@pytest.mark.parametrize(("eta", "least"), [(1, 1), (3, 0)])
def test_impossible_numbers_are_refused(eta: int, least: int) -> None:
    with pytest.raises(ValueError, match="or more, got"):
        Halving(eta, least, 9)
