"""Keeping freed memory in the process, where that makes training faster."""

import ctypes
import sys

# From malloc.h of the GNU C library.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3


def keep_freed_memory():
    """Tells the GNU C library not to give large blocks back at once.

    An optimizer step makes and frees temporaries as large as the embedding
    table. By default each is mapped from the kernel and filled with zeros page
    by page, which on a CPU can cost as much as the arithmetic. The process
    keeps its peak memory; nothing else changes. Elsewhere than on Linux with
    glibc this does nothing.

    Returns:
        Whether it took effect.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        [
            mallopt(M_MMAP_THRESHOLD, 1 << 30),
            mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1),
            mallopt(M_TOP_PAD, 64 << 20),
        ]
    )
