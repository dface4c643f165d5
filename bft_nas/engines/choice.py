"""The engine that the options ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.engines.options import EngineOptions

if TYPE_CHECKING:
    from bft_nas.data.images import Images
    from bft_nas.searching.jobs import Engine
    from bft_nas.training.protocol import Protocol

WorkersUnder = Callable[["Protocol"], int]
"""How many trainings there are at once, under a protocol."""
MakeEngine = Callable[["Images", Path, "Protocol"], "Engine"]
"""From images, a run's folder and the protocol of the trainings, but for their seed."""


@contextmanager
def choose_engine(
    options: EngineOptions, resolutions: Sequence[int], budget: int
) -> Iterator[tuple[WorkersUnder, MakeEngine]]:
    """How many trainings there are at once under a protocol, and what makes the engine for it, until the block ends.

    Whatever is wrong with the options is said here, before there is a run. Resolutions and the budget in MACs are those
    of the networks.

    Raises:
        UserError: an option that the engine has no use for, or a cluster that cannot be joined.
    """
    if options.engine == "ray":
        from bft_nas.engines.ray_cluster import connected
        from bft_nas.engines.ray_tune import ray_engine

        with connected(
            options.ray_address,
            workers=options.workers,
            cpus=options.cpus_per_trial,
            gpus=options.gpus_per_trial,
        ) as portion:
            yield (
                lambda under: portion.workers,
                lambda images, folder, under: ray_engine(
                    images,
                    under,
                    portion=portion,
                    storage=options.ray_storage or str((folder / ".ray").absolute()),
                    retries=options.retries,
                    timeout=options.trial_timeout,
                ),
            )
        return
    options.check_local()
    from bft_nas.engines.local import default_workers, local_engine

    def workers(under: Protocol) -> int:
        return options.workers or default_workers(under, resolutions, budget)

    yield (
        workers,
        lambda images, folder, under: local_engine(
            images, under, workers=workers(under), retries=options.retries, timeout=options.trial_timeout
        ),
    )
