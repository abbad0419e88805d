"""Synthetic records of a lunar seismometer, and folders of them.

A record has three components, sampled as those of Apollo's long-period seismometers were (10-bit counts at 6.625 Hz),
with moonquakes at known times, one-sample spikes, steps, and the two kinds of gap of the Apollo archive: missing
samples, and samples set to -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pymseed

from edgequake.data.tables import CATALOG_COLUMNS, RECORD_COLUMNS, table_bytes
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.synthetic.lunar_signals import add_glitches, draw_shape, quake_component, quiet_noise

# Apollo long-period data (Nunn et al. 2020, doi:10.1007/s11214-020-00709-3): 10 bits, zero motion near the middle.
SAMPLING_RATE_HZ = 6.625
MAX_COUNTS = 1023
CENTRE_COUNTS = 512
GAP_COUNTS = -1  # marks lost samples in archived Apollo files

CHANNELS = ("MH1", "MH2", "MHZ")
COMPONENT_GAINS = (1.0, 0.85, 0.5)  # a scattered wave field is stronger on the horizontals than on the vertical
NETWORK, STATION, LOCATION = "XX", "LUN", "00"  # no network XX has ever recorded on the Moon

DAY_S = 86_400.0
DAY_START_NS = 1_893_456_000 * NS_PER_S  # 2030-01-01T00:00:00Z: no recorded data lie there
DAY_ONSETS_H = (3.2, 9.1, 14.4, 19.8)  # each moved by up to half an hour
DAY_RATIOS = (3.0, 25.0, 6.0, 12.0)  # peak amplitude over the noise level


@dataclass(frozen=True)
class SyntheticRecord:
    """One record of one station, with its true onsets and gaps."""

    source_ids: tuple[str, ...]  # one per channel, for example FDSN:XX_LUN_00_M_H_Z
    start_ns: int  # of the first sample, nanoseconds since 1970 UTC
    sampling_rate_hz: float
    samples: npt.NDArray[np.int32]  # (n_channels, n_samples), counts; -1 in `fills`
    onsets_ns: tuple[int, ...]  # first motion of each moonquake, in time order
    gaps: tuple[tuple[int, int], ...]  # [start, stop) in samples, left out of the written file
    fills: tuple[tuple[int, int], ...]  # [start, stop) in samples, -1 in every channel

    @property
    def duration_s(self) -> float:
        """Length in seconds, gaps included."""
        return self.samples.shape[1] / self.sampling_rate_hz

    def sample_time_ns(self, index: int) -> int:
        """Return a sample's time, to the microsecond that miniSEED 2 holds."""
        return self.start_ns + round(index * 1e6 / self.sampling_rate_hz) * 1000


def synthetic_record(
    rng: np.random.Generator,
    duration_s: float,
    onsets_s: Sequence[float] = (),
    *,
    ratios: Sequence[float] | None = None,
    noise_counts: float | None = None,
    start_ns: int = DAY_START_NS,
    station: str = STATION,
    channels: Sequence[str] = CHANNELS,
    spikes_per_hour: float = 6.0,
    gaps_per_hour: float = 3.0,
    fills_per_hour: float = 0.3,
) -> SyntheticRecord:
    """Synthesise one record.

    Parameters
    ----------
    duration_s : length of the record.
    onsets_s : first motion of each moonquake, seconds from the start, in time order.
    ratios : peak amplitude of each moonquake over the noise level; by default drawn from 3..30.
    noise_counts : root mean square of the noise, in counts of the first component; by default drawn from 0.3..1.
    channels : codes of three letters; the gains of two horizontals and a vertical are repeated over them.
    gaps_per_hour : mean rate of gaps of 0.6 to 10 s between records.
    fills_per_hour : mean rate of intervals of 2 to 40 s filled with -1.

    Raises
    ------
    ValueError
        A length that is not positive; onsets out of order or outside the record; not one ratio for each onset.
    """
    n_samples = int(duration_s * SAMPLING_RATE_HZ)
    if n_samples < 1 or any(not 0 <= onset < duration_s for onset in onsets_s):
        raise ValueError(f"expected a positive duration and onsets inside it, got {duration_s} s and {list(onsets_s)}")
    if ratios is None:
        ratios = np.exp(rng.uniform(np.log(3.0), np.log(30.0), len(onsets_s))).tolist()
    if len(ratios) != len(onsets_s):
        raise ValueError(f"expected one ratio for each of {len(onsets_s)} onsets, got {len(ratios)}")
    level = float(np.exp(rng.uniform(np.log(0.3), np.log(1.0)))) if noise_counts is None else noise_counts
    if list(onsets_s) != sorted(onsets_s):
        raise ValueError(f"expected rising onsets, got {list(onsets_s)}")
    starts = [int(onset * SAMPLING_RATE_HZ) for onset in onsets_s]
    shapes = [draw_shape(rng) for _ in starts]
    gaps = _intervals(rng, n_samples, gaps_per_hour, (0.6, 10.0))
    fills = _intervals(rng, n_samples, fills_per_hour, (2.0, 40.0))
    samples = np.empty((len(channels), n_samples), dtype=np.int32)
    for row, gain in zip(samples, (COMPONENT_GAINS * len(channels))[: len(channels)], strict=True):
        motion = quiet_noise(rng, n_samples, SAMPLING_RATE_HZ, level * gain)
        for start, shape, ratio in zip(starts, shapes, ratios, strict=True):
            wave = quake_component(rng, shape, SAMPLING_RATE_HZ)[: n_samples - start]
            motion[start : start + wave.size] += ratio * level * gain * wave
        motion = add_glitches(rng, motion, SAMPLING_RATE_HZ, spikes_per_hour)
        centre = CENTRE_COUNTS + rng.uniform(-20.0, 20.0)
        row[:] = np.clip(np.rint(motion + centre), 0, MAX_COUNTS).astype(np.int32)
        for start, stop in fills:
            row[start:stop] = GAP_COUNTS
    ids = tuple(f"FDSN:{NETWORK}_{station}_{LOCATION}_{'_'.join(channel)}" for channel in channels)
    onsets_ns = tuple(start_ns + round(start * 1e6 / SAMPLING_RATE_HZ) * 1000 for start in starts)
    return SyntheticRecord(ids, start_ns, SAMPLING_RATE_HZ, samples, onsets_ns, gaps, fills)


def _intervals(
    rng: np.random.Generator, n_samples: int, per_hour: float, length_range_s: tuple[float, float]
) -> tuple[tuple[int, int], ...]:
    """Draw disjoint intervals [start, stop) in samples, log-uniform in length, inside the record."""
    hours = n_samples / SAMPLING_RATE_HZ / 3600.0
    drawn: list[tuple[int, int]] = []
    low, high = np.log(length_range_s)
    for start in np.sort(rng.integers(1, max(n_samples, 2), rng.poisson(per_hour * hours))).tolist():
        stop = start + max(1, round(float(np.exp(rng.uniform(low, high))) * SAMPLING_RATE_HZ))
        if stop < n_samples and (not drawn or start > drawn[-1][1]):
            drawn.append((start, stop))
    return tuple(drawn)


def write_miniseed(record: SyntheticRecord, path: Path) -> Path:
    """Write a record without its gaps as miniSEED 2 with Steim2 compression, and return the path."""
    starts = [0, *(stop for _, stop in record.gaps)]
    stops = [*(start for start, _ in record.gaps), record.samples.shape[1]]
    traces = pymseed.MS3TraceList()
    for source_id, row in zip(record.source_ids, record.samples, strict=True):
        for start, stop in zip(starts, stops, strict=True):
            if stop > start:
                samples, start_ns = row[start:stop].copy(), record.sample_time_ns(start)
                traces.add_data(source_id, samples, "i", record.sampling_rate_hz, starttime=start_ns)
    traces.to_file(path, overwrite=True, max_record_length=512, encoding=pymseed.DataEncoding.STEIM2, format_version=2)
    return path


def write_day(folder: Path, seed: int) -> Path:
    """Write one lunar record of 24 h with four moonquakes, gaps and spikes; return the miniSEED file.

    `records.csv` and `catalog.csv` beside it hold the true onsets, so that a detector can be scored on the day.

    Raises
    ------
    DataError
        The folder is not empty.
    """
    rng = np.random.default_rng(seed)
    onsets_s = [3600.0 * (hour + rng.uniform(-0.5, 0.5)) for hour in DAY_ONSETS_H]
    record = synthetic_record(rng, DAY_S, onsets_s, ratios=DAY_RATIOS, noise_counts=0.5)
    _make_new(folder)
    path = write_miniseed(record, folder / f"xx.lun.00.{format_time(record.start_ns)[:10]}.mseed")
    _write_tables(folder, [("test", path.name, record)])
    return path


def write_dataset(folder: Path, seed: int, n_train: int = 12, n_val: int = 4, n_test: int = 4) -> Path:
    """Write a small data folder, laid out like a folder of recorded data, and return it.

    Each record is an event group of its own. One third of the records have no event; the others have one or two
    moonquakes at random times. The first record of each split lasts 12 h, for the share of time that a lander would
    keep; the others last 3 to 5 h.

    Raises
    ------
    DataError
        The folder is not empty.
    """
    _make_new(folder)
    rng = np.random.default_rng(seed)
    (folder / "moon").mkdir()
    rows: list[tuple[str, str, SyntheticRecord]] = []
    for split, n_records in (("train", n_train), ("val", n_val), ("test", n_test)):
        for index in range(n_records):
            duration_s = 12 * 3600.0 if index == 0 else float(rng.uniform(3 * 3600.0, 5 * 3600.0))
            onsets_s = () if index % 3 == 2 else _draw_onsets(rng, duration_s, n_quakes=1 + index % 2)
            start_ns = DAY_START_NS + len(rows) * 2 * int(DAY_S) * NS_PER_S
            record = synthetic_record(rng, duration_s, onsets_s, start_ns=start_ns)
            name = f"moon/synthetic_{split}_{index:02d}.mseed"
            write_miniseed(record, folder / name)
            rows.append((split, name, record))
    _write_tables(folder, rows)
    return folder


def _make_new(folder: Path) -> None:
    """Make a folder; one that is not empty may hold a user's records."""
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and is not overwritten: name a new folder for synthetic records")
    folder.mkdir(parents=True, exist_ok=True)


def _draw_onsets(rng: np.random.Generator, duration_s: float, n_quakes: int) -> list[float]:
    """Draw one onset in each equal part of the record, away from the borders of the parts."""
    part_s = duration_s / n_quakes
    return [float(part_s * (index + rng.uniform(0.3, 0.7))) for index in range(n_quakes)]


def _write_tables(folder: Path, rows: list[tuple[str, str, SyntheticRecord]]) -> None:
    """Write records.csv and catalog.csv for rows of split, file name and record."""
    tables = ("records.csv", RECORD_COLUMNS, _record_rows), ("catalog.csv", CATALOG_COLUMNS, _catalog_rows)
    for name, columns, rows_of in tables:
        described = [
            {"split": split, "body": "moon", "file": file} | row
            for split, file, record in rows
            for row in rows_of(record, Path(file).stem)
        ]
        (folder / name).write_bytes(table_bytes(columns, described))


def _record_rows(record: SyntheticRecord, group: str) -> Iterator[dict[str, Any]]:
    """Yield one row per channel."""
    for source_id in record.source_ids:
        yield {
            "group": group,
            "station": source_id.split("_")[1],
            "channel": channel_of(source_id),
            "sampling_rate_hz": record.sampling_rate_hz,
            "start": format_time(record.start_ns) + "Z",
            "duration_s": round(record.duration_s, 2),
            "n_samples": record.samples.shape[1] - sum(stop - start for start, stop in record.gaps),
            "units": "counts, -1 = gap",
            "source": "synthetic",
        }


def _catalog_rows(record: SyntheticRecord, group: str) -> Iterator[dict[str, Any]]:
    """Yield one row per moonquake."""
    for number, onset_ns in enumerate(record.onsets_ns):
        yield {
            "group": group,
            "event": f"{group}_{number}",
            "event_type": "synthetic",
            "time_abs": format_time(onset_ns) + "Z",
            "time_rel_s": round((onset_ns - record.start_ns) / 1e9, 2),
            "precision_s": 1,
            "primary": 1,
            "label_source": "synthetic",
        }
