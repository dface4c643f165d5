"""Keep the memory that a training frees, for its next step."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST_INT = 2**31 - 1
TOP_PAD = 1 << 26


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
