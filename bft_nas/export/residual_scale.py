"""Scales of butterflies' residuals, moved into the convolutions beside them: an addition is left of each."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from bft_nas.export.folded_butterfly import FoldedButterfly

LEAST, MOST = 1e-4, 1e4
"""A scale beyond these, 0 above all, stays where it is."""


def absorb_scales(network: fx.GraphModule) -> None:
    """Make ``residual_scale`` 1 where a neighbour can take it, in place; what the network does is the same.

    ``s * (B x + x) + b`` is ``(s B / s) x' + x' + b`` of ``x' = s * x``, which the convolution before makes, and
    ``s * ((B x + x) + b / s)``, whose ``s`` the convolutions behind take. Where a ReLU is between, ``s`` has to be
    positive.
    """
    modules = dict(network.named_modules())

    def module(node: fx.Node) -> nn.Module | None:
        return modules.get(str(node.target)) if node.op == "call_module" else None

    for node in network.graph.nodes:
        butterfly = module(node)
        if not isinstance(butterfly, FoldedButterfly) or not butterfly.is_scaled:
            continue
        scale = butterfly.residual_scale
        if not ((scale.abs() > LEAST) & (scale.abs() < MOST)).all():
            continue
        positive = bool((scale > 0).all())
        before = node.args[0]
        if isinstance(module(before), nn.ReLU) and positive and len(before.users) == 1:
            before = before.args[0]
        convolution = module(before)
        square = butterfly.in_channels == butterfly.out_channels
        if square and isinstance(convolution, nn.Conv2d) and len(before.users) == 1:
            _scale_outputs(convolution, scale)
            _unscale_inputs(butterfly, scale)
            continue
        behind = list(node.users)
        if len(behind) == 1 and isinstance(module(behind[0]), nn.ReLU) and positive:
            behind = list(behind[0].users)
        convolutions = [module(user) for user in behind]
        if behind and all(isinstance(each, nn.Conv2d) for each in convolutions):
            for each in convolutions:
                assert isinstance(each, nn.Conv2d)
                _scale_inputs(each, scale[: butterfly.out_channels])
            _unscale_outputs(butterfly, scale)


def _scale_outputs(convolution: nn.Conv2d, scale: Tensor) -> None:
    with torch.no_grad():
        convolution.weight.mul_(scale.view(-1, 1, 1, 1))
        if convolution.bias is not None:
            convolution.bias.mul_(scale)


def _scale_inputs(convolution: nn.Conv2d, scale: Tensor) -> None:
    weight = convolution.weight  # (out, in / groups, kernel, kernel)
    of_groups = scale.view(convolution.groups, 1, weight.shape[1], 1, 1)
    with torch.no_grad():
        weight.view(convolution.groups, -1, *weight.shape[1:]).mul_(of_groups)


def _unscale_inputs(butterfly: FoldedButterfly, scale: Tensor) -> None:
    first = butterfly.stages[0]
    groups, _, columns = first.shape
    with torch.no_grad():
        first.div_(scale.view(columns, groups).t().reshape(groups, 1, columns))
        butterfly.matrix.div_(scale)
        butterfly.residual_scale.fill_(1.0)


def _unscale_outputs(butterfly: FoldedButterfly, scale: Tensor) -> None:
    last = butterfly.stages[-1]
    groups, rows, _ = last.shape
    outputs = scale[: butterfly.out_channels]
    with torch.no_grad():
        last.div_(scale.view(groups, rows, 1))
        butterfly.matrix.div_(outputs[:, None])
        butterfly.bias.div_(outputs)
        butterfly.residual_scale.fill_(1.0)
