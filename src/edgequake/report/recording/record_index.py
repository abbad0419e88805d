"""Where the samples of many records are: the headers of all files, read once; samples are read when they are drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgequake.edge.archive.sds import day_files
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import ARCHIVE, SEGMENTS
from edgequake.edge.formats.miniseed import FileIndex, index_file, read_indexed
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.source_ids import station_of
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace, merge_contiguous
from edgequake.report.recording.samples import join_intervals, record_files
from edgequake.results.progress import Progress, silent

Span = tuple[int, int]  # [start, stop) in ns
READING = "reading the headers of the records"  # reported as progress


def files_of(paths: Iterable[Path], out: Path | None = None) -> list[Path]:
    """Return the files among `paths` and in the folders among them, without hidden ones and those under `out`.

    Raises
    ------
    DataError
        A path that does not exist.
    """
    return record_files(paths, out, None)


def live_files(run_dir: Path, station_id: str | None = None, days: Iterable[int] | None = None) -> list[Path]:
    """Return the files that a live run has kept: its archive, or without one its segments.

    days : since 1970, of the archive; by default all.
    """
    wanted = None if days is None else set(days)
    archived = [
        path
        for _, name, path in day_files(run_dir / ARCHIVE)
        if (station_id is None or name.station_id == station_id) and (wanted is None or name.day in wanted)
    ]
    return sorted(archived) or sorted((run_dir / SEGMENTS).glob("*.mseed"))


class RecordIndex:
    """The records of files, by station."""

    def __init__(self, files: Sequence[Path], skip_others: bool = False, progress: Progress = silent) -> None:
        """Read the headers of files.

        skip_others : leave out what is no record, as in a folder; else it is refused.

        Raises
        ------
        DataError
            A file cannot be read, or is none of records.
        """
        self._indexed: dict[str, list[tuple[FileIndex, list[RecordHeader]]]] = defaultdict(list)  # by station
        self._read: dict[str, list[Trace]] = defaultdict(list)  # of packet CSVs
        self.n_samples: Counter[str] = Counter()  # by station
        for i, path in enumerate(files):
            progress(i / len(files), READING)
            try:
                self._add(path)
            except DataError:
                if not skip_others:
                    raise

    def _add(self, path: Path) -> None:
        if path.suffix.lower() == ".csv":
            for trace in read_packet_csv(path):
                self._read[trace.station_id].append(trace)
                self.n_samples[trace.station_id] += len(trace.samples)
            return
        index = index_file(path)
        by_station: dict[str, list[RecordHeader]] = defaultdict(list)
        for header in index.headers:
            by_station[station_of(header.source_id)].append(header)
        for station_id, headers in by_station.items():
            self._indexed[station_id].append((index, headers))
            self.n_samples[station_id] += sum(header.n_samples for header in headers)

    def spans(self, station_id: str, join_ns: int) -> list[Span]:
        """Return when a station has records; gaps up to `join_ns` are part of a record."""
        own = [(one.start_ns, one.stop_ns) for _, headers in self._indexed[station_id] for one in headers]
        own += [(trace.start_ns, trace.stop_ns) for trace in self._read[station_id]]
        return join_intervals(own, join_ns)

    def traces(self, station_id: str, start_ns: int, stop_ns: int) -> list[Trace]:
        """Return the samples of a station in [start_ns, stop_ns), contiguous ones joined.

        Raises
        ------
        DataError
            A file cannot be read any more.
        """
        found: list[Trace] = []
        for index, headers in self._indexed[station_id]:
            own = [one for one in headers if one.start_ns < stop_ns and one.stop_ns > start_ns]
            found += read_indexed(index, own) if own else ()
        found += self._read[station_id]
        cut = (trace.between(start_ns, stop_ns) for trace in found)
        return list(merge_contiguous(trace for trace in cut if len(trace.samples)))
