"""What a finished run found and kept, as the exporters and other readers of its folder want it.

The tables are read by the names of their columns: a run of an older or newer version may lack some or have more.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.data.tables import parse_number, parse_time_ns, read_table
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.results.catalog import TIME_COLUMN

UNCERTAINTY_COLUMN = "onset_uncertainty_s"  # not in every run's catalogue
_COLUMNS = (TIME_COLUMN, "evid", "mq_type", "station_id", "channels", "stop_abs", "peak_probability", "segment")


@dataclass(frozen=True)
class RunEvent:
    """One row of a run's catalogue.

    Attributes
    ----------
    name : the row's `evid`, with _2, _3 ... where two streams of the same hours found the same event.
    location : SEED location code of the kept samples; None where the segment is not in the run's folder.
    channels : codes of the kept channels.
    onset_uncertainty_s : as the catalogue states it, None where it does not.
    mq_type : event class, blank where none is told.
    """

    name: str
    network: str
    station: str
    location: str | None
    channels: tuple[str, ...]
    onset_ns: int
    stop_ns: int
    onset_uncertainty_s: float | None
    peak_probability: float
    mq_type: str
    segment: str

    @property
    def pick_channel(self) -> str:
        """The channel to hang the onset on: the vertical one where it was kept, else the first."""
        verticals = [channel for channel in self.channels if channel.endswith("Z")]
        return (verticals or list(self.channels) or [""])[0]


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder: who made it, what was found, and the files that hold the kept samples."""

    folder: Path
    edgequake_version: str
    model: str
    variant: str
    graph_sha256: str
    events: tuple[RunEvent, ...]  # in the catalogue's order
    segments: tuple[str, ...]  # files under `folder`


def read_run(folder: Path) -> FinishedRun:
    """Read catalog.csv and summary.json of a run.

    Raises
    ------
    DataError
        No finished run there, or tables that are cut off or hold something else.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the --out of a finished `edgequake run`")
    summary = _read_summary(folder / "summary.json")
    rows = read_table(folder / "catalog.csv", _COLUMNS)
    times_seen: Counter[str] = Counter()
    locations: dict[str, str | None] = {}
    events = []
    for line, row in enumerate(rows, start=2):
        if row["segment"] not in locations:
            locations[row["segment"]] = _location(folder / row["segment"])
        times_seen[row["evid"]] += 1
        events.append(
            _event(row, times_seen[row["evid"]], locations[row["segment"]], f"{folder / 'catalog.csv'}, row {line}")
        )
    return FinishedRun(folder=folder, events=tuple(events), **summary)


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(
            f"{path} is not there, so no run has finished in that folder: give the --out of a finished `edgequake run`"
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return {
            **{name: str(fields[name]) for name in ("edgequake_version", "model", "variant", "graph_sha256")},
            "segments": tuple(str(segment["file"]) for segment in fields["segments"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{path} is no edgequake summary ({problem}): give the --out of a finished run") from problem


def _event(row: dict[str, str], times_seen: int, location: str | None, where: str) -> RunEvent:
    network, underscore, station = row["station_id"].partition("_")
    if not underscore:
        raise DataError(f"{where}: expected a station_id such as XA_S12, got '{row['station_id']}'")
    uncertainty = row.get(UNCERTAINTY_COLUMN) or ""
    return RunEvent(
        name=row["evid"] if times_seen == 1 else f"{row['evid']}_{times_seen}",
        network=network,
        station=station,
        location=location,
        channels=tuple(row["channels"].split()),
        onset_ns=parse_time_ns(row[TIME_COLUMN], where),
        stop_ns=parse_time_ns(row["stop_abs"], where),
        onset_uncertainty_s=parse_number(uncertainty, where) if uncertainty.strip() else None,
        peak_probability=parse_number(row["peak_probability"], where),
        mq_type=row["mq_type"].strip(),
        segment=row["segment"],
    )


def _location(path: Path) -> str | None:
    """Location code of a segment; None where it is not there: it may have been sent and cleared."""
    if not path.is_file():
        return None
    codes = index_file(path).headers[0].source_id.removeprefix("FDSN:").split("_")
    return codes[2] if len(codes) > 2 else ""
