"""Who executes trainings: `local_engine` on this machine, `bft_nas.engines.ray_tune` on a Ray cluster."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.engines.choice import choose_engine
    from bft_nas.engines.local import default_workers, local_engine
    from bft_nas.engines.options import EngineOptions

__all__ = ["EngineOptions", "choose_engine", "default_workers", "local_engine"]

__getattr__ = lazy_exports(
    __name__,
    {
        "EngineOptions": "bft_nas.engines.options",
        "choose_engine": "bft_nas.engines.choice",
        "default_workers": "bft_nas.engines.local",
        "local_engine": "bft_nas.engines.local",
    },
)

# Ray makes a token on the first machine that starts it, and from then on every head demands it; but whoever joins
# passes it on only when asked to before Ray is imported. A home that cannot be found or searched has none.
with suppress(OSError, RuntimeError):
    if (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
