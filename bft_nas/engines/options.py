"""The options of who executes trainings. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bft_nas.core.errors import UserError, setting
from bft_nas.core.extras import require
from bft_nas.core.options import AMOUNT, NATURAL, POSITIVE, TIMEOUT, option, values_of

OF_RAY = ("ray_address", "ray_storage", "cpus_per_trial", "gpus_per_trial")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine trains, on how much of which machines."""

    workers: int | None = option(
        "trainings at once (default: one for each GPU, or for each core as memory allows; of Ray's, every four cores)",
        kind=POSITIVE,
    )
    retries: int = option(
        "how often a candidate is tried again when its worker dies (default: {default})",
        kind=NATURAL,
        default=2,
    )
    trial_timeout: float = option(
        "without a sign of life after which a worker is ended (default: {default})",
        metavar="TIME",
        kind=TIMEOUT,
        default="10m",
    )
    engine: str = option(
        "ray: train on a Ray cluster; {default} (default): in processes of this machine",
        metavar="NAME",
        default="local",
        choices=("local", "ray"),
    )
    ray_address: str | None = option(
        "of the head of a running cluster, such as 10.0.0.1:6379 (default: a cluster of this machine's own)",
        metavar="ADDRESS",
    )
    ray_storage: str | None = option(
        "where all nodes can keep checkpoints: a shared folder or a URI (default: in the run's folder)",
        metavar="PATH",
    )
    cpus_per_trial: float | None = option("cores for each of Ray's trainings", kind=AMOUNT)
    gpus_per_trial: float | None = option("GPUs for each of Ray's trainings, such as 0.5", kind=AMOUNT)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> EngineOptions:
        """From what is given under the names of the options.

        Raises:
            UserError: a value that an option does not take, or Ray is not installed.
        """
        options = cls(**values_of(cls, given))
        if options.engine == "ray":
            require("ray", f"{setting('engine')} ray")
        return options

    def check_local(self) -> None:
        """UserError where an option of Ray's is given to an engine of this machine."""
        for name in OF_RAY:
            if getattr(self, name) is not None:
                raise UserError(f"{setting(name)}: needs {setting('engine')} ray")
