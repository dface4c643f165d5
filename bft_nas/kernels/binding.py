"""The compiled kernels: one plain shared library, bound through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

from bft_nas.core.errors import UserError

MODULE = "bft_nas.kernels._native"
TUNING = "BFT_NAS_TUNING"
"""The environment variable that changes tuning constants: ``isa=avx2,tile_pixels=96``; see README.md."""

BUILD_LOG = Path(__file__).with_name("build.log")
"""What the compiler said when the library could not be built; kept by setup.py."""

_FUNCTIONS = {
    "butterfly": ("butterfly_forward", "butterfly_backward"),
    "depthwise": ("depthwise_forward", "depthwise_grad_x", "depthwise_grad_weight"),
    "norm": ("norm_forward", "norm_backward"),
}


def load(kernel: str, version: int, *sizes: int) -> ctypes.CDLL | None:
    """The library, for one of its kernels.

    None, with a warning, where it was not built, or was built from other sources than those that are here, as in an
    editable install after an update: it would read what it is called with wrongly.

    Args:
        kernel: butterfly, depthwise or norm.
        version: of what is bound here, raised with any change that the sizes do not show.
        sizes: in bytes, of what the functions are called with.

    Raises:
        UserError: the environment variable names no tuning constant.
    """
    library = _library()
    if library is None:
        return None
    expected = version
    for size in sizes:
        expected = expected << 12 | size
    interface = getattr(library, f"{kernel}_interface", None)
    if interface is not None:
        interface.restype = ctypes.c_int64
    if interface is None or interface() != expected:
        _warn_of_other_sources()
        return None
    for name in _FUNCTIONS[kernel]:
        getattr(library, name).argtypes = [ctypes.c_void_p]
    return library


def tuning() -> dict[str, int]:
    """The tuning constants of this processor, by name, as the environment variable changed them; empty unbuilt."""
    library = _library()
    found: dict[str, int] = {}
    value = ctypes.c_int64()
    while library is not None and (name := library.kernels_tuning(len(found), ctypes.byref(value))):
        found[name.decode()] = value.value
    return found


def isa() -> str | None:
    """The ISA target that runs: avx512, avx2 or generic; None where the library was not built."""
    library = _library()
    name: bytes | None = None if library is None else library.kernels_isa()
    return None if name is None else name.decode()


@cache
def _library() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        warnings.warn(
            f"{_why_unbuilt()}: PyTorch runs instead, which is slower", RuntimeWarning, stacklevel=2
        )
        return None
    library = ctypes.CDLL(spec.origin)
    library.kernels_tuning.restype = library.kernels_isa.restype = ctypes.c_char_p
    library.kernels_tuning.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    library.kernels_tune.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    library.kernels_use_threads.argtypes = [ctypes.c_void_p] * 2
    library.kernels_use_threads(*_openmp(Path("/proc/self/maps")))
    _tune(library, os.environ.get(TUNING, ""))
    return library


def _why_unbuilt() -> str:
    """That there are no kernels, with the compiler's first error where one was kept."""
    said = "the kernels of bft-nas were not built (no C compiler?)"
    if BUILD_LOG.is_file():
        lines = BUILD_LOG.read_text(errors="replace").splitlines()
        reasons = [line.strip() for line in lines if "error" in line.lower()]
        if reasons:
            said = f"the kernels of bft-nas were not built ({reasons[0]}; see {BUILD_LOG})"
    return said


@cache
def _warn_of_other_sources() -> None:
    warnings.warn(
        "the C sources of bft-nas changed since they were compiled: run `make build` or `pip install -e .`; until then "
        "PyTorch runs instead, which is slower",
        RuntimeWarning,
        stacklevel=2,
    )


def _tune(library: ctypes.CDLL, changes: str) -> None:
    """Apply ``name=value,...``, the ISA target first: the constants are those of its row."""
    pairs = [change.strip().partition("=") for change in changes.split(",") if change.strip()]
    for name, _, value in sorted(pairs, key=lambda pair: pair[0] != "isa"):
        if name == "isa":
            failed = library.kernels_use_isa(value.encode())
        else:
            failed = not value.isdecimal() or library.kernels_tune(name.encode(), int(value))
        if failed:
            raise UserError(
                f"{TUNING}: {name}={value} is no tuning constant with a value that it takes on this processor; "
                "bft_nas/kernels/README.md lists them"
            )


def _openmp(maps: Path) -> tuple[int | None, int | None]:
    """The addresses of GOMP_parallel and of omp_get_thread_num in the OpenMP that torch brought along.

    A second pool of threads would fight with torch's, so of several that are loaded, as scikit-learn brings one too,
    it is the one beside torch. None where torch has another OpenMP, or its file is gone.
    """
    if not maps.exists():
        return None, None
    loaded = {line.split(maxsplit=5)[5] for line in maps.read_text().splitlines() if "libgomp" in line}
    torch = importlib.util.find_spec("torch")
    beside = str(Path(torch.origin).resolve().parent) if torch and torch.origin else ""
    with suppress(OSError):
        for path in sorted(loaded, key=lambda path: (not path.startswith(beside), path)):
            library = ctypes.CDLL(path)
            parallel, number = (
                ctypes.cast(each, ctypes.c_void_p).value
                for each in (library.GOMP_parallel, library.omp_get_thread_num)
            )
            return parallel, number
    return None, None
