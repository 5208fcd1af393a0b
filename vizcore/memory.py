"""Memory: whether it was short, and what the C library does with what is freed.

A step allocates and frees the same tensors, some of 30 MB.  glibc takes large blocks from the system and gives them
back each time, and the system fills each page anew with zeros: 6,000 page faults and a tenth of the time of a step of
16 pictures of 128 px.
"""

from __future__ import annotations

import ctypes
import functools
import re
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = 2**31 - 1  # mallopt takes an int
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate|not enough memory|alloc_failed", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no room; torch says so in three different classes."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    )


def keep_freed() -> bool:
    """Let freed memory stay with this process, for the next step; False where the C library is not glibc.

    For programs whose purpose is the ascent: what is held is what was needed at the most.
    """
    library = _glibc()
    if library is None:
        return False
    # First the trim threshold: setting either switches off the other's adaptation.
    return bool(library.mallopt(_TRIM_THRESHOLD, _MOST)) and bool(library.mallopt(_MMAP_THRESHOLD, _MOST // 2))


def give_back() -> None:
    """Return what is free to the system, for example after a run has ended."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no library of this process
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
