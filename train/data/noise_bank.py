"""Recorded noise and quakes, cut out of the training records, as evenly sampled floats at the model's rate."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.conditioning import ContiguousRun, join_runs
from edgequake.edge.features.resampling import on_model_grid
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.data.records import record_traces
from edgequake.train.signals.noise import Float, in_band


@dataclass(frozen=True)
class RecordedQuake:
    """An event cut out of a record, from shortly before its arrival to the end of its coda, faded in and out.

    Attributes
    ----------
    channels : shape (n_channels, n_samples).
    clear_decades : power of its loudest interval over the noise of its own record.
    """

    channels: Float
    clear_decades: float


@dataclass(frozen=True)
class NoiseBank:
    """Cuts from training records; each holds the channels of one station, shape (n_channels, n_samples)."""

    noise: tuple[Float, ...]
    quakes: tuple[RecordedQuake, ...]


def build_bank(
    records: list[LabelledRecord],
    config: FrontEndConfig,
    model_rate_hz: float,
    scales: Scales,
    nakamura_catalog: Path | None,
) -> NoiseBank:
    """Cut quiet time and clear quakes out of records.

    Time around the events of Nakamura's catalogue, if there is one, is not quiet. A record without arrivals whose note
    begins with "noise" (a spacecraft landing) is used whole, because the catalogue lists its noise as events.
    """
    catalogued_ns = read_nakamura_catalog(nakamura_catalog) if nakamura_catalog else []
    noise: list[Float] = []
    quakes: list[RecordedQuake] = []
    for record in records:
        channels, start_ns = even_channels(record_traces(record), config, model_rate_hz)
        if channels.shape[1] == 0:
            continue
        arrivals_s = sorted({(a.time_ns - start_ns) / NS_PER_S for a in record.arrivals})
        is_noise = not record.arrivals and record.note.startswith("noise")
        events_s = [] if is_noise else arrivals_s + [(t - start_ns) / NS_PER_S for t in catalogued_ns]
        quiet = _quiet_parts(channels, events_s, model_rate_hz, scales)
        noise += quiet
        quakes += [q for t in arrivals_s for q in _clear_quake(channels, t, quiet, model_rate_hz, scales)]
    return NoiseBank(tuple(noise), tuple(quakes))


def even_channels(traces: list[Trace], config: FrontEndConfig, model_rate_hz: float) -> tuple[Float, int]:
    """Return the time span common to a station's channels, gaps interpolated, at the model's rate, and its start time.

    Each channel contributes its longest run between gaps that are too long to interpolate; dead (constant) channels are
    omitted. Shape (n_channels, n_samples), possibly without samples.
    """
    t0_ns = min(trace.start_ns for trace in traces)
    names = sorted({trace.source_id for trace in traces})
    longest = [_longest_run(traces, name, t0_ns, config, model_rate_hz) for name in names]
    alive = [run for run in longest if run is not None and np.ptp(run.values) > 0]
    if not alive:
        return np.zeros((0, 0)), t0_ns
    first = max(run.first for run in alive)
    stop = min(run.first + len(run.values) for run in alive)
    if stop <= first:
        return np.zeros((0, 0)), t0_ns
    stacked = np.stack([run.values[first - run.first : stop - run.first] for run in alive])
    return stacked - np.median(stacked, axis=1, keepdims=True), t0_ns + round(first * NS_PER_S / model_rate_hz)


def read_nakamura_catalog(path: Path) -> list[int]:
    """Return the start times (ns since 1970) of all events of Nakamura's catalogue."""
    times = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            clock = int(row["StartTime"])
            moment = datetime(1900 + int(row["Year"]), 1, 1, tzinfo=timezone.utc) + timedelta(
                days=int(row["DOY"]) - 1, hours=clock // 100, minutes=clock % 100
            )
            times.append(round(moment.timestamp()) * NS_PER_S)
    return times


def _longest_run(
    traces: list[Trace], source_id: str, t0_ns: int, config: FrontEndConfig, model_rate_hz: float
) -> ContiguousRun | None:
    mine = [trace for trace in traces if trace.source_id == source_id]
    runs = on_model_grid(config, model_rate_hz, mine, t0_ns)
    return max(join_runs(runs), key=lambda run: len(run.values), default=None)


def _quiet_parts(channels: Float, events_s: list[float], rate_hz: float, scales: Scales) -> list[Float]:
    """Return the parts outside [t - before_event_s, t + after_event_s) of every known event."""
    n = channels.shape[1]
    busy = np.zeros(n, np.bool_)
    for t in events_s:
        low, high = int((t - scales.before_event_s) * rate_hz), int((t + scales.after_event_s) * rate_hz)
        busy[max(low, 0) : max(high, 0)] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], busy, [True]]).astype(np.int8)))
    parts = [channels[:, a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [part for part in parts if part.shape[1] >= scales.min_quiet_s * rate_hz]


def _clear_quake(
    channels: Float, arrival_s: float, quiet: list[Float], rate_hz: float, scales: Scales
) -> list[RecordedQuake]:
    """Return the event of one arrival, faded in and out, if it is clear of the noise of its own record."""
    first = int((arrival_s - scales.quake_lead_s) * rate_hz)
    part = channels[:, max(first, 0) : first + int(scales.quake_s * rate_hz)]
    if not quiet or first < 0 or part.shape[1] < scales.min_quake_s * rate_hz:
        return []
    filtered = in_band(part, scales.loudness_band_hz, rate_hz)
    noise_rms = _noise_rms(in_band(np.concatenate(quiet, axis=1), scales.loudness_band_hz, rate_hz))
    n = int(scales.level_s * rate_hz)
    intervals = filtered[:, : filtered.shape[1] // n * n].reshape(len(part), -1, n)
    level = np.sqrt(np.mean(np.square(intervals), axis=2))  # (n_channels, n_intervals)
    clear_decades = 2 * float(np.log10(np.max(np.median(level, axis=0)) / np.median(noise_rms)))
    if clear_decades < scales.clear_decades:
        return []
    fade = np.ones(part.shape[1])
    rise, fall = int(scales.quake_lead_s * rate_hz), int(scales.quake_fade_s * rate_hz)
    fade[:rise] = np.linspace(0.0, 1.0, rise)
    fade[-fall:] = np.linspace(1.0, 0.0, fall)
    return [RecordedQuake(part * fade, clear_decades)]


def _noise_rms(channels: Float) -> Float:
    """Return a robust rms of each channel; the median deviation of a staircase of counts is 0."""
    deviation = np.median(np.abs(channels - np.median(channels, axis=1, keepdims=True)), axis=1)
    return np.asarray(np.maximum(1.4826 * deviation, 0.1 * np.std(channels, axis=1)), np.float64)
