"""A second look at sampled seams: the shards on both sides run again as one, and the events compared.

Chained, the two runs must find the same events. With a lead-in they may differ: how many of the second shard's events
are matched within one frame of the detector, how many are gained and how many are lost, is stated.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import EdgequakeError, unforeseen
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.results.catalog import CatalogRow
from edgequake.scan.planning import Plan, Shard, ShardFile
from edgequake.scan.shard_run import ScanTask, ShardRun, found_rows, records_of_shard
from edgequake.scan.storage.archives import open_archive, scratch_folder
from edgequake.scan.storage.parquet_catalog import plain_row, read_rows
from edgequake.scan.storage.scan_folder import ScanFolder, read_json, write_json

_CANDIDATES = 8  # pairs for each seam that is looked at: those of two places or streams are no seams


@dataclass(frozen=True)
class SeamReport:
    """What the sampled seams have shown, of the shards after them."""

    is_chained: bool
    n_seams: int
    n_events: int  # of the run without the seam
    n_matched: int  # within one frame
    n_gained: int
    n_lost: int
    n_unequal: int  # rows that differ in anything

    @property
    def share_differing(self) -> float:
        """Events gained and lost for each one of the run without the seam."""
        return (self.n_gained + self.n_lost) / max(1, self.n_events)

    def text(self) -> str:
        """Return the result as a line."""
        if self.is_chained:
            verdict = "equal, row by row" if not self.n_unequal else f"{self.n_unequal} row(s) differ"
            return f"{self.n_seams} seam(s) run again without a cut, {self.n_events} event(s): {verdict}"
        return (
            f"{self.n_seams} seam(s) run again without a cut: of {self.n_events} event(s) "
            f"{self.n_matched} matched within "
            f"one frame, {self.n_lost} lost, {self.n_gained} gained ({100 * self.share_differing:.1f} %)"
        )


def sampled_seams(plan: Plan, n_seams: int) -> list[tuple[Shard, Shard]]:
    """Return so many pairs of neighbouring shards of one stream, the same for the same plan."""
    pairs = heapq.nsmallest(_CANDIDATES * n_seams, pairwise(plan.planned()), key=lambda pair: _rank(pair[1].id))
    seams = ((plan.shard(first), plan.shard(second)) for first, second in pairs)
    same = ((a, b) for a, b in seams if (a.place, a.stream) == (b.place, b.stream))
    return list(islice(same, n_seams))


def _rank(shard_id: str) -> str:
    return hashlib.sha256(f"seam {shard_id}".encode()).hexdigest()


def check_seam(task: ScanTask, first: Shard, second: Shard) -> dict[str, Any]:
    """Run two shards as one and write what differs to the scan's folder; the result is as that of `run_shard`."""
    folder = ScanFolder(Path(task.out))
    try:
        report = _compared(task, first, second, folder)
    except Exception as problem:
        why = str(problem) if isinstance(problem, EdgequakeError) else unforeseen(problem)
        return {"id": second.id, "is_done": False, "why": why}
    write_json(folder.seams / f"{second.id}.json", asdict(report))
    return {"id": second.id, "is_done": True}


def _compared(task: ScanTask, first: Shard, second: Shard, folder: ScanFolder) -> SeamReport:
    is_chained = second.previous is not None
    whole = replace(
        first,
        start_ns=first.start_ns if is_chained else second.start_ns,
        stop_ns=second.stop_ns,
        read_stop_ns=second.read_stop_ns,
        is_last=second.is_last,
        files=_united(first.files, second.files),
    )
    run = ShardRun(task, whole.model)
    if whole.previous is not None:
        run.restore(folder.state(whole.previous), whole.stream)
    archive = open_archive(task.archive, folder.path)
    with scratch_folder(folder.scratch, f"seam-{second.id}-{os.getpid()}") as scratch:
        traces = records_of_shard(task, whole, archive, scratch, run.diagnostics)
        ends = whole.is_last or not is_chained
        run.push(whole.station_id, traces, ends, (whole.start_ns, whole.stop_ns))
    expected = found_rows(run, whole)
    shards = (first, second) if is_chained else (second,)
    rows = read_rows(path for shard in shards for path in folder.catalog_files(shard.id))
    return compare(expected, rows, frame_ns_of(whole.model), is_chained)


def compare(
    expected: Sequence[CatalogRow], rows: Sequence[CatalogRow], frame_ns: int, is_chained: bool = False
) -> SeamReport:
    """Return how the events of a scan differ from those of a run without a seam."""
    free = sorted(row.onset_ns for row in rows)
    n_matched = 0
    for onset_ns in sorted(row.onset_ns for row in expected):
        near = [other for other in free if abs(other - onset_ns) <= frame_ns]
        if near:
            free.remove(min(near, key=lambda other: abs(other - onset_ns)))
            n_matched += 1
    unequal = {plain_row(row) for row in expected} ^ {plain_row(row) for row in rows}
    n_events = len(expected)
    return SeamReport(is_chained, 1, n_events, n_matched, len(rows) - n_matched, n_events - n_matched, len(unequal))


def seam_report(folder: ScanFolder, names: Iterable[str], is_chained: bool) -> SeamReport:
    """Add up what the looks at seams have found; raise DataError if a file cannot be read."""
    found = [SeamReport(**read_json(folder.seams / f"{name}.json")) for name in names]
    counts = {
        name: sum(getattr(one, name) for one in found) for name in SeamReport.__annotations__ if name != "is_chained"
    }
    return SeamReport(is_chained=is_chained, **counts)


def _united(*groups: Iterable[ShardFile]) -> tuple[ShardFile, ...]:
    """Return the files of shards, each once; those of the first one come first, as in the plan."""
    return tuple({file.name: file for group in groups for file in group}.values())


def frame_ns_of(model: str) -> int:
    """Return the time between two decisions of a model's detector."""
    manifest, _ = load_manifest(model)
    front_end = manifest.front_end
    return round(front_end.hop_samples / front_end.rows_per_block / manifest.sampling_rate_hz * 1e9)
