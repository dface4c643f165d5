"""Who executes trainings."""

from bft_nas.engines.local import default_workers, local_engine

__all__ = ["default_workers", "local_engine"]
