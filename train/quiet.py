"""Real quiet time and real quakes from training records, as even float samples at the model's rate."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.dataset import Record
from edgequake.edge.filters import Decimate
from edgequake.edge.gaps import GapBridge, Stretch
from edgequake.edge.manifest import FrontEndConfig
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.station import decimation_factor
from edgequake.train.records import record_pieces

Float = npt.NDArray[np.float64]

BEFORE_EVENT_S = 420.0  # catalogued minutes may be late by this much (data traps: labels early and late by minutes)
AFTER_EVENT_S = 7200.0  # the longest codas
MIN_QUIET_S = 600.0
MIN_QUAKE_RATIO_DECADES = 1.0  # a real quake is reused only where it stands this far above its own record's noise


@dataclass(frozen=True)
class Bank:
    """Parts cut from training records; every part is one station's channels, shape (n_channels, n_samples)."""

    noise: tuple[Float, ...]
    quakes: tuple[Float, ...]  # from just before the arrival to the fading of the coda


def build_bank(records: list[Record], config: FrontEndConfig, model_rate_hz: float, levent: Path | None) -> Bank:
    """Cut quiet parts and clear quakes out of records; `levent` names Nakamura's catalogue, where there is one."""
    catalogued = read_levent(levent) if levent else []
    noise: list[Float] = []
    quakes: list[Float] = []
    for record in records:
        channels, start_ns = even_channels(record_pieces(record), config, model_rate_hz)
        if channels.shape[1] == 0:
            continue
        times_s = sorted({(a.time_ns - start_ns) / NS_PER_S for a in record.arrivals})
        known_s = times_s + [(t - start_ns) / NS_PER_S for t in catalogued]
        quiet = _quiet_parts(channels, known_s, model_rate_hz)
        noise += quiet
        quakes += [q for t in times_s for q in _clear_quake(channels, t, quiet, model_rate_hz)]
    return Bank(tuple(noise), tuple(quakes))


def even_channels(pieces: list[Piece], config: FrontEndConfig, model_rate_hz: float) -> tuple[Float, int]:
    """Return the common part of a station's channels, holes bridged, at the model's rate, and its start time.

    The longest stretch between tears too long to bridge is taken of each channel; dead (constant) channels are left
    out. Shape (n_channels, n_samples), possibly with no sample.
    """
    t0_ns = min(piece.start_ns for piece in pieces)
    longest = [_longest_stretch(pieces, name, t0_ns, config, model_rate_hz) for name in _names(pieces)]
    alive = [s for s in longest if s is not None and np.ptp(s.values) > 0]
    if not alive:
        return np.zeros((0, 0)), t0_ns
    first = max(s.first for s in alive)
    stop = min(s.first + len(s.values) for s in alive)
    if stop <= first:
        return np.zeros((0, 0)), t0_ns
    stacked = np.stack([s.values[first - s.first : stop - s.first] for s in alive])
    return stacked - np.median(stacked, axis=1, keepdims=True), t0_ns + round(first * NS_PER_S / model_rate_hz)


def read_levent(path: Path) -> list[int]:
    """Return the start times (ns since 1970) of every event of Nakamura's catalogue."""
    times = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            clock = int(row["StartTime"])
            moment = datetime(1900 + int(row["Year"]), 1, 1, tzinfo=timezone.utc) + timedelta(
                days=int(row["DOY"]) - 1, hours=clock // 100, minutes=clock % 100
            )
            times.append(round(moment.timestamp()) * NS_PER_S)
    return times


def _names(pieces: list[Piece]) -> list[str]:
    return sorted({piece.source_id for piece in pieces})


def _longest_stretch(
    pieces: list[Piece], source_id: str, t0_ns: int, config: FrontEndConfig, model_rate_hz: float
) -> Stretch | None:
    mine = [piece for piece in pieces if piece.source_id == source_id]
    rate_hz = mine[0].sampling_rate_hz
    factor = decimation_factor(config, model_rate_hz, rate_hz)
    bridge = GapBridge(round(config.bridge_s * rate_hz), config.fill_values, config.fill_min_jump)
    decimate = Decimate(factor, config.decimators[str(factor)]) if factor > 1 else None
    runs: list[list[Stretch]] = []
    for piece in mine:
        for stretch in bridge.push(round((piece.start_ns - t0_ns) / NS_PER_S * rate_hz), piece.samples):
            even = decimate.push(stretch) if decimate else stretch
            if even is None:
                continue
            if even.fresh or not runs:
                runs.append([])
            runs[-1].append(even)
    joined = [
        Stretch(r[0].first, np.concatenate([s.values for s in r]), np.concatenate([s.valid for s in r]), True)
        for r in runs
    ]
    return max(joined, key=lambda s: len(s.values), default=None)


def _quiet_parts(channels: Float, known_s: list[float], rate_hz: float) -> list[Float]:
    """Return what lies outside [t - BEFORE_EVENT_S, t + AFTER_EVENT_S) of every known event."""
    n = channels.shape[1]
    busy = np.zeros(n, np.bool_)
    for t in known_s:
        low, high = int((t - BEFORE_EVENT_S) * rate_hz), int((t + AFTER_EVENT_S) * rate_hz)
        busy[max(low, 0) : max(high, 0)] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], busy, [True]]).astype(np.int8)))
    parts = [channels[:, a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [part for part in parts if part.shape[1] >= MIN_QUIET_S * rate_hz]


def _clear_quake(channels: Float, arrival_s: float, quiet: list[Float], rate_hz: float) -> list[Float]:
    """Return the event of one arrival when it stands clear of its record's own noise, faded in and out."""
    first = int((arrival_s - 30.0) * rate_hz)
    part = channels[:, max(first, 0) : first + int(5400.0 * rate_hz)]
    if not quiet or first < 0 or part.shape[1] < 900.0 * rate_hz:
        return []
    noise_rms = _robust_rms(np.concatenate(quiet, axis=1))
    minutes = part[:, : part.shape[1] // int(60 * rate_hz) * int(60 * rate_hz)]
    level = np.sqrt(np.mean(np.square(minutes.reshape(len(part), -1, int(60 * rate_hz))), axis=2))  # (n_channels, n)
    if 2 * np.log10(np.max(np.median(level, axis=0)) / np.median(noise_rms)) < MIN_QUAKE_RATIO_DECADES:
        return []
    fade = np.ones(part.shape[1])
    rise, fall = int(30.0 * rate_hz), int(600.0 * rate_hz)
    fade[:rise] = np.linspace(0.0, 1.0, rise)
    fade[-fall:] = np.linspace(1.0, 0.0, fall)
    return [part * fade]


def _robust_rms(channels: Float) -> Float:
    deviation = np.median(np.abs(channels - np.median(channels, axis=1, keepdims=True)), axis=1)
    spread = np.maximum(1.4826 * deviation, 0.1 * np.std(channels, axis=1))  # a staircase's median deviation is 0
    return np.asarray(spread, np.float64)
