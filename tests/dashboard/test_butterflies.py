from __future__ import annotations

import random

import pandas as pd
import plotly.graph_objects as go
import pytest

from bft_nas.dashboard import butterfly_figure
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.network import bars_of, stage_name
from bft_nas.network import Architecture, cost
from bft_nas.network.fusion import short_fusion
from bft_nas.record import Run
from bft_nas.record.pareto import front
from bft_nas.space.space import SearchSpace


@pytest.fixture(name="on_front")
def _on_front(made_up: Run) -> pd.DataFrame:
    return front(made_up.results())


@pytest.fixture(name="networks")
def _networks(made_up: Run, on_front: pd.DataFrame) -> dict[int, Architecture]:
    return {number: made_up.architecture(number) for number in on_front["number"]}


def test_a_cell_is_the_share_of_a_stages_fusions_in_butterflies_and_names_their_radix(
    on_front: pd.DataFrame, networks: dict[int, Architecture]
) -> None:
    cells = butterfly_figure(on_front, networks).data[0]
    row = 0
    number = cells.customdata[row][0]
    network = networks[number]
    for column, name in enumerate(cells.x):
        if name == "head":
            names = {"head.conv"}
        else:
            blocks = [i for i, block in enumerate(network.blocks) if block.stage + 1 == int(name)]
            names = {
                layer.name
                for layer in cost(network).layers
                if layer.name.split(".")[1:2] in [[str(i)] for i in blocks]
            }
        fusions = [layer for layer in cost(network).layers if layer.name in names and layer.fusion]
        if not fusions:
            assert cells.text[row][column] == ""
            continue
        butterflies = [layer for layer in fusions if layer.plan]
        share = sum(layer.macs for layer in butterflies) / sum(layer.macs for layer in fusions)
        assert cells.hovertext[row][column] == f"{100 * share:.0f}"
        radices = sorted({int(str(layer.fusion).split("-")[1]) for layer in butterflies})
        dense = ["d"] if len(butterflies) < len(fusions) else []
        assert cells.text[row][column] == ("+".join([*map(str, radices), *dense]) if radices else "dense")


def test_rows_go_up_from_the_cheapest_to_the_most_accurate(
    on_front: pd.DataFrame, networks: dict[int, Architecture]
) -> None:
    cells = butterfly_figure(on_front, networks).data[0]
    assert [label.split()[0] for label in cells.y] == [f"#{number}" for number in on_front["number"]]
    assert [row[0] for row in cells.customdata] == on_front["number"].tolist()


def test_the_radices_of_a_stage_make_up_all_of_its_fusions(
    on_front: pd.DataFrame, networks: dict[int, Architecture]
) -> None:
    figure = butterfly_figure(on_front, networks)
    _, *radices = figure.data
    assert next(trace.name for trace in radices) == "dense"
    for parts in zip(*(trace.y for trace in radices), strict=True):
        assert sum(parts) == pytest.approx(100)
    counted = sum(count for trace in radices for count in trace.customdata)
    assert counted == sum(bool(layer.fusion) for net in networks.values() for layer in cost(net).layers)


@pytest.fixture(scope="module")
def modern() -> Architecture:
    """A network with fusions of every kind."""
    choices = random.Random(6)
    return (
        SearchSpace.load("modern")
        .within(30_000_000)
        .propose(lambda _, values: choices.choice(list(values)), 30_000_000)
        .architecture
    )


def figure_of(network: Architecture) -> go.Figure:
    row = {"number": 0, "state": "complete", "macs": 30_000_000, "accuracy": 0.5}
    return butterfly_figure(pd.DataFrame([row]), {0: network})


def test_other_fusions_than_dense_and_butterflies_have_names_of_their_own(modern: Architecture) -> None:
    told = {short_fusion(layer.fusion) for layer in cost(modern).layers if layer.fusion}
    assert {name[0] for name in told} == {"d", "b", "g", "l"}
    cells, *bars = figure_of(modern).data
    shown = {name for text in cells.text[0] for name in text.split("+")}
    assert shown - {"", "dense", "d"} == {name.removeprefix("b").replace("l", "L") for name in told - {"d"}}
    assert {"dense", "grouped", "low rank grouped"} < {bar.name for bar in bars}
    for parts in zip(*(bar.y for bar in bars), strict=True):
        assert sum(parts) == pytest.approx(100)


def test_a_cell_has_the_colour_that_the_legend_has_for_most_of_its_macs(modern: Architecture) -> None:
    cells, *bars = figure_of(modern).data
    legend = [(bar.name, bar.marker.color) for bar in bars]
    for stage, at in zip(cells.x, cells.z[0], strict=True):
        spent: dict[str, int] = {}
        for bar in bars_of(modern):
            if bar.fusion and stage_name(bar.slot // 10_000) == stage:
                name = f"radix {bar.text}" if bar.kind == "butterfly" else bar.kind
                spent[name] = spent.get(name, 0) + bar.macs
        name, colour = legend[int(at)]
        assert spent[name] == max(spent.values())
        place = (at - cells.zmin) / (cells.zmax - cells.zmin)
        below = [step for end, step in cells.colorscale if end < place]
        above = [step for end, step in cells.colorscale if end > place]
        assert below[-1] == above[0] == colour
    assert {"low rank grouped"} <= {legend[int(at)][0] for at in cells.z[0]}


def test_the_map_is_told_in_words(on_front: pd.DataFrame, networks: dict[int, Architecture]) -> None:
    assert f"the {len(on_front)} candidates of the front" in alternative(butterfly_figure(on_front, networks))


def test_candidates_without_a_network_are_left_out(
    on_front: pd.DataFrame, networks: dict[int, Architecture]
) -> None:
    some = dict(list(networks.items())[:1])
    assert len(butterfly_figure(on_front, some).data[0].y) == 1
    for nothing in (butterfly_figure(on_front, {}), butterfly_figure(front(pd.DataFrame()), networks)):
        assert alternative(nothing) == "No candidate is on the front yet."
