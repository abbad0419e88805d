"""What the tests of scans share: nights of synthesised records, a serial run, and a scan in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgequake.edge.results.catalog import catalog_text
from edgequake.edge.runner import RunConfig, run
from edgequake.scan.engines import InProcess
from edgequake.scan.preparation import ScanConfig
from edgequake.scan.scan_results import ScanResult
from edgequake.scan.scanning import scan
from edgequake.scan.storage.parquet_catalog import catalog_paths, plain_row, read_rows
from edgequake.scan.storage.scan_folder import ScanFolder
from edgequake.synthetic.synthetic_dataset import DAY_START_NS, synthetic_record, write_miniseed

HOUR_NS = 3_600 * 10**9
NIGHTS = 3


def write_night(folder: Path, station: str, night: int) -> Path:
    """Write three hours from 22:00 on; the second of two moonquakes begins shortly before midnight."""
    rng = np.random.default_rng([night, int(station[1:])])
    start_ns = DAY_START_NS + (24 * night + 22) * HOUR_NS
    record = synthetic_record(
        rng, 3 * 3600.0, [3000.0, 7000.0], ratios=[20.0, 20.0], start_ns=start_ns, station=station
    )
    return write_miniseed(record, folder / f"{station}.{night}.mseed")


def serial_catalog(archive: Path, out: Path) -> str:
    """Run over all files, and return the rows of catalog.csv in the order of their onsets."""
    run(RunConfig(inputs=(str(archive),), out=out, model="moon"))
    header, *rows = (out / "catalog.csv").read_text().splitlines(keepends=True)
    assert header.startswith("filename,") and len(rows) > 3
    return "".join(sorted(rows, key=lambda row: (row.split(",")[1], row.split(",")[5])))


def rows_of(catalog: str, station_id: str) -> str:
    """Return the rows of one station."""
    rows = [row for row in catalog.splitlines(keepends=True) if f",{station_id}," in row]
    assert rows
    return "".join(rows)


def scan_here(archive: Path | str, out: Path, **options: object) -> ScanResult:
    """Scan in this process, in shards of a day unless `options` say otherwise."""
    values = {"model": "moon", "shard_days": 1, "n_seams": 0, **options}
    return scan(ScanConfig(str(archive), out, **values), engine=InProcess())  # type: ignore[arg-type]


def catalog_of(out: Path) -> str:
    """Return a scan's catalogue as the rows of a catalog.csv."""
    return catalog_text(plain_row(row) for row in read_rows(catalog_paths(ScanFolder(out))))
