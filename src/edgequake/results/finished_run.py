"""A finished run, read from the folder that `edgequake run` wrote: its summary and its catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG, JOURNAL, STATUS, SUMMARY
from edgequake.edge.downlink.journal import sent_segments
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.source_ids import split_source_id, station_of
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.results.summary import Summary, UsedModel


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


def read_run(folder: Path, summary: Summary | None = None) -> FinishedRun:
    """Read summary.json and catalog.csv of a run; fields of a newer version are ignored.

    summary : in place of summary.json, as `summary_so_far` returns it.

    Raises
    ------
    DataError
        No finished run there, files that are cut off or hold something else, or a segment that is not miniSEED.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the --out of a finished `edgequake run`")
    summary = _read_summary(folder / SUMMARY) if summary is None else summary
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


def summary_so_far(folder: Path) -> Summary | None:
    """Return what is known of a run that goes on, from its status; None where it has ended, or is no live run.

    Fields that only the end of a run tells are 0 or blank.

    Raises
    ------
    DataError
        The status or the catalogue cannot be read.
    """
    if (folder / SUMMARY).exists() or not (folder / STATUS).is_file():
        return None
    status = read_status(folder)
    used = tuple(
        UsedModel(one["name"], one["variant"], one["graph_sha256"], one["onset_threshold"], tuple(one["stations"]))
        for one in status.get("models", ())
    )
    segments = [block.segment(block.rows) for block in CatalogFiles(folder).blocks(0)]
    values: dict[str, Any] = {
        field.name: () if "tuple" in str(field.type) else "" if field.type == "str" else 0 for field in fields(Summary)
    }
    kept_s = sum(one.stop_ns - one.start_ns for one in segments) / NS_PER_S
    values |= {
        "edgequake_version": status["edgequake_version"], "model": status["model"],
        "graph_sha256": status["graph_sha256"], "onset_threshold": status["onset_threshold"],
        "stations": tuple(sorted({station_of(name) for name in status["last_sample"]} | {
            one.station_id for one in segments})), "samples_in": status["samples_in"],
        "samples_kept": sum(one.n_samples for one in segments), "bytes_kept": sum(one.size_bytes for one in segments),
        "kept_s": kept_s, "warnings": tuple(status["warnings"]), "peak_memory_bytes": status["peak_memory_bytes"],
        "n_events": status["events"], "models": used, "out": folder,
    }  # fmt: skip
    return Summary(**values)


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
