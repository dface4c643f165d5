"""The ways of training that the table compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bft_nas.training.confirmation import AUGMENTED


@dataclass(frozen=True)
class Kind:
    """A way of training: what differs from the default protocol."""

    images: int | None
    """To train on; None for all that a long training may use."""
    changes: dict[str, Any]
    divisor: int = 4
    twin: str = ""
    """The kind that trains networks without skips in the same way: in the table they have that one's rows alone."""


KINDS = {
    "long": Kind(None, {"epochs": 5, "zero_residuals": False}),
    "long zero": Kind(None, {"epochs": 5}, twin="long"),
    "proxy": Kind(8_000, {"epochs": 2, "zero_residuals": False}),
    "zero": Kind(8_000, {"epochs": 2}, twin="proxy"),
    "b32": Kind(8_000, {"epochs": 2, "batch_size": 32, "zero_residuals": False}),
    "b32 zero": Kind(8_000, {"epochs": 2, "batch_size": 32}, twin="b32"),
    "b16": Kind(8_000, {"epochs": 2, "batch_size": 16, "learning_rate": 0.1, "zero_residuals": False}),
    "b16 zero": Kind(8_000, {"epochs": 2, "batch_size": 16, "learning_rate": 0.1}, twin="b16"),
    "confirm": Kind(8_000, {"epochs": 8}),
    "fresh confirm": Kind(32_000, {"epochs": 2}),
    "hot": Kind(8_000, {"epochs": 2, "learning_rate": 0.4}),
    "d6 cool": Kind(8_000, {"epochs": 2, "learning_rate": 0.1}, divisor=6),
    "d6 cold": Kind(8_000, {"epochs": 2, "learning_rate": 0.05}, divisor=6),
    "d6": Kind(8_000, {"epochs": 4}, divisor=6),
    "d6 brief": Kind(8_000, {"epochs": 2}, divisor=6),
    "d6 confirm": Kind(8_000, {"epochs": 8}, divisor=6),
    "fresh": Kind(16_000, {"epochs": 1}),
    "d6 once": Kind(16_000, {"epochs": 1}, divisor=6),
    "d6 fresh": Kind(32_000, {"epochs": 1}, divisor=6),
    "d6 fresh confirm": Kind(32_000, {"epochs": 2}, divisor=6),
    "d8": Kind(8_000, {"epochs": 8}, divisor=8),
    "full": Kind(None, {"epochs": 2}, divisor=1),
    "full crop": Kind(None, {"epochs": 2, **AUGMENTED}, divisor=1),
    "d3": Kind(8_000, {"epochs": 2}, divisor=3),
    "d2": Kind(8_000, {"epochs": 2}, divisor=2),
    "d1": Kind(8_000, {"epochs": 2}, divisor=1),
    "d1 once": Kind(16_000, {"epochs": 1}, divisor=1),
    "d2 once": Kind(16_000, {"epochs": 1}, divisor=2),
    "d1 b32": Kind(16_000, {"epochs": 1, "batch_size": 32, "learning_rate": 0.14}, divisor=1),
    "d1 b16": Kind(8_000, {"epochs": 1, "batch_size": 16, "learning_rate": 0.1}, divisor=1),
    "d2 b16": Kind(8_000, {"epochs": 1, "batch_size": 16, "learning_rate": 0.1}, divisor=2),
    "d1 fresh": Kind(32_000, {"epochs": 1}, divisor=1),
    "d3 fresh": Kind(32_000, {"epochs": 1}, divisor=3),
    "d2 fresh": Kind(32_000, {"epochs": 1}, divisor=2),
    "d5": Kind(8_000, {"epochs": 3, "batch_size": 32, "zero_residuals": False}, divisor=5),
}
"""By name. ``full`` is the truth at the deployment resolution (deployed.py), ``long zero`` that of a quarter of it,
by which all else was decided. ``proxy`` is what a search did when the table was begun and ``d6 brief`` what it does
now; ``confirm`` was the confirmation, then ``d6 fresh confirm``, ``d2 fresh`` and ``d1 fresh``, of which it has two
epochs within 60M MACs now, augmented as those of ``full crop`` are, and as trainings to the end; ``d2 once`` was a
quick look. The others differ in steps, learning rate, images or their size."""
