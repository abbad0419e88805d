"""Which process wrote a file, and whether it still lives: neither depends on a clock that people set."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def process_identity() -> dict[str, Any]:
    """Return what identifies this process on this machine until it is switched off; empty where it cannot be told."""
    boot = _boot()
    if boot is None:
        return {}
    return {"boot": boot, "pid": os.getpid(), "started": _started(os.getpid()), "at_s": _since_boot_s()}


def why_dead(identity: dict[str, Any], writer_host: str | None) -> str | None:
    """Return why a process cannot be living any more; None: it lives, or nothing is known of it.

    writer_host : name of the machine that it ran on. Another machine cannot tell.
    """
    if not identity or _boot() is None or writer_host != platform.node():
        return None
    boot_id, pid_namespace = identity["boot"]
    here_id, here_namespace = _boot() or ("", "")
    if boot_id != here_id:
        return "the machine was started again since"
    if pid_namespace != here_namespace:  # of a container, whose processes have other numbers here
        return None
    pid = identity["pid"]
    return None if _started(pid) == identity["started"] else f"its process {pid} has ended"


def age_s(identity: dict[str, Any]) -> float:
    """Return the time since an identity was taken, 0 where that cannot be told: the machine's clock may be set back."""
    boot = _boot()
    if not identity or boot is None or identity["boot"][0] != boot[0]:
        return 0.0
    return max(0.0, _since_boot_s() - float(identity["at_s"]))


def _boot() -> list[str] | None:
    """Return what identifies the start of this machine and the namespace of process numbers; Linux only."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [boot_id, os.readlink("/proc/self/ns/pid")]  # noqa: PTH115
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None: it has ended, a zombie too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _since_boot_s() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
