"""Which candidates are confirmed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bft_nas.searching.shortlist import (
    CLOSE,
    FILLED,
    OF_A_FAMILY,
    RESERVES,
    SHORTLIST,
    Promising,
    nearly_the_same,
    reserves,
    shortlist,
)

BUDGET = 100
CHOICES = [f"choice {k}" for k in range(12)]


def candidates(least: int = 0) -> st.SearchStrategy[list[Promising]]:
    one = st.builds(
        Promising,
        number=st.just(0),
        family=st.sampled_from("abc"),
        promise=st.integers(0, 100).map(lambda percent: percent / 100),
        macs=st.integers(1, 2 * BUDGET),
        dense=st.booleans(),
        choices=st.fixed_dictionaries({name: st.integers(0, 1) for name in CHOICES}),
    )
    return st.lists(one, min_size=least, max_size=25).map(_numbered)


def _numbered(found: list[Promising]) -> list[Promising]:
    return [
        Promising(k, each.family, each.promise, each.macs, each.dense, each.choices)
        for k, each in enumerate(found)
    ]


@given(candidates())
def test_it_has_the_most_promising_one_and_the_most_promising_dense_one_within_the_budget(
    known: list[Promising],
) -> None:
    chosen = shortlist(known, BUDGET)
    fitting = [each for each in known if each.macs <= BUDGET]
    assert set(chosen) <= {each.number for each in fitting}
    assert len(set(chosen)) == len(chosen)
    for group in (fitting, [each for each in fitting if each.dense]):
        if group:
            assert max(each.promise for each in group) in {
                known[number].promise for number in chosen if known[number] in group
            }


def test_the_best_dense_one_is_in_however_far_behind_it_is() -> None:
    ahead = [
        Promising(k, "abc"[k % 3], 0.9, 90, False, {name: (k >> at) & 1 for at, name in enumerate(CHOICES)})
        for k in range(12)
    ]
    behind = [Promising(12 + k, "a", 0.2 - 0.1 * k, 90, True, dict.fromkeys(CHOICES, 1)) for k in range(2)]
    chosen = shortlist([*behind, *ahead], BUDGET)
    assert len(chosen) == FILLED + 1
    assert chosen[-1] == 12


def test_it_has_one_of_each_family_within_reach_before_a_second_one() -> None:
    ahead = {"a": (0.50, 0.49, 0.48), "b": (0.47, 0.46), "c": (0.36,), "d": (0.34,)}
    pairs = [(family, accuracy) for family, accuracies in ahead.items() for accuracy in accuracies]
    known = [Promising(k, *pair, 90, False, {"own": k}) for k, pair in enumerate(pairs)]
    assert [known[number].family for number in shortlist(known, BUDGET)] == ["a", "a", "b", "c"]


def test_of_each_family_within_reach_both_kinds_are_in() -> None:
    # With butterflies all come out better, which a brief training is off about.
    known = [
        Promising(2 * k + dense, family, 0.5 - 0.01 * k - 0.05 * dense, 90, dense, {"own": 2 * k + dense})
        for k, family in enumerate("abcde")
        for dense in (False, True)
    ]
    chosen = [known[number] for number in shortlist(known, BUDGET)]
    assert len(chosen) == SHORTLIST
    assert {each.family for each in chosen} == set("abcde")
    assert [each.family for each in chosen if each.dense] == ["a", "b", "c"]


@given(candidates())
def test_it_is_short_and_its_networks_are_unlike_one_another(known: list[Promising]) -> None:
    chosen = [known[number] for number in shortlist(known, BUDGET)]
    assert len(chosen) <= SHORTLIST + 1
    listed = chosen[:SHORTLIST]
    # The best dense one is there whatever else is.
    unlike = listed[:-1] if len(chosen) <= SHORTLIST and chosen and chosen[-1].dense else listed
    for at, one in enumerate(unlike):
        assert not any(nearly_the_same(one, other) for other in unlike[:at])


@given(candidates())
def test_a_family_leaves_room_for_others_within_reach(known: list[Promising]) -> None:
    chosen = [known[number] for number in shortlist(known, BUDGET)]
    fitting = [each for each in known if each.macs <= BUDGET]
    if not fitting:
        return
    best = max(each.promise for each in fitting)
    most = Counter(each.family for each in chosen)
    for each in fitting:
        crowded = any(count > OF_A_FAMILY + 1 for family, count in most.items() if family != each.family)
        if crowded and each.promise >= best - CLOSE:
            # It is in, its family has its share, or it is nearly one that is in.
            alike = any(nearly_the_same(each, other) for other in chosen)
            assert each in chosen or alike or most[each.family] >= OF_A_FAMILY


@given(candidates(), st.randoms(use_true_random=False))
def test_it_depends_on_no_order(known: list[Promising], random: st.DrawFn) -> None:
    mixed = list(known)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert shortlist(mixed, BUDGET) == shortlist(known, BUDGET)


def test_the_sixth_of_the_proxy_is_in_where_the_first_five_are_nearly_one_network() -> None:
    base = dict.fromkeys(CHOICES, 0)
    first = [
        Promising(k, "shufflenet_v2", 0.46 - 0.001 * k, 90, False, {**base, CHOICES[k]: 1}) for k in range(5)
    ]
    sixth = Promising(5, "mobilenet_v3", 0.44, 100, False, base)
    assert 5 in shortlist([*first, sixth], BUDGET)
    # Each of the first ones differs from another in two choices of twelve, and from the base in one.
    alike = Promising(6, "shufflenet_v2", 0.459, 90, False, base)
    assert 6 not in shortlist([*first, alike, sixth], BUDGET)


@given(candidates())
def test_behind_them_stand_the_next_best_of_their_kinds_unlike_all_of_them(known: list[Promising]) -> None:
    chosen = [known[number] for number in shortlist(known, BUDGET)]
    behind = [known[number] for number in reserves(known, BUDGET)]
    assert not {each.number for each in chosen} & {each.number for each in behind}
    assert {each.kind for each in behind} <= {each.kind for each in chosen}
    assert all(each.macs <= BUDGET for each in behind)
    assert max(Counter(each.kind for each in behind).values(), default=0) <= RESERVES
    for each in behind:
        assert not any(nearly_the_same(each, other) for other in (*chosen, *behind) if other is not each)
    for each in known:
        if each.macs <= BUDGET and each not in (*chosen, *behind):
            own = [other for other in behind if other.kind == each.kind]
            ahead = [other for other in own if other.promise >= each.promise]
            alike = any(nearly_the_same(each, other) for other in (*chosen, *ahead))
            outside = each.kind not in {other.kind for other in chosen}
            assert len(ahead) == RESERVES or alike or outside


def test_one_that_uses_more_of_the_budget_is_another_network() -> None:
    choices = dict.fromkeys(CHOICES, 0)
    most, nearly, less = (Promising(0, "a", 0.9, macs, False, choices) for macs in (100, 96, 90))
    assert nearly_the_same(most, nearly)
    assert not nearly_the_same(most, less)
