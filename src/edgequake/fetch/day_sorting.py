"""A day's miniSEED records from an archive, sorted into files that `edgequake.data.dataset` can describe.

A file holds one station's channels of one location, band, instrument and sampling rate: a record table has one rate per
file, and a station's locations are instruments of their own.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import FileIndex, RecordHeader, encode, index_file, read_indexed
from edgequake.edge.formats.waveforms import NS_PER_S, channel_of, duration_ns, format_time
from edgequake.fetch.data_centre import TransferError


@dataclass(frozen=True)
class ChannelSpan:
    """What one channel of a file covers."""

    channel: str
    start_ns: int  # first sample
    last_ns: int  # last sample
    n_samples: int


@dataclass(frozen=True)
class DayFile:
    """One file, not yet written."""

    name: str
    station: str
    sampling_rate_hz: float
    channels: tuple[ChannelSpan, ...]
    content: bytes


def sort_records(data: bytes, start_ns: int, stop_ns: int) -> list[DayFile]:
    """Sort the records of [start, stop) into files.

    Records within the interval are kept byte for byte; those that reach out of it are cut at the sample, so that the
    next day's file does not repeat them.

    Raises
    ------
    TransferError
        The data are no miniSEED records, or a record is damaged or cut off.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer"
        path.write_bytes(data)
        try:
            index = index_file(path)
            if index.problem:
                raise DataError(f"{index.unreadable_bytes} bytes belong to no whole record ({index.problem})")
            groups: dict[str, list[tuple[RecordHeader, bytes]]] = {}
            for header in index.headers:
                found = _cut(index, header, data, start_ns, stop_ns)
                if found is not None:
                    groups.setdefault(_file_name(header, start_ns), []).append(found)
        except DataError as problem:
            reason = str(problem).replace(str(path), "the answer")
            raise TransferError(f"what came is not whole: {reason}") from problem
    return [_day_file(name, records) for name, records in sorted(groups.items())]


def _cut(
    index: FileIndex, header: RecordHeader, data: bytes, start_ns: int, stop_ns: int
) -> tuple[RecordHeader, bytes] | None:
    """Return a record, shortened to [start, stop), and its bytes; None where nothing of it lies within."""
    if start_ns <= header.start_ns and header.stop_ns <= stop_ns:
        return header, data[header.offset : header.offset + header.size_bytes]
    (trace,) = read_indexed(index, [header])
    part = trace.between(start_ns, stop_ns)
    if not len(part.samples):
        return None
    if len(part.samples) == len(trace.samples):
        return header, data[header.offset : header.offset + header.size_bytes]
    shortened = RecordHeader(
        0, 0, header.source_id, part.start_ns, header.sampling_rate_hz, len(part.samples)
    )  # fmt: skip
    return shortened, encode([part])


def _file_name(header: RecordHeader, start_ns: int) -> str:
    """Name of the file for a record's day; codes come from elsewhere, so nothing but letters and digits of them."""
    network, station, location, *_ = (*header.source_id.removeprefix("FDSN:").split("_"), "", "", "")
    codes = (network, station, location or "--", channel_of(header.source_id)[:2])
    plain = ".".join(re.sub(r"[^A-Za-z0-9-]", "-", code) for code in codes).lower()
    return f"{plain}.{header.sampling_rate_hz:.4g}hz.{format_time(start_ns)[:10]}.mseed"


def _day_file(name: str, records: list[tuple[RecordHeader, bytes]]) -> DayFile:
    headers = [header for header, _ in records]
    by_channel: dict[str, list[RecordHeader]] = {}
    for header in headers:
        by_channel.setdefault(channel_of(header.source_id), []).append(header)
    return DayFile(
        name=name,
        station=headers[0].source_id.removeprefix("FDSN:").split("_")[1],
        sampling_rate_hz=headers[0].sampling_rate_hz,
        channels=tuple(_span(channel, own) for channel, own in sorted(by_channel.items())),
        content=b"".join(content for _, content in records),
    )


def _span(channel: str, headers: Iterable[RecordHeader]) -> ChannelSpan:
    held = list(headers)
    last_ns = max(header.start_ns + duration_ns(header.n_samples - 1, header.sampling_rate_hz) for header in held)
    return ChannelSpan(
        channel, min(header.start_ns for header in held), last_ns, sum(header.n_samples for header in held)
    )


def duration_s(span: ChannelSpan) -> float:
    """Seconds from a channel's first sample to its last."""
    return (span.last_ns - span.start_ns) / NS_PER_S
