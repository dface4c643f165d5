"""Whom a confirmation is about."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from bft_nas.record import Run
from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.loop import prepare
from bft_nas.searching.promise import gain_of_a_doubling, promise
from bft_nas.space.drawing import draw
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from tests.conftest import tiny_run, tiny_settings

BUDGET = 15_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of several families, half of its candidates dense, whose accuracies are near one another."""
    space = SearchSpace.load("mobile")
    changes = {"space": "mobile", "budgets": (BUDGET,), "proxy_divisor": 6}
    run = tiny_run(tmp_path_factory.mktemp("runs"), prepare(tiny_settings(**changes), space))
    rng = random.Random(0)
    for drawn in (*draw(space, rng, (BUDGET,), 16), *draw(space, rng, (BUDGET,), 16, dense=True)):
        candidate = run.ledger.propose(drawn.proposal(), datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, rng.uniform(0.45, 0.5), 1.0)], 1.0)
    return run


def test_racers_are_dense_where_their_networks_have_no_butterflies(run: Run) -> None:
    racers = [(each.racer, each.candidate.architecture) for each in contenders_of(run)]
    for racer, network in racers:
        assert racer.dense == (set(network.fusion_pattern) <= set("d/- "))
        assert racer.kind == (f"{network.family}, dense" if racer.dense else network.family)
    assert {racer.dense for racer, _ in racers} == {True, False}


def test_the_most_promising_dense_network_of_each_family_takes_part(run: Run) -> None:
    results = run.results()
    gain = gain_of_a_doubling(results["accuracy"].tolist())
    results["promise"] = [
        promise(accuracy, macs, BUDGET, gain)
        for accuracy, macs in zip(results["accuracy"], results["macs"], strict=True)
    ]
    dense = results[results["butterfly_share"] == 0]
    best = set(dense.loc[dense.groupby("family")["promise"].idxmax(), "number"])
    assert len(best) == results["family"].nunique() > 1
    taking_part = {
        each.candidate.number
        for each in contenders_of(run)
        if each.racer.dense and not each.racer.reserve and each.racer.budgets == {BUDGET}
    }
    assert best <= taking_part
