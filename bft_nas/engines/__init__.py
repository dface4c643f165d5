"""Who executes trainings: `local_engine` on this machine, `bft_nas.engines.ray_tune` on a Ray cluster."""

import os
from pathlib import Path

from bft_nas.engines.local import default_workers, local_engine

__all__ = ["default_workers", "local_engine"]

# Ray makes a token on the first machine that starts it, and from then on every head demands it; but whoever joins
# passes it on only when asked to before Ray is imported.
if (Path.home() / ".ray" / "auth_token").is_file():
    os.environ.setdefault("RAY_AUTH_MODE", "token")
