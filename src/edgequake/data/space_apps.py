"""The folder layout of NASA Space Apps 2024, "Seismic Detection Across the Solar System".

A training folder holds `.mseed` and `.csv` copies of the same part-days, and a catalogue CSV with one row per arrival.
The lunar catalogue names files without extension, the Martian catalogue with `.csv`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from edgequake.data.tables import Arrival, LabelledRecord, parse_time_ns, read_table
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.source_ids import channel_of, station_of
from edgequake.edge.formats.space_apps_csv import packet_span

_TIME_COLUMN = "time_abs(%Y-%m-%dT%H:%M:%S.%f)"
_CATALOG_COLUMNS = ("filename", _TIME_COLUMN, "time_rel(sec)", "evid", "mq_type")
# The catalogue gives no precision. Lunar times are whole minutes of Nakamura's catalogue, Martian times MQS picks.
_PRECISION_S = {"moon": 60.0, "mars": 5.0, "earth": 2.0}


def read_packet(folder: Path, body: str | None = None) -> list[LabelledRecord]:
    """Read the records that the packet's catalogues name, in their order; all have the split `train`.

    Files without a catalogue row (the packet's test folders) are left out: their events are unknown.

    Parameters
    ----------
    folder : the packet, or any folder of it that holds one catalogue and its data files at any depth.
    body : "moon" or "mars"; by default that of each file's network code (XA: the Moon, XB: Mars).

    Raises
    ------
    DataError
        No catalogue; a malformed one; a row whose file is missing; a file whose header cannot be read.
    """
    catalogs = list(find_catalogs(folder))
    if not catalogs:
        raise DataError(
            f"{folder} holds no records: expected records.csv, or a catalogue CSV with the columns "
            f"{', '.join(_CATALOG_COLUMNS)} somewhere below it"
        )
    data_files = _data_files(folder, set(catalogs))
    rows_by_file: dict[Path, list[dict[str, str]]] = {}
    for catalog in catalogs:
        for row in read_table(catalog, _CATALOG_COLUMNS):
            rows_by_file.setdefault(_find(row, data_files, catalog), []).append(row)
    records = [_record(path, rows, body) for path, rows in rows_by_file.items()]
    return [record for record in records if body in (None, record.body)]


def find_catalogs(folder: Path) -> Iterator[Path]:
    """Yield the packet's catalogues in a folder, at any depth."""
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            header = next(csv.reader(stream), [])
        if {"filename", "evid"} <= set(header):
            yield path


def _data_files(folder: Path, catalogs: set[Path]) -> dict[str, Path]:
    """Map each record's name without extension to its file; miniSEED is preferred to its CSV copy."""
    found = {path.stem: path for path in sorted(folder.rglob("*.csv")) if path not in catalogs}
    return found | {path.stem: path for path in sorted(folder.rglob("*.mseed"))}


def _find(row: dict[str, str], data_files: dict[str, Path], catalog: Path) -> Path:
    name = re.sub(r"\.(csv|mseed)$", "", row["filename"])
    if name in data_files:
        return data_files[name]
    # The lunar catalogue names ...1971-04-13HR00_evid00029, but the file is ...1971-04-13HR02_evid00029: where no file
    # has the name, the event number decides.
    same_event = [path for stem, path in data_files.items() if stem.endswith(f"_{row['evid']}")]
    if len(same_event) == 1:
        return same_event[0]
    raise DataError(
        f"catalogue {catalog}: no file for '{row['filename']}' ({row['evid']}) in its folder: expected {name}.mseed or "
        f"{name}.csv, or one file of that event, got {len(same_event)}"
    )


def _record(path: Path, rows: list[dict[str, str]], body: str | None) -> LabelledRecord:
    if path.suffix == ".csv":
        source_id, start_ns, stop_ns, rate_hz = packet_span(path)
    else:
        headers = index_file(path).headers
        source_id, rate_hz = headers[0].source_id, headers[0].sampling_rate_hz
        start_ns, stop_ns = headers[0].start_ns, max(header.stop_ns for header in headers)
    station_id = station_of(source_id)
    of_body = {"XA": "moon", "XB": "mars"}.get(station_id.partition("_")[0], body or "earth")
    arrivals = [_arrival(row, of_body, f"catalogue row of {path.name}") for row in rows]
    return LabelledRecord(
        file=path,
        body=of_body,
        split="train",
        group=arrivals[0].group,
        station_id=station_id,
        channels=(channel_of(source_id),),
        start_ns=start_ns,
        stop_ns=stop_ns,
        sampling_rate_hz=rate_hz,
        arrivals=tuple(sorted(arrivals, key=lambda arrival: arrival.time_ns)),
        note="",
    )


def _arrival(row: dict[str, str], body: str, where: str) -> Arrival:
    """Return a row's arrival, at its absolute time: relative times count from midnight, not from the file's start."""
    return Arrival(
        time_ns=parse_time_ns(row[_TIME_COLUMN], where),
        precision_s=_PRECISION_S[body],
        primary=True,
        event=row["evid"],
        event_type=row["mq_type"],
        group=row["evid"],
    )
