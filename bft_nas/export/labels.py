"""What goes along with every file of a network: the names of its classes, and what its images are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bft_nas.core.errors import UserError
from bft_nas.network import Architecture
from bft_nas.network.build import Normalisation


def labels(
    architecture: Architecture, classes: Sequence[str] = (), normalisation: Normalisation | None = None
) -> dict[str, Any]:
    """The content of ``config.json``.

    Args:
        architecture: the network.
        classes: names of the trained outputs, which are the first ones.
        normalisation: mean and standard deviation of each channel, as in training, for images in [0, 1].

    Raises:
        UserError: more names than outputs; a mean or standard deviation that does not fit the channels.
    """
    size = [architecture.in_channels, architecture.resolution, architecture.resolution]
    found: dict[str, Any] = {
        "architecture": architecture.hash,
        "input_size": size,
        "outputs": architecture.classes,
    }
    if normalisation is not None:
        mean, std = (list(map(float, values)) for values in normalisation)
        _check_normalisation(architecture, (mean, std))
        found["normalisation"] = {"mean": mean, "std": std}
    if len(classes) > architecture.classes:
        raise UserError(f"classes: {len(classes)} names for a network of {architecture.classes} outputs")
    if classes:
        found["classes"] = list(classes)
    return found


def metadata(labels: Mapping[str, Any]) -> dict[str, str]:
    """Labels as formats hold them that have a text for each name; all but the architecture's hash as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in labels.items()}


def note_in_onnx(path: Path, labels: Mapping[str, Any]) -> None:
    """Have an ONNX file hold labels, as ``metadata_props``."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata(labels))
    onnx.save(model, path)


def _check_normalisation(architecture: Architecture, normalisation: Normalisation) -> None:
    for name, values in zip(("mean", "standard deviation"), normalisation, strict=True):
        if len(values) != architecture.in_channels or not all(map(math.isfinite, values)):
            raise UserError(
                f"normalisation: expected a {name} for each of {architecture.in_channels} channels, got {values}"
            )
    if not all(value > 0 for value in normalisation[1]):
        raise UserError(f"normalisation: expected standard deviations above 0, got {normalisation[1]}")
