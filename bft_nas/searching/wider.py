"""The images of a confirmation: more of a search's data, where there are more, and larger ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from bft_nas.data.dataset import load_dataset
from bft_nas.training.confirmation import LONGER, Confirmation, longer

if TYPE_CHECKING:
    from bft_nas.data.images import Images
    from bft_nas.searching.loop import Prepared


def confirmation_of(prepared: Prepared) -> tuple[Confirmation, Images]:
    """How the winners of a search are confirmed, and the images that they are trained on.

    It takes up to `LONGER` times as many images as far as the data has them, and the same ones more often where it has
    not: of as many steps those on images never seen tell more (benchmarks/results/table.md). What it is validated on,
    and how images are normalised, are the search's own.
    """
    import bft_nas.data.images

    settings, proxy, images = prepared.settings, prepared.protocol, prepared.images
    divisor = settings.confirm_divisor
    nearer = divisor < proxy.resolution_divisor
    wanted, has_more = _wanted(prepared), _has_more(prepared)
    same = Confirmation.of(proxy, divisor=divisor)
    if not nearer and not has_more:
        return same, images
    dataset = load_dataset(
        settings.data,
        size=same.protocol.proxy_resolution(max(settings.resolutions)),
        images=wanted,
        max_unreadable=_unreadable(prepared, wanted),
    )
    if not nearer and len(dataset.train.labels) == proxy.train_images:
        return same, images
    wider = replace(proxy, data_digest=dataset.digest, train_images=len(dataset.train.labels))
    dataset = replace(dataset, normalisation=(images.mean, images.std))
    return Confirmation.of(proxy, wider, divisor=divisor), bft_nas.data.images.Images(dataset, images.device)


def expected_confirmation(prepared: Prepared) -> Confirmation:
    """`confirmation_of` for a plan, which reads no image: if the data have as many as it takes."""
    proxy, divisor = prepared.protocol, prepared.settings.confirm_divisor
    wanted = _wanted(prepared) if _has_more(prepared) else None
    return Confirmation.of(proxy, replace(proxy, train_images=wanted or proxy.train_images), divisor=divisor)


def _wanted(prepared: Prepared) -> int | None:
    """How many images it takes, if the data have them; None for all."""
    settings, proxy = prepared.settings, prepared.protocol
    steps = longer(proxy.resolution_divisor, settings.confirm_divisor)
    return settings.images and min(LONGER, steps * proxy.epochs) * settings.images


def _unreadable(prepared: Prepared, wanted: int | None) -> int | None:
    """As many of the images as may be left out of the search's own."""
    allowed, images = prepared.settings.max_unreadable, prepared.settings.images
    return allowed and (math.ceil(allowed * wanted / images) if wanted and images else allowed)


def _has_more(prepared: Prepared) -> bool:
    """Whether the search did not have to take all images that there are."""
    return prepared.settings.images is not None and prepared.protocol.train_images >= prepared.settings.images
