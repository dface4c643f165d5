"""A training to the end from its beginning, or from where it was put down."""

from __future__ import annotations

from pathlib import Path

import torch

from bft_nas.data.images import Images
from bft_nas.network import Architecture, build
from bft_nas.training.finish import FullTraining
from bft_nas.training.initialise import initialise
from bft_nas.training.loop import failing
from bft_nas.training.processes import ALONE, Processes
from bft_nas.training.protocol import Protocol
from bft_nas.training.teacher import Teacher


def begin(
    architecture: Architecture,
    protocol: Protocol,
    images: Images,
    folder: Path,
    *,
    teacher: Teacher | None = None,
    processes: Processes = ALONE,
) -> FullTraining:
    """The training of a new network, or the one in whose folder there is a checkpoint; see `FullTraining`.

    Raises:
        TrainingFailed: the network cannot be built.
    """
    torch.manual_seed(protocol.seed)
    with failing():
        model = build(architecture).to(images.device)
        initialise(model, protocol.recipe)
        return FullTraining(
            model, protocol, images, architecture.resolution, folder, teacher=teacher, processes=processes
        )
