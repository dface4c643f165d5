"""Augmentation of batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import beta, kstest

from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import resize
from bft_nas.training.augment import augment, mix
from bft_nas.training.draws import Draws, Share
from bft_nas.training.recipe import Recipe


def test_augmentation_flips_each_image_by_itself() -> None:
    train = load_dataset("fashion-mnist", size=28, images=64).train.images
    pixels = torch.from_numpy(train).permute(0, 3, 1, 2)
    same = augment(pixels, Recipe(flip=False, shift=0), torch.Generator())
    assert torch.equal(same, pixels)
    flipped = augment(pixels, Recipe(shift=0), torch.Generator().manual_seed(0))
    kinds = [
        "same" if torch.equal(a, b) else "flipped" if torch.equal(a, b.flip(-1)) else "other"
        for a, b in zip(flipped, pixels, strict=True)
    ]
    assert 15 < kinds.count("flipped") < 49
    assert "other" not in kinds


@pytest.mark.parametrize(("shift", "most"), [(1 / 14, 2), (1 / 7, 4)])
def test_images_are_shifted_by_any_way_as_far_as_the_recipe_says(shift: float, most: int) -> None:
    pixels = photos(100, 28)
    shifted = augment(pixels, Recipe(flip=False, shift=shift), torch.Generator().manual_seed(0))
    inner = slice(most, -most)
    # The place in the image that each pixel has been taken from.
    step = 255 / 27
    across = (shifted[:, 0, 0, inner] / step).round() - torch.arange(28)[inner]
    down = (shifted[:, 1, inner, 0] / step).round() - torch.arange(28)[inner]
    for moved in (across, down):
        assert (moved == moved[:, :1]).all()
        assert {*moved[:, 0].tolist()} == {*range(-most, most + 1)}
    assert len({*zip(across[:, 0].tolist(), down[:, 0].tolist(), strict=True)}) > 2 * (2 * most + 1)
    assert torch.equal(shifted[:, 2], pixels[:, 2])


def photos(count: int, size: int = 40) -> torch.Tensor:
    """Pixels that say where they are: red grows to the right, green downwards; blue is the image's own."""
    line = torch.linspace(0, 255, size)
    own = torch.linspace(0, 255, count)[:, None, None].expand(count, size, size)
    red, green = line.expand(size, size), line[:, None].expand(size, size)
    return (
        torch.stack([red.expand(count, -1, -1), green.expand(count, -1, -1), own], 1).round().to(torch.uint8)
    )


def test_images_that_grow_are_cropped_without_the_patterns_of_pixels_left_out() -> None:
    stripes = (torch.arange(256) % 2 * 255).to(torch.uint8).expand(8, 3, 256, 256)
    recipe = Recipe(crop_area=0.9, growth=0.5)
    found = augment(stripes, recipe, torch.Generator().manual_seed(0), 112)
    # Finer than a pixel, they are grey, but for the edges.
    assert found[..., 8:-8, 8:-8].std() < 20
    # At their whole size, images are cropped as if they had never been smaller.
    whole = augment(photos(8, 256), recipe, torch.Generator().manual_seed(0), 224)
    assert torch.equal(
        whole, augment(photos(8, 256), Recipe(crop_area=0.9), torch.Generator().manual_seed(0), 224)
    )


@pytest.mark.parametrize("size", [24, 40, 64])
def test_a_crop_is_a_part_of_its_own_image_stretched_to_the_whole(size: int) -> None:
    recipe = Recipe(crop_area=0.25)
    pixels = photos(64)
    found = augment(pixels, recipe, torch.Generator().manual_seed(0), size)
    assert found.shape == (64, 3, size, size)
    assert torch.allclose(found[:, 2], pixels[:, 2, :1, :1].float(), atol=0.01)
    # How far a colour runs is how much of the image there is.
    wide = (found[:, 0, 0, -1] - found[:, 0, 0, 0]) / 255 * size / (size - 1)
    high = (found[:, 1, -1, 0] - found[:, 1, 0, 0]) / 255 * size / (size - 1)
    area, ratio = wide.abs() * high, wide.abs() / high
    assert 0.2 < float(area.min()) < 0.4
    assert 0.7 < float(area.max()) <= 1.05
    assert 0.7 < float(ratio.min()) < 0.9
    assert 1.1 < float(ratio.max()) < 1.4
    assert 16 < int((wide < 0).sum()) < 48
    # Where it is: anywhere that it has room.
    for part, ends in (
        (wide.abs(), found[:, 0, 0, 0] + found[:, 0, 0, -1]),
        (high, found[:, 1, 0, 0] + found[:, 1, -1, 0]),
    ):
        place = (ends / 510 - part / 2) / (1 - part)
        assert kstest(place[part < 0.9], "uniform").pvalue > 0.01
    unflipped = augment(pixels, replace(recipe, flip=False), torch.Generator().manual_seed(0), size)
    assert torch.equal(found[wide > 0], unflipped[wide > 0])
    assert torch.allclose(found[wide < 0].flip(-1), unflipped[wide < 0], atol=0.01)


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 160), (28, 28, 24), (48, 20, 64)])
def test_small_images_are_cropped_as_large_ones_are(
    height: int, width: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.randint(0, 256, (20, 3, height, width), dtype=torch.uint8)
    by_products = augment(pixels, Recipe(crop_area=0.3), torch.Generator().manual_seed(0), size)
    monkeypatch.setattr("bft_nas.training.augment.SMALL", 0)
    by_samples = augment(pixels, Recipe(crop_area=0.3), torch.Generator().manual_seed(0), size)
    assert torch.allclose(by_products, by_samples, atol=0.01)


def test_without_a_crop_images_are_brought_to_the_size_and_shifted() -> None:
    pixels = photos(8)
    plain = augment(pixels, Recipe(flip=False, shift=0), torch.Generator(), 24)
    assert torch.equal(plain, resize(pixels, 24))
    assert plain.dtype == torch.uint8


def test_jitter_changes_the_colours_of_each_image_by_factors_of_its_own() -> None:
    pixels = photos(32)
    found = augment(pixels, Recipe(flip=False, shift=0, jitter=0.3), torch.Generator().manual_seed(1))
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255
    grey = torch.full((32, 3, 8, 8), 100, dtype=torch.uint8)
    brighter = augment(grey, Recipe(flip=False, shift=0, jitter=0.3), torch.Generator().manual_seed(1))
    # Of an image of one grey, brightness alone is left.
    assert torch.allclose(brighter, brighter[:, :1, :1, :1].expand_as(brighter), atol=0.01)
    factors = brighter[:, 0, 0, 0] / 100
    assert 0.7 <= float(factors.min()) < 0.8
    assert 1.2 < float(factors.max()) <= 1.3


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_brightness_then_contrast_then_saturation(channels: int) -> None:
    pixels, most = photos(16)[:, :channels], 0.4
    found = augment(pixels, Recipe(flip=False, shift=0, jitter=most), torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    augment(pixels, Recipe(flip=False, shift=0), generator)
    factors = 1 + most * (2 * Draws(generator, Share.all(16)).uniform(3) - 1)
    brightness, contrast, saturation = factors[:, :, None, None, None]
    expected = brightness * pixels
    mean = expected.mean((1, 2, 3), keepdim=True)
    expected = mean + contrast * (expected - mean)
    grey = expected.mean(1, keepdim=True)
    expected = (grey + saturation * (expected - grey)).clamp(0, 255)
    assert torch.allclose(found, expected, atol=0.01)


def test_erasing_puts_the_mean_colour_into_a_rectangle_of_some_images() -> None:
    pixels = photos(200)
    found = augment(pixels, Recipe(flip=False, shift=0, erasing=0.25), torch.Generator().manual_seed(2))
    changed = (found != pixels.float()).any(1)
    erased = changed.flatten(1).any(1)
    assert 30 < int(erased.sum()) < 70
    places = []
    for image, where in zip(found[erased], changed[erased], strict=True):
        rows, columns = where.any(1).nonzero().flatten(), where.any(0).nonzero().flatten()
        box = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.equal(box, box[:, :1, :1].expand_as(box))
        assert torch.allclose(box[:2, 0, 0], torch.full((2,), 127.5), atol=0.5)
        assert 0.01 < box[0].numel() / 1600 < 0.25
        places.append((int(rows[0]) / (40 - len(rows)), int(columns[0]) / (40 - len(columns))))
    for place in zip(*places, strict=True):
        assert kstest(place, "uniform").pvalue > 0.01


def test_the_same_generator_changes_images_alike() -> None:
    recipe = Recipe(crop_area=0.5, jitter=0.2, erasing=0.5)
    one, two = (augment(photos(8), recipe, torch.Generator().manual_seed(3), 24) for _ in range(2))
    assert torch.equal(one, two)


def test_mixup_blends_each_image_with_another_one() -> None:
    pixels = photos(16)
    generator = torch.Generator().manual_seed(4)
    parts = set()
    for _ in range(20):
        found, order, part = mix(pixels, Recipe(mixup=0.5), generator)
        assert order is not None
        assert sorted(order.tolist()) == list(range(16))
        assert torch.allclose(found, part * pixels + (1 - part) * pixels[order], atol=0.01)
        parts.add(round(part, 3))
    assert len(parts) > 10
    assert all(0 <= part <= 1 for part in parts)


@pytest.mark.parametrize(
    ("recipe", "shape"), [(Recipe(mixup=0.3), 0.3), (Recipe(mixup=4.0), 4.0), (Recipe(cutmix=4.0), 4.0)]
)
def test_the_part_that_is_left_of_an_image_is_beta_distributed(recipe: Recipe, shape: float) -> None:
    pixels, generator = torch.zeros(1, 1, 128, 128, dtype=torch.uint8), torch.Generator().manual_seed(7)
    parts = [mix(pixels, recipe, generator)[2] for _ in range(300)]
    assert kstest(parts, beta(shape, shape).cdf).pvalue > 0.01
    assert kstest(parts, "uniform").pvalue < 1e-6


def test_cutmix_covers_a_rectangle_anywhere_in_each_image_by_another_one() -> None:
    pixels = photos(16)
    generator = torch.Generator().manual_seed(5)
    places = []
    for _ in range(60):
        found, order, part = mix(pixels, Recipe(cutmix=1.0), generator)
        assert order is not None
        own, other = ((found == images.float()).all(1) for images in (pixels, pixels[order]))
        assert (own | other).all()
        moved = order != torch.arange(16)
        assert own[moved].float().mean((1, 2)) == pytest.approx(part, abs=1e-6)
        covered = ~own[moved][0]
        rows, columns = covered.any(1).nonzero().flatten(), covered.any(0).nonzero().flatten()
        if 0 < len(rows) < 30:
            places.append((int(rows[0]) / (40 - len(rows)), int(columns[0]) / (40 - len(columns))))
    for place in zip(*places, strict=True):
        assert kstest(place, "uniform").pvalue > 0.01


def test_nothing_is_mixed_by_default_and_both_kinds_take_turns() -> None:
    pixels = photos(4)
    found, order, part = mix(pixels, Recipe(), torch.Generator())
    assert found is pixels
    assert (order, part) == (None, 1.0)
    generator = torch.Generator().manual_seed(6)
    blended = 0
    for _ in range(40):
        found, order, part = mix(pixels, Recipe(mixup=1.0, cutmix=1.0), generator)
        assert order is not None
        blended += torch.allclose(found, part * pixels + (1 - part) * pixels[order], atol=0.01)
    assert 8 < blended < 36
