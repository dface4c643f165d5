"""The compiled parts of the package: plain shared libraries, bound through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
import warnings
from functools import cache
from pathlib import Path


def load(name: str, function: str, version: int, *sizes: int) -> ctypes.CDLL | None:
    """A library that was built with the package, by its module's name.

    None where there was no C compiler, and, with a warning, where the library was built from other sources than those
    that are here, as in an editable install after an update: it would read what it is called with wrongly.

    Args:
        name: of the module.
        function: of the library, which returns its interface: the version, then each size in 12 bits.
        version: of what is bound here, raised with any change that the sizes do not show.
        sizes: in bytes, of what the functions are called with.
    """
    path = path_of(name)
    if path is None:
        return None
    library = ctypes.CDLL(path)
    expected = version
    for size in sizes:
        expected = expected << 12 | size
    interface = getattr(library, function, None)  # earlier ones have none
    if interface is None or interface() != expected:
        _warn_of_other_sources()
        return None
    return library


@cache
def _warn_of_other_sources() -> None:
    warnings.warn(
        "the C sources of bft-nas changed since they were compiled: run `make build` or `pip install -e .`; until then "
        "PyTorch runs instead, which is slower",
        RuntimeWarning,
        stacklevel=2,
    )


def path_of(name: str) -> str | None:
    """Where a library is; None where there was no C compiler when the package was installed."""
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.origin


@cache
def openmp() -> tuple[int | None, int | None]:
    """The addresses of GOMP_parallel and of omp_get_thread_num in the OpenMP that torch brought along.

    A second pool of threads would fight with torch's. None where torch has another OpenMP.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None, None
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "libgomp" in line}
    for path in sorted(loaded):
        library = ctypes.CDLL(path)
        parallel, number = (
            ctypes.cast(each, ctypes.c_void_p).value
            for each in (library.GOMP_parallel, library.omp_get_thread_num)
        )
        return parallel, number
    return None, None
