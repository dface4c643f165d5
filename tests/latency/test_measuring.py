"""Layers are timed on this machine once, and predicted from then on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from bft_nas.latency import calibration
from bft_nas.latency.calibration import FITTED, predictor_for
from bft_nas.latency.layer_table import whole
from bft_nas.latency.measuring import measured_layers
from bft_nas.latency.operations import Operation
from bft_nas.latency.prediction import Predictor
from bft_nas.record.settings import LATENCY_RUNTIMES
from bft_nas.space.space import SearchSpace
from tests.conftest import SPACE
from tests.latency.stored import stored_table

BUDGET = 3_000_000
Measure = Callable[[Sequence[Operation]], dict[Operation, float]]


def test_a_layer_of_more_work_takes_longer_in_the_runtime() -> None:
    small, large = Operation("conv", 16, 16, 14), Operation("conv", 256, 256, 14)
    swish = Operation("activation", 0, 64, 28, activation="hard_swish")
    staged = Operation("matmul_stage", 0, 64, 14, radix=4)
    found = measured_layers([small, large, swish, staged])
    assert all(milliseconds > 0 for milliseconds in found.values())
    # 256 times as many MACs.
    assert found[large] > 10 * found[small]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers, and then networks, are timed each time; the stored table stands in for the machine."""
    counts: list[int] = []
    table = stored_table()

    def layers(points: Sequence[Operation]) -> dict[Operation, float]:
        counts.append(len(points))
        return {point: table.milliseconds(whole(point)) for point in points}

    def networks(graphs: Sequence[bytes]) -> list[float]:
        counts.append(len(graphs))
        return [1e-6 * len(graph) for graph in graphs]

    monkeypatch.setattr(calibration, "measured_layers", layers)
    monkeypatch.setattr(calibration, "shortest", networks)
    return counts


def test_what_was_timed_once_is_kept_in_a_folder(asked: list[int], tmp_path: Path) -> None:
    space = SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny")
    said: list[str] = []
    first = predictor_for(space, (BUDGET,), "onnxruntime", said.append, tmp_path)
    layers, *networks = asked
    assert layers == len(first.table.points)
    assert sum(networks) == FITTED
    assert [text.partition(" ")[0] for text in said] == ["latency:", "latency:"]
    assert "median error" in said[-1]
    asked.clear()
    again = predictor_for(space, (BUDGET,), "onnxruntime", said.append, tmp_path)
    assert asked == []
    assert again == first
    assert len(said) == 3
    # Other networks of the space need few layers that the table does not have.
    rng = random.Random(9)
    for _ in range(20):
        again.milliseconds(space.sample(rng, BUDGET).architecture)
    assert len(again.table._guessed) < 0.1 * layers


def test_in_a_small_space_each_network_is_measured_once(asked: list[int], tmp_path: Path) -> None:
    text = re.sub(r"\[([^,\]]+)[^\]]*\]", r"\1", SPACE)
    assert text != SPACE
    for name, content, most in (("one", text, 1), ("few", text.replace("depth: 1", "depth: [1, 2]"), 4)):
        space = SearchSpace.parse(content, where="tiny.yaml", name=name)
        said: list[str] = []
        predictor = predictor_for(space, (BUDGET,), "onnxruntime", said.append, tmp_path / name)
        assert 1 <= predictor.networks <= most
        assert sum(asked) == len(predictor.table.points) + predictor.networks
        assert f"the median error on {predictor.networks} networks measured is " in said[-1]
        assert predictor.error < 1
        asked.clear()


def test_who_comes_second_waits_and_measures_only_what_the_first_one_has_not(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny")
    waits = Event()
    others: list[Future[Predictor]] = []
    layers: Measure = vars(calibration)["measured_layers"]

    def second() -> Predictor:
        def say(text: str) -> None:
            if "waits for another search" in text:
                waits.set()

        return predictor_for(space, (BUDGET,), "onnxruntime", say, tmp_path)

    with ThreadPoolExecutor() as pool:

        def measured(points: Sequence[Operation]) -> dict[Operation, float]:
            if not others:
                others.append(pool.submit(second))
                assert waits.wait(10)
            return layers(points)

        monkeypatch.setattr(calibration, "measured_layers", measured)
        first = predictor_for(space, (BUDGET,), "onnxruntime", lambda text: None, tmp_path)
        assert others[0].result() == first
    assert sum(asked) == len(first.table.points) + first.networks


@pytest.mark.usefixtures("asked")
def test_a_damaged_file_of_times_is_made_anew_and_one_that_cannot_be_written_is_not_missed(
    tmp_path: Path,
) -> None:
    space = SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny")
    first = predictor_for(space, (BUDGET,), "onnxruntime", lambda text: None, tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:100])
    assert predictor_for(space, (BUDGET,), "onnxruntime", lambda text: None, tmp_path) == first
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert predictor_for(space, (BUDGET,), "onnxruntime", lambda text: None, nowhere / "x") == first


def test_the_runtimes_of_the_option_are_those_that_have_a_table() -> None:
    assert tuple(calibration.RUNTIMES) == LATENCY_RUNTIMES
