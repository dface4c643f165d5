"""Where the C sources of the kernels are."""

from pathlib import Path

import bft_nas.kernels

SOURCES = Path(bft_nas.kernels.__file__).parent / "csrc"
