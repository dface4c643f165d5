"""What rows of every kind of block cost, many at once: the closed forms against the layers one by one."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.network import BLOCKS, Block
from bft_nas.network.blocks import ROOT, chosen_arrays
from bft_nas.network.checks import Activation
from bft_nas.network.widths import width_grid
from tests.network.rows import chosen_for

GRID_WIDTHS = st.sampled_from((*width_grid()[:60], *width_grid()[-60:]))


@pytest.mark.parametrize("kind", BLOCKS.values(), ids=BLOCKS.keys())
@given(data=st.data())
def test_the_closed_form_of_a_kind_counts_what_its_layers_do(kind: type[Block], data: st.DataObject) -> None:
    stride = data.draw(st.sampled_from([stride for stride in (1, 2) if kind.first_stride[0](stride)]))
    repeats = data.draw(st.booleans())
    drawn = [
        data.draw(st.tuples(chosen_for(kind), GRID_WIDTHS, GRID_WIDTHS, st.integers(1, 300)))
        for _ in range(5)
    ]
    if repeats:
        # Rows behind the first one of a stage keep its channels.
        stride, drawn = 1, [(chosen, channels, channels, size) for chosen, _, channels, size in drawn]
    chosen, in_channels, channels, sizes = zip(*drawn, strict=True)
    activation = data.draw(st.sampled_from(get_args(Activation)))
    arrays = chosen_arrays(kind.choices, chosen, activation)
    count = kind.counts(arrays, np.array(in_channels), np.array(channels), stride, np.array(sizes))
    for row, (each, entering, leaving, size) in enumerate(drawn):
        block = kind.chosen(each, entering, leaving, stride, activation, stage=0)
        layers = list(block.layers(entering, size))
        assert count.macs[row] == sum(layer.macs for layer in layers)
        assert count.params[row] == sum(layer.params for layer in layers)


def test_a_radix_may_follow_a_width_of_large_prime_factors() -> None:
    """An expansion leaves the grid of widths: here to 13,864 channels, 8 times a prime."""
    kind, channels, size = BLOCKS["inverted"], 13824, np.array([1])
    chosen = {"kernel": 3, "expansion": 1.003, "squeeze_excite": False, "fusion": "butterfly", "radix": ROOT}
    arrays = chosen_arrays(kind.choices, [chosen])
    count = kind.counts(arrays, np.array([channels]), np.array([2 * channels]), 1, size)
    row = kind.chosen(chosen, channels, 2 * channels, 1, "relu", stage=0)
    assert "butterfly-1733" in map(str, row.to_dict().values())
    assert count.macs == sum(layer.macs for layer in row.layers(channels, 1))
