"""Architecture search for mobile image networks under a hard MAC budget, butterfly transforms included."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.api.run import Run, open_run
    from bft_nas.api.searching import compare, fidelity, search
    from bft_nas.network.models import create_model

__all__ = ["Run", "compare", "create_model", "fidelity", "open_run", "search"]
__version__ = "0.1.0"

__getattr__ = lazy_exports(
    __name__,
    {
        "Run": "bft_nas.api.run",
        "compare": "bft_nas.api.searching",
        "create_model": "bft_nas.network.models",
        "fidelity": "bft_nas.api.searching",
        "open_run": "bft_nas.api.run",
        "search": "bft_nas.api.searching",
    },
)
