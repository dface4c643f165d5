"""A training as it was at some step, in a file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bft_nas.core.errors import RunError, one_line
from bft_nas.core.files import write_bytes, writing
from bft_nas.training.curve import Epoch

UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError)
"""What torch raises when a file is not what it wrote."""

DAMAGED = ".damaged"
"""The suffix of a checkpoint that was set aside."""


@dataclass(frozen=True)
class Parts:
    """All in a training that changes from step to step; torch's own random state besides."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    """Of the order and the augmentation of the images."""


def state_of(parts: Parts) -> dict[str, Any]:
    """All that changes, by name; `load_state` brings a training back to it."""
    return {
        "model": parts.model.state_dict(),
        "optimiser": parts.optimiser.state_dict(),
        "schedule": parts.schedule.state_dict(),
        "generator": parts.generator.get_state(),
        "random": torch.get_rng_state(),
    }


def load_state(parts: Parts, content: Mapping[str, Any]) -> None:
    """Bring a training back to what `state_of` told of it."""
    parts.model.load_state_dict(content["model"])
    parts.optimiser.load_state_dict(content["optimiser"])
    parts.schedule.load_state_dict(content["schedule"])
    parts.generator.set_state(content["generator"])
    torch.set_rng_state(content["random"])


def write(path: Path, content: Mapping[str, Any], *, durable: bool) -> None:
    """Put the content of a checkpoint in place; whoever is killed meanwhile leaves the file as it was."""
    stored = io.BytesIO()
    torch.save(dict(content), stored)
    write_bytes(path, stored.getvalue(), durable=durable)


def store(path: Path, parts: Parts, curve: Sequence[Epoch], protocol_hash: str) -> None:
    """Write a training that has come as far as its curve, after a whole epoch."""
    content = {"protocol": protocol_hash, "curve": [astuple(row) for row in curve], **state_of(parts)}
    # Not forced to the disk, which can take longer than an epoch: a loss of power costs the training so far.
    write(path, content, durable=False)


def damage_of(path: Path) -> str:
    """What is wrong with a checkpoint, in words; empty when it can be read or there is none."""
    return _damage_in(path) if path.is_file() else ""


def _damage_in(stored: Path | io.BytesIO) -> str:
    try:
        torch.load(stored, map_location="cpu", weights_only=True)["curve"]
    except UNREADABLE as error:
        return f"cannot be read ({one_line(error)[:80]})"
    return ""


def stored_bytes(path: Path) -> bytes | None:
    """Those of a checkpoint; None when there is none.

    Raises:
        RunError: it cannot be read, which may pass: what it holds is not given up for that.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise RunError(f"{path}: cannot be read ({reason}); the training is left as it is") from error


def set_aside_damaged(path: Path) -> str:
    """What is wrong with a checkpoint, in words, which is then beside its place: nothing is to be written over it.

    Empty when it can be read or there is none.

    Raises:
        RunError: see `stored_bytes`.
    """
    stored = stored_bytes(path)
    damage = "" if stored is None else _damage_in(io.BytesIO(stored))
    if damage:
        with writing(path):
            path.replace(path.with_suffix(DAMAGED))
    return damage


def restore(path: Path, parts: Parts, protocol_hash: str) -> tuple[Epoch, ...]:
    """Bring a training to where `store` left it and return the curve of then.

    Empty, with nothing changed, when there is no file, it cannot be read, or it is of another protocol or network.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["protocol"] != protocol_hash:
            return ()
        curve = tuple(Epoch(*row) for row in content["curve"])
        shapes = {name: value.shape for name, value in parts.model.state_dict().items()}
        if shapes != {name: value.shape for name, value in content["model"].items()}:
            return ()
    except UNREADABLE:
        return ()
    load_state(parts, content)
    return curve
