"""Proposals that learn: the best of thousands of networks by a model of all that was trained so far."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from bft_nas.record import Entry, History
from bft_nas.searching.promise import gain_of_a_doubling, promise
from bft_nas.searching.proposers import Fits, NothingFits, anything_fits
from bft_nas.searching.proposers.regression import Accuracy, Observed, Point
from bft_nas.searching.proposers.schedule import FIRST, ROUND, is_uniform, known_networks, turn_of
from bft_nas.searching.shortlist import CLOSE
from bft_nas.space.choosing import differing
from bft_nas.space.drawing import Drawn, draw, mutate
from bft_nas.space.published import published_families, suggest_published
from bft_nas.space.space import Proposal, SearchSpace

FAMILY = "family"
"""The choice of one, in spaces that have several."""
DRAWN, MUTATED = 1000, 1000
"""Networks in the pool."""
PARENTS = 8
"""The most promising networks of the family so far, of which the pool holds mutations."""
CONSIDERED = 500
"""Of a pool at most, best first, where not all of it fits."""
UNIFORM = 100
"""Uniform proposals at most until one fits."""
UNLIKE = 3
"""Choices in which a proposal differs from the others of its round, and from all that are still trained."""


def proposed(
    space: SearchSpace,
    budgets: Sequence[int],
    observed: Sequence[Observed],
    *,
    position: int,
    avoided: Sequence[Mapping[str, Any]],
    known: Container[str],
    seed: int,
    fits: Fits = anything_fits,
) -> Proposal:
    """What promises most within a budget by what `Accuracy` predicts, of a pool that is drawn for this decision.

    A search begins with the known network of each family that says one, and with uniform proposals. The pool holds
    uniform draws and mutations of the best so far. Several budgets take turns, and so do the families
    whose best one is within `CLOSE`: brief trainings rank well within a family and badly between families
    (benchmarks/results/table.md). They think too well of butterflies, too, so every second turn of a family is of its
    networks without any.

    Args:
        space: whose every family can stay within the smallest budget.
        budgets: in MACs.
        observed: all that was trained so far.
        position: how many were proposed before.
        avoided: choices of networks that the proposal is to be unlike.
        known: hashes of architectures that are not to be proposed again.
        seed: of this decision.
        fits: what is asked of a network besides.

    Raises:
        NothingFits: of what was considered nothing does.
    """
    rng = random.Random(seed)
    if position < known_networks(space):
        family_file = published_families(space)[position]
        begun = space.propose_for(suggest_published(family_file, budgets[position % len(budgets)]), budgets)
        if begun.architecture.hash not in known and fits(begun.architecture):
            return begun
    if is_uniform(position) or len(observed) < FIRST // 2:
        return _uniform(space, budgets, rng, position, fits)
    families = promising_families(observed)
    turn = turn_of(position, len(budgets), len(families))
    budget, family, dense = budgets[turn.budget], families[turn.family], turn.dense
    own = [each for each in observed if _family(each.point) == family]
    epochs = max(max(each.accuracies) for each in observed)
    # By the networks that were trained as long as any.
    gain = gain_of_a_doubling([each.accuracies[epochs] for each in observed if epochs in each.accuracies])
    pool = _pool(space, budgets, budget, own, gain, rng, dense)
    points = [Point(drawn.choices, drawn.macs, drawn.params, drawn.resolution) for drawn in pool]
    predicted = Accuracy(observed, epochs, seed).predict(points)
    promised = [
        promise(float(accuracy), drawn.macs, budget, gain)
        for accuracy, drawn in zip(predicted, pool, strict=True)
    ]
    best_first = [pool[place] for place in sorted(range(len(pool)), key=lambda place: -promised[place])]
    best_first.sort(key=lambda drawn: drawn.choices.get(FAMILY) != family)
    unlike = (
        drawn
        for drawn in best_first
        if all(len(differing(drawn.choices, each) - {"budget_share"}) >= UNLIKE for each in avoided)
    )
    # In a small space nothing may be left that is unlike all of them.
    for drawn in islice(chain(unlike, best_first), CONSIDERED):
        proposal: Proposal = drawn.proposal()
        if proposal.architecture.hash not in known and fits(proposal.architecture):
            return proposal
    return _uniform(space, budgets, rng, position, fits)


def promising_families(observed: Sequence[Observed]) -> list[str | None]:
    """The families whose most accurate network is within `CLOSE` of the most accurate of all, in order of their names.

    In a space of one family there is None.
    """
    best: dict[str | None, float] = {}
    for each in observed:
        family = _family(each.point)
        best[family] = max(best.get(family, 0.0), each.accuracies[max(each.accuracies)])
    least = max(best.values()) - CLOSE
    return sorted((family for family, accuracy in best.items() if accuracy >= least), key=str)


def _family(point: Point) -> str | None:
    return point.choices.get(FAMILY)


class Surrogate:
    """The proposer: `proposed`, from the record of a run. The same record and seed give the same proposal."""

    def __call__(
        self,
        space: SearchSpace,
        budgets: Sequence[int],
        history: History,
        seed: int,
        fits: Fits = anything_fits,
    ) -> Proposal:
        """See `bft_nas.searching.proposers.Proposer`."""
        return proposed(
            space,
            budgets,
            observations(history),
            position=history.proposed,
            avoided=[entry.choices for entry in _under_way(history)],
            known=history.by_hash,
            seed=seed,
            fits=fits,
        )


def observations(history: History) -> list[Observed]:
    """What there is to learn from: every epoch that is recorded of every candidate, those stopped early included.

    A candidate that failed counts as the least accurate one.
    """
    found, failed = [], []
    for entry in history.entries:
        if entry.facts is None or entry.state == "repeated":
            continue
        point = Point(entry.choices, entry.macs, int(entry.facts["params"]), int(entry.facts["resolution"]))
        if entry.state == "failed":
            failed.append(point)
        elif accuracies := dict(_by_epochs(entry)):
            found.append(Observed(point, accuracies))
    if not found:
        return []
    last = max(max(each.accuracies) for each in found)
    least = min(min(each.accuracies.values()) for each in found)
    return found + [Observed(point, {last: least}) for point in failed]


def _by_epochs(entry: Entry) -> Iterator[tuple[int, float]]:
    if entry.state == "complete" and len(entry.accuracies) == 1:
        yield max(1, int(entry.outcome.get("epochs", 1))), entry.accuracies[0]
    else:
        yield from enumerate(entry.accuracies, start=1)


def _uniform(
    space: SearchSpace, budgets: Sequence[int], rng: random.Random, position: int, fits: Fits
) -> Proposal:
    def suggest(name: str, values: Sequence[Any]) -> Any:
        by_turns = name == FAMILY and position < FIRST
        return values[position % len(values)] if by_turns else rng.choice(values)

    proposals = (space.propose_for(suggest, budgets) for _ in range(UNIFORM))
    for proposal in proposals:
        if fits(proposal.architecture):
            return proposal
    raise NothingFits


def _pool(
    space: SearchSpace,
    budgets: Sequence[int],
    budget: int,
    observed: Sequence[Observed],
    gain: float,
    rng: random.Random,
    dense: bool,
) -> list[Drawn]:
    """Networks for the budget whose turn it is, without butterflies where it is the turn of these."""

    def promised(each: Observed) -> float:
        return promise(each.accuracies[max(each.accuracies)], each.point.macs, budget, gain)

    within = [each for each in observed if each.point.macs <= budget]
    best = sorted(within, key=promised, reverse=True)[:PARENTS]
    parents = [_for_budget(each.point.choices, budgets, budget) for each in best]
    mutated = [parents[place % len(parents)] for place in range(MUTATED)] if parents else []
    drawn = draw(space, rng, budgets, DRAWN * len(budgets), dense=dense)
    pool = drawn + mutate(space, rng, budgets, mutated, dense=dense)
    return [drawn for drawn in pool if drawn.budget == budget]


def _for_budget(choices: Mapping[str, Any], budgets: Sequence[int], budget: int) -> Mapping[str, Any]:
    return choices if len(budgets) == 1 else {**choices, "budget": budget}


def _under_way(history: History) -> Iterator[Entry]:
    """What is still trained, and what was proposed since the last uniform proposal."""
    before_round = history.proposed - (history.proposed - FIRST) % ROUND
    for position, entry in enumerate(history.sampled):
        if position >= before_round or entry.state == "running":
            yield entry
