"""A limit of latency beside that of MACs: kept by every sampler, recorded, and a third objective."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bft_nas
from bft_nas.api.latency_limits import known_limit
from bft_nas.core.errors import UserError
from bft_nas.record import Progress
from bft_nas.record.columns import PREDICTED
from bft_nas.record.pareto import OBJECTIVES, front
from bft_nas.searching.halving import Halving
from bft_nas.searching.latency_limit import LatencyLimit, descend
from bft_nas.searching.loop import propose_new
from bft_nas.searching.proposers import PROPOSERS
from bft_nas.searching.proposers.schedule import FIRST
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from tests.conftest import SPACE, diverging_trainings, tiny_prepared, tiny_run
from tests.latency.stored import stored_predictor

BUDGET = 3_000_000


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny")


@pytest.fixture(scope="module")
def times(space: SearchSpace) -> list[float]:
    """Milliseconds of random networks, the fastest first."""
    rng, predict = random.Random(0), stored_predictor().milliseconds
    return sorted(predict(space.sample(rng, BUDGET).architecture) for _ in range(60))


@pytest.mark.parametrize("sampler", PROPOSERS)
def test_every_sampler_stays_below_the_limit_and_proposes_the_same_again(
    sampler: str, times: list[float], tmp_path: Path
) -> None:
    # A fifth of all networks.
    limit = LatencyLimit(stored_predictor().milliseconds, times[12])
    run, kept = (
        tiny_run(tmp_path, tiny_prepared(sampler=sampler, latency_runtime="onnxruntime")),
        PROPOSERS[sampler](),
    )
    # Until the surrogate has learnt.
    count = FIRST + 1 if sampler == "surrogate" else 4
    for position in range(count):
        candidate = propose_new(run, run.space, kept, limit)
        assert candidate is not None
        accuracy = random.Random(position).random()
        run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
    asked = (run.space, [BUDGET], run.ledger.history, 5, limit.fits)
    one, other = kept(*asked), PROPOSERS[sampler]()(*asked)
    assert one.architecture == other.architecture
    results = run.results()
    assert len(results) == count
    assert (results[PREDICTED] <= times[12]).all()
    assert (results["macs"] <= BUDGET).all()
    row = results.iloc[0]
    exact = limit.predict(run.architecture(int(row["number"])))
    assert row[PREDICTED] == pytest.approx(exact, abs=1e-4)


def test_a_limit_that_few_networks_keep_is_kept_too(space: SearchSpace, tmp_path: Path) -> None:
    predict = stored_predictor().milliseconds
    fastest = descend(LatencyLimit(predict), space, (BUDGET,), 0).fastest[0]
    limit = LatencyLimit(predict, 1.01 * fastest)
    limit.check(space, (BUDGET,), "onnxruntime")
    run = tiny_run(tmp_path, tiny_prepared(latency_runtime="onnxruntime"))
    candidate = propose_new(run, run.space, PROPOSERS["random"](), limit)
    assert candidate is not None
    assert predict(candidate.architecture) <= 1.01 * fastest


def test_where_every_network_is_slower_none_is_proposed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared(latency_runtime="onnxruntime"))
    limit = LatencyLimit(lambda network: 2.0, 1.9)
    assert propose_new(run, run.space, PROPOSERS["random"](), limit) is None
    assert run.ledger.history.entries == []
    exact = LatencyLimit(limit.predict, 2.0)
    assert propose_new(run, run.space, PROPOSERS["random"](), exact) is not None


def test_without_a_limit_latencies_are_predicted_and_nothing_is_refused(
    times: list[float], tmp_path: Path
) -> None:
    predict = stored_predictor().milliseconds
    runs = [
        tiny_run(tmp_path, tiny_prepared(latency_runtime=runtime), name)
        for name, runtime in (("with", "onnxruntime"), ("without", None))
    ]
    limits = (LatencyLimit(predict), None)
    candidates = [
        propose_new(run, run.space, PROPOSERS["random"](), limit)
        for run, limit in zip(runs, limits, strict=True)
    ]
    one, other = candidates
    assert one is not None
    assert other is not None
    assert one.architecture == other.architecture
    facts = [run.ledger.history.entries[0].facts or {} for run in runs]
    assert PREDICTED in facts[0]
    assert PREDICTED not in facts[1]


def test_a_limit_below_all_networks_is_refused_with_the_range(space: SearchSpace, times: list[float]) -> None:
    limit = LatencyLimit(stored_predictor().milliseconds, times[0] / 2)
    with pytest.raises(UserError, match=r"expected \d+\.\d\d to \d+\.\d\d ms") as caught:
        limit.check(space, (2_000_000, BUDGET), "onnxruntime")
    assert "\n" not in str(caught.value)
    LatencyLimit(limit.predict, 10 * times[-1]).check(space, (2_000_000, BUDGET), "onnxruntime")


# The third objective


def test_the_front_has_networks_that_are_fast_alone() -> None:
    rows = {
        "number": [0, 1, 2],
        "state": "complete",
        "macs": [10, 10, 20],
        "accuracy": [0.6, 0.5, 0.5],
        PREDICTED: [3.0, 1.0, 2.0],
    }
    results = pd.DataFrame(rows)
    assert sorted(front(results)["number"]) == [0, 1]
    assert front(results, OBJECTIVES)["number"].tolist() == [0]
    # Where one of them is not known, it decides nothing.
    results.loc[1, PREDICTED] = float("nan")
    assert front(results)["number"].tolist() == [0]


def test_halving_keeps_a_fast_candidate_beside_an_accurate_one() -> None:
    halving = Halving(eta=2, least=1, most=4)
    known = {
        0: Progress(50, (0.8,), milliseconds=3.0),
        1: Progress(65, (0.3,), milliseconds=1.0),
        2: Progress(60, (0.5,), milliseconds=3.5),
        3: Progress(70, (0.4,), milliseconds=4.0),
    }
    assert [halving.goes_on(number, known) for number in known] == [True, True, False, False]
    untimed = {number: replace(progress, milliseconds=None) for number, progress in known.items()}
    assert [halving.goes_on(number, untimed) for number in untimed] == [True, False, True, False]


def test_the_record_keeps_the_weights_of_what_is_fast_alone(space: SearchSpace, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared(latency_runtime="onnxruntime"))
    rng = random.Random(0)
    proposals = sorted((space.sample(rng, BUDGET) for _ in range(3)), key=lambda proposal: proposal.macs)
    assert proposals[0].macs < proposals[1].macs < proposals[2].macs
    # The second one has more MACs than the first and is less accurate; the third is slower than it as well.
    for proposal, accuracy, milliseconds in zip(proposals, (0.6, 0.5, 0.4), (3.0, 1.0, 2.0), strict=True):
        candidate = run.ledger.propose(proposal, datetime.now(), milliseconds)
        run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
    assert sorted(run.ledger.history.front) == sorted(run.front()["number"]) == [0, 1]


# A run


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stored table stands in for what is measured."""
    monkeypatch.setattr("bft_nas.latency.calibration.predictor_for", lambda *arguments: stored_predictor())
    with diverging_trainings():
        yield


@pytest.mark.usefixtures("predicted")
def test_a_resumed_search_keeps_its_limit_and_its_table(
    times: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    options: dict[str, Any] = {
        "space": tmp_path / "tiny.yaml",
        "latency": f"{times[20]:.4f} ms",
        "images": 64,
        "runs": tmp_path,
        "progress": False,
        "confirm": False,
        "references": False,
        "workers": 1,
    }
    whole = bft_nas.search(flops="3M", trials=4, name="whole", **options)
    begun = bft_nas.search(flops="3M", trials=2, name="begun", **options)

    def measured_anew(*arguments: object) -> None:
        raise AssertionError("a resumed search has its table")

    monkeypatch.setattr("bft_nas.latency.calibration.predictor_for", measured_anew)
    resume: dict[str, Any] = {
        "progress": False,
        "confirm": False,
        "references": False,
        "runs": tmp_path,
        "workers": 1,
    }
    resumed = bft_nas.search(resume="begun", trials=4, **resume)
    assert resumed.results()["hash"].tolist() == whole.results()["hash"].tolist()
    assert (whole.results()[PREDICTED] <= times[20] + 1e-4).all()
    assert whole.settings.latency == pytest.approx(times[20], abs=1e-4)
    assert begun.settings.latency_runtime == "onnxruntime"
    assert PREDICTED in (whole.folder / "results.csv").read_text().splitlines()[0]
    with pytest.raises(UserError, match="a resumed run keeps its own"):
        bft_nas.search(resume="begun", latency="5ms", **resume)
    table = begun.folder / "layer_table.json"
    table.write_text("{}")
    with pytest.raises(UserError, match="expected the run's table of layers"):
        known_limit(begun)


@pytest.mark.usefixtures("predicted")
def test_a_limit_that_cannot_be_kept_begins_no_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    with pytest.raises(UserError, match="below all networks of space 'tiny'"):
        bft_nas.search(
            flops="3M",
            latency=0.001,
            space=tmp_path / "tiny.yaml",
            images=64,
            runs=tmp_path / "runs",
            progress=False,
        )
    assert not (tmp_path / "runs").exists()
