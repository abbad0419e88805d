"""The catalogue of a scan: Parquet, partitioned by network and year as Hive does, with one schema for all files.

`catalog/network=XA/year=1971/SHARD.parquet` holds the events of one shard with onsets in that year. Units and meanings
are in the metadata of the fields. Network and year stand in the path alone, as is usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.catalog import CatalogRow, in_catalog_order
from edgequake.scan.storage.scan_folder import ScanFolder

if TYPE_CHECKING:
    import pyarrow

_TIME, _TEXT, _FLOAT, _INT = "timestamp", "string", "double", "int64"
# Column: type, whether it may be null, unit, meaning.
_COLUMNS: dict[str, tuple[str, bool, str, str]] = {
    "evid": (_TEXT, False, "", "name of the event, the same in every run: station and onset"),
    "station_id": (_TEXT, False, "", "NET_STA"),
    "location": (_TEXT, False, "", "SEED location code"),
    "onset_time": (_TIME, False, "ns since 1970 UTC", "onset of the event, refined"),
    "onset_uncertainty_s": (_FLOAT, True, "s", "about two thirds of all onsets lie within this of the true one"),
    "stop_time": (_TIME, False, "ns since 1970 UTC", "stop of the event"),
    "peak_probability": (_FLOAT, False, "1", "largest onset probability of the event, 0 to 1"),
    "mq_type": (_TEXT, False, "", "class of the event, blank where the model gives none"),
    "priority": (_FLOAT, False, "1", "downlink priority, 0 to 1"),
    "channels": (_TEXT, False, "", "channel codes of the kept samples, separated by spaces"),
    "segment_start": (_TIME, False, "ns since 1970 UTC", "first sample that a run keeps of the event"),
    "segment_stop": (_TIME, False, "ns since 1970 UTC", "the samples before it are kept"),
    "segment": (_TEXT, False, "", "the file that `edgequake run` would keep them in"),
    "n_samples": (_INT, False, "samples", "kept, all channels; events of one segment share them"),
    "size_bytes": (_INT, False, "bytes", "of that segment as miniSEED"),
    "filename": (_TEXT, False, "", "file of the archive with the onset, without its extension"),
    "time_rel_s": (_FLOAT, False, "s", "onset after that file's first sample"),
    "model": (_TEXT, False, "", "model that found the event"),
    "run_id": (_TEXT, False, "", "provenance: runs/RUN_ID.json of the scan"),
    "shard_id": (_TEXT, False, "", "shards/SHARD_ID.json of the scan"),
}


@dataclass(frozen=True, slots=True)
class ScanRow(CatalogRow):
    """A row of a run's catalogue, with what a scan knows beside it."""

    location: str = ""
    segment_start_ns: int = 0
    segment_stop_ns: int = 0
    model: str = ""
    run_id: str = ""
    shard_id: str = ""


_TIMES = {
    "onset_time": "onset_ns",
    "stop_time": "stop_ns",
    "segment_start": "segment_start_ns",
    "segment_stop": "segment_stop_ns",
}


def schema() -> pyarrow.Schema:
    """Return the schema of the catalogue's files.

    Raises
    ------
    ConfigError
        pyarrow is not installed.
    """
    arrow = _arrow()
    types = {
        _TIME: arrow.timestamp("ns", tz="UTC"),
        _TEXT: arrow.string(),
        _FLOAT: arrow.float64(),
        _INT: arrow.int64(),
    }
    return arrow.schema(
        [
            arrow.field(name, types[kind], is_nullable, {"unit": unit, "description": meaning})
            for name, (kind, is_nullable, unit, meaning) in _COLUMNS.items()
        ],
        metadata={"title": "event catalogue of edgequake scan", "format": "1"},
    )


def write_rows(folder: ScanFolder, shard_id: str, rows: Sequence[ScanRow]) -> list[Path]:
    """Write a shard's events, replacing what an earlier attempt has left; return the files.

    Raises
    ------
    DataError
        A file cannot be written.
    """
    import pyarrow.parquet as parquet

    by_part: dict[str, list[ScanRow]] = {}
    for row in in_catalog_order(rows):
        network, year = row.station_id.partition("_")[0], format_time(row.onset_ns)[:4]
        by_part.setdefault(f"network={quote(network, safe='') or '-'}/year={int(year)}", []).append(row)
    paths = []
    for part, own in by_part.items():
        path = folder.catalog / part / f"{shard_id}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrow = _arrow()
        columns = {name: [_value(row, name) for row in own] for name in _COLUMNS}
        sink = arrow.BufferOutputStream()
        parquet.write_table(arrow.table(columns, schema=schema()), sink, compression="zstd")
        write_bytes_atomically(path, sink.getvalue().to_pybytes())
        paths.append(path)
    return paths


def read_rows(paths: Iterable[Path]) -> list[ScanRow]:
    """Read files of the catalogue; return their rows in the order of their onsets.

    Raises
    ------
    ConfigError
        pyarrow is not installed.
    DataError
        A file cannot be read, or is no part of such a catalogue.
    """
    return in_catalog_order(row for path in paths for row in _rows_of(path))


def catalog_paths(folder: ScanFolder) -> list[Path]:
    """Return all files of the catalogue."""
    return sorted(folder.catalog.glob("*/*/*.parquet"))


def _rows_of(path: Path) -> Iterator[ScanRow]:
    arrow = _arrow()
    import pyarrow.parquet as parquet

    try:
        # Not `read_table`, which would add the columns of the path.
        table = parquet.ParquetFile(path).read().cast(schema())
    except (OSError, ValueError, arrow.ArrowException) as problem:
        raise DataError(f"{path} cannot be read as a scan's catalogue: {problem}") from problem
    for name in _TIMES:
        i = table.schema.get_field_index(name)
        table = table.set_column(i, name, table.column(i).cast(arrow.int64()))
    for values in table.to_pylist():
        own = {_TIMES.get(name, name): value for name, value in values.items()}
        yield ScanRow(**{**own, "channels": tuple(own["channels"].split())})


def plain_row(row: CatalogRow) -> CatalogRow:
    """Return a row as a run's catalogue has it."""
    return CatalogRow(**{field.name: getattr(row, field.name) for field in fields(CatalogRow)})


def _value(row: ScanRow, name: str) -> Any:
    value = getattr(row, _TIMES.get(name, name))
    return " ".join(value) if name == "channels" else value


def _arrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError as problem:
        raise ConfigError("a scan's catalogue needs pyarrow: pip install 'edgequake[scan]'") from problem
    return pyarrow
