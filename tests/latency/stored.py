"""A small table of layers as plain data: it stands in for what is measured on a machine."""

from __future__ import annotations

from bft_nas.latency.layer_table import LayerTable
from bft_nas.latency.prediction import Fit, Predictor

# Kind, channels in and out, side, kernel, stride, groups, radix, squeeze, activation, milliseconds; other points are
# taken to be in proportion.
ROWS = [
    ["conv", 3, 16, 56, 3, 2, 1, 0, 0, "", 0.05],
    ["conv", 64, 64, 14, 1, 1, 1, 0, 0, "", 0.03],
    ["conv", 0, 64, 14, 3, 1, 0, 0, 0, "", 0.02],
    ["conv", 64, 64, 14, 1, 1, 2, 0, 0, "", 0.04],
    ["matmul_ends", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.02],
    ["matmul_stage", 0, 64, 14, 1, 1, 1, 4, 0, "", 0.02],
    ["grouped_ends", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.01],
    ["grouped_stage", 0, 64, 14, 1, 1, 1, 4, 0, "", 0.03],
    ["linear", 512, 512, 1, 1, 1, 1, 0, 0, "", 0.03],
    ["squeeze_excite", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.03],
    ["activation", 0, 64, 14, 1, 1, 1, 0, 0, "hard_swish", 0.01],
    ["activation", 0, 64, 14, 1, 1, 1, 0, 0, "silu", 0.02],
    ["activation", 0, 64, 14, 1, 1, 1, 0, 0, "acon_c", 0.04],
    ["column", 3, 8, 56, 3, 2, 1, 0, 0, "", 0.05],
    ["row", 0, 32, 56, 3, 2, 0, 0, 0, "", 0.05],
    ["add", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.001],
    ["interleave", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.02],
    ["concat", 0, 64, 14, 1, 1, 1, 0, 0, "", 0.01],
    ["channel_shuffle", 0, 64, 14, 1, 1, 2, 0, 0, "", 0.02],
    ["max_pool", 0, 32, 56, 3, 2, 1, 0, 0, "", 0.05],
    ["subsample", 0, 64, 14, 1, 2, 1, 0, 0, "", 0.01],
]


def stored_table() -> LayerTable:
    """All kinds of operations, a point each."""
    return LayerTable.from_dict(
        {"runtime": "onnxruntime", "version": "0", "machine": "a machine", "points": ROWS}
    )


def stored_predictor() -> Predictor:
    """By that table, with a tenth of a millisecond for each call."""
    return Predictor(stored_table(), Fit({"": 1.1}, 0.1), error=0.05, networks=30)
