"""Which network teaches another one: a trained one of this project, an exported file, or one of timm."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.api.trained import Trained
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.extras import require
from bft_nas.core.files import is_file
from bft_nas.data.division import same_names
from bft_nas.network import Architecture
from bft_nas.record.candidate import ARCHITECTURE
from bft_nas.record.trained_folder import is_trained

if TYPE_CHECKING:
    import torch

    from bft_nas.training.teacher import Teacher

WEIGHT = 0.5
"""Of a teacher's soft targets, where the recipe names none."""
WORDS = ("reference", "widest")
"""Teachers out of a search; see `bft_nas.api.teaching`."""
TIMM = "timm:"
"""Before the name of a network of timm."""


def load_teacher(name: str, classes: tuple[str, ...], *, trained: Path, device: torch.device) -> Teacher:
    """The teacher of a name: a trained network's, ``timm:`` and a name of that package, or the path of a ``model.pt2``.

    Args:
        name: of the teacher.
        classes: of the data, which must be the teacher's.
        trained: where trained networks are.
        device: where it is to compute.

    Raises:
        UserError: there is none, it is not trained to the end, it cannot be read, or it knows other classes.
    """
    check_found(name, trained=trained)
    if name.startswith(TIMM):
        return timm_teacher(name.removeprefix(TIMM), classes, device=device)
    if is_trained(name, trained=trained):
        return trained_teacher(Trained.open(name, trained=trained), classes, device=device)
    from bft_nas.training.teacher import Exported, Teacher

    try:
        model = Exported(Path(name).read_bytes())
        mean, std, known = _metadata(Path(name).with_name("weights.safetensors"))
        size = Architecture.from_json(
            Path(name).with_name(ARCHITECTURE).read_text(encoding="utf-8")
        ).resolution
    except Exception as error:
        raise UserError(f"{_shown(name)}: cannot be read ({one_line(error)[:120]})") from None
    _check_classes(_shown(name), known, classes)
    return Teacher(model, mean, std, size, len(classes), device)


def check_found(name: str, *, trained: Path) -> None:
    """UserError where no teacher of a name can be had, whatever the data; see `load_teacher`."""
    if name.startswith(TIMM):
        require("timm", _shown(name))
    elif is_trained(name, trained=trained):
        found = Trained.open(name, trained=trained)
        if not found.finished:
            raise UserError(
                f"{_shown(name)}: not trained to the end; expected {setting('resume')} {shlex.quote(found.name)} first"
            )
    elif not (name.endswith(".pt2") and is_file(Path(name))):
        raise UserError(
            f"{_shown(name)}: not found; expected a trained network, the model.pt2 of an export, {TIMM}NAME, or "
            f"{' or '.join(WORDS)} of a run"
        )


def check_teacher(trained: Trained, teacher: Teacher) -> None:
    """UserError where a teacher's weights are others than those that a training began with, if these are known."""
    if trained.facts["teacher_digest"] not in {None, teacher.digest}:
        shown = _shown(trained.facts["teacher"])
        raise UserError(f"{shown}: other weights than the training began with; expected those")


def moved_along(place: str, trained: Path) -> str:
    """Where a teacher is that was at a place as `place_of` told it: there, or under its name where networks are now.

    Whether it is the same one is for `check_teacher` to say.
    """
    if place.startswith(TIMM) or is_trained(place) or is_file(Path(place)):
        return place
    now = str((trained / Path(place).name).absolute())
    return now if is_trained(now) else place


def place_of(teacher: str, trained: Path) -> str:
    """Where a teacher is, by a path that still holds in another directory, or its name elsewhere."""
    if teacher.startswith(TIMM):
        return teacher
    found = Trained.open(teacher, trained=trained).folder if is_trained(teacher, trained=trained) else teacher
    return str(Path(found).absolute())


def trained_teacher(found: Trained, classes: tuple[str, ...], *, device: torch.device) -> Teacher:
    """A trained network as a teacher, by its best weights; see `load_teacher`."""
    from bft_nas.training.teacher import Teacher

    _check_classes(_shown(found.name), found.data.classes, classes)
    size = found.architecture.resolution
    return Teacher(found.model(), found.data.mean, found.data.std, size, len(classes), device)


def timm_teacher(name: str, classes: tuple[str, ...], *, device: torch.device) -> Teacher:
    """A pretrained network of timm as a teacher, which may have to be downloaded; see `load_teacher`."""
    from bft_nas.training.teacher import Teacher

    shown = _shown(f"{TIMM}{name}")
    try:
        import timm
        from timm.data import resolve_model_data_config
    except Exception as error:
        raise UserError(f"{shown}: timm cannot be imported ({one_line(error)[:120]})") from None
    try:
        model = timm.create_model(name, pretrained=True).eval()
        config = resolve_model_data_config(model)
    except Exception as error:
        raise UserError(f"{shown}: timm cannot make it ({one_line(error)[:160]})") from None
    known = _classes_of_timm(model)
    if known is not None:
        _check_classes(shown, known, classes)
    elif model.num_classes != len(classes):
        raise UserError(
            f"{shown}: knows {model.num_classes} classes; expected the classes of the data, {_in_short(classes)}"
        )
    _, height, width = config["input_size"]
    return Teacher(model, config["mean"], config["std"], max(height, width), len(classes), device)


def _classes_of_timm(model: Any) -> tuple[str, ...] | None:
    """The classes of a network of timm in the order of its logits: ImageNet's go by WordNet's names.

    None where timm does not know them.
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if named := model.pretrained_cfg.get("label_names"):
        return tuple(map(str, named))
    subset = infer_imagenet_subset(model)
    return tuple(ImageNetInfo(subset).label_names()) if subset else None


def _shown(name: str) -> str:
    return f"{setting('teacher')} '{one_line(name)[:80]}'"


def _check_classes(shown: str, known: tuple[str, ...], classes: tuple[str, ...]) -> None:
    if not same_names(known, classes):
        raise UserError(
            f"{shown}: knows {_in_short(known)}; expected the classes of the data, {_in_short(classes)}"
        )


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
