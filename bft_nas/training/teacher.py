"""A trained network whose predictions another one learns from (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.data.images import resize


class Exported(nn.Module):
    """The network of a ``model.pt2``, which other processes can be given."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.graph = torch.export.load(io.BytesIO(content)).module()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.graph(x)
        return logits

    def __reduce__(self) -> tuple[Any, ...]:
        return Exported, (self.content,)


class Teacher:
    """A network with its own way to prepare images.

    Args:
        model: trained, in eval mode.
        mean: of each channel, of pixels from 0 to 1.
        std: the same.
        size: the side of the images that it was trained on, in pixels.
        classes: how many logits are read.
        device: where it computes.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        size: int,
        classes: int,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.mean, self.std = (torch.tensor(each, device=device).view(-1, 1, 1) for each in (mean, std))
        self.size = size
        self.classes = classes

    def to(self, device: torch.device) -> Teacher:
        """The same one on another device."""
        return Teacher(
            self.model,
            self.mean.flatten().tolist(),
            self.std.flatten().tolist(),
            self.size,
            self.classes,
            device,
        )

    @property
    def digest(self) -> str:
        """12 hex digits that change with any weight."""
        found = hashlib.blake2b(digest_size=6)
        for values in self.model.state_dict().values():
            found.update(values.detach().cpu().flatten().view(torch.uint8).numpy())
        return found.hexdigest()

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """The logits (n, classes) for pixels from 0 to 255 (n, channels, height, width)."""
        images = resize(pixels.float(), self.size) / 255
        images = (images.expand(-1, len(self.mean), -1, -1) - self.mean) / self.std
        logits: Tensor = self.model(images)
        return logits[:, : self.classes]


def distillation_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """How far a network's soft predictions (n, classes) are from its teacher's, a mean over the images.

    The Kullback-Leibler divergence at a temperature, times its square, so that gradients keep their size.
    """
    ours = F.log_softmax(logits.float() / temperature, 1)
    theirs = F.log_softmax(taught.float() / temperature, 1)
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
