"""The benchmark `shake`: a simulated Raspberry Shake on a bad network, and the events and cost of a live run on it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.robustness.shake_signal import STATION, ShakeSignal, impaired, shake_signal
from edgequake.benchmarks.robustness.soak import cpu_ticks, resident_bytes
from edgequake.edge.base.errors import GateError
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.results.progress import Progress, silent
from edgequake.results.provenance import provenance
from edgequake.results.robustness import DISORDER, GARBAGE, LOSS, ONSET_TOLERANCE_S, LiveRunCost, ShakeReport

_IDLE_STOP_S = 3.0
_SAMPLED_EVERY_S = 0.5


def bench_shake(minutes: float = 30.0, speed: float = 20.0, seed: int = 1, progress: Progress = silent) -> ShakeReport:
    """Send a synthesised signal as a Raspberry Shake on a bad network would, and compare with a run over a file.

    Parameters
    ----------
    minutes : length of the signal.
    speed : how many times faster than by a Shake it is sent, over loopback.

    Raises
    ------
    GateError
        The live run does not complete.
    """
    rng = np.random.default_rng(seed)
    signal = shake_signal(rng, 60.0 * minutes)
    sent = impaired(rng, list(signal.datagrams()), LOSS, DISORDER, GARBAGE)
    with tempfile.TemporaryDirectory(prefix="edgequake-shake-") as name:
        folder = Path(name)
        record = folder / "signal.mseed"
        record.write_bytes(signal.miniseed())
        expected = run(RunConfig((str(record),), folder / "file", model="earth")).events
        cost, summary = _live_run(sent, folder / "live", speed, progress)
        found = read_catalog(folder / "live" / "catalog.csv")
    return _report(signal, speed, len(sent), expected, found, cost, summary)


def _report(
    signal: ShakeSignal,
    speed: float,
    n_sent: int,
    expected: Sequence[CatalogRow],
    found: Sequence[CatalogRow],
    cost: LiveRunCost,
    summary: dict[str, Any],
) -> ShakeReport:
    nearest_s = [min((abs(a.onset_ns - b.onset_ns) / 1e9 for b in found), default=np.inf) for a in expected]
    matched_s = [difference_s for difference_s in nearest_s if difference_s <= ONSET_TOLERANCE_S]
    lost = (text for text in summary["warnings"] if "lost here" in text)
    return ShakeReport(
        provenance(),
        signal.duration_s,
        speed,
        sum(1 for _ in signal.datagrams()),
        n_sent,
        len(signal.onsets_ns),
        len(expected),
        len(matched_s),
        float(max(matched_s, default=0.0)),
        len(found) - len(matched_s),
        int(next(lost, "0").split()[0]),
        cost,
        summary,
    )


def _live_run(
    sent: Sequence[tuple[float, bytes]], out: Path, speed: float, progress: Progress
) -> tuple[LiveRunCost, dict[str, Any]]:
    """Run the runner in a process of its own and send it datagrams; return its cost and its summary."""
    port = free_port()
    address = f"shake://127.0.0.1:{port}/{STATION}"
    command = [sys.executable, "-m", "edgequake.edge", "run", address, "--model", "earth", "--out", str(out),
               "--json", "--idle-stop", f"{_IDLE_STOP_S:g}", "--checkpoint-every", "5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        first_line = process.stderr.readline()
        if b"listening" not in first_line:
            raise GateError(f"the live run does not listen: {first_line.decode()} {process.stderr.read().decode()}")
        cost = _send(sent, port, speed, process.pid, progress)
        summary, rest = process.communicate(timeout=120)
    if process.returncode != 0:
        raise GateError(f"the live run ended with exit code {process.returncode}: {rest.decode()[-500:]}")
    return cost, json.loads(summary)


def _send(sent: Sequence[tuple[float, bytes]], port: int, speed: float, pid: int, progress: Progress) -> LiveRunCost:
    begun_s = time.monotonic()
    begun_ticks = cpu_ticks(pid)
    sizes: list[int] = []
    latest_s = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for i, (at_s, data) in enumerate(sent):
            now_s = time.monotonic() - begun_s
            if now_s >= len(sizes) * _SAMPLED_EVERY_S:
                sizes.append(resident_bytes(pid))
                progress(i / len(sent), "datagrams")
            if at_s / speed > now_s:
                time.sleep(at_s / speed - now_s)
            latest_s = max(latest_s, now_s - at_s / speed)
            sender.sendto(data, ("127.0.0.1", port))
    sizes.append(resident_bytes(pid))
    ticks = cpu_ticks(pid) - begun_ticks
    return LiveRunCost(time.monotonic() - begun_s, ticks / os.sysconf("SC_CLK_TCK"), tuple(sizes), latest_s)


def free_port() -> int:
    """Return a UDP port of this machine that nothing has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
