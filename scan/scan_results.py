"""The results of a scan as a whole: figures by station and day as CSV, totals as JSON, read from the shards' marks."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError
from edgequake.scan.planning import Plan
from edgequake.scan.seams import SeamReport
from edgequake.scan.storage.scan_folder import ScanFolder, read_json, write_json

DAY_COLUMNS = ("station_id", "location", "date", "n_events", "recorded_s", "kept_s", "n_gaps")
_NS = 1e9
_MOST_WARNINGS = 1000
_MOST_SLOWEST = 20


@dataclass(frozen=True)
class ScanResult:
    """Figures of a scan.

    Attributes
    ----------
    station_days : days on which a station has samples; a fraction of a day counts as one.
    cpu_s, read_cpu_s : of the workers, all runs of the shards that are done; of that, reading records.
    failed : id, title and reason of each shard that has failed.
    n_blocked : shards that wait for one that has failed.
    slowest : id, title and seconds of the shards that took longest.
    """

    out: str
    n_shards: int
    n_done: int
    n_events: int
    n_stations: int
    station_days: int
    record_s: float
    kept_s: float
    samples: int
    gaps: dict[str, int]
    unreadable_bytes: int
    cpu_s: float
    read_cpu_s: float
    catalog_bytes: int
    failed: list[dict[str, Any]] = field(default_factory=list)
    n_blocked: int = 0
    slowest: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seams: SeamReport | None = None

    def text(self) -> str:
        """Return the figures as lines."""
        per_day = self.cpu_s / max(1e-9, self.record_s / 86_400.0)
        lines = [
            f"{self.n_events} event(s) of {self.n_stations} station(s) in {self.record_s / 86_400:.1f} days of record; "
            f"{self.n_done} of {self.n_shards} shard(s) done",
            f"kept {duration(self.kept_s)} = {100 * self.kept_s / max(1e-9, self.record_s):.2f} % of the record",
            f"{duration(self.cpu_s)} of CPU, {duration(self.read_cpu_s)} of them reading: "
            f"{per_day:.2f} s a station-day",
            f"catalogue: {self.out}/catalog, {self.catalog_bytes / max(1, self.n_events):.0f} bytes an event",
        ]
        if self.seams is not None:
            lines.append(self.seams.text())
        return "\n".join(lines)


def write_results(folder: ScanFolder, plan: Plan, seams: SeamReport | None, warnings: tuple[str, ...]) -> ScanResult:
    """Write summary.csv and totals.json of the shards that are done, and return the totals.

    Raises
    ------
    DataError
        A mark of a shard cannot be read, or a file cannot be written.
    """
    days: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    totals: Counter[str] = Counter()
    gaps: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    slowest: list[dict[str, Any]] = []
    told: dict[str, None] = dict.fromkeys(warnings)
    n_shards = 0
    failed, done = folder.failed(), folder.done()
    ids = [planned.id for planned in plan.planned()]
    n_shards, catalog_bytes = len(ids), 0
    for shard_id in ids:
        if shard_id not in done:
            continue
        figures = folder.figures(shard_id)
        own = days.setdefault((figures["station_id"], figures["location"]), {})
        for day, counts in figures["days"].items():
            own.setdefault(day, Counter()).update(counts)
        totals.update({name: figures[name] for name in ("n_events", "samples", "unreadable_bytes")}, n_done=1)
        seconds.update({name: figures[name] for name in ("cpu_s", "read_cpu_s")})
        gaps.update(figures["gaps"])
        catalog_bytes += sum((folder.path / name).stat().st_size for name in figures["catalog"])
        slowest.append({"id": shard_id, "title": figures["title"], "cpu_s": round(figures["cpu_s"], 3)})
        slowest = sorted(slowest, key=lambda one: -one["cpu_s"])[:_MOST_SLOWEST]
        for text in figures["warnings"]:
            if len(told) < _MOST_WARNINGS:
                told[text] = None
    rows = list(_day_rows(days))
    write_bytes_atomically(folder.summary, _csv(rows))
    failures = [folder.failure(shard_id) for shard_id in ids if shard_id in failed and shard_id not in done]
    result = ScanResult(
        out=str(folder.path),
        n_shards=n_shards,
        n_done=totals["n_done"],
        n_events=totals["n_events"],
        n_stations=len({station_id for station_id, _ in days}),
        station_days=sum(1 for row in rows if row["recorded_s"]),
        record_s=sum(row["recorded_s"] for row in rows),
        kept_s=sum(row["kept_s"] for row in rows),
        samples=totals["samples"],
        gaps=dict(gaps),
        unreadable_bytes=totals["unreadable_bytes"],
        cpu_s=float(seconds["cpu_s"]),
        read_cpu_s=float(seconds["read_cpu_s"]),
        catalog_bytes=catalog_bytes,
        failed=failures,
        n_blocked=n_shards - totals["n_done"] - len(failures),
        slowest=slowest,
        warnings=list(told),
        seams=seams,
    )
    write_json(folder.totals, asdict(result))
    return result


def read_totals(folder: ScanFolder) -> ScanResult:
    """Read the totals of a scan.

    Raises
    ------
    DataError
        No scan has come to its end there.
    """
    if not folder.totals.exists():
        raise DataError(f"{folder.path} holds no scan that has come to its end; run `edgequake scan` again, it goes on")
    values = read_json(folder.totals)
    seams = values.pop("seams")
    return ScanResult(**values, seams=None if seams is None else SeamReport(**seams))


def read_days(folder: ScanFolder) -> list[dict[str, Any]]:
    """Read summary.csv: a row for each place and day, the figures as numbers; raise DataError if that fails."""
    try:
        with folder.summary.open(newline="") as file:
            return [
                {name: value if name in DAY_COLUMNS[:3] else float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError) as problem:
        raise DataError(f"{folder.summary} cannot be read: {problem}") from problem


def _day_rows(days: dict[tuple[str, str], dict[str, Counter[str]]]) -> Iterator[dict[str, Any]]:
    for (station_id, location), own in sorted(days.items()):
        for day, counts in sorted(own.items()):
            yield {
                "station_id": station_id,
                "location": location,
                "date": day,
                "n_events": counts["n_events"],
                "recorded_s": counts["recorded_ns"] / _NS,
                "kept_s": counts["kept_ns"] / _NS,
                "n_gaps": counts["n_gaps"],
            }


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, DAY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "recorded_s": f"{row['recorded_s']:.3f}", "kept_s": f"{row['kept_s']:.3f}"})
    return text.getvalue().encode()
