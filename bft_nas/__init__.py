"""Architecture search for mobile image networks under a hard MAC budget, butterfly transforms included."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.api.exported import evaluate_files
    from bft_nas.api.latency import measure_latency
    from bft_nas.api.run import Run, open_run
    from bft_nas.api.searching import compare, fidelity, search
    from bft_nas.api.trained import Trained, open_trained
    from bft_nas.api.training import evaluate, train
    from bft_nas.network.models import create_model

__all__ = [
    "Run",
    "Trained",
    "compare",
    "create_model",
    "evaluate",
    "evaluate_files",
    "fidelity",
    "measure_latency",
    "open_run",
    "open_trained",
    "search",
    "train",
]
__version__ = "0.1.0"

__getattr__ = lazy_exports(
    __name__,
    {
        "Run": "bft_nas.api.run",
        "Trained": "bft_nas.api.trained",
        "compare": "bft_nas.api.searching",
        "create_model": "bft_nas.network.models",
        "evaluate": "bft_nas.api.training",
        "evaluate_files": "bft_nas.api.exported",
        "fidelity": "bft_nas.api.searching",
        "measure_latency": "bft_nas.api.latency",
        "open_run": "bft_nas.api.run",
        "open_trained": "bft_nas.api.trained",
        "search": "bft_nas.api.searching",
        "train": "bft_nas.api.training",
    },
)
