"""Memory of trainings: keep what one frees for its next step, and recognise that there is none left."""

from __future__ import annotations

import ctypes
import errno
import re

# Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST_INT = 2**31 - 1
TOP_PAD = 1 << 26
NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot|not|unable to|failed to) allocate|(not enough|insufficient) memory"
    r"|bad_alloc|ALLOC_FAILED"
    # oneDNN has the same words for every reason, and of a convolution that it knows no other is left.
    r"|could not (create|execute) a primitive(?! descriptor)|can't start new thread",
    re.IGNORECASE,
)
"""How torch, its libraries and the operating system say it, each in words of its own."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, so that each step of a training does not ask for new pages.

    By default glibc gives every large block back when it is freed, and the next activation of that size begins with
    pages that the kernel has to fill with zeros first: up to a third of the time of a training step on the CPU
    (benchmarks/results/network.md). It is for processes that train and do nothing else, since it holds for all of
    them: their memory does not shrink again. Returns whether the C library knows how; others than glibc do not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST_INT, M_TOP_PAD: TOP_PAD}
    return all(mallopt(parameter, value) for parameter, value in settings.items())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there is no memory left, on any device, or none for another process or thread.

    >>> is_out_of_memory(RuntimeError("could not create a primitive"))
    True
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOMEM, errno.EAGAIN)
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None
