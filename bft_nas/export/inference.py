"""A trained network as its inference needs it: a graph without norms, each folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bft_nas.butterfly import ButterflyTransform
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.sums import fold_sums
from bft_nas.network import Architecture
from bft_nas.network.modules.layers import AconC


def inference_network(network: nn.Module, architecture: Architecture) -> fx.GraphModule:
    """A copy of a network for inference, as a graph whose modules are layers, butterflies and activations.

    Each batch norm is folded into the convolution or butterfly before it, each butterfly is a `FoldedButterfly`, and
    what does nothing is gone. Nodes have the shape for one image in ``meta["tensor_meta"]``.

    Args:
        network: in eval mode; it is left as it is.
        architecture: what it was built from.
    """
    network = copy.deepcopy(network)
    fold_sums(network)
    graph = _Tracer().trace(network)
    modules: dict[str, nn.Module] = dict(network.named_modules())
    layers: dict[str, nn.Module] = {}
    for node in list(graph.nodes):
        if node.op != "call_module":
            continue
        module = modules[node.target]
        if isinstance(module, nn.BatchNorm2d):
            before = node.args[0]
            layers[before.target] = _folded(layers[before.target], module)
        elif not isinstance(module, nn.Identity):
            layers[node.target] = module
            continue
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    for name, module in layers.items():
        if isinstance(module, ButterflyTransform):
            layers[name] = FoldedButterfly.of(module)
    inference = fx.GraphModule(layers, graph, type(network).__name__).eval().requires_grad_(False)
    side = architecture.resolution
    with torch.no_grad():
        ShapeProp(inference).propagate(torch.zeros(1, architecture.in_channels, side, side))
    return inference


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ButterflyTransform | AconC) or super().is_leaf_module(m, module_qualified_name)


def _folded(layer: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm)
    assert isinstance(layer, ButterflyTransform)
    return FoldedButterfly.of(layer, *scale_and_shift(norm))


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch norm multiplies each channel by in eval mode, and what it then adds."""
    values: dict[str, Any] = dict(norm.named_parameters()) | dict(norm.named_buffers())
    scale = values["weight"] * torch.rsqrt(values["running_var"] + norm.eps)
    return scale.detach(), (values["bias"] - values["running_mean"] * scale).detach()
