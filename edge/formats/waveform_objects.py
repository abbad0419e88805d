"""Waveforms as other programs hold them, as traces: obspy Traces and Streams, numpy arrays, bytes of miniSEED records.

Objects are recognised by their attributes, so that no other package is imported: an obspy Trace has `data` and `stats`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.source_ids import require_source_id, source_id_of
from edgequake.edge.formats.waveforms import Trace, duration_ns, parse_time

_PIECE_S = 60.0  # of a long trace: the channels of a station may be as far apart in a record file, too
_EXACT_FLOAT = 2**53  # up to it a 64-bit float holds every integer
_EXPECTED = (
    "expected obspy Traces or a Stream, bytes of miniSEED records, traces of edgequake, or a numpy array with "
    "sampling_rate_hz and start"
)


def traces_of(
    *waveforms: Any,
    sampling_rate_hz: float | None = None,
    start: Any = None,
    channels: Sequence[str] | None = None,
) -> list[Trace]:
    """Return waveforms as traces, in order of start time and in pieces of at most a minute.

    Parameters
    ----------
    waveforms : objects with `data` and `stats` as obspy's Traces, of which masked samples are gaps; iterables of such
        objects, as obspy's Streams; bytes of whole miniSEED records; traces; or arrays of shape (n_samples,) or
        (n_channels, n_samples), evenly sampled from `start` on.
    sampling_rate_hz, start : of arrays. A start is a datetime (UTC unless it says otherwise), a numpy datetime64, an
        ISO 8601 text, an obspy UTCDateTime, or an integer: nanoseconds since 1970 UTC.
    channels : codes of an array's channels, each as ``EHZ``, ``AM.R1234.00.EHZ`` or ``FDSN:AM_R1234_00_E_H_Z``; without
        a station it is XX.STA.

    Raises
    ------
    DataError
        An object of another kind; an array without rate or start; samples that are no real numbers; codes that form no
        source identifier; bytes that are no miniSEED.
    """
    found: list[Trace] = []
    for waveform in waveforms:
        if isinstance(waveform, np.ndarray):
            found += _of_array(waveform, sampling_rate_hz, start, channels)
        else:
            found += _of_object(waveform)
    return in_time_order(found)


def in_time_order(traces: Iterable[Trace]) -> list[Trace]:
    """Cut traces into pieces of at most a minute and sort these by time: a detector takes all channels side by side."""
    pieces = [piece for trace in traces for piece in _pieces(trace)]
    return sorted(pieces, key=lambda piece: (piece.start_ns, piece.source_id))


def time_ns_of(time: Any, name: str = "start") -> int:
    """Return a time as nanoseconds since 1970 UTC; the forms are those of `start` in `traces_of`.

    Raises
    ------
    DataError
        Another kind of value; `name` says in the message which.
    """
    if isinstance(time, int | np.integer) and not isinstance(time, bool):
        return int(time)
    if isinstance(time, str):
        return parse_time(time)
    if isinstance(time, np.datetime64) and not np.isnat(time):
        return int(time.astype("datetime64[ns]").astype(np.int64))
    if isinstance(time, datetime):
        return parse_time((time if time.tzinfo else time.replace(tzinfo=timezone.utc)).isoformat())
    if isinstance(nanoseconds := getattr(time, "ns", None), int):  # obspy's UTCDateTime
        return nanoseconds
    raise DataError(
        f"{name}: expected a time as '2024-05-01T12:00:00', a datetime, a numpy datetime64, an obspy UTCDateTime, or "
        f"integer nanoseconds since 1970, got {time!r}"
    )


def _of_object(waveform: Any) -> Iterator[Trace]:
    if isinstance(waveform, Trace):
        yield waveform
    elif isinstance(waveform, bytes | bytearray | memoryview):
        yield from _of_records(bytes(waveform))
    elif hasattr(waveform, "data") and hasattr(waveform, "stats"):
        yield from _of_foreign_trace(waveform)
    elif isinstance(waveform, Iterable) and not isinstance(waveform, str | dict):
        for one in waveform:
            if isinstance(one, np.ndarray):
                raise DataError(f"a list of arrays: {_EXPECTED} of shape (n_channels, n_samples)")
            yield from _of_object(one)
    else:
        raise DataError(f"waveforms of type {type(waveform).__name__}: {_EXPECTED}")


def _of_records(data: bytes) -> Iterator[Trace]:
    diagnostics = Diagnostics()
    scanner = RecordScanner("-", diagnostics, decode=True)
    records = [*scanner.feed(data), *scanner.feed(b"", at_end=True)]
    if not records:
        problem = diagnostics.first_problem("-") or "no sample in them"
        raise DataError(f"{len(data)} bytes are no miniSEED records: {problem}")
    yield from (record.trace() for record in records)


def _of_foreign_trace(trace: Any) -> Iterator[Trace]:
    stats = trace.stats
    source_id = source_id_of(stats.network, stats.station, stats.location, stats.channel)
    rate_hz = _rate_hz(stats.sampling_rate, source_id)
    yield from _recorded(trace.data, source_id, time_ns_of(stats.starttime, "starttime"), rate_hz)


def _of_array(
    array: npt.NDArray[Any], sampling_rate_hz: float | None, start: Any, channels: Sequence[str] | None
) -> Iterator[Trace]:
    if sampling_rate_hz is None or start is None:
        raise DataError(f"an array of samples needs sampling_rate_hz and start, got {sampling_rate_hz} and {start}")
    if array.ndim not in (1, 2):
        raise DataError(f"an array of shape {array.shape}: expected (n_samples,) or (n_channels, n_samples)")
    rows = array if array.ndim == 2 else array[np.newaxis]
    names = [channels] if isinstance(channels, str) else list(channels or ())
    if len(names) != len(rows):
        raise DataError(
            f"an array of shape {array.shape} holds {len(rows)} channel(s) and {len(names)} are named: expected shape "
            f"(n_channels, n_samples), and a code in channels for each, such as ['EHZ']"
        )
    if len(set(names)) < len(names):
        raise DataError(f"channels {', '.join(names)}: expected a different code for each")
    start_ns, rate_hz = time_ns_of(start), _rate_hz(sampling_rate_hz, "an array")
    for name, samples in zip(names, rows, strict=True):
        yield from _recorded(samples, _source_id(name), start_ns, rate_hz)


def _source_id(name: str) -> str:
    """Return the source identifier that a channel of an array is named by."""
    if name.startswith("FDSN:"):
        return require_source_id(name)
    network, station, location, channel = (
        ("XX", "STA", "", name) if "." not in name else (*name.split("."), *[""] * 3)[:4]
    )
    if name.count(".") not in (0, 3):
        raise DataError(f"channel '{name}': expected a code as EHZ, NET.STA.LOC.CHA, or an FDSN source identifier")
    return source_id_of(network, station, location, channel)


def _rate_hz(rate_hz: Any, of: str) -> float:
    try:
        value = float(rate_hz)
    except (TypeError, ValueError):
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise DataError(f"sampling rate of {of}: expected a number of Hz above 0, got {rate_hz!r}")
    return value


def _recorded(data: Any, source_id: str, start_ns: int, rate_hz: float) -> Iterator[Trace]:
    """Yield the contiguous parts of samples; those that are masked are gaps."""
    array = np.asarray(data)
    if array.ndim != 1:
        raise DataError(f"{source_id}: samples of shape {array.shape}, expected (n_samples,)")
    whole = Trace(source_id, start_ns, rate_hz, array)
    mask: Any = data.mask if isinstance(data, np.ma.MaskedArray) else False
    if not np.any(mask):
        parts = [(0, len(array))] if len(array) else []
    else:
        edges = np.flatnonzero(np.diff(np.concatenate([[True], mask, [True]])))
        parts = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    for first, stop in parts:
        samples = _samples(array[first:stop], source_id)
        yield replace(whole, start_ns=start_ns + duration_ns(first, rate_hz), samples=samples)


def _samples(samples: npt.NDArray[Any], source_id: str) -> npt.NDArray[Any]:
    """Return samples in one of the types that records have: 32-bit integers, 32-bit or 64-bit floats."""
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        return np.ascontiguousarray(samples, np.float64 if size > np.dtype(np.float32).itemsize else np.float32)
    if kind not in "iu":
        raise DataError(f"{source_id}: samples of type {samples.dtype}, expected integers or floats")
    low, high = int(samples.min()), int(samples.max())
    if -(2**31) <= low and high < 2**31:
        return np.ascontiguousarray(samples, np.int32)
    if max(-low, high) > _EXACT_FLOAT:
        raise DataError(f"{source_id}: samples reach {max(-low, high)}, expected integers of at most 53 bits")
    return np.ascontiguousarray(samples, np.float64)


def _pieces(trace: Trace) -> Iterator[Trace]:
    size = max(1, int(_PIECE_S * trace.sampling_rate_hz))
    if len(trace.samples) <= size:
        yield trace
        return
    for first in range(0, len(trace.samples), size):
        start_ns = trace.start_ns + duration_ns(first, trace.sampling_rate_hz)
        yield replace(trace, start_ns=start_ns, samples=trace.samples[first : first + size])
