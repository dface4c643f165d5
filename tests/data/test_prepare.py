"""One image on its own is decoded as those of a folder are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bft_nas.data.decode import NotNow, Picture, decode
from bft_nas.data.decoders import decode_all
from bft_nas.data.prepare import opened
from tests.data.odd_images import STORED, picture

SIDE = 24
SCENE = picture(5, 40, 40)


def with_exif(turn: int) -> bytes:
    """A scene as a camera stores it, which says of it what cameras do."""
    stored = SCENE.transpose(STORED[turn]) if turn in STORED else SCENE
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x011A], exif[0x0132] = "a scene", turn, 72.0, "2020:01:01 00:00:00"
    return webp_of(stored, exif=exif)


def webp_of(scene: Image.Image, **options: object) -> bytes:
    """A file of the exact pixels, with no sum that tells of damage."""
    content = io.BytesIO()
    scene.save(content, "WEBP", lossless=True, **options)
    return content.getvalue()


def both(content: bytes) -> np.ndarray:
    """The pixels, which are the same either way."""
    found = decode(io.BytesIO(content), SIDE)
    assert isinstance(found, Picture), found
    np.testing.assert_array_equal(found.pixels, opened(io.BytesIO(content), SIDE))
    return found.pixels


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_are_too_large_from_one_size_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tmp_path / "photo.webp"
    photo.write_bytes(webp_of(SCENE))
    # Pillow warns of more, and refuses twice as many.
    most = SCENE.width * SCENE.height // 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    (found,) = decode_all([photo], SIDE)
    assert isinstance(found, Picture)
    np.testing.assert_array_equal(found.pixels, opened(photo, SIDE))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most - 1)
    (refused,) = decode_all([photo], SIDE)
    assert str(refused).startswith("too large (Image size (1600 pixels) exceeds limit of 1598 pixels")
    assert not isinstance(refused, NotNow)
    with pytest.raises(Image.DecompressionBombError):
        opened(photo, SIDE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(turn=st.integers(1, 8), damage=st.dictionaries(st.integers(0, 999), st.integers(0, 255), max_size=3))
def test_damaged_exif_costs_an_image_its_turn_at_most(turn: int, damage: dict[int, int]) -> None:
    content = bytearray(with_exif(turn))
    start = content.index(b"EXIF") + 8
    length = int.from_bytes(content[start - 4 : start], "little")
    for at, value in damage.items():
        content[start + at % length] = value
    turns = [SCENE, *(SCENE.transpose(method) for method in Image.Transpose)]
    seen = both(bytes(content)).tobytes()
    assert seen in {both(webp_of(each)).tobytes() for each in turns}
    if not damage:
        assert seen == both(webp_of(SCENE)).tobytes()
