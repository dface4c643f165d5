from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import pytest
import yaml
from hypothesis import given

from bft_nas.dashboard import comparison_figure, strip_figure
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.network import KINDS, architecture_yaml, bars_of, differences
from bft_nas.network import REFERENCES, Architecture, Head, Stem, cost, reference
from bft_nas.record import Run
from tests.network.rows import Rows, stages

BUTTERFLY = reference("mobilenet_v1_bft", width=1.0, resolution=128)
DENSE = reference("mobilenet_v1", width=0.5, resolution=128)


def bars(figure: go.Figure, axis: str = "y") -> dict[str, go.Bar]:
    return {trace.name: trace for trace in figure.data if trace.yaxis == axis}


def test_the_strip_has_a_bar_for_each_layer_with_its_macs_and_channels() -> None:
    drawn = bars(strip_figure(BUTTERFLY))
    facts = sorted(
        (x, round(1e6 * y), round(width**2))
        for trace in drawn.values()
        for x, y, width in zip(trace.x, trace.y, trace.width, strict=True)
    )
    layers = cost(BUTTERFLY).layers
    assert [fact[1:] for fact in facts] == [(layer.macs, layer.out_channels) for layer in layers]


def test_butterflies_have_their_colour_and_their_radix() -> None:
    drawn = bars(strip_figure(BUTTERFLY))
    layers = [layer for layer in cost(BUTTERFLY).layers if layer.plan]
    assert len(drawn["butterfly"].x) == len(layers) > 5
    assert set(drawn["butterfly"].text) == {"4"}
    assert {trace.marker.color for trace in drawn.values()} == set(KINDS.values())
    assert set(drawn["dense"].text) == set(drawn["depthwise"].text) == {""}


def test_pointing_at_a_layer_tells_its_shape_and_macs() -> None:
    trace = bars(strip_figure(DENSE))["depthwise"]
    assert trace.customdata[0] == ["stage 1, block 1, depthwise", 16, 16, "64x64", "3x3", 64 * 64 * 9 * 16]
    for part in ("customdata[0]", "customdata[1]", "customdata[2]", "customdata[3]", "customdata[5]"):
        assert part in trace.hovertemplate


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_can_be_drawn_and_bars_do_not_overlap(name: str) -> None:
    network = reference(name)
    drawn = bars(strip_figure(network)).values()
    edges = sorted(
        (x - width / 2, x + width / 2)
        for trace in drawn
        for x, width in zip(trace.x, trace.width, strict=True)
    )
    assert len(edges) == len(cost(network).layers)
    assert all(right <= left for (_, right), (left, _) in pairwise(edges))


def test_two_networks_face_each_other_at_one_scale_layer_by_layer() -> None:
    figure = comparison_figure(BUTTERFLY, DENSE, names=("#1", "<b>"))
    above, below = figure.layout.yaxis, figure.layout.yaxis2
    heights = [(axis.domain[1] - axis.domain[0]) / max(axis.range) for axis in (above, below)]
    assert heights[0] == pytest.approx(heights[1])
    assert below.range[0] > below.range[1]
    places = [
        {
            row[0]: x
            for trace in bars(figure, axis).values()
            for x, row in zip(trace.x, trace.customdata, strict=True)
        }
        for axis in ("y", "y2")
    ]
    assert places[0] == places[1]
    assert [note.text for note in figure.layout.annotations][:2] == ["#1", "&lt;b&gt;"]


def test_differences_name_the_layers_that_differ_and_their_macs() -> None:
    longer = replace(DENSE, blocks=DENSE.blocks + (replace(DENSE.blocks[-1], stage=DENSE.blocks[-1].stage),))
    rows = differences(DENSE, longer)
    assert rows["layer"].tolist() == [
        f"stage {DENSE.blocks[-1].stage + 1}, block {count}, {part}"
        for count in [sum(block.stage == DENSE.blocks[-1].stage for block in longer.blocks)]
        for part in ("depthwise", "pointwise")
    ]
    assert rows["a"].tolist() == ["", ""]
    assert rows["difference"].sum() == cost(longer).macs - cost(DENSE).macs
    whole = differences(BUTTERFLY, DENSE)
    assert whole["difference"].sum() == cost(DENSE).macs - cost(BUTTERFLY).macs
    assert "butterfly 4" in whole.iloc[2]["a"]


def test_a_network_does_not_differ_from_itself() -> None:
    assert differences(DENSE, DENSE).empty
    assert "same network" in comparison_figure(DENSE, DENSE).layout.annotations[2].text


def test_yaml_describes_the_network_whole_whatever_its_family_is_called(made_up: Run) -> None:
    networks = [made_up.architecture(number) for number in made_up.results()["number"]]
    networks += [replace(DENSE, family=name) for name in ("yes", "a: b", "- x\ny", "#1")]
    for network in [*networks, *map(reference, REFERENCES)]:
        assert Architecture.from_dict(yaml.safe_load(architecture_yaml(network))) == network


@given(rows=stages())
def test_rows_of_any_kind_of_block_are_drawn_and_told(rows: Rows) -> None:
    network = Architecture("any", 32, Stem(rows.in_channels), rows.blocks, Head())
    slots = [bar.slot for bar in bars_of(network)]
    assert slots == sorted(set(slots))
    assert Architecture.from_dict(yaml.safe_load(architecture_yaml(network))) == network


def test_slots_rise_and_are_those_of_one_place(made_up: Run) -> None:
    for number in made_up.results()["number"]:
        slots = [bar.slot for bar in bars_of(made_up.architecture(number))]
        assert slots == sorted(set(slots))


def test_a_network_is_told_in_words() -> None:
    text = alternative(strip_figure(BUTTERFLY))
    assert "13 of them butterflies" in text
    assert BUTTERFLY.fusion_pattern in text
