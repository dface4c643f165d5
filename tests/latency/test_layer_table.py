"""The table of layers: what lies between its points, and which form of a butterfly it takes."""

from __future__ import annotations

import json
import math
import random

import pytest

from bft_nas.latency.butterfly_forms import forms_of, operations_of
from bft_nas.latency.layer_table import (
    LayerTable,
    grid_around,
    needed,
    points_for,
    whole,
)
from bft_nas.latency.operations import Operation, operations
from bft_nas.space.space import SearchSpace, bundled_spaces
from tests.latency.stored import stored_table


def drawn(space: str, count: int = 6) -> list[Operation]:
    rng, loaded = random.Random(0), SearchSpace.load(space).within(20_000_000)
    networks = [loaded.sample(rng, 20_000_000).architecture for _ in range(count)]
    return sorted({each for network in networks for each in operations(network)})


def power_law(point: Operation) -> float:
    return float(1e-6 * max(1, point.in_channels) ** 0.9 * point.out_channels**0.8 * point.side**1.7)


@pytest.mark.parametrize("space", bundled_spaces())
def test_between_its_points_times_that_follow_a_power_are_exact(space: str) -> None:
    layers = [each for each in drawn(space) if each.kind in ("conv", "linear") and each.groups == 1]
    table = LayerTable("any", "0", "here", {point: power_law(point) for point in points_for(layers)})
    for layer in layers:
        aligned = layer.out_channels % 8 == 0 and (layer.in_channels % 8 == 0 or layer.in_channels < 8)
        if aligned and min(layer.in_channels, layer.out_channels) >= 3:
            assert table.milliseconds(layer) == pytest.approx(power_law(layer))


@pytest.mark.parametrize("space", bundled_spaces())
def test_the_points_around_an_operation_weigh_one_and_can_be_run(space: str) -> None:
    for operation in drawn(space):
        parts = [operation]
        if operation.kind == "butterfly":
            parts = [part for form in forms_of(operation) for part in operations_of(operation, form)]
        for part in parts:
            around = grid_around(part)
            assert sum(weight for _, weight in around) == pytest.approx(1)
            for point, _ in around:
                run = whole(point)
                assert run.in_channels % max(1, run.groups) == 0
                assert run.out_channels % max(1, run.groups) == 0
                assert run.radix <= run.out_channels


def test_a_table_that_has_all_points_of_some_layers_needs_none() -> None:
    layers = drawn("mobilenet_v3", 5)
    table = stored_table().with_points(dict.fromkeys(points_for(layers), 1.0))
    assert list(needed(layers, table)) == []
    assert list(needed(layers, stored_table()))


def test_a_butterfly_takes_the_form_that_is_faster() -> None:
    operation = Operation("butterfly", 256, 256, 14, radix=4)
    forms = forms_of(operation)
    assert {form.kind for form in forms} == {"dense", "matmul", "grouped"}
    assert any(len(form.factors) == 2 for form in forms)
    for fastest in ("dense", "matmul", "grouped"):
        points = {
            point: 0.01 if point.kind.partition("_")[0] in (fastest, {"dense": "conv"}.get(fastest)) else 1.0
            for point in points_for([operation])
        }
        table = LayerTable("any", "0", "here", points)
        chosen = table.form_of(operation)
        assert chosen.kind == fastest
        assert table.milliseconds(operation) == pytest.approx(0.01 * len(operations_of(operation, chosen)))


@pytest.mark.parametrize(("channels", "radix"), [(64, 2), (96, 4), (512, 8), (1024, 16), (48, 16), (40, 2)])
def test_the_stages_of_each_form_make_the_whole_transform(channels: int, radix: int) -> None:
    operation = Operation("butterfly", channels, channels, 7, radix=radix)
    forms = forms_of(operation)
    assert forms
    assert len(set(forms)) == len(forms)
    for form in forms:
        assert form.kind == "dense" or math.prod(form.factors) == channels


def test_a_point_that_was_not_measured_is_in_proportion_to_the_nearest_one() -> None:
    table = stored_table()
    known = Operation("conv", 64, 64, 14)
    twice = known._replace(out_channels=128)
    assert table.milliseconds(twice) == pytest.approx(2 * table.milliseconds(known))


def test_relu_and_what_belongs_to_other_operations_take_no_time() -> None:
    table = stored_table()
    assert table.milliseconds(Operation("activation", 64, 64, 14, activation="relu")) == 0
    assert table.milliseconds(Operation("split", 64, 32, 14)) == 0
    assert table.milliseconds(Operation("activation", 64, 64, 14, activation="silu")) > 0


def test_a_table_is_read_as_it_was_written() -> None:
    table = stored_table()
    assert LayerTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    content = table.to_dict()
    content["points"][0][-1] = -1.0
    with pytest.raises(ValueError, match="more than 0"):
        LayerTable.from_dict(content)
    assert not math.isnan(table.milliseconds(Operation("conv", 24, 40, 28)))
