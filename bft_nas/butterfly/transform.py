"""The butterfly transform as a PyTorch module (Alizadeh-Vahid et al., CVPR 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.butterfly.dispatch import chosen_form
from bft_nas.butterfly.forms import Form, is_channels_last
from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.kernels.butterfly import fused_butterfly


def butterfly(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    """Apply a butterfly transform to the rows of ``x``: (n_in, pixels) to (n_out, pixels).

    Stage ``s`` holds one factor x factor block for every group of channels that it mixes, as a tensor of
    shape (groups, outputs, inputs); the shapes are those of `ButterflyTransform`. Each stage contracts the
    leading digit of the channel index and appends the new digit at the end (the order of Stockham's FFT), so
    that every stage is one batched matrix product without a copy, and the channels leave in natural order.
    """
    n_in, pixels = x.shape
    size = min(n_in, n_out)
    chunks = -(-n_in // size)
    if n_in % size:
        x = F.pad(x, (0, 0, 0, chunks * size - n_in))
    if chunks > 1:
        x = x.view(chunks, size, pixels)
        residual = x.sum(0)
        h = x.transpose(0, 1).reshape(size * chunks, pixels)
    else:
        residual = h = x
    last = len(factors) - 1
    for s, (weight, factor) in enumerate(zip(stages, factors, strict=True)):
        groups, rows, columns = weight.shape
        h = h.view(columns, groups, pixels).transpose(0, 1)
        if s == last and n_out <= n_in:
            return torch.baddbmm(residual.view(size // factor, factor, pixels), weight, h).view(n_out, pixels)
        h = torch.bmm(weight, h).view(groups * rows, pixels)
    copies = h.shape[0] // size
    h = (h.view(copies, size, pixels) + residual).view(copies * size, pixels)
    return h[:n_out]


class ButterflyTransform(nn.Module):
    """Fuse channels with a butterfly transform, in place of a 1x1 convolution, at O(n log n), not O(n^2).

    Maps (N, in_channels, *spatial) to (N, out_channels, *spatial), the spatial size divided by ``stride``.
    Any channel counts from 1 and any radix from 2; a residual runs from the input of the first stage to the
    output of the last; there is no normalisation or activation between stages (section 3 of the paper).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        radix: the largest size of a stage; sizes are chosen by `factorize`.
        stride: keep every stride-th pixel, as a strided 1x1 convolution does.
        bias: add a learned bias to each output channel. Off, since batch norm follows in every network here.
        form: ``fused`` is one kernel on the CPU; ``structured`` multiplies stage by stage; ``composed`` multiplies
            the stages into the dense matrix and convolves with it. Results and gradients are the same; ``auto``
            takes the fastest (`bft_nas.butterfly.dispatch`).

    Raises:
        ValueError: a channel count below 1, or a radix below 2; when called, images of other than ``in_channels``.

    >>> fuse = ButterflyTransform(64, 96, radix=4)
    >>> fuse(torch.randn(2, 64, 7, 7)).shape
    torch.Size([2, 96, 7, 7])
    >>> sum(p.numel() for p in fuse.parameters())
    1536
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        radix: int = 4,
        *,
        stride: int = 1,
        bias: bool = False,
        form: Form = "auto",
    ) -> None:
        super().__init__()
        plan = ButterflyPlan(in_channels, out_channels, radix)
        self.in_channels, self.out_channels, self.radix = in_channels, out_channels, radix
        self.factors = plan.factors
        self.stride = stride
        self.form = form
        last = len(plan.factors) - 1
        copies_out = plan.copies if out_channels > in_channels else 1
        copies_in = plan.copies if in_channels > out_channels else 1
        stages = []
        for s, factor in enumerate(plan.factors):
            rows = factor * (copies_out if s == 0 else 1)
            columns = factor * (copies_in if s == last else 1)
            groups = plan.copies * plan.size * factor // (rows * columns)
            stages.append(nn.Parameter(torch.empty(groups, rows, columns)))
        self.stages = nn.ParameterList(stages)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the blocks of all stages as random orthogonal matrices, in balance with the residual.

        Square transforms side by side repeat their residual, so that c of them begin as c near copies of one
        another; their stages therefore start with c times the variance of the residual. The paper's rule, a path's
        product of the mean size of a Xavier-uniform weight, starts them with less than the residual, and such
        networks learn far more slowly.
        """
        copies = ButterflyPlan(self.in_channels, self.out_channels, self.radix).copies
        gain = copies ** (0.5 / len(self.factors))
        with torch.no_grad():
            for weight in self.stages:
                weight.copy_(gain * _orthogonal(*weight.shape))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def dense(self) -> Tensor:
        """The equivalent matrix of a dense 1x1 convolution, (out_channels, in_channels), differentiable."""
        first = self.stages[0]
        identity = torch.eye(self.in_channels, dtype=first.dtype, device=first.device)
        return butterfly(identity, list(self.stages), self.factors, self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = x[(slice(None), slice(None), *(slice(None, None, self.stride) for _ in x.shape[2:]))]
        form = self.form
        if x.shape[1] != self.in_channels:
            raise ValueError(f"expected images of {self.in_channels} channels, not {x.shape[1]}")
        if form == "auto":
            form = chosen_form(x, self)
        if form == "fused":
            # Iterating over a ParameterList takes 4 us, as long as a small transform.
            stages = [*self._modules["stages"]._parameters.values()]  # type: ignore[union-attr]
            return self._biased(fused_butterfly(x, stages, self.factors, self.out_channels))
        return self._biased(self._structured(x) if form == "structured" else self._composed(x))

    def _biased(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias.view(-1, *(1 for _ in y.shape[2:]))

    def _composed(self, x: Tensor) -> Tensor:
        weight = self.dense().view(self.out_channels, self.in_channels, 1, 1)
        if x.dim() == 4:
            return F.conv2d(x, weight)
        pixels = x.shape[2:]
        return F.conv2d(x.reshape(*x.shape[:2], math.prod(pixels), 1), weight).reshape(
            x.shape[0], self.out_channels, *pixels
        )

    def _structured(self, x: Tensor) -> Tensor:
        batch, pixels = x.shape[0], x.shape[2:]
        # A transposed copy of two dimensions is several times faster than the general one of four.
        channels_last = is_channels_last(x)
        if channels_last:
            rows = x.permute(0, 2, 3, 1).reshape(-1, self.in_channels).t().contiguous()
        else:
            rows = x.transpose(0, 1).reshape(self.in_channels, batch * math.prod(pixels))
        y = butterfly(rows, list(self.stages), self.factors, self.out_channels)
        if channels_last:
            return y.t().contiguous().view(batch, *pixels, self.out_channels).permute(0, 3, 1, 2)
        return y.view(self.out_channels, batch, *pixels).transpose(0, 1).contiguous()

    def extra_repr(self) -> str:
        factors = "*".join(map(str, self.factors))
        return f"{self.in_channels}, {self.out_channels}, radix={self.radix}, stages={factors}"


def _orthogonal(blocks: int, rows: int, columns: int) -> Tensor:
    """Random blocks whose rows or columns, whichever are fewer, are orthogonal; all of the longer side's norm."""
    long, short = max(rows, columns), min(rows, columns)
    q: Tensor
    q, r = torch.linalg.qr(torch.randn(blocks, long, short, dtype=torch.float32))
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None] * (long / short) ** 0.5
    return q if rows >= columns else q.transpose(1, 2)
