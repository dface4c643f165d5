"""Who executes trainings: `local_engine` on this machine, `bft_nas.engines.ray_tune` on a Ray cluster."""

from bft_nas.engines.local import default_workers, local_engine

__all__ = ["default_workers", "local_engine"]
