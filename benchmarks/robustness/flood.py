"""The benchmark `flood`: thousands of forged stations on the port of a live run, while a true quake arrives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.robustness.shake import free_port
from edgequake.benchmarks.robustness.shake_signal import (
    CHANNELS,
    DATAGRAM_SAMPLES,
    RATE_HZ,
    START_NS,
    ShakeSignal,
    shake_signal,
)
from edgequake.edge.base.errors import GateError
from edgequake.edge.formats.waveforms import duration_ns
from edgequake.edge.inputs.datagrams import raw_datagram
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.results.progress import Progress, silent

OWN_STATION = "AM_R0E05"
MOST_BYTES = 64_000_000  # of memory, of a run that is given --station
ONSET_TOLERANCE_S = 1.0
_FORGED_SAMPLES = 30
_BURSTS_A_S = 100.0
_IDLE_STOP_S = 3.0


@dataclass(frozen=True)
class Flooded:
    """One live run and what came of it."""

    summary: dict[str, Any]
    rows: list[CatalogRow]
    latencies_s: list[float]  # from the sending of the datagram with a row's last sample to the row, wall time
    n_forged_sent: int
    checkpoint: bytes = field(repr=False)

    @property
    def peak_bytes(self) -> int:
        return int(self.summary["peak_memory_bytes"])

    @property
    def n_lost(self) -> int:
        """Datagrams that the socket had no room for."""
        return next((int(text.split()[0]) for text in self.summary["warnings"] if "lost here" in text), 0)


@dataclass(frozen=True)
class FloodResult:
    """A run alone, and the same under a flood."""

    alone: Flooded
    flooded: Flooded
    is_named: bool

    @property
    def failed(self) -> list[str]:
        """What was worse than it may be."""
        failed = []
        found = [
            min((abs(a.onset_ns - b.onset_ns) / 1e9 for b in self.flooded.rows), default=np.inf)
            for a in self.alone.rows
        ]
        if self.is_named and max(found, default=np.inf) > ONSET_TOLERANCE_S:
            failed.append(f"of {len(found)} events {sum(one > ONSET_TOLERANCE_S for one in found)} are not found")
        if self.is_named and self.flooded.peak_bytes > MOST_BYTES:
            failed.append(
                f"the run takes {self.flooded.peak_bytes / 1e6:.0f} MB, expected {MOST_BYTES / 1e6:.0f} at most"
            )
        if len(self.flooded.checkpoint) > 2 * len(self.alone.checkpoint) and self.is_named:
            failed.append(f"a checkpoint of {len(self.flooded.checkpoint)} bytes, alone {len(self.alone.checkpoint)}")
        return failed

    def text(self) -> str:
        """Return the figures, a line each."""
        lines = [f"{self.flooded.n_forged_sent} forged datagrams, {self.flooded.n_lost} datagrams lost at the socket"]
        for name, one in (("alone", self.alone), ("flooded", self.flooded)):
            latest_s = max(one.latencies_s, default=np.nan)
            lines.append(
                f"{name}: {len(one.rows)} events, in the catalogue up to {latest_s:.1f} s after their last sample; "
                f"{one.peak_bytes / 1e6:.1f} MB peak, {one.summary['cpu_s']:.1f} s CPU, checkpoint of "
                f"{len(one.checkpoint)} bytes, {len(one.summary['stations'])} station(s)"
            )
        return "\n".join([*lines, *(f"warning: {text}" for text in self.flooded.summary["warnings"])])


def flood(
    duration_s: float = 300.0,
    speed: float = 5.0,
    n_stations: int = 5000,
    packets_a_s: float = 10_000.0,
    is_named: bool = True,
    seed: int = 1,
    progress: Progress = silent,
) -> FloodResult:
    """Send a synthesised Shake to a live run, alone and then under a flood of forged stations' datagrams.

    Parameters
    ----------
    duration_s : length of the station's signal, with a quake about every 150 s.
    speed : how many times faster than in real time it is sent.
    n_stations, packets_a_s : of the flood; each station's datagrams go on from the one before.
    is_named : the run is given the station by --station.

    Raises
    ------
    GateError
        A live run does not complete.
    """
    signal = shake_signal(np.random.default_rng(seed), duration_s)
    sent = list(_datagrams(signal))
    options = ("--station", OWN_STATION) if is_named else ()
    with tempfile.TemporaryDirectory(prefix="edgequake-flood-") as name:
        runs = []
        for i, rate in enumerate((0.0, packets_a_s)):
            forged = _Flood(n_stations, rate, seed)
            runs.append(_live_run(sent, forged, Path(name) / str(i), speed, options))
            progress((i + 1) / 2, "runs")
    return FloodResult(runs[0], runs[1], is_named)


def _datagrams(signal: ShakeSignal) -> Iterator[tuple[float, bytes]]:
    """Yield the station's raw datagrams, each with its time in seconds after the first."""
    for first in range(0, signal.samples.shape[1] - DATAGRAM_SAMPLES + 1, DATAGRAM_SAMPLES):
        for channel, row in zip(CHANNELS, signal.samples, strict=True):
            source_id = f"FDSN:{OWN_STATION}_00_{'_'.join(channel)}"
            start_ns = START_NS + duration_ns(first, RATE_HZ)
            yield first / RATE_HZ, raw_datagram(source_id, start_ns, RATE_HZ, row[first : first + DATAGRAM_SAMPLES])


class _Flood(threading.Thread):
    """Sends datagrams of forged stations, in bursts, until it is stopped."""

    def __init__(self, n_stations: int, packets_a_s: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._n_stations, self._packets_a_s = n_stations, packets_a_s
        self._samples = np.random.default_rng(seed).integers(-99, 99, _FORGED_SAMPLES).astype(np.int32)
        self.port, self.n_sent = 0, 0
        self.stopped = threading.Event()

    def run(self) -> None:
        begun_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self.stopped.wait(1.0 / _BURSTS_A_S):
                while self.n_sent < (time.monotonic() - begun_s) * self._packets_a_s and not self.stopped.is_set():
                    turn, station = divmod(self.n_sent, self._n_stations)
                    start_ns = START_NS + duration_ns(turn * _FORGED_SAMPLES, RATE_HZ)
                    name = f"FDSN:ZZ_{station:05d}_00_E_H_Z"
                    sender.sendto(raw_datagram(name, start_ns, RATE_HZ, self._samples), ("127.0.0.1", self.port))
                    self.n_sent += 1


def _live_run(
    sent: Sequence[tuple[float, bytes]], forged: _Flood, out: Path, speed: float, options: tuple[str, ...]
) -> Flooded:
    forged.port = free_port()
    command = [sys.executable, "-m", "edgequake.edge", "run", f"udp://127.0.0.1:{forged.port}", "--out", str(out),
               "--json", "--checkpoint-every", "5", *options]  # fmt: skip
    with (
        (out.parent / f"{out.name}.stderr").open("w+b") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            _wait_for(log.name, b"listening", process)
            forged.start()
            latencies_s = _send(sent, forged.port, speed, out)
            forged.stopped.set()
            forged.join()
            process.terminate()
            summary, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired as problem:
            raise GateError("the live run does not end") from problem
        finally:
            forged.stopped.set()
            process.kill()  # without effect if it has ended
        if process.returncode != 0:
            raise GateError(
                f"the live run ended with exit code {process.returncode}: {Path(log.name).read_text()[-500:]}"
            )
    checkpoint = (out / "checkpoint.edgequake").read_bytes()
    return Flooded(json.loads(summary), read_catalog(out / "catalog.csv"), latencies_s, forged.n_sent, checkpoint)


def _wait_for(log: str, text: bytes, process: subprocess.Popen[bytes]) -> None:
    while text not in Path(log).read_bytes():
        if process.poll() is not None:
            raise GateError(f"the live run does not listen: {Path(log).read_text()[-500:]}")
        time.sleep(0.05)


def _send(sent: Sequence[tuple[float, bytes]], port: int, speed: float, out: Path) -> list[float]:
    """Send the datagrams; return how long after its last sample each row appeared, in wall time."""
    begun_s, seen, latencies_s = time.monotonic(), 0, []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for i, (at_s, data) in enumerate(sent):
            now_s = time.monotonic() - begun_s
            if at_s / speed > now_s:
                time.sleep(at_s / speed - now_s)
            sender.sendto(data, ("127.0.0.1", port))
            if i % len(CHANNELS) == 0 and (out / "catalog.csv").exists():
                rows = read_catalog(out / "catalog.csv")
                now_s = time.monotonic() - begun_s
                latencies_s += [now_s - (row.stop_ns - START_NS) / 1e9 / speed for row in rows[seen:]]
                seen = len(rows)
    return latencies_s
