"""What a scan would cost, before it is begun: stations, days, bytes, and hours of CPU by a sample that is run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.scan.planning import Shard
from edgequake.scan.preparation import ScanConfig, prepare
from edgequake.scan.shard_run import ScanTask, ShardRun, records_of_shard
from edgequake.scan.storage.archives import open_archive
from edgequake.scan.storage.scan_folder import ScanFolder

_SAMPLE_NS = 6 * 3600 * NS_PER_S  # of each model, if there is so much
_DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class ScanEstimate:
    """What a scan would do.

    Attributes
    ----------
    station_days : days of a place on which it has records, by their headers; a fraction of a day counts as one.
    n_bytes : of the files with records that are used.
    cpu_s_per_day : by model, measured on a sample of a day or less; of that, reading.
    cpu_hours : of all that is not done yet and of what is.
    """

    n_files: int
    n_unusable: int
    n_unreadable: int
    n_stations: int
    n_shards: int
    n_shards_done: int
    station_days: int
    n_bytes: int
    cpu_s_per_day: dict[str, float]
    read_cpu_s_per_day: dict[str, float]
    cpu_hours: float
    bands: dict[str, str]
    most_catalog_files: int
    other_bands: dict[str, list[str]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the figures as lines."""
        costs = ", ".join(f"{name} {value:.2f} s" for name, value in self.cpu_s_per_day.items())
        return "\n".join(
            [
                f"{self.n_stations} station(s), {self.station_days} station-days in {self.n_files} file(s), "
                f"{self.n_bytes / 1e9:.3f} GB; {self.n_unusable} file(s) without records, "
                f"{self.n_unreadable} that cannot be read",
                f"{self.n_shards} shard(s), {self.n_shards_done} of them done",
                f"CPU a station-day, by a sample: {costs}; in all {duration(3600.0 * self.cpu_hours)}",
                f"bands: {', '.join(f'{place} {band}' for place, band in self.bands.items())}",
                f"files to be written: up to {self.most_catalog_files} of the catalogue, and {self.n_shards} marks",
            ]
        )


def estimate(config: ScanConfig, log: Callable[[str], None] = lambda line: None) -> ScanEstimate:
    """Return what a scan would do; the index is kept in `out` where that exists, else nothing is left behind.

    Raises
    ------
    EdgequakeError
        As `scan`.
    """
    if config.out.exists():
        return _estimate(config, log)
    with tempfile.TemporaryDirectory() as folder:
        return _estimate(replace(config, out=Path(folder)), log)


def _estimate(config: ScanConfig, log: Callable[[str], None]) -> ScanEstimate:
    folder = ScanFolder(config.out)
    folder.make()
    prepared = prepare(config, folder, log, is_dry=True)
    samples: dict[str, Shard] = {}
    days: dict[str, set[tuple[str, str, int]]] = {}
    sizes: dict[str, int] = {}
    years, n_shards = 0, 0
    for shard in prepared.plan.shards():
        n_shards += 1
        samples.setdefault(shard.model, shard)
        for file in shard.files:
            sizes[file.name] = file.size_bytes
        first, last = shard.start_ns // _DAY_NS, (shard.stop_ns - 1) // _DAY_NS
        own = {(shard.station_id, shard.location, day) for day in range(first, last + 1) if _has_records(shard, day)}
        days.setdefault(shard.model, set()).update(own)
        years += 1 + (last // 365 != first // 365)
    costs = {name: _sampled(prepared.task, shard, folder) for name, shard in samples.items()}
    done = folder.done()
    return ScanEstimate(
        n_files=prepared.update.n_files,
        n_unusable=len(prepared.update.unusable),
        n_unreadable=len(prepared.update.unreadable),
        n_stations=len(prepared.chosen.models),
        n_shards=n_shards,
        n_shards_done=sum(planned.id in done for planned in prepared.plan.planned()),
        station_days=sum(map(len, days.values())),
        n_bytes=sum(sizes.values()),
        cpu_s_per_day={name: cost for name, (cost, _) in costs.items()},
        read_cpu_s_per_day={name: cost for name, (_, cost) in costs.items()},
        cpu_hours=sum(len(own) * costs[name][0] for name, own in days.items()) / 3600.0,
        bands={place.title: band for place, band in prepared.chosen.bands.items()},
        most_catalog_files=years,
        other_bands={place.title: list(others) for place, others in prepared.chosen.other_bands.items() if others},
    )


def _has_records(shard: Shard, day: int) -> bool:
    spans = (span for file in shard.files for span in file.spans.values())
    return any(span[0] < (day + 1) * _DAY_NS and span[1] > day * _DAY_NS for span in spans)


def _sampled(task: ScanTask, shard: Shard, folder: ScanFolder) -> tuple[float, float]:
    """Return the CPU seconds of a day of record, in all and for reading, measured on the first hours of a shard."""
    begin = replace(shard, previous=None, read_stop_ns=min(shard.read_stop_ns, shard.read_start_ns + _SAMPLE_NS))
    archive = open_archive(task.archive, folder.path)
    with tempfile.TemporaryDirectory() as scratch:
        run = ShardRun(task, shard.model)
        begun_s = time.thread_time()
        traces = list(records_of_shard(task, begin, archive, Path(scratch), run.diagnostics))
        read_s = time.thread_time() - begun_s
        run.push(shard.station_id, iter(traces), True, (begin.start_ns, begin.stop_ns))
        used_s = time.thread_time() - begun_s
    recorded_s = sum(day["recorded_ns"] for day in run.tally.figures().values()) / NS_PER_S
    if recorded_s <= 0:
        raise DataError(f"{shard.title} has no sample to measure: {'; '.join(run.diagnostics.texts())}")
    return used_s * 86_400.0 / recorded_s, read_s * 86_400.0 / recorded_s
