"""Read the labelled records of a folder, in either of its two layouts.

The project's own layout is a folder with `records.csv` and `catalog.csv`; `edgequake.data.space_apps` reads that of the
NASA Space Apps packet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgequake.data.space_apps import find_catalogs, read_packet
from edgequake.data.tables import BODIES, Arrival, LabelledRecord, parse_number, parse_time_ns, read_table
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

# The columns that are read; a table may have more.
RECORD_COLUMNS = "split,body,group,file,station,channel,sampling_rate_hz,start,duration_s,note".split(",")
ARRIVAL_COLUMNS = "group,file,event,event_type,time_abs,precision_s,primary".split(",")

# A label that was taken from where its record was cut, not picked, precedes what is visible by 90 to 350 s (measured
# above 0.9 Hz in S0320b, S0421b and S0423a of InSight), whatever precision the table states.
CUT_CONVENTION = "cut convention"
CUT_CONVENTION_S = 300.0


def load(folder: Path, body: str | None = None, split: str | None = None) -> list[LabelledRecord]:
    """Read the records of a folder, whichever of the two layouts it has.

    Parameters
    ----------
    folder : holds `records.csv`, or the packet (a catalogue CSV at any depth).
    body, split : return only these records.

    Raises
    ------
    DataError
        Neither layout; unreadable or malformed tables; a file that a table names is missing; no matching record.
    """
    if (folder / "records.csv").is_file():
        return read_dataset(folder, body, split)
    records = [record for record in read_packet(folder, body) if split in (None, record.split)]
    return _require_some(records, folder, body, split)


def is_labelled(folder: Path) -> bool:
    """Whether a folder has labels: `records.csv`, or a catalogue of the packet."""
    return (folder / "records.csv").is_file() or any(find_catalogs(folder))


def read_dataset(folder: Path, body: str | None = None, split: str | None = None) -> list[LabelledRecord]:
    """Read `records.csv` and `catalog.csv`: one `LabelledRecord` per file, in the order of the table.

    Raises
    ------
    DataError
        A missing table, column or file; a value that is not a number or a time; no record of this body and split.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    for row in read_table(folder / "records.csv", RECORD_COLUMNS):
        if body in (None, row["body"]) and split in (None, row["split"]):
            rows.setdefault(row["file"], []).append(row)
    arrivals = _arrivals_by_file(folder / "catalog.csv")
    records = [_record(folder, of_file, arrivals.get(name, ())) for name, of_file in rows.items()]
    return _require_some(records, folder, body, split)


def data_hash(records: Iterable[LabelledRecord]) -> str:
    """Return the sha256 of the records' files, see `hash_files`."""
    return hash_files(record.file for record in records)


def hash_files(paths: Iterable[Path]) -> str:
    """Return a sha256 over the names and contents of files; neither their order nor repetitions matter.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(set(paths), key=lambda path: (path.name, str(path))):
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise DataError(f"record {path} cannot be read: {problem}") from problem
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _record(folder: Path, rows: list[dict[str, str]], arrivals: Iterable[Arrival]) -> LabelledRecord:
    """Return the record that the rows of one file describe."""
    first = rows[0]
    where = f"records.csv, {first['file']}"
    path = folder / first["file"]
    if not path.is_file():
        raise DataError(f"{where}: file {path} does not exist; give the folder that records.csv describes")
    rates = {parse_number(row["sampling_rate_hz"], where) for row in rows}
    if len(rates) != 1 or min(rates) <= 0:
        raise DataError(f"{where}: expected one positive sampling_rate_hz for all channels, got {sorted(rates)}")
    (rate_hz,) = rates
    spans = [_span(row, rate_hz, where) for row in rows]
    return LabelledRecord(
        file=path,
        body=first["body"],
        split=first["split"],
        group=first["group"],
        station_id=first["station"],
        channels=tuple(row["channel"] for row in rows),
        start_ns=min(start for start, _ in spans),
        stop_ns=max(stop for _, stop in spans),
        sampling_rate_hz=rate_hz,
        arrivals=tuple(sorted(arrivals, key=lambda arrival: arrival.time_ns)),
        note=first["note"],
    )


def _span(row: Mapping[str, str], rate_hz: float, where: str) -> tuple[int, int]:
    """Return [start, stop) of one channel; `duration_s` is the time from the first sample to the last."""
    start_ns = parse_time_ns(row["start"], where)
    return start_ns, start_ns + round((parse_number(row["duration_s"], where) + 1 / rate_hz) * NS_PER_S)


def _arrivals_by_file(path: Path) -> dict[str, list[Arrival]]:
    arrivals: dict[str, list[Arrival]] = {}
    for line, row in enumerate(read_table(path, ARRIVAL_COLUMNS), start=2):
        where = f"{path}, row {line}"
        if row["primary"] not in ("0", "1"):
            raise DataError(f"{where}: expected primary to be 0 or 1, got '{row['primary']}'")
        arrival = Arrival(
            time_ns=parse_time_ns(row["time_abs"], where),
            precision_s=_precision_s(row, where),
            primary=row["primary"] == "1",
            event=row["event"],
            event_type=row["event_type"],
            group=row["group"],
            label_source=row.get("label_source") or "",
        )
        arrivals.setdefault(row["file"], []).append(arrival)
    return arrivals


def _precision_s(row: Mapping[str, str], where: str) -> float:
    stated_s = parse_number(row["precision_s"], where)
    is_cut = (row.get("label_source") or "").startswith(CUT_CONVENTION)
    return max(stated_s, CUT_CONVENTION_S) if is_cut else stated_s


def _require_some(
    records: list[LabelledRecord], folder: Path, body: str | None, split: str | None
) -> list[LabelledRecord]:
    if not records:
        wanted = f"body '{body or 'any'}' and split '{split or 'any'}'"
        raise DataError(f"{folder} holds no record of {wanted}; bodies are {', '.join(BODIES)}")
    return records
