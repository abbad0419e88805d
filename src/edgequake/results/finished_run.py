"""A finished run, read from the folder that `edgequake run` wrote: its summary and its catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG, JOURNAL, SUMMARY
from edgequake.edge.downlink.journal import sent_segments
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.summary import Summary


@dataclass(frozen=True, slots=True)
class RunEvent(CatalogRow):
    """One row of a run's catalogue.

    Attributes
    ----------
    name : the row's `evid`, with _2, _3 ... where two streams of the same hours found the same event.
    location : SEED location code of the kept samples; None where the segment is not in the run's folder.
    sent : whether the downlink has sent the whole segment.
    """

    name: str = ""
    location: str | None = None
    sent: bool = False

    @property
    def network(self) -> str:
        """SEED network code."""
        return self.station_id.partition("_")[0]

    @property
    def station(self) -> str:
        """SEED station code."""
        return self.station_id.partition("_")[2]

    @property
    def pick_channel(self) -> str:
        """The channel that the onset is assigned to: the vertical one where it was kept, else the first."""
        verticals = [channel for channel in self.channels if channel.endswith("Z")]
        return (verticals or list(self.channels) or [""])[0]


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a run, its figures and its events."""

    folder: Path
    summary: Summary
    events: tuple[RunEvent, ...]  # in the catalogue's order

    @property
    def segments(self) -> tuple[str, ...]:
        """Files with the kept samples, under `folder`."""
        return tuple(segment.file for segment in self.summary.segments)


def read_run(folder: Path) -> FinishedRun:
    """Read summary.json and catalog.csv of a run; fields of a newer version are ignored.

    Raises
    ------
    DataError
        No finished run there, files that are cut off or hold something else, or a segment that is not miniSEED.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the --out of a finished `edgequake run`")
    summary = _read_summary(folder / SUMMARY)
    n_named: Counter[str] = Counter()
    locations: dict[str, str | None] = {}
    events = []
    rows = read_catalog(folder / CATALOG)
    sent = sent_segments(folder / JOURNAL, rows)
    for line, row in enumerate(rows, start=2):
        if "_" not in row.station_id:
            raise DataError(
                f"{folder / CATALOG}, row {line}: expected a station_id such as XA_S12, got '{row.station_id}'"
            )
        if row.segment not in locations:
            locations[row.segment] = _location(folder / row.segment)
        n_named[row.evid] += 1
        name = row.evid if n_named[row.evid] == 1 else f"{row.evid}_{n_named[row.evid]}"
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        is_sent = row.segment in sent
        events.append(RunEvent(**values, name=name, location=locations[row.segment], sent=is_sent))
    return FinishedRun(folder, summary, tuple(events))


def _read_summary(path: Path) -> Summary:
    if not path.is_file():
        raise DataError(
            f"{path} is not there, so no run has finished in that folder: give the --out of a finished `edgequake run`"
        )
    return Summary.read(path)


def _location(path: Path) -> str | None:
    """Return the location code of a segment; None where it is not there: it may have been sent and deleted."""
    if not path.is_file():
        return None
    return split_source_id(index_file(path).headers[0].source_id).location
