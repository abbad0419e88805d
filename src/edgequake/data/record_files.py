"""The records of a folder of miniSEED files, as the rows of records.csv: for folders that have no such table yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgequake.data.tables import RECORD_COLUMNS, read_table
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.folder_listing import files_in
from edgequake.edge.formats.miniseed import FileIndex, RecordFile, index_file
from edgequake.edge.formats.source_ids import channel_of, split_source_id, station_of
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.inputs.model_choice import choose


@dataclass(frozen=True)
class StationFile:
    """A file of one station, and its rows of records.csv."""

    file: str  # under the folder
    network: str
    station: str
    start_ns: int
    stop_ns: int  # one sampling interval after the last sample
    rows: tuple[dict[str, str], ...]


def station_files(folder: Path, split: str | None, body: str | None) -> tuple[list[StationFile], list[str]]:
    """Return the records of a folder, and notes on files that are left out.

    Parameters
    ----------
    split : of all records; None: as in the folder's records.csv, or "val" without one.
    body : "moon", "mars" or "earth"; None: as in records.csv, or the body of the model that a run chooses.

    Raises
    ------
    DataError
        There is no such folder, its table cannot be read, or no file of it is a record.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with miniSEED files")
    known: dict[str, list[dict[str, str]]] = {}
    if (folder / "records.csv").is_file():
        for row in read_table(folder / "records.csv", RECORD_COLUMNS):
            known.setdefault(row["file"], []).append(row)
    found: list[StationFile] = []
    notes: list[str] = []
    names = list(known) or [str(path.relative_to(folder)) for path in files_in(folder, None) if path.suffix != ".csv"]
    for name in names:
        try:
            found.append(_station_file(folder, name, known.get(name, []), split, body, notes))
        except DataError as problem:
            if known:
                raise
            notes.append(f"left out: {problem}")
    if not found:
        reason = f"; the first was {notes[0]}" if notes else ""
        raise DataError(f"folder {folder} holds no miniSEED record of one station{reason}")
    return found, notes


def _station_file(
    folder: Path, name: str, rows: list[dict[str, str]], split: str | None, body: str | None, notes: list[str]
) -> StationFile:
    index = index_file(folder / name)
    stations = sorted({station_of(header.source_id) for header in index.headers})
    if len(stations) > 1:
        raise DataError(f"{folder / name} holds stations {', '.join(stations)}; a labelled file is of one: split it")
    codes = split_source_id(index.headers[0].source_id)
    if rows:
        rows = [{**row, "split": split or row["split"], "body": body or row["body"]} for row in rows]
    else:
        rows = list(_new_rows(index, name, stations[0], split or "val", body, notes))
        rows = [{**row, "units": _units(folder / name, index)} for row in rows]
    start_ns, stop_ns = index.start_ns, max(header.stop_ns for header in index.headers)
    return StationFile(name, codes.network, codes.station, start_ns, stop_ns, tuple(rows))


def _units(path: Path, index: FileIndex) -> str:
    """Return "counts" where the first samples are integers; of others the file does not tell the units."""
    file = RecordFile(path, index.start_ns)
    try:
        trace = file.trace(index.headers[0], Diagnostics())
    finally:
        file.close()
    return "counts" if trace is not None and np.issubdtype(trace.samples.dtype, np.integer) else ""


def _new_rows(
    index: FileIndex, name: str, station_id: str, split: str, body: str | None, notes: list[str]
) -> Iterator[dict[str, str]]:
    rates = Counter(header.sampling_rate_hz for header in index.headers)
    rate_hz = rates.most_common(1)[0][0]  # a labelled record has one
    if len(rates) > 1:
        others = ", ".join(f"{rate:g}" for rate in rates if rate != rate_hz)
        notes.append(f"{name}: channels at {others} Hz left out, a record has one rate, here {rate_hz:g} Hz")
    headers = [header for header in index.headers if header.sampling_rate_hz == rate_hz]
    for source_id in sorted({header.source_id for header in headers}):
        mine = [header for header in headers if header.source_id == source_id]
        start_ns, stop_ns = mine[0].start_ns, max(header.stop_ns for header in mine)
        yield {
            "split": split,
            "body": body or choose(station_id, rate_hz)[0],
            "group": format_time(index.start_ns)[:10],  # a day: all stations' records of an event stay together
            "file": name,
            "station": station_id,
            "channel": channel_of(source_id),
            "sampling_rate_hz": repr(rate_hz),
            "start": format_time(start_ns) + "Z",
            "duration_s": f"{(stop_ns - start_ns) / NS_PER_S - 1 / rate_hz:.6f}",
            "n_samples": str(sum(header.n_samples for header in mine)),
            "units": "",
            "source": "",
            "note": "",
        }
