"""What butterflies are worth is found where there is something to find, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bft_nas.network import cost
from bft_nas.record import Run
from bft_nas.record.pareto import complete
from bft_nas.record.placement import (
    LEAST_FREEDOM,
    LEAST_OF_A_FAMILY,
    TOO_FEW,
    headed_families,
    parts_of,
    placement_texts,
    placements,
    worths,
)
from tests.dashboard.made_up import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(Path(tmp_path_factory.mktemp("runs")), candidates=80, curves=False)


def drawn(networks: int, stages: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """MACs of a wide range, and stages with butterflies or without."""
    random = np.random.default_rng(seed)
    return 1e6 * random.uniform(5, 50, networks), random.integers(0, 2, (stages, networks)).astype(float)


def test_at_equal_macs_it_is_the_t_test_of_those_with_and_without() -> None:
    _, (part,) = drawn(25, 1, seed=0)
    accuracies = np.random.default_rng(1).normal(0.6, 0.02, 25)
    (worth,) = worths(accuracies, [2e7] * 25, [part])
    test = stats.ttest_ind(accuracies[part == 1], accuracies[part == 0])
    assert worth is not None
    assert (worth.low, worth.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_the_interval_holds_what_there_is_in_95_of_100_and_each_stage_has_its_own() -> None:
    true = np.array([-0.02, 0.0, 0.05])
    held = []
    for seed in range(300):
        macs, parts = drawn(22, 3, seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 0.02, 22)
        found = worths(0.1 + 0.08 * np.log(macs) + true @ parts + noise, macs, list(parts))
        held += [each.low <= worth <= each.high for each, worth in zip(found, true, strict=True) if each]
    assert len(held) == 900
    assert 0.925 < np.mean(held) < 0.97


def test_what_more_macs_bring_is_not_put_down_to_butterflies() -> None:
    macs, (part,) = drawn(40, 1, seed=3)
    macs = macs * (1 + 4 * part)
    accuracies = 0.06 * np.log(macs) + np.random.default_rng(4).normal(0, 0.01, 40)
    assert accuracies[part == 1].mean() - accuracies[part == 0].mean() > 0.05
    (worth,) = worths(accuracies, macs, [part])
    assert worth is not None
    assert not worth.told_apart


def test_what_is_to_be_equal_beside_is() -> None:
    macs, (part,) = drawn(40, 1, seed=5)
    resolution = 128.0 + 32 * part + 16 * (np.arange(40) % 3)
    accuracies = resolution / 1000 + np.random.default_rng(6).normal(0, 0.001, 40)
    (alone,), (beside,) = worths(accuracies, macs, [part]), worths(accuracies, macs, [part], [resolution])
    assert alone is not None
    assert alone.told_apart
    assert beside is not None
    assert abs(beside.mean) < abs(alone.mean) / 5


def test_too_few_networks_and_stages_that_cannot_be_told_apart_have_no_worth() -> None:
    macs, parts = drawn(LEAST_OF_A_FAMILY, 1, seed=7)
    accuracies = np.linspace(0.5, 0.6, LEAST_OF_A_FAMILY)
    assert worths(accuracies, macs, list(parts))[0] is not None
    assert worths(accuracies[1:], macs[1:], list(parts[:, 1:])) == [None]
    macs, parts = drawn(LEAST_FREEDOM + 20, 2, seed=8)
    accuracies = np.linspace(0.5, 0.6, len(macs))
    assert worths(accuracies, macs, [parts[0], parts[0]]) == [None, None]
    alike, found = worths(accuracies, macs, [np.ones(len(macs)), parts[1]])
    assert alike is None
    assert found == worths(accuracies, macs, [parts[1]])[0]


@pytest.mark.parametrize(("least", "told"), [(0.0, True), (0.4, True), (0.6, False)])
def test_nothing_is_said_of_none_where_all_networks_have_many(least: float, told: bool) -> None:
    random = np.random.default_rng(4)
    part = np.linspace(least, 1.0, 20)
    macs = 1e6 * random.uniform(5, 50, 20)
    (worth,) = worths(0.5 + 0.1 * part + random.normal(0, 0.001, 20), macs, [part])
    assert (worth is not None) == told


def test_the_parts_of_a_pattern_are_those_of_the_network(run: Run) -> None:
    for number in run.results()["number"]:
        network = run.architecture(number)
        layers = cost(network).layers
        found = parts_of(network.fusion_pattern)
        stages = sorted({block.stage for block in network.blocks})
        assert len(found) == len(stages) + bool(network.head.channels)
        for stage, part in zip(stages, found, strict=False):
            own = {f"blocks.{i}" for i, block in enumerate(network.blocks) if block.stage == stage}
            butterflies = [
                layer.plan is not None
                for layer in layers
                if layer.fusion and layer.name.rpartition(".")[0] in own
            ]
            assert (part > 0) == any(butterflies)
            assert (part == 1) == all(butterflies)


def test_each_family_has_its_complete_candidates_and_its_stages_by_name(run: Run) -> None:
    results = run.results()
    found = {each.family: each for each in placements(results, headed_families(run, results))}
    done = complete(results)
    assert len(done) < len(results)
    assert {name: each.networks for name, each in found.items()} == done["family"].value_counts().to_dict()
    for name, rows in done.groupby("family"):
        assert found[str(name)].with_butterflies == (rows["butterfly_share"] > 0).sum()
    assert list(found["mobilenet_v1"].stages) == [f"stage {stage}" for stage in range(1, 6)]
    assert list(found["shufflenet_v2"].stages) == ["stage 1", "stage 2", "stage 3", "head"]


def test_a_worth_that_was_put_in_is_found_in_its_family_and_stage_alone(run: Run) -> None:
    results = run.results()
    late = [
        family == "mobilenet_v1" and parts_of(pattern)[-1] > 0
        for family, pattern in zip(results["family"], results["fusions"], strict=True)
    ]
    noise = np.random.default_rng(9).normal(0, 0.003, len(results))
    planted = results.assign(accuracy=0.5 + 0.1 * np.array(late) + noise, state="complete")
    found = {each.family: each for each in placements(planted)}
    worth = found["mobilenet_v1"].stages["stage 5"]
    assert worth is not None
    assert worth.told_apart
    assert worth.mean == pytest.approx(0.1, abs=0.01)
    assert "stage 5 +" in found["mobilenet_v1"].text
    others = [each for name in ("mobilenet_v3", "shufflenet_v2") for each in found[name].stages.values()]
    assert max(abs(each.mean) for each in others if each is not None) < 0.02


def test_a_run_says_so_where_there_is_too_little_to_say(run: Run, tmp_path: Path) -> None:
    assert [text.split(":")[0] for text in placement_texts(run)] == sorted(run.results()["family"].unique())
    small = make_run(tmp_path, candidates=8, failed=0, curves=False)
    (text,) = placement_texts(small)
    assert text.startswith(f"{TOO_FEW} in any family (mnasnet ")
    assert f"expected {LEAST_OF_A_FAMILY} or more" in text
    assert placements(pd.DataFrame()) == ()
