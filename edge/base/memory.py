"""Memory of the process: its peak, and how a run of months keeps it flat."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_NUMPY_CACHED_BELOW_BYTES, _NUMPY_CACHED_BLOCKS = 1024, 7


def peak_memory_bytes() -> int:
    """Return the largest resident set size of this process so far."""
    # Linux keeps ru_maxrss across fork and exec, so a small process started by a large one would report the large
    # one's peak. VmHWM belongs to the address space and starts anew.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024  # "kB" there means KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others kibibytes


def give_memory_back() -> None:
    """Return freed memory to the system, where the C library can; otherwise the heap grows for weeks.

    Three layers keep freed memory. Python keeps up to 2000 tuples of each length, and unreachable cycles, until it
    collects its oldest generation, which it does only once the young objects are a quarter of all. numpy keeps small
    blocks. The C library keeps pages.
    """
    gc.collect()
    _empty_numpy_cache()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _empty_numpy_cache() -> None:
    """Have numpy free the blocks that it caches for new arrays: seven of each size, 3.7 MB once all sizes were used.

    numpy has no call for this (numpy/core/src/multiarray/alloc.c, NBUCKETS and NCACHE). A new array takes a block from
    the cache, and an array that is resized beyond the cached sizes frees its block for good.
    """
    for size_bytes in range(1, _NUMPY_CACHED_BELOW_BYTES):
        for block in [np.empty(size_bytes, np.uint8) for _ in range(_NUMPY_CACHED_BLOCKS)]:
            block.resize(_NUMPY_CACHED_BELOW_BYTES, refcheck=False)


@cache  # each CDLL object creates a class of its own, in a reference cycle
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
