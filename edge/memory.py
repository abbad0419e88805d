"""How much memory this process has taken."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path


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
    """Return freed memory to the system, where the C library can; left alone, its heap frays for weeks and grows."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
