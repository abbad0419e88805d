"""Samples of a span of time out of the files of a run that hold them: archive, summary channel, segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgequake.edge.archive.sds import DAY_NS, DayName, day_files, name_of
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, SEGMENTS
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import Trace, duration_ns

_READ_BYTES = 1 << 18
_VERSIONS = 4  # of the same hours that may lie side by side and are put together each by itself


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: the samples with start <= time < stop of the channels that match."""

    start_ns: int
    stop_ns: int
    station: str | None = None  # S12 or XA_S12, patterns allowed; None: any
    channels: tuple[str, ...] | None = None  # patterns of channel codes; None: any

    def wants(self, name: DayName) -> bool:
        """Whether a channel matches."""
        return name.matches(self.station, self.channels)


def cut(
    folder: Path,
    start_ns: int,
    stop_ns: int,
    station: str | None = None,
    channels: tuple[str, ...] | None = None,
) -> list[Trace]:
    """Return the samples with start <= time < stop that an SDS folder holds, channel by channel, in order of time.

    Only the records that reach into the span are decoded. Samples that follow one another are one trace; where two
    versions of the same time are held, both come.
    """
    return joined(traces_in_archive(folder, Span(start_ns, stop_ns, station, channels)))


def held_traces(out: Path, span: Span, waiting: Sequence[Trace] = ()) -> list[Trace]:
    """Return what a run's folder holds of a span, as `cut` does.

    First what the archive holds, then what waits to be written to it (`Archive.waiting`), then of the segments what the
    archive has let go of. Channels of the summary are looked at only if channels are named.
    """
    traces = list(traces_in_archive(out / ARCHIVE, span))
    if span.channels is not None:
        traces += traces_in_archive(out / CONTINUOUS, span)
    wanted = (trace.between(span.start_ns, span.stop_ns) for trace in waiting if span.wants(name_of(trace.source_id)))
    for trace in (*wanted, *_traces_in_segments(out / SEGMENTS, span)):
        if len(trace.samples):
            traces += without(trace, traces)
    return joined(traces)


def traces_in_archive(folder: Path, span: Span) -> Iterator[Trace]:
    """Yield what an SDS folder holds of a span, by channel and then by time, a day in memory at once."""
    days = range(span.start_ns // DAY_NS, -(-span.stop_ns // DAY_NS))
    for name, path in sorted((name, path) for _, name, path in day_files(folder)):
        if name.day in days and span.wants(name):
            yield from traces_in_file(path, span)


def traces_in_file(path: Path, span: Span) -> list[Trace]:
    """Return what a miniSEED file holds of a span; nothing where it has gone: archives let go of files at any time."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return []
    with file:  # one that is replaced meanwhile is read to its end as it was
        return joined(_decoded(file, path.name, span))


def joined(traces: Iterable[Trace]) -> list[Trace]:
    """Put together what follows one another to within a hundredth of a sample; by channel and time."""
    chains: list[_Chain] = []
    for trace in sorted(traces, key=lambda trace: (trace.source_id, trace.start_ns)):
        chain = next((chain for chain in reversed(chains[-_VERSIONS:]) if chain.takes(trace)), None)
        if chain is None:
            chain = _Chain(trace)
            chains.append(chain)
        chain.add(trace)
    return [chain.trace() for chain in chains]


def without(trace: Trace, others: Iterable[Trace]) -> list[Trace]:
    """Return the parts of a trace at times that no other piece of its channel covers."""
    parts = [trace]
    for other in others:
        if other.source_id == trace.source_id:
            cut_up = [(part.between(None, other.start_ns), part.between(other.stop_ns, None)) for part in parts]
            parts = [part for two in cut_up for part in two if len(part.samples)]
    return parts


class _Chain:
    """Pieces that follow one another."""

    def __init__(self, first: Trace) -> None:
        self._first, self._parts, self._n_samples = first, [first.samples[:0]], 0

    def takes(self, trace: Trace) -> bool:
        first = self._first
        stop_ns = first.start_ns + duration_ns(self._n_samples, first.sampling_rate_hz)
        return (
            trace.source_id == first.source_id
            and abs(trace.start_ns - stop_ns) <= duration_ns(1, first.sampling_rate_hz) // 100
            and trace.sampling_rate_hz == first.sampling_rate_hz
            and trace.samples.dtype == first.samples.dtype
        )

    def add(self, trace: Trace) -> None:
        self._parts.append(trace.samples)
        self._n_samples += len(trace.samples)

    def trace(self) -> Trace:
        return replace(self._first, samples=np.concatenate(self._parts))


def _traces_in_segments(folder: Path, span: Span) -> Iterator[Trace]:
    for path in sorted(folder.glob("*.mseed")):
        yield from traces_in_file(path, span)


def _decoded(file: BinaryIO, name: str, span: Span) -> Iterator[Trace]:
    """Decode the records that reach into a span, and cut them to it."""
    for first_byte, stop_byte in _ranges(file, span):
        file.seek(first_byte)
        scanner = RecordScanner(name, Diagnostics(), decode=True, offset=first_byte)
        while first_byte < stop_byte:
            data = file.read(min(_READ_BYTES, stop_byte - first_byte))
            first_byte += len(data)
            for record in scanner.feed(data, at_end=first_byte == stop_byte):
                header = record.header
                assert record.samples is not None
                trace = Trace(header.source_id, header.start_ns, header.sampling_rate_hz, record.samples, name)
                part = trace.between(span.start_ns, span.stop_ns)
                if len(part.samples):
                    yield part
            if not data:
                break


def _ranges(file: BinaryIO, span: Span) -> list[tuple[int, int]]:
    """Return the bytes [first, stop) of wanted records, those of neighbours together."""
    ranges: list[tuple[int, int]] = []
    scanner = RecordScanner("", Diagnostics(), decode=False)
    at_end = False
    while not at_end:
        data = file.read(_READ_BYTES)
        at_end = not data
        for record in scanner.feed(data, at_end):
            header = record.header
            within = header.start_ns < span.stop_ns and header.stop_ns > span.start_ns
            if within and span.wants(name_of(header.source_id)):
                stop_byte = header.offset + header.size_bytes
                if ranges and ranges[-1][1] == header.offset:
                    ranges[-1] = (ranges[-1][0], stop_byte)
                else:
                    ranges.append((header.offset, stop_byte))
    return ranges
