"""Recipes as files: which one is taken, and what a mistake in one's own is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bft_nas.core.errors import UserError
from bft_nas.data.dataset import SMALL_SIDE
from bft_nas.training.plans import SHIPPED, load_plan, plan_for, plan_names
from bft_nas.training.recipe import Recipe

GOOD = "epochs: 3\nbatch_size: 32\nrecipe: {learning_rate: 0.1, averaging: 0.9}\n"


@pytest.mark.parametrize(
    ("images", "side", "name"),
    [
        (2, 224, "thousands"),
        (20_000, 32, "thousands"),
        (20_001, 97, "tens_of_thousands"),
        (20_001, 96, "tens_of_thousands_small"),
        (45_000, 224, "tens_of_thousands"),
        (200_000, 32, "tens_of_thousands_small"),
        (200_001, 32, "millions"),
        (1_281_167, 224, "millions"),
    ],
)
def test_the_number_and_the_size_of_the_images_choose_the_recipe(images: int, side: int, name: str) -> None:
    assert plan_for(images, side).name == name


def test_small_images_are_small_wherever_something_depends_on_it() -> None:
    assert load_plan("tens_of_thousands_small").up_to_side == SMALL_SIDE


def test_the_shipped_ones_average_weights_and_say_what_they_are_for() -> None:
    assert plan_names() == ("thousands", "tens_of_thousands_small", "tens_of_thousands", "millions")
    for name in plan_names():
        assert 0 < load_plan(name).recipe.averaging < 1
        assert (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").startswith("# For ")


@pytest.mark.parametrize("name", plan_names())
def test_few_epochs_change_images_less_and_many_as_the_recipe_says(name: str) -> None:
    plan = load_plan(name)
    assert plan.within(40) is plan
    assert plan.within(1000) is plan
    short = plan.within(10)
    assert short.name == f"{name} with 25% of its augmentation"
    assert short.recipe.crop_area == pytest.approx(1 - 0.25 * (1 - plan.recipe.crop_area))
    assert short.recipe.jitter == pytest.approx(0.25 * plan.recipe.jitter)
    assert short.recipe.erasing == pytest.approx(0.25 * plan.recipe.erasing)


@pytest.mark.parametrize("name", plan_names())
def test_nothing_else_of_a_shipped_recipe_depends_on_the_epochs(name: str) -> None:
    """All that it changes images by is among what few epochs change less; another setting has to join them."""
    plan = load_plan(name)
    of_images = ("rand_operations", "mixup", "cutmix")
    assert {getattr(plan.recipe, field) for field in of_images} == {0}
    rest = {field: getattr(plan.recipe, field) for field in ("crop_area", "jitter", "erasing")}
    assert replace(plan.within(3).recipe, **rest) == plan.recipe


def test_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    plan = load_plan(str(path))
    assert (plan.name, plan.epochs, plan.batch_size) == ("mine", 3, 32)
    assert plan.recipe == Recipe(learning_rate=0.1, averaging=0.9)


@pytest.mark.parametrize("written", ["1e-1", "1E-1", "100e-3", ".1"])
def test_a_number_may_be_written_without_a_point(written: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("0.1", written))
    assert load_plan(str(path)).recipe.learning_rate == 0.1


def test_a_file_may_name_a_precision_or_leave_it_to_the_device(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert load_plan(str(path)).precision is None
    path.write_text(GOOD.replace("averaging: 0.9", "precision: bfloat16"))
    assert load_plan(str(path)).precision == "bfloat16"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected keys and values"),
        ("- epochs", "expected keys and values"),
        ("epochs: [", "no YAML"),
        ("epochs: 3", "key 'batch_size' is missing"),
        (
            GOOD + "colour: red",
            "key 'colour' is unknown; expected epochs, batch_size, recipe, up_to, up_to_side",
        ),
        (GOOD.replace("epochs: 3", "epochs: 0"), "epochs 0: expected a whole number of 1 or more"),
        (GOOD.replace("epochs: 3", "epochs: true"), "epochs True: expected a whole number of 1 or more"),
        (GOOD.replace("averaging", "average"), "recipe: key 'average' is unknown; expected optimiser"),
        (GOOD.replace("0.1", "fast"), "recipe: learning_rate 'fast': expected a number of 0 or more"),
        (GOOD.replace("0.1", "-0.1"), "recipe: learning_rate -0.1: expected a number of 0 or more"),
        (GOOD.replace("0.1", ".inf"), "recipe: learning_rate inf: expected a number of 0 or more"),
        (GOOD.replace("0.1", "-1e-1"), "recipe: learning_rate '-1e-1': expected a number of 0 or more"),
        (GOOD.replace("0.1", "1e999"), "recipe: learning_rate '1e999': expected a number of 0 or more"),
        (GOOD.replace("0.1", "1" + "0" * 400), "recipe: learning_rate 10000"),
        (GOOD.replace("0.1", "1" + "0" * 5000), "no YAML (Exceeds the limit"),
        (GOOD.replace("0.1", "2026-99-99"), "no YAML (month must be in"),
        (
            GOOD.replace("averaging: 0.9", "averaging: 1"),
            "recipe: averaging 1: expected a number from 0 to 0.99",
        ),
        (
            GOOD.replace("averaging: 0.9", "crop_area: 2"),
            "recipe: crop_area 2: expected a number from 0.01 to 1",
        ),
        (GOOD.replace("averaging: 0.9", "patience: 1.5"), "recipe: patience 1.5: expected a whole number"),
        (
            GOOD.replace("averaging: 0.9", "accumulation: 0"),
            "recipe: accumulation 0: expected a number from 1",
        ),
        (GOOD.replace("learning_rate: 0.1", "flip: 1"), "recipe: flip 1: expected true or false"),
        (
            GOOD.replace("learning_rate: 0.1", "optimiser: lion"),
            "recipe: optimiser 'lion': expected sgd or adamw",
        ),
    ],
)
def test_a_mistake_in_it_is_named(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        load_plan(str(path))
    assert str(raised.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("name", ["", "none", "none.yaml", "../thousands", "thousands.yaml"])
def test_one_that_is_not_there_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(
        UserError,
        match=r"not found; expected thousands, tens_of_thousands_small, tens_of_thousands, millions or a \.yaml file",
    ):
        load_plan(name)
