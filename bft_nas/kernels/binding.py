"""The compiled parts of the package: plain shared libraries, bound through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path


def load(name: str) -> ctypes.CDLL | None:
    """A library that was built with the package, by its module's name; None where there was no C compiler."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else ctypes.CDLL(spec.origin)


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
