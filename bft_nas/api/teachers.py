"""Which network teaches another one: a trained one of this project, or an exported file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.api.trained import Trained
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.files import is_file
from bft_nas.network import Architecture
from bft_nas.record.trained import ARCHITECTURE, is_trained

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bft_nas.training.teacher import Teacher

WEIGHT = 0.5
"""Of a teacher's soft targets, where the recipe names none."""


def load_teacher(name: str, classes: tuple[str, ...], *, trained: Path, device: torch.device) -> Teacher:
    """The teacher of a name: a trained network's, or the path of a ``model.pt2`` in the folder of an export.

    Args:
        name: of the teacher.
        classes: of the data, which must be the teacher's.
        trained: where trained networks are.
        device: where it is to compute.

    Raises:
        UserError: there is none, it cannot be read, or it knows other classes.
    """
    from bft_nas.training.teacher import Exported, Teacher

    model: nn.Module
    shown = f"{setting('teacher')} '{one_line(name)[:80]}'"
    if is_trained(name, trained=trained):
        found = Trained.open(name, trained=trained)
        model, known = found.model(), found.data.classes
        mean, std, size = found.data.mean, found.data.std, found.architecture.resolution
    elif name.endswith(".pt2") and is_file(Path(name)):
        try:
            model = Exported(Path(name).read_bytes())
            mean, std, known = _metadata(Path(name).with_name("weights.safetensors"))
            size = Architecture.from_json(
                Path(name).with_name(ARCHITECTURE).read_text(encoding="utf-8")
            ).resolution
        except Exception as error:
            raise UserError(f"{shown}: cannot be read ({one_line(error)[:120]})") from None
    else:
        raise UserError(f"{shown}: not found; expected a trained network, or the model.pt2 of an export")
    if known != classes:
        raise UserError(
            f"{shown}: knows {_in_short(known)}; expected the classes of the data, {_in_short(classes)}"
        )
    return Teacher(model, mean, std, size, len(classes), device)


def _metadata(weights: Path) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Mean, standard deviation and classes that an export has noted."""
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        content = file.metadata()
    normalisation = json.loads(content["normalisation"])
    return tuple(normalisation["mean"]), tuple(normalisation["std"]), tuple(json.loads(content["classes"]))


def _in_short(classes: tuple[str, ...]) -> str:
    return ", ".join(map(one_line, classes[:3])) + (
        f" and {len(classes) - 3} more" if len(classes) > 3 else ""
    )
