"""A finished run, read from the folder that `edgequake run` wrote: its summary and its catalogue."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.manifest import schema
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.summary import Summary


@dataclass(frozen=True, slots=True)
class RunEvent(CatalogRow):
    """One row of a run's catalogue.

    Attributes
    ----------
    name : the row's `evid`, with _2, _3 ... where two streams of the same hours found the same event.
    location : SEED location code of the kept samples; None where the segment is not in the run's folder.
    """

    name: str = ""
    location: str | None = None

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
    summary = _read_summary(folder / "summary.json")
    n_named: Counter[str] = Counter()
    locations: dict[str, str | None] = {}
    events = []
    for line, row in enumerate(_read_catalog(folder / "catalog.csv"), start=2):
        if "_" not in row.station_id:
            raise DataError(
                f"{folder / 'catalog.csv'}, row {line}: expected a station_id such as XA_S12, got '{row.station_id}'"
            )
        if row.segment not in locations:
            locations[row.segment] = _location(folder / row.segment)
        n_named[row.evid] += 1
        name = row.evid if n_named[row.evid] == 1 else f"{row.evid}_{n_named[row.evid]}"
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        events.append(RunEvent(**values, name=name, location=locations[row.segment]))
    return FinishedRun(folder, replace(summary, events=tuple(events)), tuple(events))


def _read_summary(path: Path) -> Summary:
    """Read a summary.json, without events."""
    if not path.is_file():
        raise DataError(
            f"{path} is not there, so no run has finished in that folder: give the --out of a finished `edgequake run`"
        )
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as a run's summary ({problem}); run again") from problem
    if not isinstance(values, dict):
        raise DataError(f"{path} is no run's summary: expected a table of fields, got {type(values).__name__}")
    known = {field.name: values[field.name] for field in fields(Summary) if field.name in values}
    return schema.build(Summary, {**known, "events": []}, str(path), DataError)


def _read_catalog(path: Path) -> list[CatalogRow]:
    try:
        return read_catalog(path)
    except DataError as problem:  # of a cell, which does not know its file
        raise problem if str(path) in str(problem) else DataError(f"{path}: {problem}; is it cut off?") from problem


def _location(path: Path) -> str | None:
    """Return the location code of a segment; None where it is not there: it may have been sent and deleted."""
    if not path.is_file():
        return None
    return split_source_id(index_file(path).headers[0].source_id).location
