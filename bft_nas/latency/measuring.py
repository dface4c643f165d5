"""Milliseconds of layers and networks in ONNX Runtime on this machine, one thread, one image.

Of the runs of a graph, interleaved with those of others, the shortest counts, by the processor's time: whatever else a
machine does only ever adds. There are as many as are needed for some to agree on it. A layer is what a graph with
several of them takes longer than one with fewer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.export.onnx_session import session_of
from bft_nas.latency.butterfly_forms import KINDS, Form
from bft_nas.latency.graphs import Graph
from bft_nas.latency.layer_table import whole
from bft_nas.latency.operations import Operation

LEAST_ROUNDS, MOST_ROUNDS = 4, 48
CALLS = 2
"""In a row, of each graph in a round."""
AGREEING, WITHIN = 4, 1.03
"""So many runs take at most so many times as long as the shortest, or there is another round."""
AT_ONCE = 16
"""Layers that are interleaved: more graphs would need more memory."""
SHORTEST = 1e-4
"""Milliseconds of an operation that cannot be told from none."""


def measured_layers(points: Sequence[Operation]) -> dict[Operation, float]:
    """Milliseconds of operations of the grid of `bft_nas.latency.layer_table`."""
    found: dict[Operation, float] = {}
    for start in range(0, len(points), AT_ONCE):
        batch = points[start : start + AT_ONCE]
        pairs = [_graphs_of(whole(point)) for point in batch]
        times = iter(shortest([graph for fewer, more, _ in pairs for graph in (fewer, more)]))
        for point, (_, _, count) in zip(batch, pairs, strict=True):
            fewer, more = next(times), next(times)
            found[point] = max(SHORTEST, (more - fewer) / count)
    return found


def shortest(graphs: Sequence[bytes]) -> list[float]:
    """The milliseconds of the shortest run of each of some ONNX models, in interleaved rounds."""
    runs = [_opened(graph) for graph in graphs]
    times: list[list[float]] = [[] for _ in runs]
    for done in range(MOST_ROUNDS):
        for run, known in zip(runs, times, strict=True):
            if done >= LEAST_ROUNDS and sorted(known)[AGREEING - 1] <= WITHIN * min(known):
                continue
            run()  # Caches are full of another graph's weights.
            for _ in range(CALLS):
                started = time.thread_time()
                run()
                known.append(1000 * (time.thread_time() - started))
    return [min(known) for known in times]


def _opened(graph: bytes) -> Callable[[], Any]:
    session = session_of(graph)
    shape = [1, *session.get_inputs()[0].shape[1:]]  # The number of images may be a name.
    images = {"images": np.random.default_rng(0).standard_normal(shape, np.float32)}
    return lambda: session.run(["logits"], images)


def _graphs_of(operation: Operation) -> tuple[bytes, bytes, int]:
    """A graph with fewer and one with more of an operation, and how many more."""
    count = _count(operation)
    if operation.kind in ("conv", "linear", "column", "row"):
        return _beside(operation, 1), _beside(operation, 1 + count), count
    fewer, more = _CHAINS.get(operation.kind, _CHAINS[""])
    if operation.kind == "subsample":
        count = 1
    return _chain(operation, fewer, count), _chain(operation, more, count), count


def _count(operation: Operation) -> int:
    """As many as take about a fifth of a millisecond, as a clock and a call's own time are nothing beside it."""
    values = operation.out_channels * operation.side**2
    multiplied = 8 if operation.radix else operation.kernel**2 * operation.in_channels / operation.groups
    micros = 1 + values * (1 + multiplied / 8) / 2000
    return max(2, min(12, round(200 / micros)))


def _beside(operation: Operation, count: int) -> bytes:
    """Layers with one input and a sum of outputs, which runtimes add up in the layers themselves."""
    side = operation.side * operation.stride
    shapes: dict[str, tuple[int, ...]] = {"linear": (), "row": (operation.side, side)}
    graph = Graph((operation.in_channels, *shapes.get(operation.kind, (side, side))))
    total = graph.run(operation, "images")
    add = Operation("add", operation.out_channels, operation.out_channels, operation.side)
    for _ in range(count - 1):
        total = graph.run(add, total, graph.run(operation, "images"))
    return graph.model(total)


Link = Callable[[Graph, Operation, str], str]
"""Adds to a graph what is repeated in a chain."""


def _chain(operation: Operation, link: Link, count: int) -> bytes:
    side = operation.side * operation.stride if operation.kind == "subsample" else operation.side
    channels = operation.out_channels
    if operation.kind == "interleave" and link is _half:
        channels //= 2
    graph = Graph((channels, side, side))
    x = "images"
    for _ in range(count):
        x = link(graph, operation, x)
    return graph.model(x)


def _depthwise(graph: Graph, operation: Operation, x: str, channels: int = 0) -> str:
    """What stands before the operation, as most do in networks behind a convolution."""
    channels = channels or operation.out_channels
    x = graph.run(Operation("conv", channels, channels, operation.side, 3, 1, channels), x)
    return str(graph.run(Operation("activation", channels, channels, operation.side, activation="relu"), x))


def _followed(graph: Graph, operation: Operation, x: str) -> str:
    y = _depthwise(graph, operation, x)
    if operation.kind == "activation":
        # In place of that of the convolution.
        channels = operation.out_channels
        y = graph.run(Operation("conv", channels, channels, operation.side, 3, 1, channels), x)
    if operation.kind == "add":
        return str(graph.run(operation, x, y))
    if operation.kind == "max_pool":
        operation = operation._replace(stride=1)
    return str(graph.run(operation, y))


def _staged(stages: int) -> Link:
    """A butterfly of so many stages, all of one size."""

    def link(graph: Graph, operation: Operation, x: str) -> str:
        channels = operation.out_channels
        form = Form(operation.kind.partition("_")[0], (operation.radix,) * stages)
        x = _depthwise(graph, operation, x)
        return graph.staged(x, ButterflyPlan(channels, channels, channels), operation.side, form)

    return link


def _half(graph: Graph, operation: Operation, x: str) -> str:
    return _depthwise(graph, operation, x, operation.out_channels // 2)


def _interleaved(graph: Graph, operation: Operation, x: str) -> str:
    channels = operation.out_channels
    left, right = graph.run(Operation("split", channels, channels // 2, operation.side), x)
    return str(graph.run(operation, left, _half(graph, operation, right)))


def _pointwise(graph: Graph, operation: Operation, x: str) -> str:
    channels = operation.out_channels
    return str(graph.run(Operation("conv", channels, channels, operation.side), x))


def _concatenated(graph: Graph, operation: Operation, x: str) -> str:
    half = Operation("conv", operation.out_channels, operation.out_channels // 2, operation.side)
    return str(graph.run(operation, graph.run(half, x), graph.run(half, x)))


_CHAINS: Mapping[str, tuple[Link, Link]] = {
    **{f"{kind}_ends": (_depthwise, _staged(0)) for kind in KINDS},
    **{f"{kind}_stage": (_staged(1), _staged(2)) for kind in KINDS},
    "interleave": (_half, _interleaved),
    "concat": (_pointwise, _concatenated),
    "": (_depthwise, _followed),
}
"""What is repeated without an operation of a kind, and what with it; the last one is that of all other kinds."""
