"""What a trained network predicts for images that it was not trained on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bft_nas.core.errors import UserError, setting
from bft_nas.data.dataset import (
    Dataset,
    Room,
    Split,
    has_test,
    is_there,
    load_test,
    load_training,
    with_margin,
)
from bft_nas.data.reading import LEAST_UNREADABLE
from bft_nas.record.run_file import DataFacts
from bft_nas.record.trained import Evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from bft_nas.api.trained import Trained
    from bft_nas.data.images import Images

CALIBRATION_IMAGES = 400
"""Half of them for the ranges of values, half to try the result on."""


def evaluated(trained: Trained, images: Images, source: str, *, tested: bool = False) -> Evaluation:
    """Predict the test images of some data, or where it has none (but for ``tested``) those for validation."""
    import torch

    from bft_nas.training.finish import predict
    from bft_nas.training.measures import measures_of

    size = trained.architecture.resolution
    split, test = judged(source, images.dataset, size, tested=tested)
    model = trained.model().to(images.device)
    # As its exports compute, whatever the training did.
    protocol = replace(trained.protocol, recipe=replace(trained.protocol.recipe, precision="float32"))
    logits = [predict(model, protocol, images, pixels, size) for pixels in prepared(test, size)]
    measures = measures_of(torch.cat(logits).numpy(), test.labels, test.names)
    return Evaluation(split, source, measures, test.left_out)


def kept_evaluation(trained: Trained) -> Evaluation:
    """That at the end of a training; UserError where it has not come so far."""
    known = trained.evaluation()
    if known is None:
        raise UserError(
            f"trained network '{trained.name}': not trained to the end; expected bft-nas train --resume "
            f"{shlex.quote(str(trained.folder))} first"
        )
    return known


def judged(source: str, dataset: Dataset, size: int, *, tested: bool = False) -> tuple[str, Split]:
    """The split that a network is tried on, by name: ``test``, or where there is none (but for ``tested``) that for
    validation.
    """
    if tested or has_test(source):
        return "test", load_test(source, size=size, whites=dataset.whites, room=Room.here())
    return "validation", dataset.validation


def prepared(split: Split, size: int) -> Iterator[Tensor]:
    """Images in batches, uint8 (n, channels, size, size), to the bit as an export's prepare.py makes them."""
    import torch

    from bft_nas.data.feed import batches_of, feed_of
    from bft_nas.data.prepare import resized
    from bft_nas.training.finish import BATCH

    with feed_of(split, torch.device("cpu")) as feed:
        for batch in batches_of(feed, BATCH):
            yield torch.from_numpy(resized(batch.permute(0, 2, 3, 1).numpy(), size)).permute(0, 3, 1, 2)


def calibration_images(source: str, resolution: int, facts: DataFacts) -> Tensor:
    """Some images that a network was trained on, as it takes them: (n, 3, resolution, resolution), normalised.

    They are in no order, and each half has images of all classes that have more than one here.

    Raises:
        UserError: the data is not there any more.
    """
    import torch

    if not is_there(source):
        raise UserError(
            f"{setting('int8')}: no data at {source} any more; expected the images of the training there"
        )
    size, count = with_margin(resolution), max(CALIBRATION_IMAGES, 2 * len(facts.classes))
    train = load_training(
        source, size=size, images=count, max_unreadable=unreadable_of(facts), room=Room.here()
    )
    found = torch.cat([normalised(pixels, facts) for pixels in prepared(train, resolution)])
    return found[_dealt(torch.from_numpy(train.labels))]


def _dealt(labels: Tensor) -> Tensor:
    """The places of images with these labels in an order as by chance; see `calibration_images`."""
    import torch

    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    counts, half = torch.bincount(labels), len(labels) // 2
    in_first = torch.bincount(labels[order[:half]], minlength=len(counts))
    if ((in_first > 0) & (in_first < counts))[counts > 1].all():
        return order
    # Each class by turns, in that same order within both halves.
    turns = torch.empty_like(order)
    turns[labels[order].argsort(stable=True)] = torch.arange(len(order))
    return torch.cat([order[turns % 2 == 1], order[turns % 2 == 0]])


def unreadable_of(facts: DataFacts) -> int | None:
    """The limit for images that cannot be decoded where as many were left out before; None for the usual one."""
    return len(facts.left_out) if len(facts.left_out) > LEAST_UNREADABLE else None


def normalised(pixels: Tensor, facts: DataFacts) -> Tensor:
    """Pixels from 0 to 255 as a network takes them, (n, 3, height, width)."""
    import torch

    mean, std = (torch.tensor(values).view(-1, 1, 1) * 255 for values in (facts.mean, facts.std))
    return (pixels - mean) / std
