"""How much memory this process has taken, and how it stays flat for months."""

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
    """Return the largest resident set of this process so far."""
    # Linux hands ru_maxrss on across fork and exec: started by a large process, a small one would report that one's
    # peak. VmHWM belongs to the address space, so it starts anew.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024  # "kB" there means KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others kibibytes


def give_memory_back() -> None:
    """Return freed memory to the system, where the C library can; left alone, the heap grows for weeks.

    Three keep what they have freed. Python holds on to up to 2000 tuples of each length, and lets cycles lie, until it
    collects its oldest generation: by itself only once the young objects are a quarter of all. numpy holds on to small
    blocks. The C library holds on to the pages.
    """
    gc.collect()
    _empty_numpy_cache()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _empty_numpy_cache() -> None:
    """Have numpy free the blocks that it keeps for arrays to come: seven of each size, 3.7 MB once all sizes were met.

    It has no call for that (numpy/core/src/multiarray/alloc.c, NBUCKETS and NCACHE). An array that is made takes a
    block out of the cache, and one that has grown too large is freed for good.
    """
    for size_bytes in range(1, _NUMPY_CACHED_BELOW_BYTES):
        for block in [np.empty(size_bytes, np.uint8) for _ in range(_NUMPY_CACHED_BLOCKS)]:
            block.resize(_NUMPY_CACHED_BELOW_BYTES, refcheck=False)


@cache  # each CDLL makes a class of its own, in a cycle
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
