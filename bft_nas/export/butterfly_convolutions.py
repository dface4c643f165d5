"""Butterflies as 1x1 convolutions, for runtimes of phones: these know no batched product of weights and images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.export.folded_butterfly import FoldedButterfly


class GroupedButterfly(nn.Module):
    """(N, in, H, W) to (N, out, H, W): stages as grouped 1x1 convolutions, each behind a shuffle of channels.

    Args:
        butterfly: whose outputs it computes.
        stages: of `FoldedButterfly.merged`.
    """

    scale: Tensor

    def __init__(self, butterfly: FoldedButterfly, stages: list[Tensor]) -> None:
        super().__init__()
        self.outputs = butterfly.out_channels
        self.size, self.chunks = butterfly.size, butterfly.chunks
        self.padding = self.chunks * self.size - butterfly.in_channels
        rows = len(butterfly.residual_scale)
        self.copies = rows // self.size
        bias = F.pad(butterfly.bias, (0, rows - self.outputs))
        self.groups = tuple(map(len, stages))
        biases = [None] * (len(stages) - 1) + [bias]
        self.stages = nn.ModuleList(
            pointwise(stage.reshape(-1, stage.shape[2]), bias, groups=len(stage))
            for stage, bias in zip(stages, biases, strict=True)
        )
        self.is_scaled = butterfly.is_scaled
        self.register_buffer("scale", butterfly.residual_scale.view(1, -1, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.padding:
            x = F.pad(x, (0, 0, 0, 0, 0, self.padding))
        residual = h = x
        if self.chunks > 1:
            first, *rest = x.chunk(self.chunks, 1)
            residual = first
            for chunk in rest:
                residual = residual + chunk
            h = shuffled(x, self.size)
        for stage, groups in zip(self.stages, self.groups, strict=True):
            h = stage(shuffled(h, groups))
        if self.copies > 1:
            residual = torch.cat([residual] * self.copies, 1)
        h = h + (self.scale * residual if self.is_scaled else residual)
        return h[:, : self.outputs] if h.shape[1] > self.outputs else h


def pointwise(weight: Tensor, bias: Tensor | None, groups: int = 1) -> nn.Conv2d:
    """A 1x1 convolution by a matrix, (outputs, inputs of a group)."""
    outputs, inputs = weight.shape
    convolution = nn.Conv2d(inputs * groups, outputs, 1, groups=groups, bias=bias is not None)
    weight = weight[:, :, None, None].clone(memory_format=torch.contiguous_format)
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        convolution.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return convolution


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channels, of which every ``groups``-th one is of a group, with those of a group side by side."""
    if groups == 1:
        return x
    batch, channels, height, width = x.shape
    x = x.view(batch, channels // groups, groups, height, width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)


def two_stages(butterfly: FoldedButterfly) -> GroupedButterfly | None:
    """A butterfly of the two stages that have the fewest weights; None for one that has a single stage."""
    count = len(butterfly.stages)
    if count == 1:
        return None
    merged = [butterfly.merged((first, count - first)) for first in range(1, count)]
    return GroupedButterfly(butterfly, min(merged, key=lambda stages: sum(map(torch.numel, stages))))
