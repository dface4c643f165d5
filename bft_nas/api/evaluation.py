"""What a trained network predicts for images that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bft_nas.api.trained import Trained
from bft_nas.data.dataset import Room, has_test, load_test
from bft_nas.record.trained import Evaluation

if TYPE_CHECKING:
    from bft_nas.data.images import Images


def evaluated(trained: Trained, images: Images, source: str, *, tested: bool = False) -> Evaluation:
    """Predict the test images of some data, or where it has none (but for ``tested``) those for validation."""
    import torch

    from bft_nas.data.feed import batches_of, feed_of
    from bft_nas.data.prepare import resized
    from bft_nas.training.finish import BATCH, predict
    from bft_nas.training.measures import measures_of

    size = trained.architecture.resolution
    if tested or has_test(source):
        split, test = "test", load_test(source, size=size, room=Room.here())
    else:
        split, test = "validation", images.dataset.validation
    model = trained.model().to(images.device)
    logits = []
    with feed_of(test, torch.device("cpu")) as feed:
        for batch in batches_of(feed, BATCH):
            # As an export's prepare.py resizes them, to the bit, which torch does not.
            pixels = torch.from_numpy(resized(batch.permute(0, 2, 3, 1).numpy(), size)).permute(0, 3, 1, 2)
            logits.append(predict(model, trained.protocol, images, pixels, size))
    return Evaluation(split, source, measures_of(torch.cat(logits).numpy(), test.labels))
