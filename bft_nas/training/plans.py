"""How long a training to the end takes, and by which recipe: YAML files, of which the images choose one.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.files import is_file, read_text
from bft_nas.training.recipe import Precision, Recipe

SHIPPED = Path(__file__).parent / "recipes"
SETTLED = 40
"""Epochs from which on images are changed as much as a shipped recipe says: by six of them MobileNetV3-Small within 15M
MACs loses 3.8 points when it is all of that (docs/results.md)."""
_PART = (0.0, 1.0)
LIMITS: Mapping[str, tuple[float, float]] = {
    "momentum": (0.0, 0.999),
    "warmup": (0.0, 0.9),
    "label_smoothing": _PART,
    "shift": _PART,
    "crop_area": (0.01, 1.0),
    "rand_operations": (0, 20),
    "rand_strength": _PART,
    "jitter": _PART,
    "erasing": _PART,
    "averaging": (0.0, 0.999999),
    "accumulation": (1, 10_000),
    "growth": (0.1, 1.0),
    "distillation": _PART,
    "temperature": (0.01, 1000.0),
}
"""Of numbers that have any besides 0."""


@dataclass(frozen=True)
class Plan:
    """The content of a file in ``recipes/``."""

    name: str
    epochs: int
    batch_size: int
    recipe: Recipe
    precision: Precision | None = None
    """Where the file names one; it is the device's otherwise."""
    up_to: float = math.inf
    """Training images that it is meant for, at most."""
    up_to_side: float = math.inf
    """Their pixels a side, at most."""

    def within(self, epochs: int) -> Plan:
        """This one in so many epochs: when they are few, images are changed as much less, and the name says so.

        >>> plan_for(45_000, 160).within(10).name
        'tens_of_thousands with 25% of its augmentation'
        """
        part = min(1.0, epochs / min(SETTLED, self.epochs))
        if part == 1:
            return self
        changed = replace(
            self.recipe,
            crop_area=1 - part * (1 - self.recipe.crop_area),
            jitter=part * self.recipe.jitter,
            erasing=part * self.recipe.erasing,
        )
        return replace(self, name=f"{self.name} with {part:.0%} of its augmentation", recipe=changed)


def plan_names() -> tuple[str, ...]:
    """Those that are shipped, the one for the fewest and smallest images first."""
    return tuple(plan.name for plan in _shipped())


def plan_for(images: int, side: int) -> Plan:
    """The shipped one that is meant for so many training images of so many pixels a side.

    >>> plan_for(45_000, 160).name
    'tens_of_thousands'
    """
    return next(plan for plan in _shipped() if images <= plan.up_to and side <= plan.up_to_side)


def load_plan(name: str) -> Plan:
    """A shipped one by name, or a user's own .yaml file.

    Raises:
        UserError: there is none, or a key or a value of it is not what is expected; the message names it.
    """
    if is_file(SHIPPED / f"{name}.yaml") and Path(name).name == name:
        return _read(SHIPPED / f"{name}.yaml")
    if not name.endswith((".yaml", ".yml")) or not is_file(Path(name)):
        shipped = ", ".join(plan_names())
        shown = f"{setting('recipe')} '{one_line(name)[:80]}'"
        raise UserError(f"{shown}: not found; expected {shipped} or a .yaml file")
    return _read(Path(name))


def _shipped() -> list[Plan]:
    return sorted(map(_read, SHIPPED.glob("*.yaml")), key=lambda plan: (plan.up_to, plan.up_to_side))


def _read(path: Path) -> Plan:
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
    # ValueError: a number or a date that Python has none for.
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: no YAML ({one_line(error)[:120]})") from None
    names = [each.name for each in fields(Plan) if each.name not in ("name", "precision")]
    content = _keys(content, names, str(path))
    missing = [name for name in ("epochs", "batch_size", "recipe") if name not in content]
    if missing:
        raise UserError(f"{path}: key '{missing[0]}' is missing")
    for name in ("epochs", "batch_size", "up_to", "up_to_side"):
        value = content.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(
                f"{path}: {name} {one_line(repr(value))[:40]}: expected a whole number of 1 or more"
            )
    recipe = _keys(content["recipe"], [each.name for each in fields(Recipe)], f"{path}: recipe")
    kinds = get_type_hints(Recipe)
    for name, value in recipe.items():
        recipe[name] = _checked(kinds[name], value, f"{path}: recipe: {name}")
        if name in LIMITS and not LIMITS[name][0] <= recipe[name] <= LIMITS[name][1]:
            lowest, highest = LIMITS[name]
            raise UserError(
                f"{path}: recipe: {name} {value}: expected a number from {lowest:g} to {highest:g}"
            )
    precision = recipe.get("precision")
    return Plan(path.stem, **{**content, "recipe": Recipe(**recipe), "precision": precision})


def _keys(content: Any, names: list[str], where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected keys and values")
    for key in content:
        if key not in names:
            raise UserError(
                f"{where}: key '{one_line(str(key))[:40]}' is unknown; expected {', '.join(names)}"
            )
    return dict(content)


def _checked(kind: Any, value: Any, where: str) -> Any:
    shown = one_line(repr(value))[:40]
    if kind is bool:
        if not isinstance(value, bool):
            raise UserError(f"{where} {shown}: expected true or false")
    elif kind is int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UserError(f"{where} {shown}: expected a whole number of 0 or more")
    elif kind is float:
        number = _number(value)
        if not 0 <= number < math.inf:
            raise UserError(f"{where} {shown}: expected a number of 0 or more")
        return number
    elif value not in get_args(kind):
        raise UserError(f"{where} {shown}: expected {' or '.join(get_args(kind))}")
    return value


def _number(value: Any) -> float:
    """NaN for what is none. YAML 1.1 takes a number without a point, such as 1e-1, for a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
