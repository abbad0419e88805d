"""Synthetic lunar records, seeded: for the demo, for `edgequake train tiny`, and for tests without real data.

A record holds three components of one seismometer, sampled as Apollo's long-period ones were (10-bit counts at
6.625 Hz), with moonquakes at known times, one-sample spikes, steps, and the two kinds of gap: samples missing between
records, and runs of -1. Written files have the layout of a real data folder: `records.csv`, `catalog.csv`, miniSEED.
"""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import numpy as np
import pymseed

from edgequake.edge.base.errors import DataError
from edgequake.synthetic.lunar_record import (
    CHANNELS,
    DAY_START_NS,
    MAX_COUNTS,
    SAMPLING_RATE_HZ,
    SyntheticRecord,
    synthetic_record,
)
from edgequake.synthetic.lunar_signals import add_glitches, moonquake, quiet_noise

__all__ = [
    "CHANNELS",
    "DAY_START_NS",
    "MAX_COUNTS",
    "SAMPLING_RATE_HZ",
    "SyntheticRecord",
    "add_glitches",
    "moonquake",
    "quiet_noise",
    "synthetic_record",
    "write_dataset",
    "write_day",
    "write_miniseed",
]

DAY_S = 86_400.0
DAY_ONSETS_H = (3.2, 9.1, 14.4, 19.8)  # moved by up to half an hour each
DAY_RATIOS = (3.0, 25.0, 6.0, 12.0)  # largest amplitude over the noise's

RECORD_COLUMNS = "split,body,group,file,station,channel,sampling_rate_hz,start,duration_s,n_samples,units,source,note"
CATALOG_COLUMNS = "split,body,group,file,event,event_type,time_abs,time_rel_s,precision_s,primary,label_source"


def write_miniseed(record: SyntheticRecord, path: Path) -> Path:
    """Write a record as miniSEED 2 with Steim2 compression, its tears left out, and return the path."""
    n_samples = record.samples.shape[1]
    starts = [0, *(stop for _, stop in record.gaps)]
    stops = [*(start for start, _ in record.gaps), n_samples]
    traces = pymseed.MS3TraceList()
    for source_id, row in zip(record.source_ids, record.samples, strict=True):
        for start, stop in zip(starts, stops, strict=True):
            if stop > start:
                traces.add_data(
                    source_id, row[start:stop].copy(), "i", record.sampling_rate_hz,
                    starttime=record.sample_time_ns(start),
                )  # fmt: skip
    traces.to_file(
        path,
        overwrite=True,
        max_record_length=512,
        encoding=pymseed.DataEncoding.STEIM2,
        format_version=2,
    )
    return path


def write_day(folder: Path, seed: int) -> Path:
    """Write one lunar record of 24 h with four moonquakes, tears and spikes, and return the miniSEED file.

    `records.csv` and `catalog.csv` beside it tell the truth, so that a detector can be scored on it.

    Raises
    ------
    DataError
        The folder holds something already.
    """
    rng = np.random.default_rng(seed)
    onsets_s = [3600.0 * (hour + rng.uniform(-0.5, 0.5)) for hour in DAY_ONSETS_H]
    record = synthetic_record(rng, DAY_S, onsets_s, ratios=DAY_RATIOS, noise_counts=0.5)
    _make_new(folder)
    path = write_miniseed(record, folder / f"xx.lun.00.{_iso(record.start_ns)[:10]}.mseed")
    _write_tables(folder, [("test", path.name, record)])
    return path


def write_dataset(folder: Path, seed: int, n_train: int = 12, n_val: int = 4, n_test: int = 4) -> Path:
    """Write a small data folder, laid out as a folder of real records is, and return it.

    Every record is an event group of its own. A third of the records are quiet; the others hold one or two moonquakes
    at random times. Most last 3 to 5 h, the first of each split 12 h: long records say what a lander would keep.

    Raises
    ------
    DataError
        The folder holds something already.
    """
    _make_new(folder)
    rng = np.random.default_rng(seed)
    (folder / "moon").mkdir()
    rows: list[tuple[str, str, SyntheticRecord]] = []
    for split, n_records in (("train", n_train), ("val", n_val), ("test", n_test)):
        for index in range(n_records):
            duration_s = 12 * 3600.0 if index == 0 else float(rng.uniform(3 * 3600.0, 5 * 3600.0))
            onsets_s = () if index % 3 == 2 else _draw_onsets(rng, duration_s, n_quakes=1 + index % 2)
            start_ns = DAY_START_NS + len(rows) * 2 * int(DAY_S) * 1_000_000_000
            record = synthetic_record(rng, duration_s, onsets_s, start_ns=start_ns)
            name = f"moon/synthetic_{split}_{index:02d}.mseed"
            write_miniseed(record, folder / name)
            rows.append((split, name, record))
    _write_tables(folder, rows)
    return folder


def _make_new(folder: Path) -> None:
    """Make a folder; one that holds anything may hold somebody's records."""
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and is not overwritten: name a new folder for synthetic records")
    folder.mkdir(parents=True, exist_ok=True)


def _draw_onsets(rng: np.random.Generator, duration_s: float, n_quakes: int) -> list[float]:
    """Draw one onset in each equal part of the record, away from the parts' borders."""
    part_s = duration_s / n_quakes
    return [float(part_s * (index + rng.uniform(0.3, 0.7))) for index in range(n_quakes)]


def _write_tables(folder: Path, rows: list[tuple[str, str, SyntheticRecord]]) -> None:
    """Write records.csv (one row per file and channel) and catalog.csv (one row per moonquake)."""
    with (folder / "records.csv").open("w", newline="", encoding="utf-8") as records_file:
        table = csv.writer(records_file, lineterminator="\n")
        table.writerow(RECORD_COLUMNS.split(","))
        for split, name, record in rows:
            for source_id in record.source_ids:
                _, station, _, *codes = source_id.removeprefix("FDSN:").split("_")
                table.writerow(
                    [split, "moon", Path(name).stem, name, station, "".join(codes), record.sampling_rate_hz,
                     _iso(record.start_ns), round(record.duration_s, 2), _n_written(record),
                     "counts, -1 = gap", "synthetic", ""]
                )  # fmt: skip
    with (folder / "catalog.csv").open("w", newline="", encoding="utf-8") as catalog_file:
        table = csv.writer(catalog_file, lineterminator="\n")
        table.writerow(CATALOG_COLUMNS.split(","))
        for split, name, record in rows:
            for number, onset_ns in enumerate(record.onsets_ns):
                time_rel_s = round((onset_ns - record.start_ns) / 1e9, 2)
                table.writerow(
                    [split, "moon", Path(name).stem, name, f"{Path(name).stem}_{number}", "synthetic",
                     _iso(onset_ns), time_rel_s, 1, 1, "synthetic"]
                )  # fmt: skip


def _n_written(record: SyntheticRecord) -> int:
    """Return how many samples of a channel are in the written file."""
    return record.samples.shape[1] - sum(stop - start for start, stop in record.gaps)


def _iso(time_ns: int) -> str:
    """Return a time as ISO 8601 with microseconds and Z."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    whole = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
