"""RandAugment: each of its operations does what its name says, to some images of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bft_nas.data.dataset import load_dataset
from bft_nas.training.augment import augment
from bft_nas.training.draws import Draws, Share
from bft_nas.training.randaugment import OPERATIONS, randaugment
from bft_nas.training.recipe import Recipe

GEOMETRIC = ("rotate", "shear-x", "shear-y", "shift-x", "shift-y")


def photos(count: int = 8) -> Tensor:
    """Of clothes, with a colour each."""
    grey = torch.from_numpy(load_dataset("fashion-mnist", size=28, images=10).train.images[:count])
    tints = torch.linspace(0.2, 1, 3 * count).view(count, 3, 1, 1)
    return grey.permute(0, 3, 1, 2).float() * tints + 20 * (1 - tints)


def changed(name: str, pixels: Tensor, strength: float) -> Tensor:
    return OPERATIONS[name](pixels, torch.full((len(pixels), 1, 1, 1), strength))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_an_operation_keeps_shape_and_range_and_forgets_no_image(name: str, channels: int) -> None:
    pixels = photos()[:, :channels]
    for strength in (-1.0, -0.3, 0.3, 1.0):
        found = changed(name, pixels, strength)
        assert found.shape == pixels.shape
        assert float(found.min()) >= 0
        assert float(found.max()) <= 255.001
        alone = torch.cat([changed(name, each[None], strength) for each in pixels])
        assert torch.allclose(found, alone, atol=1e-3)


@pytest.mark.parametrize(
    "name", sorted({*OPERATIONS} - {"autocontrast", "equalize", "solarize", "posterize"})
)
def test_without_strength_nothing_changes(name: str) -> None:
    pixels = photos()
    assert torch.allclose(changed(name, pixels, 0.0), pixels, atol=1e-2)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_what_moves_moves_the_other_way_with_the_other_sign(name: str) -> None:
    line = torch.linspace(-1, 1, 33)
    spot = 255 * torch.exp(-20 * ((line[:, None] - 0.3) ** 2 + (line[None, :] + 0.2) ** 2))
    there = changed(name, spot.expand(1, 1, -1, -1), 0.4)
    back = changed(name, there, -0.4)
    assert float((there - spot).abs().max()) > 20
    assert float((back - spot).abs().mean()) < 0.25 * float((there - spot).abs().mean())


def test_a_rotation_turns_by_thirty_degrees_at_most() -> None:
    line = torch.linspace(-1, 1, 65)
    spot = 255 * torch.exp(-200 * ((line[:, None]) ** 2 + (line[None, :] - 0.5) ** 2))
    found = changed("rotate", spot.expand(1, 1, -1, -1), 1.0)[0, 0]
    row, column = divmod(int(found.argmax()), 65)
    angle = torch.atan2(line[row], line[column])
    assert abs(float(angle)) == pytest.approx(torch.pi / 6, abs=0.06)


def test_colours_go_where_they_are_said_to_go() -> None:
    pixels = photos()
    wide = changed("autocontrast", pixels, 0.3)
    assert torch.allclose(wide.amin((2, 3)), torch.zeros(8, 3), atol=1e-3)
    assert torch.allclose(wide.amax((2, 3)), torch.full((8, 3), 255.0), atol=1e-2)
    assert torch.equal(changed("solarize", pixels, 1.0), 255 - pixels)
    assert {*changed("posterize", pixels, 1.0).flatten().tolist()} <= {16.0 * step for step in range(16)}
    assert torch.allclose(changed("brightness", pixels, -1.0), 0.1 * pixels, atol=1e-3)
    grey = changed("colour", pixels, -1.0)
    assert float((grey - grey.mean(1, keepdim=True)).abs().mean()) < 0.11 * float(
        (pixels - pixels.mean(1, keepdim=True)).abs().mean()
    )
    flat = torch.full((1, 3, 8, 8), 77.0)
    for name in ("autocontrast", "equalize", "contrast", "sharpness"):
        assert torch.allclose(changed(name, flat, 0.5), flat)


def test_equalising_spreads_levels_evenly() -> None:
    """As many pixels below each level as the level says, as far as equal ones can be told apart."""
    pixels = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) ** 1.2 * 200 + 20).round()
    found = changed("equalize", pixels, 0.3)
    for level in (64, 128, 192):
        assert float((found <= level).float().mean()) == pytest.approx(level / 255, abs=0.03)
    order = pixels.flatten().argsort()
    assert (found.flatten()[order].diff() >= 0).all()


@pytest.mark.parametrize("strength", [0.5, 0.9])
def test_each_image_gets_operations_of_its_own_and_the_same_generator_the_same_ones(strength: float) -> None:
    def draws() -> Draws:
        return Draws(torch.Generator().manual_seed(0), Share.all(200))

    pixels = photos(1).expand(200, -1, -1, -1)
    found = randaugment(pixels, 1, strength, draws())
    possible = torch.cat(
        [changed(name, pixels[:1], sign * strength) for name in OPERATIONS for sign in (-1, 1)]
    )
    assert all(float((possible - each).abs().amax((1, 2, 3)).min()) < 1e-3 for each in found)
    kinds = {tuple(each.flatten()[::97].round().tolist()) for each in found}
    # One for each operation, two where a sign tells.
    assert len(OPERATIONS) < len(kinds) <= 2 * len(OPERATIONS)
    assert torch.equal(found, randaugment(pixels, 1, strength, draws()))
    assert torch.equal(randaugment(pixels, 0, strength, draws()), pixels)


def test_a_recipe_asks_for_it() -> None:
    pixels = photos()
    plain = Recipe(flip=False, shift=0)
    recipe = Recipe(flip=False, shift=0, rand_operations=2, rand_strength=0.5)
    assert torch.equal(augment(pixels, plain, torch.Generator().manual_seed(1)), pixels)
    found = augment(pixels, recipe, torch.Generator().manual_seed(1))
    assert ((found - pixels).abs().amax((1, 2, 3)) > 1).sum() >= 4
    generator = torch.Generator().manual_seed(1)
    augment(pixels, plain, generator)
    assert torch.equal(found, randaugment(pixels, 2, 0.5, Draws(generator, Share.all(8))))
