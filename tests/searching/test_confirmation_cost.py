"""What a confirmation is said to cost, and what it does."""

from __future__ import annotations

from hypothesis import assume, given

from bft_nas.searching.confirmation_cost import Cost, cost_of
from bft_nas.searching.racing import Racer
from bft_nas.training.confirmation import Confirmation
from bft_nas.training.protocol import Protocol
from tests.searching.test_racing import SEEDS, Known, Race, Rungs, halved_races

HALVED = Confirmation(Protocol("images", "", 10, 100, 20, 6, epochs=2), SEEDS)
WHOLE = Confirmation(Protocol("images", "", 10, 100, 20, 6, epochs=1), SEEDS)


@given(halved_races())
def test_trainings_are_no_fewer_and_no_more_than_it_said(drawn: tuple[list[Racer], Known, Rungs]) -> None:
    racers, outcomes, rungs = drawn
    assume(None not in rungs.values())
    assume(all(None not in each.values() for each in outcomes.values()))
    race = Race(racers, outcomes, rungs)
    order = race.run()
    assert race.rungs is not None
    candidates, references = len(race.rungs), sum(racer.reference for racer in racers)
    budgets = len(set().union(*(racer.budgets for racer in racers)))
    cost = cost_of(candidates, references, budgets=budgets, confirmation=HALVED)
    # To the rung and from there on are half of a training each.
    went_on = sum(not due.racer.reference and due.seed == SEEDS[0] and not due.to_rung for due in order)
    whole = len(order) - (candidates + went_on) / 2
    assert len(order) <= cost.parts
    assert whole <= cost.most
    if budgets == 1:
        # The best one without butterflies may be of the half that goes on.
        assert whole >= cost.least - 1 / 2


def test_leaving_candidates_at_the_rung_saves_parts_of_their_trainings() -> None:
    halved, whole = (cost_of(12, 0, budgets=1, confirmation=each) for each in (HALVED, WHOLE))
    assert whole == Cost(least=14, most=12 + 5 * 2, parts=12 + 5 * 2)
    assert halved == Cost(least=9.5 + 2, most=9.5 + 7 * 2, parts=12 + 7 + 7 * 2)
    assert str(halved) == "12 to 24 trainings"
    assert str(cost_of(1, 0, budgets=1, confirmation=HALVED)) == "3 trainings"
