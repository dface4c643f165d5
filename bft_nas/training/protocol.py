"""The protocol: everything that makes two accuracies comparable. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import bft_nas
from bft_nas.core.errors import UserError
from bft_nas.training.recipe import Recipe

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset

SCHEMA = 5
"""Of `Protocol.to_dict`. The first one, without a number, had the recipe's fields among its own; the second one had no
``zero_residuals``, the third one nothing of what only trainings to the end do, and the fourth one less of it."""
DIVISORS = {6: 128, 2: 64}
"""Divisors of a proxy's resolution, each with the least deployment resolution, in pixels, that it is meant for. At 128
to 224 pixels 6 ranks networks as well as 4 does, in two thirds of the time (benchmarks/results/table.md)."""
ADDED: Mapping[int, Mapping[str, Any]] = {
    2: {"optimiser": "sgd", "nesterov": True, "schedule": "cosine"},
    3: {"zero_residuals": False},
    4: {
        **{"balance": False, "crop_area": 1.0, "jitter": 0.0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0},
        **{"averaging": 0.0, "clip": 0.0, "distillation": 0.0, "temperature": 4.0},
    },
    5: {
        **{"rand_operations": 0, "rand_strength": 0.3, "accumulation": 1, "growth": 1.0, "patience": 0},
        **{"compiled": False, "sync_norms": False},
    },
}
"""The recipe's fields that came with a schema, as every earlier one trained."""
ALWAYS: Mapping[str, Any] = {name: value for added in ADDED.values() for name, value in added.items()}
"""What earlier schemas had no field for: it enters a hash where it differs, so that what was always trained alike
keeps its hash."""


@dataclass(frozen=True)
class Protocol:
    """How a candidate is trained and evaluated. Accuracies under different hashes do not compare."""

    data: str
    data_digest: str
    data_classes: int
    train_images: int
    validation_images: int
    resolution_divisor: int
    """A candidate for 224x224 images is trained on images of 224/divisor pixels on a side."""
    epochs: int = 2
    batch_size: int = 64
    norm_images: int = 1024
    """Training images over which batch norm's statistics are taken before each validation. The running average of
    a short training lags behind the weights: after 36 steps it puts nearly all images into one class."""
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    torch_version: str = field(default_factory=partial(version, "torch"))
    bft_nas_version: str = bft_nas.__version__

    @classmethod
    def of(cls, dataset: Dataset, resolution_divisor: int, **others: Any) -> Protocol:
        """The protocol for a dataset; ``others`` are fields of it or of its recipe, the rest are defaults."""
        recipe = {name: others.pop(name) for name in _names(Recipe) & others.keys()}
        return cls(
            data=dataset.name,
            data_digest=dataset.digest,
            data_classes=len(dataset.classes),
            train_images=len(dataset.train.labels),
            validation_images=len(dataset.validation.labels),
            resolution_divisor=resolution_divisor,
            recipe=Recipe(**recipe),
            **others,
        )

    @property
    def hash(self) -> str:
        """12 hex digits that stand for all of the fields, those of the recipe included."""
        content = self.flat()
        for name, value in ALWAYS.items():
            if content[name] == value:
                del content[name]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def proxy_resolution(self, resolution: int) -> int:
        """The side in pixels of the images that stand for those of a deployment resolution."""
        return round(resolution / self.resolution_divisor)

    def flat(self) -> dict[str, Any]:
        """Every field by name, those of the recipe among the others."""
        content = asdict(self)
        content.update(content.pop("recipe"))
        return content

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Protocol:
        """The inverse of `to_dict`, for every schema so far; UserError when keys are missing or unknown."""
        given = dict(content)
        schema = given.pop("schema", 1)
        if schema not in range(1, SCHEMA + 1):
            raise UserError(f"protocol: schema {schema!r} is of a later version; expected at most {SCHEMA}")
        if schema == 1:
            recipe = {name: given.pop(name) for name in _names(Recipe) & given.keys()}
            given["recipe"] = recipe
        _check(given, _names(cls))
        if not isinstance(given["recipe"], Mapping):
            raise UserError("protocol: recipe: expected keys and values")
        for later in range(schema + 1, SCHEMA + 1):
            given["recipe"] = {**ADDED[later], **given["recipe"]}
        _check(given["recipe"], _names(Recipe))
        return cls(**{**given, "recipe": Recipe(**given["recipe"])})


def _names(kind: type[Protocol] | type[Recipe]) -> set[str]:
    return {field.name for field in fields(kind)}


def _check(content: Mapping[str, Any], names: set[str]) -> None:
    odd = sorted(set(content) ^ names)
    if odd:
        raise UserError(
            f"protocol: key '{odd[0]}' is missing or unknown; expected {', '.join(sorted(names))}"
        )


def default_divisor(resolutions: tuple[int, ...]) -> int:
    """By how much a proxy shrinks these deployment resolutions: the first of `DIVISORS` meant for all, or 1."""
    return next((divisor for divisor, least in DIVISORS.items() if min(resolutions) >= least), 1)
