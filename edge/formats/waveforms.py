"""Waveforms: traces of one channel, when traces are contiguous, and the times and names that go with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import channel_title, station_of

NS_PER_S = 1_000_000_000
LAST_NS = 9_214_560_000 * NS_PER_S  # 2261-12-31: the last day of nanoseconds in 64 bits, as miniSEED readers use
_SAME_RATE = 1e-3  # relative: rates in headers are nominal, rounded, or measured anew with every record
_RECENT_TRACES = 8  # of a channel, among which repeats are looked for: links repeat what they sent last
_Buffer = TypeVar("_Buffer", bound="SampleBuffer")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Trace:
    """Contiguous samples of one channel, as they were read.

    Attributes
    ----------
    source_id : FDSN source identifier, for example ``FDSN:XA_S12_00_M_H_Z``.
    start_ns : time of the first sample, nanoseconds since 1970-01-01 UTC.
    sampling_rate_hz : as in the record's header.
    samples : shape (n_samples,), in the dtype of the record.
    file : name of the file that it came from ("-" for a stream).
    file_start_ns : time of that file's first sample, the zero of ``time_rel(sec)`` in the catalogue.
    """

    source_id: str
    start_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    file: str = "-"
    file_start_ns: int | None = None

    @property
    def station_id(self) -> str:
        """Network and station, for example ``XA_S12``."""
        return station_of(self.source_id)

    @property
    def stop_ns(self) -> int:
        """Time one sampling interval after the last sample."""
        return self.start_ns + duration_ns(len(self.samples), self.sampling_rate_hz)

    def between(self, start_ns: int | None, stop_ns: int | None) -> Trace:
        """Return the samples with start <= time < stop, without copying; the result may be empty."""
        first = 0 if start_ns is None else self._index_at(start_ns)
        stop = len(self.samples) if stop_ns is None else self._index_at(stop_ns)
        if first == 0 and stop == len(self.samples):
            return self
        first_ns = self.start_ns + duration_ns(first, self.sampling_rate_hz)
        return replace(self, start_ns=first_ns, samples=self.samples[first : max(first, stop)])

    def _index_at(self, time_ns: int) -> int:
        """Return the index of the first sample at or after a time, within 0..n_samples."""
        exact = (time_ns - self.start_ns) * self.sampling_rate_hz / NS_PER_S
        # A sample within a thousandth of a sampling interval of the time counts as at it: miniSEED 2 rounds start times
        # to microseconds, and a plain ceil would then drop or repeat a sample.
        return min(max(int(np.ceil(exact - 1e-3)), 0), len(self.samples))


@dataclass
class SampleBuffer:
    """Contiguous samples of one channel: grows at its end as traces arrive and shrinks at its start.

    A trace is contiguous with the buffer when its first and its last sample lie within half a sampling interval of
    where the buffer puts them, counting from the first sample that ever arrived (the rule of libmseed, which looks at
    the first sample only). So no sample is ever dated wrong by more, however many traces are joined: a clock that has
    drifted away further makes a gap.
    """

    source_id: str
    origin_ns: int  # time of the first sample
    rate_hz: float
    n_done: int  # samples since then that have been dropped
    n_samples: int  # in the buffer
    parts: list[npt.NDArray[Any]]  # their arrays; at least one, which tells the dtype

    @classmethod
    def begin(cls: type[_Buffer], trace: Trace) -> _Buffer:
        """Return an empty buffer that begins where a trace begins."""
        return cls(trace.source_id, trace.start_ns, trace.sampling_rate_hz, 0, 0, [trace.samples[:0]])

    def __post_init__(self) -> None:
        self._dtype = self.parts[0].dtype
        self._tolerance_ns = duration_ns(1, self.rate_hz) // 2 + 1
        self.stop_ns = self._time_ns(self.n_done + self.n_samples)

    def is_followed_by(self, trace: Trace) -> bool:
        """Whether a trace of the channel is contiguous with this buffer and has its dtype."""
        late_ns = trace.start_ns - self.stop_ns
        if not -self._tolerance_ns <= late_ns <= self._tolerance_ns or trace.samples.dtype != self._dtype:
            return False
        if trace.sampling_rate_hz == self.rate_hz:
            return True
        if not same_rate(trace.sampling_rate_hz, self.rate_hz):
            return False
        n_later = len(trace.samples) - 1
        late_ns += duration_ns(n_later, trace.sampling_rate_hz) - duration_ns(n_later, self.rate_hz)
        return -self._tolerance_ns <= late_ns <= self._tolerance_ns

    def add(self, samples: npt.NDArray[Any]) -> None:
        """Append samples."""
        self.parts.append(samples)
        self.n_samples += len(samples)
        # As `_time_ns`, without two calls for each record of a stream.
        self.stop_ns = self.origin_ns + round((self.n_done + self.n_samples) * NS_PER_S / self.rate_hz)

    def trace(self) -> Trace:
        """Return the samples in the buffer."""
        if len(self.parts) > 1:
            self.parts = [np.concatenate(self.parts)]
        return Trace(self.source_id, self._time_ns(self.n_done), self.rate_hz, self.parts[0])

    def drop(self, n_samples: int) -> None:
        """Remove the first samples."""
        samples = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        self.parts = [samples[n_samples:].copy()]  # a view would keep all of them
        self.n_done += n_samples
        self.n_samples -= n_samples

    def state(self) -> State:
        """Return the arguments that make an equal buffer: `SampleBuffer(**state)`."""
        self.trace()
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _time_ns(self, n_samples: int) -> int:
        return self.origin_ns + duration_ns(n_samples, self.rate_hz)  # from the first one on: rounding never adds up


def merge_contiguous(traces: Iterable[Trace], n_open: int = 1) -> list[Trace]:
    """Join the contiguous traces of each channel, by the rule of `SampleBuffer`; in the order in which they begin.

    Parameters
    ----------
    n_open : how many of a channel's latest runs a trace may continue; more than one where versions of the same hours
        are interleaved.
    """
    open_runs: dict[str, list[tuple[Trace, SampleBuffer]]] = {}
    runs: list[tuple[Trace, SampleBuffer]] = []
    for trace in traces:
        latest = open_runs.setdefault(trace.source_id, [])
        for _, buffer in reversed(latest):  # nearly always the first
            if buffer.is_followed_by(trace):
                break
        else:
            buffer = SampleBuffer.begin(trace)
            runs.append((trace, buffer))
            latest.append(runs[-1])
            del latest[:-n_open]
        buffer.add(trace.samples)
    return [
        first if buffer.n_samples == len(first.samples) else replace(first, samples=buffer.trace().samples)
        for first, buffer in runs
    ]


def same_rate(rate_hz: float, other_hz: float) -> bool:
    """Return whether two header rates mean the same sampling rate."""
    return abs(rate_hz / other_hz - 1.0) <= _SAME_RATE


def duration_ns(n_samples: int, sampling_rate_hz: float) -> int:
    """Return the duration of `n_samples` sampling intervals, to the nanosecond."""
    return round(n_samples * NS_PER_S / sampling_rate_hz)


def parse_time(text: str) -> int:
    """Return an ISO 8601 time (UTC unless it says otherwise) as nanoseconds since 1970.

    Raises
    ------
    DataError
        Not an ISO time, or one that does not fit 64-bit nanoseconds.
    """
    try:
        # Python 3.10 reads neither a trailing Z nor a fraction of other than 3 or 6 digits.
        head, _, fraction = text.strip().removesuffix("Z").partition(".")
        moment = datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}" if fraction.isdigit() else text.strip())
    except ValueError as problem:
        raise DataError(f"time '{text}': expected ISO 8601 such as 1971-04-13T12:55:00.000000") from problem
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    elapsed = moment - _EPOCH
    time_ns = (elapsed.days * 86_400 + elapsed.seconds) * NS_PER_S + elapsed.microseconds * 1_000
    if abs(time_ns) > LAST_NS:
        raise DataError(f"time '{text}': expected a year from 1678 to 2261")
    return time_ns


def format_time(time_ns: int) -> str:
    """Return a time as ``%Y-%m-%dT%H:%M:%S.%f``, to the nearest microsecond."""
    return (_EPOCH + timedelta(microseconds=round(time_ns / 1_000))).strftime("%Y-%m-%dT%H:%M:%S.%f")


_SAME_TIME = 0.45  # of a sampling interval: clocks jitter, and traces are joined where they fit within half of one


def common_samples(trace: Trace, other: Trace) -> tuple[slice, slice] | None:
    """Return which samples of two traces are at the same times; None where there are none, or the times are between."""
    exact = (other.start_ns - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S
    offset = round(exact)
    first, stop = max(0, offset), min(len(trace.samples), offset + len(other.samples))
    if first >= stop or abs(exact - offset) > _SAME_TIME:
        return None
    if abs(other.sampling_rate_hz / trace.sampling_rate_hz - 1.0) * (stop - first) > _SAME_TIME:
        return None
    return slice(first, stop), slice(first - offset, stop - offset)


def are_equal(samples: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which samples are equal; all NaN are."""
    equal: npt.NDArray[np.bool_] = (samples == others) | ((samples != samples) & (others != others))
    return equal


def n_differing(trace: Trace, earlier: Iterable[Trace]) -> int:
    """Return how many samples of a trace differ from those at the same times in earlier traces, the first of these.

    earlier : of the same channel, in the order in which they were read.
    """
    is_known = np.zeros(len(trace.samples), np.bool_)
    differs = np.zeros(len(trace.samples), np.bool_)
    for other in earlier:
        common = common_samples(trace, other)
        if common is not None:
            mine, theirs = common
            differs[mine] |= ~is_known[mine] & ~are_equal(trace.samples[mine], other.samples[theirs])
            is_known[mine] = True
    return int(np.count_nonzero(differs))


def new_parts(trace: Trace, others: Iterable[Trace]) -> list[Trace]:
    """Return the parts of a trace that no other trace of its channel has.

    A trace has samples where all that are common with the other are equal; single values may be equal by chance.
    """
    stored = np.zeros(len(trace.samples), np.bool_)
    for other in others:
        common = common_samples(trace, other)
        if common is not None and are_equal(trace.samples[common[0]], other.samples[common[1]]).all():
            stored[common[0]] = True
    if not stored.any():
        return [trace]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], stored, [True]])))
    return [_part(trace, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _part(trace: Trace, first: int, stop: int) -> Trace:
    start_ns = trace.start_ns + duration_ns(first, trace.sampling_rate_hz)
    return replace(trace, start_ns=start_ns, samples=trace.samples[first:stop])


class RawHistory:
    """Buffers a station's raw traces until they are dropped; each sample once, though it may come twice."""

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        """Count in `diagnostics` the samples that differ from earlier ones of the same time."""
        self._diagnostics = Diagnostics() if diagnostics is None else diagnostics
        self._traces: dict[str, deque[Trace]] = {}  # by channel, in the order of time

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces, channel by channel."""
        return (trace for _, traces in sorted(self._traces.items()) for trace in traces)

    def add(self, trace: Trace) -> None:
        """Buffer a trace; samples that are there already are dropped."""
        buffered = self._traces.setdefault(trace.source_id, deque())
        first_ns = trace.start_ns + duration_ns(1, trace.sampling_rate_hz) // 2  # times are rounded
        recent = [
            earlier
            for earlier in islice(reversed(buffered), _RECENT_TRACES)
            if first_ns < earlier.stop_ns and earlier.start_ns < trace.stop_ns
        ]
        if recent and (n := n_differing(trace, reversed(recent))):
            self._diagnostics.count(
                f"overlapping sample(s) of {channel_title(trace.source_id)} differ from those already read at the same "
                f"time; the first ones are used",
                n,
            )
        buffered.extend(new_parts(trace, recent))

    def add_late(self, trace: Trace) -> None:
        """Buffer a trace that comes out of order, as far as its samples are missing."""
        buffered = self._traces.setdefault(trace.source_id, deque())
        missing = [trace]
        for other in buffered:
            around = [
                part.between(a, b) for part in missing for a, b in ((None, other.start_ns), (other.stop_ns, None))
            ]
            missing = [part for part in around if len(part.samples)]
        if any(len(part.samples) for part in missing):
            self._traces[trace.source_id] = deque(sorted([*buffered, *missing], key=lambda one: one.start_ns))

    def drop_before(self, time_ns: int) -> None:
        """Drop the traces that end before a time."""
        for traces in self._traces.values():
            while traces and traces[0].stop_ns <= time_ns:
                traces.popleft()

    def state(self) -> State:
        """Return the traces for a checkpoint."""
        return {name: [vars(trace) for trace in traces] for name, traces in self._traces.items()}

    def restore(self, state: State) -> None:
        """Continue with the traces of a checkpoint."""
        self._traces = {name: deque(Trace(**trace) for trace in traces) for name, traces in state.items()}
