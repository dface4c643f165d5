"""The curve of a training for TensorBoard, where it is installed; ``curve.csv`` there is always."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from bft_nas.training.curve import FullCurve

FOLDER = "tensorboard"


@contextmanager
def tensorboard_log(folder: Path, curve: FullCurve) -> Iterator[Callable[[FullCurve], None]]:
    """What writes down the last epoch of a curve, into a folder of its own in that of the training.

    Args:
        folder: of the training.
        curve: as far as the training has come; what is on record of later epochs is taken back.
    """
    if find_spec("tensorboard") is None:
        yield lambda curve: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / FOLDER), purge_step=len(curve) + 1)

    def add(curve: FullCurve) -> None:
        content = asdict(curve[-1])
        epoch = content.pop("epoch")
        for name, value in content.items():
            if not math.isnan(value):
                writer.add_scalar(name, value, epoch)
        writer.flush()

    try:
        yield add
    finally:
        writer.close()
