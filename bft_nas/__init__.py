"""Architecture search for mobile image networks under a hard MAC budget, butterfly transforms included."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.network.models import create_model

__all__ = ["create_model"]
__version__ = "0.1.0"

__getattr__ = lazy_exports(__name__, {"create_model": "bft_nas.network.models"})
