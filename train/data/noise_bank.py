"""Real quiet time and real quakes from training records, as even float samples at the model's rate."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.conditioning import ContiguousRun, Decimate, GapBridge
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.front_end_config import FrontEndConfig, decimation_factor
from edgequake.train.bandpower import QuietCurve
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.data.records import record_traces
from edgequake.train.earth import EarthQuake
from edgequake.train.signals.noise import in_band

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RealQuake:
    """An event cut out of a record, from just before its arrival to the fading of its coda, faded in and out.

    Attributes
    ----------
    channels : shape (n_channels, n_samples).
    clear_decades : how far its loudest stretch stands above its own record's noise.
    """

    channels: Float
    clear_decades: float


@dataclass(frozen=True)
class NoiseBank:
    """Parts cut from training records; every part is one station's channels, shape (n_channels, n_samples)."""

    noise: tuple[Float, ...]
    quakes: tuple[RealQuake, ...]
    earth: tuple[EarthQuake, ...] = ()  # earthquakes to be played slowly
    curves: tuple[QuietCurve, ...] = ()  # how the level of real quiet time moves


def build_bank(
    records: list[LabelledRecord], config: FrontEndConfig, model_rate_hz: float, scales: Scales, levent: Path | None
) -> NoiseBank:
    """Cut quiet parts and clear quakes out of records; `levent` names Nakamura's catalogue, where there is one.

    A record without arrivals whose note begins with "noise" (a spacecraft landing) is quiet time as a whole: the
    catalogue lists its own noise.
    """
    catalogued = read_levent(levent) if levent else []
    noise: list[Float] = []
    quakes: list[RealQuake] = []
    for record in records:
        channels, start_ns = even_channels(record_traces(record), config, model_rate_hz)
        if channels.shape[1] == 0:
            continue
        times_s = sorted({(a.time_ns - start_ns) / NS_PER_S for a in record.arrivals})
        is_noise = not record.arrivals and record.note.startswith("noise")
        known_s = [] if is_noise else times_s + [(t - start_ns) / NS_PER_S for t in catalogued]
        quiet = _quiet_parts(channels, known_s, model_rate_hz, scales)
        noise += quiet
        quakes += [q for t in times_s for q in _clear_quake(channels, t, quiet, model_rate_hz, scales)]
    return NoiseBank(tuple(noise), tuple(quakes))


def even_channels(traces: list[Trace], config: FrontEndConfig, model_rate_hz: float) -> tuple[Float, int]:
    """Return the common part of a station's channels, holes bridged, at the model's rate, and its start time.

    The longest stretch between tears too long to bridge is taken of each channel; dead (constant) channels are left
    out. Shape (n_channels, n_samples), possibly with no sample.
    """
    t0_ns = min(trace.start_ns for trace in traces)
    longest = [_longest_stretch(traces, name, t0_ns, config, model_rate_hz) for name in _names(traces)]
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


def _names(traces: list[Trace]) -> list[str]:
    return sorted({trace.source_id for trace in traces})


def _longest_stretch(
    traces: list[Trace], source_id: str, t0_ns: int, config: FrontEndConfig, model_rate_hz: float
) -> ContiguousRun | None:
    mine = [trace for trace in traces if trace.source_id == source_id]
    rate_hz = mine[0].sampling_rate_hz
    factor = decimation_factor(config, model_rate_hz, rate_hz)
    bridge = GapBridge(round(config.bridge_s * rate_hz), config.fill_values, config.fill_min_jump)
    decimate = Decimate(factor, config.decimators[str(factor)]) if factor > 1 else None
    runs: list[list[ContiguousRun]] = []
    for trace in mine:
        for stretch in bridge.push(round((trace.start_ns - t0_ns) / NS_PER_S * rate_hz), trace.samples):
            even = decimate.push(stretch) if decimate else stretch
            if even is None:
                continue
            if even.fresh or not runs:
                runs.append([])
            runs[-1].append(even)
    joined = [
        ContiguousRun(r[0].first, np.concatenate([s.values for s in r]), np.concatenate([s.valid for s in r]), True)
        for r in runs
    ]
    return max(joined, key=lambda s: len(s.values), default=None)


def _quiet_parts(channels: Float, known_s: list[float], rate_hz: float, scales: Scales) -> list[Float]:
    """Return what lies outside [t - before_event_s, t + after_event_s) of every known event."""
    n = channels.shape[1]
    busy = np.zeros(n, np.bool_)
    for t in known_s:
        low, high = int((t - scales.before_event_s) * rate_hz), int((t + scales.after_event_s) * rate_hz)
        busy[max(low, 0) : max(high, 0)] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], busy, [True]]).astype(np.int8)))
    parts = [channels[:, a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [part for part in parts if part.shape[1] >= scales.min_quiet_s * rate_hz]


def _clear_quake(
    channels: Float, arrival_s: float, quiet: list[Float], rate_hz: float, scales: Scales
) -> list[RealQuake]:
    """Return the event of one arrival when it stands clear of its record's own noise, faded in and out."""
    first = int((arrival_s - scales.quake_lead_s) * rate_hz)
    part = channels[:, max(first, 0) : first + int(scales.quake_s * rate_hz)]
    if not quiet or first < 0 or part.shape[1] < scales.min_quake_s * rate_hz:
        return []
    heard = in_band(part, scales.loudness_band_hz, rate_hz)
    noise_rms = _robust_rms(in_band(np.concatenate(quiet, axis=1), scales.loudness_band_hz, rate_hz))
    n = int(scales.level_s * rate_hz)
    stretches = heard[:, : heard.shape[1] // n * n].reshape(len(part), -1, n)
    level = np.sqrt(np.mean(np.square(stretches), axis=2))  # (n_channels, n_stretches)
    clear_decades = 2 * float(np.log10(np.max(np.median(level, axis=0)) / np.median(noise_rms)))
    if clear_decades < scales.clear_decades:
        return []
    fade = np.ones(part.shape[1])
    rise, fall = int(scales.quake_lead_s * rate_hz), int(scales.quake_fade_s * rate_hz)
    fade[:rise] = np.linspace(0.0, 1.0, rise)
    fade[-fall:] = np.linspace(1.0, 0.0, fall)
    return [RealQuake(part * fade, clear_decades)]


def _robust_rms(channels: Float) -> Float:
    deviation = np.median(np.abs(channels - np.median(channels, axis=1, keepdims=True)), axis=1)
    spread = np.maximum(1.4826 * deviation, 0.1 * np.std(channels, axis=1))  # a staircase's median deviation is 0
    return np.asarray(spread, np.float64)
