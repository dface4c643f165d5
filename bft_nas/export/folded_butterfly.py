"""A butterfly transform for inference, with the norm behind it folded in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.butterfly.plan import ButterflyPlan

InferenceForm = Literal["structured", "dense"]
"""``structured``: stage by stage, at the MACs that are counted; ``dense``: a 1x1 convolution by the whole matrix."""


class FoldedButterfly(nn.Module):
    """(N, in, H, W) to (N, out, H, W): a butterfly whose outputs are multiplied by a scale and shifted.

    The scale is in the rows of the last stage and, as its residual is not multiplied by any, in ``residual_scale``.
    """

    bias: Tensor
    residual_scale: Tensor
    matrix: Tensor

    def __init__(
        self,
        stages: list[Tensor],
        plan: ButterflyPlan,
        residual_scale: Tensor,
        bias: Tensor,
        matrix: Tensor,
        form: InferenceForm = "structured",
    ) -> None:
        super().__init__()
        self.plan = plan
        # As numbers: what is traced would round a division of a shape otherwise.
        self.in_channels, self.out_channels = plan.n_in, plan.n_out
        self.size, self.chunks, self.factors = plan.size, plan.chunks, plan.factors
        self.form: InferenceForm = form
        self.stages = nn.ParameterList(nn.Parameter(stage, requires_grad=False) for stage in stages)
        self.register_buffer("residual_scale", residual_scale)  # (copies * size), of which `out` are outputs
        self.register_buffer("bias", bias)  # (out)
        self.register_buffer("matrix", matrix)  # (out, in)

    @classmethod
    def of(
        cls, transform: ButterflyTransform, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Self:
        """That of a transform of stride 1 without a bias, whose outputs are scaled and shifted, (out) each."""
        assert transform.stride == 1
        assert transform.bias is None
        plan = ButterflyPlan(transform.in_channels, transform.out_channels, transform.radix)
        outputs = plan.n_out
        scale = torch.ones(outputs) if scale is None else scale
        shift = torch.zeros(outputs) if shift is None else shift
        stages = [stage.detach().clone() for stage in transform.stages]
        groups, rows, _ = stages[-1].shape
        residual_scale = F.pad(scale, (0, groups * rows - outputs), value=1.0)
        stages[-1] = stages[-1] * residual_scale.view(groups, rows, 1)
        matrix = (transform.dense() * scale[:, None]).detach()
        return cls(stages, plan, residual_scale, shift, matrix)

    @property
    def is_scaled(self) -> bool:
        """Whether the residual is multiplied by anything but 1."""
        return bool((self.residual_scale != 1).any())

    def merged(self, cut: Sequence[int]) -> list[Tensor]:
        """Its stages, each ``cut[i]`` neighbours of them multiplied into one: fewer and larger matrix products.

        A stage of r1 x c1 before one of r2 x c2 is one of (r1 r2) x (c1 c2), (groups, outputs, inputs).

        >>> butterfly = FoldedButterfly.of(ButterflyTransform(64, 64, radix=4))
        >>> [tuple(stage.shape) for stage in butterfly.merged((2, 1))]
        [(4, 16, 16), (16, 4, 4)]
        """
        stages = iter(self.stages)
        merged = []
        for count in cut:
            stage: Tensor = next(stages)
            for _ in range(count - 1):
                stage = _merged(stage, next(stages))
            merged.append(stage)
        return merged

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "dense":
            return F.conv2d(x, self.matrix[:, :, None, None], self.bias)
        batch, _, height, width = x.shape
        rows = x.transpose(0, 1).reshape(self.in_channels, -1)
        y = self._stage_by_stage(rows) + self.bias[:, None]
        return y.view(self.out_channels, batch, height, width).transpose(0, 1)

    def _stage_by_stage(self, x: Tensor) -> Tensor:
        """As `bft_nas.butterfly.transform.butterfly`, (in, pixels) to (out, pixels)."""
        size, chunks, pixels = self.size, self.chunks, x.shape[1]
        if self.in_channels % size:
            x = F.pad(x, (0, 0, 0, chunks * size - self.in_channels))
        residual = h = x
        if chunks > 1:
            x = x.view(chunks, size, pixels)
            residual = x.sum(0)
            h = x.transpose(0, 1).reshape(size * chunks, pixels)
        for weight in self.stages:
            groups, rows, columns = weight.shape
            h = torch.bmm(weight, h.view(columns, groups, pixels).transpose(0, 1)).view(groups * rows, pixels)
        copies = h.shape[0] // size
        scaled = self.residual_scale.view(copies, size, 1) * residual
        return (h.view(copies, size, pixels) + scaled).view(copies * size, pixels)[: self.out_channels]

    def extra_repr(self) -> str:
        factors = "*".join(map(str, self.factors))
        return f"{self.in_channels}, {self.out_channels}, stages={factors}, {self.form}"


def _merged(first: Tensor, second: Tensor) -> Tensor:
    """One stage that does what two do one after the other.

    The first makes channel (b, rest, r1) of (a, b, rest), the second (rest, r1, r2) of that; its groups are (rest, r1),
    those of the first (b, rest), and those of the merged stage rest.
    """
    _, r1, c1 = first.shape
    groups, r2, c2 = second.shape
    rest = groups // r1
    of_first = first.view(c2, rest, r1, c1)
    of_second = second.view(rest, r1, r2, c2)
    merged = torch.einsum("gija,agic->gijca", of_second, of_first)  # (rest, r1, r2, c1, c2)
    return merged.reshape(rest, r1 * r2, c1 * c2)
