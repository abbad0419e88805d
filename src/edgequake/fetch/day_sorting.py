"""Sort a day's miniSEED records from a data centre into files that `edgequake.data.dataset` can describe.

A file holds one station's channels of one location, band, instrument and sampling rate: records.csv has one rate per
file, and each location code of a station is a separate instrument.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import FileIndex, encode, index_file, read_indexed
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.source_ids import channel_of, split_source_id, station_of
from edgequake.edge.formats.waveforms import duration_ns, format_time
from edgequake.fetch.data_centre import TransferError


@dataclass(frozen=True)
class ChannelSpan:
    """The samples of one channel of a file."""

    channel: str
    start_ns: int  # first sample
    last_ns: int  # last sample
    n_samples: int


@dataclass(frozen=True)
class DayFile:
    """One file, before it is written."""

    name: str
    station: str
    sampling_rate_hz: float
    channels: tuple[ChannelSpan, ...]
    content: bytes


def sort_records(data: bytes, start_ns: int, stop_ns: int) -> list[DayFile]:
    """Sort the records of [start, stop) into files.

    Records within the interval are kept byte for byte. Records that extend beyond it are cut at the sample, so that no
    two days' files hold the same samples.

    Raises
    ------
    TransferError
        The data are not miniSEED, or a record is damaged or incomplete.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer"
        path.write_bytes(data)
        try:
            index = index_file(path)
            if index.problem:
                raise DataError(f"{index.unreadable_bytes} bytes belong to no complete record ({index.problem})")
            groups: dict[str, list[tuple[RecordHeader, bytes]]] = {}
            for header in index.headers:
                found = _cut(index, header, data, start_ns, stop_ns)
                if found is not None:
                    groups.setdefault(_file_name(header, start_ns), []).append(found)
        except DataError as problem:
            reason = str(problem).replace(str(path), "the answer")
            raise TransferError(f"the transfer is incomplete: {reason}") from problem
    return [_day_file(name, records) for name, records in sorted(groups.items())]


def _cut(
    index: FileIndex, header: RecordHeader, data: bytes, start_ns: int, stop_ns: int
) -> tuple[RecordHeader, bytes] | None:
    """Return a record, cut to [start, stop), and its bytes; None where it has no sample in the interval."""
    if header.start_ns < start_ns or stop_ns < header.stop_ns:
        (trace,) = read_indexed(index, [header])
        part = trace.between(start_ns, stop_ns)
        if not len(part.samples):
            return None
        if len(part.samples) < len(trace.samples):
            return replace(header, start_ns=part.start_ns, n_samples=len(part.samples)), encode([part])
    return header, data[header.offset : header.offset + header.size_bytes]


def _file_name(header: RecordHeader, start_ns: int) -> str:
    """Return the file name of a record's day; characters of the codes that are unsafe in a file name are replaced."""
    codes = split_source_id(header.source_id)
    names = (codes.network, codes.station, codes.location or "--", codes.channel[:2])
    plain = ".".join(re.sub(r"[^A-Za-z0-9-]", "-", name) for name in names).lower()
    return f"{plain}.{header.sampling_rate_hz:.4g}hz.{format_time(start_ns)[:10]}.mseed"


def _day_file(name: str, records: list[tuple[RecordHeader, bytes]]) -> DayFile:
    by_channel: dict[str, list[RecordHeader]] = {}
    for header, _ in records:
        by_channel.setdefault(channel_of(header.source_id), []).append(header)
    first, _ = records[0]
    return DayFile(
        name=name,
        station=station_of(first.source_id).partition("_")[2],
        sampling_rate_hz=first.sampling_rate_hz,
        channels=tuple(_span(channel, headers) for channel, headers in sorted(by_channel.items())),
        content=b"".join(content for _, content in records),
    )


def _span(channel: str, headers: list[RecordHeader]) -> ChannelSpan:
    return ChannelSpan(
        channel=channel,
        start_ns=min(header.start_ns for header in headers),
        last_ns=max(header.start_ns + duration_ns(header.n_samples - 1, header.sampling_rate_hz) for header in headers),
        n_samples=sum(header.n_samples for header in headers),
    )
