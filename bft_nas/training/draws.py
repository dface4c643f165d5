"""Random numbers for the images of a batch, the same for each image however many processes share the batch out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The images of a batch, by their places in it, that one process trains on."""

    first: int
    last: int
    """The place after its last one."""
    whole: int
    """Images of the whole batch."""

    @classmethod
    def all(cls, images: int) -> Share:
        """The whole batch."""
        return cls(0, images, images)

    @property
    def places(self) -> slice:
        """In the batch."""
        return slice(self.first, self.last)

    @property
    def part(self) -> float:
        """Of the batch, 0 to 1."""
        return (self.last - self.first) / self.whole


@dataclass(frozen=True)
class Draws:
    """Draws for a whole batch, of which a process gets those of its own images."""

    generator: torch.Generator
    share: Share

    def uniform(self, rows: int) -> Tensor:
        """So many numbers from 0 to 1 for each image, (rows, images)."""
        return torch.rand(rows, self.share.whole, generator=self.generator)[:, self.share.places]

    def whole(self, lowest: int, highest: int, rows: int) -> Tensor:
        """So many whole numbers for each image, the highest one included, (rows, images)."""
        drawn = torch.randint(lowest, highest + 1, (rows, self.share.whole), generator=self.generator)
        return drawn[:, self.share.places]
