"""Recorded noise and quakes, cut out of the training records, as evenly sampled floats at the model's rate."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgequake.data.tables import UNREVIEWED, LabelledRecord
from edgequake.edge.features.conditioning import ContiguousRun, join_runs
from edgequake.edge.features.resampling import on_model_grid
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.tables import LOWEST_RATIO, FrontEndConfig
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.data.records import record_traces
from edgequake.train.signals.noise import Float, in_band


@dataclass(frozen=True)
class RecordedQuake:
    """An event cut out of a record, from shortly before its arrival to the end of its coda, faded in and out.

    Attributes
    ----------
    channels : shape (n_channels, n_samples).
    components : last letter of each channel's code.
    clear_decades : power of its loudest interval over the noise of its own record.
    """

    channels: Float
    components: str
    clear_decades: float


@dataclass(frozen=True)
class RecordedNoise:
    """Quiet time of one station: channels, shape (n_channels, n_samples), and the last letters of their codes."""

    channels: Float
    components: str


@dataclass(frozen=True)
class NoiseBank:
    """Cuts from training records, evenly sampled at one rate."""

    noise: tuple[RecordedNoise, ...]
    quakes: tuple[RecordedQuake, ...]


def build_bank(
    records: list[LabelledRecord],
    config: FrontEndConfig,
    rate_hz: float,
    scales: Scales,
    nakamura_catalog: Path | None,
) -> NoiseBank:
    """Cut quiet time and clear quakes out of records, at `rate_hz`; slower records are left out.

    Time around the events of Nakamura's catalogue, if there is one, is not quiet. A record without arrivals whose note
    begins with "noise" (a spacecraft landing) is used whole, because the catalogue lists its noise as events.
    """
    catalogued_ns = read_nakamura_catalog(nakamura_catalog) if nakamura_catalog else []
    noise: list[RecordedNoise] = []
    quakes: list[RecordedQuake] = []
    for record in records:
        traces = [t for t in record_traces(record) if t.sampling_rate_hz >= LOWEST_RATIO * rate_hz]
        channels, components, start_ns = even_channels(traces, config, rate_hz)
        if channels.shape[1] == 0:
            continue
        arrivals_s = sorted({(a.time_ns - start_ns) / NS_PER_S for a in record.arrivals})
        is_noise = not record.arrivals and record.note.startswith("noise")
        events_s = [] if is_noise else arrivals_s + [(t - start_ns) / NS_PER_S for t in catalogued_ns]
        quiet = _quiet_parts(channels, events_s, rate_hz, scales)
        noise += [RecordedNoise(part, components) for part in quiet]
        open_s = {(a.time_ns - start_ns) / NS_PER_S for a in record.arrivals if a.event_type == UNREVIEWED}
        for t, next_s in pairwise([*arrivals_s, np.inf]):
            if t in open_s:
                continue
            longest_s = min(scales.quake_s, next_s - t)  # the next event is another one
            quakes += _clear_quake(channels, components, t, longest_s, quiet, rate_hz, scales)
    return NoiseBank(tuple(noise), tuple(quakes))


def even_channels(traces: list[Trace], config: FrontEndConfig, rate_hz: float) -> tuple[Float, str, int]:
    """Return the time span common to a station's channels, gaps interpolated; their component codes; its start time.

    Each channel contributes its longest run between gaps that are too long to interpolate; dead (constant) channels are
    omitted. Shape (n_channels, n_samples), possibly without samples.
    """
    t0_ns = min((trace.start_ns for trace in traces), default=0)
    names = sorted({trace.source_id for trace in traces})
    longest = [(name, _longest_run(traces, name, t0_ns, config, rate_hz)) for name in names]
    found = [(name, run) for name, run in longest if run is not None and np.ptp(run.values) > 0]
    alive = [run for _, run in found]
    if not alive:
        return np.zeros((0, 0)), "", t0_ns
    first = max(run.first for run in alive)
    stop = min(run.first + len(run.values) for run in alive)
    if stop <= first:
        return np.zeros((0, 0)), "", t0_ns
    stacked = np.stack([run.values[first - run.first : stop - run.first] for run in alive])
    centred = stacked - np.median(stacked, axis=1, keepdims=True)
    return centred, "".join(name[-1] for name, _ in found), t0_ns + round(first * NS_PER_S / rate_hz)


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
    traces: list[Trace], source_id: str, t0_ns: int, config: FrontEndConfig, rate_hz: float
) -> ContiguousRun | None:
    mine = [trace for trace in traces if trace.source_id == source_id]
    runs = on_model_grid(config, rate_hz, mine, t0_ns)
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
    channels: Float,
    components: str,
    arrival_s: float,
    longest_s: float,
    quiet: list[Float],
    rate_hz: float,
    scales: Scales,
) -> list[RecordedQuake]:
    """Return the event of one arrival, faded in and out, if it is clear of the noise of its own record."""
    first = int((arrival_s - scales.quake_lead_s) * rate_hz)
    part = channels[:, max(first, 0) : first + int(longest_s * rate_hz)]
    if not quiet or first < 0 or part.shape[1] < scales.min_quake_s * rate_hz:
        return []
    clear_decades = max(
        _clear_decades(part, np.concatenate(quiet, axis=1), band_hz, rate_hz, scales.level_s)
        for band_hz in scales.loudness_bands_hz(rate_hz)
    )
    if clear_decades < scales.clear_decades:
        return []
    fade = np.ones(part.shape[1])
    rise = int(scales.quake_lead_s * rate_hz)
    fall = min(int(scales.quake_fade_s * rate_hz), part.shape[1] // 3)
    fade[:rise] = np.linspace(0.0, 1.0, rise)
    fade[-fall:] = np.linspace(1.0, 0.0, fall)
    return [RecordedQuake(part * fade, components, clear_decades)]


def _clear_decades(part: Float, quiet: Float, band_hz: tuple[float, ...], rate_hz: float, level_s: float) -> float:
    """Return the power of the loudest interval of a quake over that of quiet time, in a band."""
    filtered, noise_rms = in_band(part, band_hz, rate_hz), _noise_rms(in_band(quiet, band_hz, rate_hz))
    n = int(level_s * rate_hz)
    intervals = filtered[:, : filtered.shape[1] // n * n].reshape(len(part), -1, n)
    level = np.sqrt(np.mean(np.square(intervals), axis=2))  # (n_channels, n_intervals)
    return 2 * float(np.log10(np.max(np.median(level, axis=0)) / np.median(noise_rms)))


def _noise_rms(channels: Float) -> Float:
    """Return a robust rms of each channel; the median deviation of a staircase of counts is 0."""
    deviation = np.median(np.abs(channels - np.median(channels, axis=1, keepdims=True)), axis=1)
    return np.asarray(np.maximum(1.4826 * deviation, 0.1 * np.std(channels, axis=1)), np.float64)
