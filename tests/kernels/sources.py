"""Where the C sources of the kernels are, and what compilers are asked to say of them."""

from pathlib import Path

import bft_nas.kernels

SOURCES = Path(bft_nas.kernels.__file__).parent / "csrc"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-psabi")
"""With which they compile, by any compiler."""
