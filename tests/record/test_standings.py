"""Who won and over whom, in numbers against formulas of their own, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, t

from bft_nas.record.confirmations import (
    CONFIRMATION_NAMES,
    LEFT,
    confirmed_networks,
    with_confirmed,
)
from bft_nas.record.confirmed import Difference
from bft_nas.record.standings import (
    Verdict,
    candidate_texts,
    confirmed_text,
    lead_text,
    rival_texts,
    tau_of,
    verdict_rows,
    verdicts,
)

SMALL, LARGE = 10_000_000, 20_000_000
IMAGES = 5000
# Candidates 0 to 3 and a reference for each budget. Candidate 0 is within the smaller budget, 0 and 2 are dense.
SEEDS: Mapping[Any, Sequence[float]] = {
    0: (0.700, 0.690, 0.698),
    1: (0.760, 0.742, 0.755),
    2: (0.750, 0.740, 0.742),
    ("mnasnet", SMALL): (0.650, 0.652, 0.648),
    ("mnasnet", LARGE): (0.730, 0.720, 0.719),
}
PROXY = {0: 0.50, 1: 0.48, 2: 0.55, 3: 0.40, ("mnasnet", SMALL): 0.41, ("mnasnet", LARGE): 0.47}
MACS = {0: 9_000_000, 1: 19_000_000, 2: 18_000_000, 3: 9_500_000}
RUNG = 0.05
"""How much less everyone has at the rung."""


def confirmation(key: Any, seed: int, accuracy: float) -> dict[str, Any]:
    named = {"number": key} if isinstance(key, int) else {"name": key[0], "width": 1.0}
    budget = SMALL if key in {0, 3} else LARGE if isinstance(key, int) else key[1]
    return {
        "name": "",
        **named,
        "budget": budget,
        "macs": MACS.get(key, budget),
        "butterfly_share": float(key in {1, 3}),
        "fusions": "b4 d" if key in {1, 3} else "d d",
        "hash": str(key),
        "protocol": "0123456789ab",
        "seed": seed,
        "accuracy": accuracy,
        "epochs": 4,
        "seconds": 1.0,
        "reason": "",
        "rung": accuracy - RUNG if isinstance(key, int) and seed == 1 else math.nan,
    }


def told(seeds: Mapping[Any, Sequence[float]] = SEEDS) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Results, references and confirmations; candidate 3 was left at the rung."""
    rows = [
        confirmation(key, seed, accuracy)
        for key, found in seeds.items()
        for seed, accuracy in enumerate(found, start=1)
    ]
    behind = confirmation(3, 1, 0.62) | {"accuracy": math.nan, "rung": 0.62, "epochs": 2, "reason": LEFT}
    confirmations = pd.DataFrame([*rows, behind], columns=list(CONFIRMATION_NAMES)).astype(
        {"number": "Int64"}
    )
    common = {"state": "complete", "reason": ""}
    results = pd.DataFrame([{"number": k, "accuracy": PROXY[k], "macs": MACS[k], **common} for k in range(4)])
    references = pd.DataFrame(
        [
            {"name": key[0], "budget": key[1], "accuracy": PROXY[key], "macs": key[1], **common}
            for key in SEEDS
            if isinstance(key, tuple)
        ]
    )
    networks = confirmed_networks(confirmations)
    return with_confirmed(results, networks), with_confirmed(references, networks), confirmations


@pytest.fixture(scope="module")
def found() -> tuple[Verdict, ...]:
    return verdicts(*told(), (SMALL, LARGE), IMAGES)


def margin() -> float:
    """Of a difference, where all networks have all seeds: what a two-way analysis of variance leaves to chance."""
    table = np.array(list(SEEDS.values()))
    networks, seeds = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    freedom = (networks - 1) * (seeds - 1)
    error = math.sqrt((rest**2).sum() / freedom * 2 / seeds)
    return float(t.ppf(0.975, freedom)) * error


def test_in_each_budget_the_best_that_fits_stands_beside_all_that_were_made_for_it(
    found: tuple[Verdict, ...],
) -> None:
    small, large = found
    assert [standing.network.key for standing in small.everyone] == [0, ("mnasnet", SMALL)]
    assert [standing.network.key for standing in large.everyone] == [1, 2, ("mnasnet", LARGE), 0]
    assert [standing.accuracy for standing in large.everyone] == [0.48, 0.55, 0.47, 0.50]
    assert [left.network.number for verdict in found for left in verdict.left] == [3, 3]


def test_a_lead_is_the_difference_of_means_with_an_interval_by_all_networks(
    found: tuple[Verdict, ...],
) -> None:
    for verdict in found:
        best = np.mean(SEEDS[verdict.winner.network.key])
        for each in verdict.others:
            assert each.lead is not None
            assert each.lead.mean == pytest.approx(best - np.mean(SEEDS[each.network.key]))
            assert each.lead.margin == pytest.approx(margin())
            assert each.lead.low == pytest.approx(each.lead.mean - margin())
            assert each.lead.high == pytest.approx(each.lead.mean + margin())


def test_an_accuracy_has_the_standard_error_of_its_mean(found: tuple[Verdict, ...]) -> None:
    spread = math.sqrt(np.mean([np.var(sample, ddof=1) for sample in SEEDS.values()]))
    for verdict in found:
        for each in verdict.everyone:
            assert each.error == pytest.approx(spread / math.sqrt(3))
            assert each.confirmed == (
                f"{100 * np.mean(SEEDS[each.network.key]):.2f}% ± {100 * spread / math.sqrt(3):.2f}"
            )


def test_rivals_are_the_best_reference_and_for_a_winner_with_butterflies_the_best_dense_one(
    found: tuple[Verdict, ...],
) -> None:
    assert [[each.network.key for each in verdict.rivals] for verdict in found] == [
        [("mnasnet", SMALL)],
        [("mnasnet", LARGE), 2],
    ]


def test_the_words_are_these(found: tuple[Verdict, ...]) -> None:
    assert rival_texts(found[0]) == ["candidate 0 over reference mnasnet: +4.6 points (95 %: +3.8 to +5.4)"]
    assert rival_texts(found[1]) == [
        "candidate 1 over reference mnasnet: +2.9 points (95 %: +2.1 to +3.8)",
        "candidate 1 over candidate 2, the best without butterflies: +0.8 points (95 %: +0.0 to +1.7)",
    ]
    assert candidate_texts(found, 0) == [
        "within 10M, candidate 0 over reference mnasnet: +4.6 points (95 %: +3.8 to +5.4)",
        "within 20M, candidate 1 over candidate 0: +5.6 points (95 %: +4.8 to +6.5)",
    ]
    behind = "left after epoch 2 at 62.00%, where the winner had {}, unconfirmed"
    assert candidate_texts(found, 3) == [
        f"within 10M, {behind.format('65.00%')}",
        f"within 20M, {behind.format('71.00%')}",
    ]
    assert verdict_rows(found[0]) == [
        ("candidate 0", "69.60% ± 0.35", "3", "50.00%", "9M", "d d", "winner"),
        ("mnasnet", "65.00% ± 0.35", "3", "41.00%", "10M", "d d", "+4.6 points (95 %: +3.8 to +5.4)"),
        ("candidate 3", "", "", "40.00%", "9.5M", "b4 d", behind.format("65.00%")),
    ]


def test_tau_is_that_of_the_proxy_and_of_what_was_confirmed_or_estimated() -> None:
    results, references, confirmations = told()
    ends = {key: float(np.mean(sample)) for key, sample in SEEDS.items()} | {3: 0.62 + RUNG}
    expected = kendalltau([PROXY[key] for key in ends], list(ends.values())).statistic
    tau, networks = tau_of(results, references, confirmations)
    assert tau == pytest.approx(expected)
    assert networks == 6
    assert expected > 0.3


def test_seeds_that_agree_to_the_image_by_luck_do_not_tell_networks_apart() -> None:
    seeds = {0: (0.90, 0.92, 0.88), ("mnasnet", SMALL): (0.88, 0.90, 0.86)}
    (few,) = verdicts(*told(seeds), (SMALL,), 50)
    (many,) = verdicts(*told(seeds), (SMALL,), 1_000_000)
    for verdict, told_apart in ((few, False), (many, True)):
        lead = verdict.others[0].lead
        assert lead is not None
        assert lead.told_apart == told_apart
    # Of one image of fifty.
    lead = few.others[0].lead
    assert lead is not None
    assert lead.margin == pytest.approx(t.ppf(0.975, 2) * 0.02 * math.sqrt(2 / 3))


@pytest.mark.parametrize(
    ("lead", "text"),
    [
        (Difference(0.029, 0.011), "+2.9 points (95 %: +1.8 to +4.0)"),
        (Difference(0.003, 0.011), "not to be told apart: +0.3 points (95 %: -0.8 to +1.4)"),
        (Difference(-0.029, None), "-2.9 points, unconfirmed"),
        (None, ""),
    ],
)
def test_no_lead_is_without_its_interval_or_the_word_unconfirmed(lead: Difference | None, text: str) -> None:
    assert lead_text(lead) == text


def test_a_mean_of_one_seed_alone_has_no_error() -> None:
    assert confirmed_text(0.6932, None) == "69.32%"
