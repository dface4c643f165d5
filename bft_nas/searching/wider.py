"""The images of a confirmation: more of a search's data, where there are more, and larger ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bft_nas.data.dataset import load_dataset
from bft_nas.training.confirmation import LONGER, Confirmation, longer

if TYPE_CHECKING:
    from bft_nas.data.images import Images
    from bft_nas.searching.loop import Prepared


def confirmation_of(prepared: Prepared) -> tuple[Confirmation, Images]:
    """How the winners of a search are confirmed, and the images that they are trained on.

    It takes up to `LONGER` times as many images, each once, as far as the data has them, and the same ones more often
    where it has not: of as many steps those on images never seen tell more (benchmarks/results/table.md). What it is
    validated on, and how images are normalised, are the search's own.
    """
    import bft_nas.data.images

    settings, proxy, images = prepared.settings, prepared.protocol, prepared.images
    divisor = settings.confirm_divisor
    nearer = divisor < proxy.resolution_divisor
    steps = longer(proxy.resolution_divisor, divisor)
    wanted = settings.images and min(LONGER, steps * proxy.epochs) * settings.images
    has_more = settings.images is not None and proxy.train_images >= settings.images
    same = Confirmation.of(proxy, divisor=divisor)
    if not nearer and not has_more:
        return same, images
    dataset = load_dataset(
        settings.data,
        size=same.protocol.proxy_resolution(max(settings.resolutions)),
        images=wanted,
        max_unreadable=settings.max_unreadable,
    )
    if not nearer and len(dataset.train.labels) == proxy.train_images:
        return same, images
    wider = replace(proxy, data_digest=dataset.digest, train_images=len(dataset.train.labels))
    dataset = replace(dataset, normalisation=(images.mean, images.std))
    return Confirmation.of(proxy, wider, divisor=divisor), bft_nas.data.images.Images(dataset, images.device)
