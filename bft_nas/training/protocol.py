"""The protocol: everything that makes two accuracies comparable. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import bft_nas
from bft_nas.core.errors import UserError

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset

SMALLEST_PROXY = 32
"""Pixels on a side below which a network of five halvings is left with a single pixel."""


@dataclass(frozen=True)
class Protocol:
    """How a candidate is trained and evaluated. Accuracies under different hashes do not compare.

    Learning rates follow the shape of a layer, so that neither width nor fusion decides how far a step of gradient
    descent moves a network (measured by ``benchmarks/fusion_fairness.py``):

    - A step on the classifier moves the logits by its learning rate times the squared norm of its input, which grows
      with its inputs: the step is divided by their number. Otherwise wide networks, as butterflies afford, overshoot.
    - A butterfly of n channels reaches only the directions of its own weights, a fraction of weights / n² of a dense
      layer's gradient: its learning rate is divided by that fraction. And it has no weight decay, which shrinks the
      product along a path by every edge.
    """

    data: str
    data_digest: str
    data_classes: int
    train_images: int
    validation_images: int
    resolution_divisor: int
    """A candidate for 224x224 images is trained on images of 224/divisor pixels on a side."""
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.2
    butterfly_rate: float = 0.5
    """Learning rate of butterfly weights over that of all others, times the weights of a dense layer over theirs."""
    classifier_rate: float = 16.0
    """Learning rate of the classifier over that of all others, times the number of its inputs."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.15
    """Part of all steps over which the learning rate rises linearly; then it falls to zero along a cosine."""
    label_smoothing: float = 0.05
    norm_images: int = 1024
    """Training images over which batch norm's statistics are taken before each validation. The running average of
    a short training lags behind the weights: after 36 steps it puts nearly all images into one class."""
    flip: bool = True
    shift: float = 1 / 14
    """Largest random shift, as a part of the image's side."""
    precision: str = "float32"
    """``float32``, or ``bfloat16`` for autocast on CUDA."""
    seed: int = 0
    torch_version: str = field(default_factory=partial(version, "torch"))
    bft_nas_version: str = bft_nas.__version__

    @classmethod
    def of(cls, dataset: Dataset, resolution_divisor: int, **others: Any) -> Protocol:
        """The protocol for a dataset, the defaults where ``others`` names nothing else."""
        return cls(
            data=dataset.name,
            data_digest=dataset.digest,
            data_classes=len(dataset.classes),
            train_images=len(dataset.train.labels),
            validation_images=len(dataset.validation.labels),
            resolution_divisor=resolution_divisor,
            **others,
        )

    @property
    def hash(self) -> str:
        """12 hex digits that stand for all of the fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def proxy_resolution(self, resolution: int) -> int:
        """The side in pixels of the images that stand for those of a deployment resolution."""
        return round(resolution / self.resolution_divisor)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Protocol:
        """The inverse of `to_dict`; raises UserError when keys are missing or unknown."""
        names = {field.name for field in fields(cls)}
        if set(content) != names:
            odd = sorted(set(content) ^ names)
            raise UserError(
                f"protocol: key '{odd[0]}' is missing or unknown; expected {', '.join(sorted(names))}"
            )
        return cls(**content)


def default_divisor(resolutions: tuple[int, ...]) -> int:
    """By how much a proxy may shrink these deployment resolutions: 4, 2 or 1, so that `SMALLEST_PROXY` is left."""
    return next((d for d in (4, 2) if min(resolutions) >= d * SMALLEST_PROXY), 1)
