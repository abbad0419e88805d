"""Arrays for the browser to draw: traces, spectrograms and SSAM levels as JSON with bytes in base64.

Pictures are drawn in the browser, where they are redrawn in its colours and at its width; so the server needs no
drawing library and stays small.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.extract import get_waveforms
from edgequake.edge.archive.sds import name_of
from edgequake.edge.archive.ssam import BAND_EDGES, N_BANDS, STEPS_A_DECADE, WINDOW, band_of
from edgequake.edge.base.layout import CONTINUOUS
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.report.charts.spectrogram import DEFAULT_BRIDGE_S, DEFAULT_WINDOW_SAMPLES, spectrogram_of
from edgequake.report.recording.samples import Floats, Samples, unit_of
from edgequake.serve.station.waveforms import code_of, extremes, pieces

COLUMNS = 1200  # of a trace: about one for each pixel of a wide screen
_SPECTRA = 480  # columns of a spectrogram
_ROWS = 64  # frequencies of a spectrogram
_RANGE = (5.0, 99.7)  # percentiles that the colours span, as in the report's pictures
_EMPTY = 255  # of a byte: no samples
_DECIBELS_A_DECADE = 20.0  # of an amplitude


def trace_picture(traces: Sequence[Trace], start_ns: int, stop_ns: int) -> dict[str, Any]:
    """Return a channel's trace: times in s since 1970, and extremes about the median, None where there are no samples.

    Equal extremes mean samples one by one.
    """
    found = extremes(traces, start_ns, stop_ns, COLUMNS)
    if found is None:
        return {"times": [], "low": [], "high": [], "unit": "", "live": False}
    times, low, high = found
    return {
        "times": [round(time, 3) for time in times],
        "low": _numbers(low),
        "high": _numbers(high) if high is not low else None,
        "unit": unit_of(traces),
        "live": bool(np.nanmax(high) > np.nanmin(low)),
    }


def long_trace_picture(times: Floats, low: Floats, high: Floats, recent: Sequence[Trace]) -> dict[str, Any]:
    """Return the trace of hours from extremes at `times` (s since 1970), about the middle of them; as `trace_picture`.

    recent : newest samples of the channel, which tell its unit.
    """
    if not np.isfinite(low).any():
        return {"times": [], "low": [], "high": [], "unit": "", "live": False}
    middle = float(np.nanmedian((low + high) / 2.0))
    group = -(-len(times) // COLUMNS)
    low, high = -_thinned(-low, -(-len(low) // group), 0), _thinned(high, -(-len(high) // group), 0)
    times = times[np.unique(np.arange(len(low)) * len(times) // len(low))]
    return {
        "times": [round(float(time), 1) for time in times],
        "low": _numbers(low - middle),
        "high": _numbers(high - middle),
        "unit": unit_of(recent),
        "live": bool(np.nanmax(high) > np.nanmin(low)),
    }


def spectrogram_picture(traces: Sequence[Trace]) -> dict[str, Any] | None:
    """Return the spectrogram of a channel as bytes, or None where there are too few samples."""
    if not any(len(trace.samples) for trace in traces):
        return None
    rate_hz = traces[0].sampling_rate_hz
    own = [trace for trace in traces if abs(trace.sampling_rate_hz - rate_hz) < 1e-3 * rate_hz]
    parts = list(pieces(sorted(own, key=lambda trace: trace.start_ns)))
    samples = Samples(
        np.concatenate([part.times_ns for part in parts]), np.concatenate([part.values for part in parts])
    )
    del parts
    found = spectrogram_of(samples, rate_hz, DEFAULT_WINDOW_SAMPLES, DEFAULT_BRIDGE_S)
    if found is None:
        return None
    decibels = _thinned(_thinned(found.decibels, _SPECTRA, 1), _ROWS, 0)
    return {
        **_bytes_of(decibels),
        "start": found.edges_ns[0] / NS_PER_S,
        "stop": found.edges_ns[-1] / NS_PER_S,
        "frequencies": [float(found.edges_hz[0]), float(found.edges_hz[-1])],
        "label": f"dB of 1 {unit_of(traces)}²/Hz",
        "channel": code_of(traces[0].source_id),
    }


def ssam_picture(
    out: Path, station_id: str, start_ns: int, stop_ns: int, rate_hz: float | None = None
) -> dict[str, Any] | None:
    """Return the SSAM levels of a station's vertical channel as bytes, one row a band; None where there are none.

    rate_hz : sampling rate of the channel that they are of, which gives the bands in Hz; None: unknown.
    """
    traces = get_waveforms(out / CONTINUOUS, start_ns, stop_ns, station_id)
    bands: dict[tuple[str, str], list[list[Trace]]] = {}
    for trace in traces:
        name = name_of(trace.source_id)
        found = band_of(name.location)
        if found is not None:
            own = bands.setdefault((name.channel, found[1]), [[] for _ in range(N_BANDS)])
            own[found[0]].append(trace)
    if not bands:
        return None
    channel, location = min(bands, key=lambda key: (not key[0].endswith("Z"), key))
    frame_ns = duration_ns(1, next(trace.sampling_rate_hz for own in bands[channel, location] for trace in own))
    n_frames = int(-(-(stop_ns - start_ns) // frame_ns))
    levels = np.full((N_BANDS, n_frames), np.nan)
    for band, parts in enumerate(bands[channel, location]):
        for part in parts:
            first = round((part.start_ns - start_ns) / frame_ns)
            values = part.samples[: max(0, n_frames - first)]
            levels[band, max(0, first) : first + len(values)] = values[max(0, -first) :]
    levels *= _DECIBELS_A_DECADE / STEPS_A_DECADE
    return {
        **_bytes_of(_thinned(levels, _SPECTRA, 1)),
        "start": start_ns / NS_PER_S,
        "stop": (start_ns + n_frames * frame_ns) / NS_PER_S,
        "edges": None if rate_hz is None else [float(f"{edge / WINDOW * rate_hz:.2g}") for edge in BAND_EDGES],
        "bands": ["low", "middle", "high"],
        "label": "dB of 1 record unit, rms",
        "channel": f"{channel} ({location})" if location else channel,
    }


def probability_picture(frames: npt.NDArray[Any], start_ns: int, stop_ns: int) -> dict[str, Any] | None:
    """Return probabilities (`FRAME`) thinned to the largest of each column; None without any."""
    if not len(frames):
        return None
    times, onset, event = frames["stop_ns"], frames["onset"], frames["event"]
    if len(times) > COLUMNS:
        columns = ((times - start_ns) * COLUMNS // max(1, stop_ns - start_ns)).clip(0, COLUMNS - 1)
        firsts = np.flatnonzero(np.diff(columns, prepend=-1))
        onset, event = (np.maximum.reduceat(part, firsts) for part in (onset, event))
        times = times[firsts]
    return {
        "times": [round(float(time) / NS_PER_S, 3) for time in times],
        "onset": [round(float(value), 4) for value in onset],
        "event": [round(float(value), 4) for value in event],
    }


def packed(values: npt.NDArray[Any], scale: float) -> str:
    """Return values as bytes in base64: -1..1 as 0..200, and 255 where there is none."""
    with np.errstate(invalid="ignore"):
        scaled = np.where(np.isfinite(values), np.round(values / scale * 100.0 + 100.0), _EMPTY)
    return base64.b64encode(np.clip(scaled, 0, _EMPTY).astype(np.uint8).tobytes()).decode("ascii")


def _bytes_of(levels: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return levels, shape (n_rows, n_columns), as bytes 0..254 between two percentiles."""
    finite = levels[np.isfinite(levels)]
    low, high = np.percentile(finite, _RANGE) if len(finite) else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        shares = np.clip((levels - low) / max(high - low, 1e-9), 0.0, 1.0) * (_EMPTY - 1)
        data = np.where(np.isfinite(shares), np.round(shares), _EMPTY).astype(np.uint8)
    return {
        "rows": data.shape[0],
        "columns": data.shape[1],
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
        "range": [round(float(low), 1), round(float(high), 1)],
    }


def _thinned(values: npt.NDArray[np.float64], most: int, axis: int) -> npt.NDArray[np.float64]:
    """Return an array with at most `most` entries on an axis, each the largest of those that it stands for."""
    n = values.shape[axis]
    if n <= most:
        return values
    firsts = np.unique(np.arange(most) * n // most)
    thinned: npt.NDArray[np.float64] = np.fmax.reduceat(values, firsts, axis=axis)
    return thinned


def _numbers(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if not np.isfinite(value) else float(f"{value:.5g}") for value in values]
