"""Graphs that are timed are those of networks as they are exported, with other weights."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from bft_nas.export.inference import inference_network
from bft_nas.latency.butterfly_forms import DENSE_FORM, Form, forms_of
from bft_nas.latency.graphs import FormOf, network_graph
from bft_nas.latency.operations import Operation
from bft_nas.network import Architecture, Head, Stem, build
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.space.space import SearchSpace

NODES = {
    "Conv2d": "Conv",
    "Linear": "Gemm",
    "Hardswish": "HardSwish",
    "Hardsigmoid": "HardSigmoid",
    "SiLU": "Sigmoid",
}
"""Modules of a network for inference, and the nodes that they are exported as."""


def network_of(space: str) -> Architecture:
    return SearchSpace.load(space).sample(random.Random(5), 8_000_000).architecture


@pytest.mark.parametrize("space", ["mobilenet_v1", "shufflenet_v2", "mobilenet_v3"])
def test_a_graph_has_the_layers_of_the_network_that_is_exported(space: str) -> None:
    import onnx

    network = network_of(space)
    exported = inference_network(build(network).eval(), network)
    modules = [
        exported.get_submodule(node.target) for node in exported.graph.nodes if node.op == "call_module"
    ]
    wanted = Counter(NODES.get(type(module).__name__, "") for module in modules)
    wanted["Conv"] += sum(type(module).__name__ == "FoldedButterfly" for module in modules)
    graph = onnx.load_from_string(network_graph(network, lambda operation: DENSE_FORM)).graph
    found = Counter(node.op_type for node in graph.node)
    assert {kind: found[kind] for kind in NODES.values()} == {kind: wanted[kind] for kind in NODES.values()}


@pytest.mark.parametrize("space", ["shufflenet_v2", "mobilenet_v3", "modern", "tiny"])
@pytest.mark.parametrize("kind", ["dense", "matmul", "grouped"])
def test_a_graph_runs_in_any_form_of_its_butterflies(space: str, kind: str) -> None:
    def form_of(operation: Operation) -> Form:
        forms = [form for form in forms_of(operation) if form.kind == kind]
        return forms[0] if forms else DENSE_FORM

    check_run(network_of(space), form_of)


def test_a_factorised_stem_and_an_activation_that_learns_run_too() -> None:
    stem = Stem(32, activation="acon_c", factorised=True)
    row = SeparableBlock(32, activation="acon_c", squeeze=8, depthwise_form="residual")
    head = Head(64, hidden=32, activation="acon_c")
    check_run(Architecture("any", 32, stem, (row,), head, classes=10), lambda operation: DENSE_FORM)


def test_images_of_one_pixel_are_no_vectors() -> None:
    row = SeparableBlock(32, stride=2, activation="acon_c")
    head = Head(64, hidden=32, activation="acon_c")
    network = Architecture("any", 2, Stem(32, stride=2), (row,), head, classes=10)
    check_run(network, lambda operation: DENSE_FORM)


def check_run(network: Architecture, form_of: FormOf) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        network_graph(network, form_of), options, providers=["CPUExecutionProvider"]
    )
    shape = (1, network.in_channels, network.resolution, network.resolution)
    (logits,) = session.run(
        ["logits"], {"images": np.random.default_rng(0).standard_normal(shape, np.float32)}
    )
    assert logits.shape == (1, network.classes)
    # Values that are lost on the way, or too small for the processor, would be timed too.
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() > 1e-6
