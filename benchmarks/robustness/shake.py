"""A simulated Raspberry Shake on a bad network, heard by a live run: what that finds, and what it costs."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.robustness.shake_signal import STATION, ShakeSignal, harmed, shake_signal
from edgequake.benchmarks.robustness.soak import cpu_ticks, resident_of
from edgequake.benchmarks.text_tables import align
from edgequake.edge.base.errors import GateError
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.results.provenance import Provenance, provenance

Progress = Callable[[float, str], None]  # takes the share done and what is being done

LOSS, DISORDER, GARBAGE = 0.01, 0.01, 0.02
ONSET_TOLERANCE_S = 1.0  # of an event in the file's run: a lost datagram takes a quarter of a second of one channel
GROWTH_LIMIT_BYTES = 1_000_000
_IDLE_STOP_S = 3.0
_SAMPLED_EVERY_S = 0.5


@dataclass(frozen=True)
class Cost:
    """What the run took while datagrams came."""

    wall_s: float
    cpu_s: float
    resident_bytes: tuple[int, ...]  # every half second
    latest_s: float  # by which the sender was behind its plan, at worst

    @property
    def growth_bytes(self) -> int:
        """From the most memory in the first half to the most in the second; quakes take some in both."""
        half = len(self.resident_bytes) // 2
        return max(self.resident_bytes[half:]) - max(self.resident_bytes[:half] or self.resident_bytes)


@dataclass(frozen=True)
class ShakeReport:
    """What a live run found of a signal that came as datagrams, beside a run over the same signal in a file."""

    provenance: Provenance
    signal_s: float
    speed: float
    n_datagrams: int  # of the signal
    n_sent: int  # without those that were lost on the way, with repeats and garbage
    n_quakes: int  # in the signal
    n_file_events: int
    n_found: int  # of them, by the live run
    largest_onset_s: float  # difference of an event's two onsets
    n_extra: int  # events of the live run that the file's has not
    lost_here: int  # datagrams for which the socket's buffer had no room
    cost: Cost
    summary: dict[str, Any]  # of the live run

    @property
    def cpu_share(self) -> float:
        """CPU time over wall time at the speed of the test."""
        return self.cost.cpu_s / self.cost.wall_s

    @property
    def failed(self) -> tuple[str, ...]:
        """What is worse than its limit, in words; empty where nothing is."""
        failed = []
        if self.n_found < self.n_file_events or self.n_file_events == 0:
            failed.append(f"{self.n_found} of the {self.n_file_events} events of the file's run were found live")
        if self.lost_here:
            failed.append(f"{self.lost_here} datagrams came faster than they were taken")
        if self.cost.growth_bytes >= GROWTH_LIMIT_BYTES:
            failed.append(f"memory grew by {_megabytes(self.cost.growth_bytes)}")
        return tuple(failed)

    def table(self) -> str:
        """Return the report as text for people."""
        cost, sizes = self.cost, self.cost.resident_bytes
        rows = [
            ["", "measured", "limit"],
            [f"signal, 3 channels, {self.speed:g} times as fast as a Shake", f"{self.signal_s / 60:.1f} min", ""],
            ["datagrams of the signal", f"{self.n_datagrams}", ""],
            [f"  sent: {LOSS:.0%} lost, {DISORDER:.0%} late, {DISORDER:.0%} twice, {GARBAGE:.0%} garbage added",
             f"{self.n_sent}", ""],
            ["  lost for want of room", f"{self.lost_here}", "0"],
            ["quakes in the signal", f"{self.n_quakes}", ""],
            ["events of the file's run", f"{self.n_file_events}", ""],
            [f"  found live, onset within {ONSET_TOLERANCE_S:g} s", f"{self.n_found}", "all"],
            ["  largest difference of onset", f"{self.largest_onset_s:.2f} s", f"{ONSET_TOLERANCE_S:.2f} s"],
            ["events found live only", f"{self.n_extra}", ""],
            ["CPU time over wall time, at this speed", f"{self.cpu_share:.1%}", ""],
            ["  at the speed of a Shake", f"{self.cpu_share / self.speed:.2%}", ""],
            ["memory, largest", _megabytes(max(sizes)), ""],
            ["  growth from the first half to the second", _megabytes(cost.growth_bytes),
             f"< {_megabytes(GROWTH_LIMIT_BYTES)}"],
        ]  # fmt: skip
        return align(rows)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        own = {"cpu_share": self.cpu_share, "growth_bytes": self.cost.growth_bytes, "failed": list(self.failed)}
        return {"benchmark": "shake", **dataclasses.asdict(self), **own}


def bench_shake(
    minutes: float = 30.0, speed: float = 20.0, seed: int = 1, progress: Progress | None = None
) -> ShakeReport:
    """Send a synthesised signal as a Raspberry Shake would, badly, to a run over loopback; compare with a file's run.

    Parameters
    ----------
    minutes : of signal.
    speed : how many times faster than a Shake they are sent.

    Raises
    ------
    GateError
        The live run does not come to its end.
    """
    rng = np.random.default_rng(seed)
    signal = shake_signal(rng, 60.0 * minutes)
    sent = harmed(rng, list(signal.datagrams()), LOSS, DISORDER, GARBAGE)
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
    cost: Cost,
    summary: dict[str, Any],
) -> ShakeReport:
    nearest_s = [min((abs(a.onset_ns - b.onset_ns) / 1e9 for b in found), default=np.inf) for a in expected]
    matched_s = [apart_s for apart_s in nearest_s if apart_s <= ONSET_TOLERANCE_S]
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
    sent: Sequence[tuple[float, bytes]], out: Path, speed: float, progress: Progress | None
) -> tuple[Cost, dict[str, Any]]:
    """Run the runner in a process of its own and send it datagrams; return what it took, and its summary."""
    port = _free_port()
    address = f"shake://127.0.0.1:{port}/{STATION}"
    command = [sys.executable, "-m", "edgequake.edge", "run", address, "--model", "earth", "--out", str(out),
               "--json", "--idle-stop", f"{_IDLE_STOP_S:g}", "--checkpoint-every", "5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        said = process.stderr.readline()
        if b"listening" not in said:
            raise GateError(f"the live run does not listen: {said.decode()} {process.stderr.read().decode()}")
        cost = _send(sent, port, speed, process.pid, progress)
        summary, rest = process.communicate(timeout=120)
    if process.returncode != 0:
        raise GateError(f"the live run ended with exit code {process.returncode}: {rest.decode()[-500:]}")
    return cost, json.loads(summary)


def _send(sent: Sequence[tuple[float, bytes]], port: int, speed: float, pid: int, progress: Progress | None) -> Cost:
    begun_s = time.monotonic()
    begun_ticks = cpu_ticks(pid)
    sizes: list[int] = []
    latest_s = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for i, (at_s, data) in enumerate(sent):
            now_s = time.monotonic() - begun_s
            if now_s >= len(sizes) * _SAMPLED_EVERY_S:
                sizes.append(resident_of(pid))
                if progress is not None:
                    progress(i / len(sent), "datagrams")
            if at_s / speed > now_s:
                time.sleep(at_s / speed - now_s)
            latest_s = max(latest_s, now_s - at_s / speed)
            sender.sendto(data, ("127.0.0.1", port))
    sizes.append(resident_of(pid))
    ticks = cpu_ticks(pid) - begun_ticks
    return Cost(time.monotonic() - begun_s, ticks / os.sysconf("SC_CLK_TCK"), tuple(sizes), latest_s)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
