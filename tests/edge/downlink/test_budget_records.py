"""Real records of several years as one stream under a budget of 20 000 bytes a day: never above it, best first."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgequake.data.dataset import load
from edgequake.edge.downlink.journal import Pass, read_journal, sent_segments
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.results.catalog import CatalogRow, read_catalog

from ..live_command import live_command

pytestmark = [pytest.mark.records, pytest.mark.long]

BUDGET_BYTES = 20_000
DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class LiveRun:
    """A finished run."""

    out: Path
    passes: tuple[Pass, ...]
    segments: dict[str, list[CatalogRow]]  # by file


@pytest.fixture(scope="module")
def finished(records_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """Feed the Moon records of val to a live run, record by record in the order of their times."""
    out = tmp_path_factory.mktemp("stream") / "run"
    command = live_command(out, "--budget", str(BUDGET_BYTES))
    done = subprocess.run(command, input=b"".join(in_order_of_time(records_dir)), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    segments: dict[str, list[CatalogRow]] = defaultdict(list)
    for row in read_catalog(out / "catalog.csv"):
        segments[row.segment].append(row)
    return LiveRun(out, tuple(read_journal(out / "downlink.log")), segments)


def in_order_of_time(folder: Path) -> Iterator[bytes]:
    records: list[tuple[int, bytes]] = []
    for record in load(folder, "moon", "val"):
        data = record.file.read_bytes()
        for header in index_file(record.file).headers:
            records.append((header.start_ns, data[header.offset : header.offset + header.size_bytes]))
    return (data for _, data in sorted(records, key=lambda one: one[0]))


def test_no_day_is_above_budget_nor_ahead_of_it(finished: LiveRun) -> None:
    spent: dict[int, int] = defaultdict(int)
    for done in finished.passes:
        day = (done.clock_ns - 1) // DAY_NS
        assert done.day == day
        spent[day] += sum((finished.out / "outbox" / file.name).stat().st_size for file in done.files)
        assert spent[day] <= BUDGET_BYTES * (done.clock_ns - day * DAY_NS) / DAY_NS
    assert len(spent) > 5
    assert max(spent.values()) > 0.8 * BUDGET_BYTES  # there was more to send than the budget allowed
    assert len(list((finished.out / "outbox").iterdir())) == sum(len(done.files) for done in finished.passes)


def test_within_a_pass_the_higher_rank_is_sent_first(finished: LiveRun) -> None:
    n_records = 0
    for done in finished.passes:
        for path in (finished.out / "outbox" / file.name for file in done.files):
            if path.suffix == ".csv":
                reported = [line.partition(",")[0] for line in path.read_text().splitlines()]
                ranks = [priority_of(finished, name) for name in (segment_of(finished, evid) for evid in reported)]
            else:
                names = [part.source for part in done.sent]
                ranks = [rank for _, rank in ranked(finished, names, in_file_order(path))]
                n_records += len(ranks)
            assert ranks == sorted(ranks, reverse=True), f"pass {done.number}"
    assert n_records > 100


def test_no_known_record_of_higher_rank_was_left_unsent(finished: LiveRun) -> None:
    known: set[str] = set()
    sent: set[tuple[str, int, int]] = set()
    n_left = 0
    for done in finished.passes:
        known |= {part.source for part in done.sent}
        paths = [finished.out / "outbox" / file.name for file in done.files if file.name.endswith(".mseed")]
        taken = [header for path in paths for header in in_file_order(path)]
        sent |= {identity(header) for header in taken}
        if not taken:
            continue
        lowest = min(rank for _, rank in ranked(finished, [part.source for part in done.sent], taken))
        for name in known:
            left = [h for h in index_file(finished.out / name).headers if identity(h) not in sent]
            n_left += bool(left)
            assert max((rank for _, rank in ranked(finished, [name], left)), default=0.0) <= lowest, done.number
    assert n_left > 10


def test_nothing_is_sent_twice_and_the_journal_tells_what_is_sent(finished: LiveRun) -> None:
    headers = [h for path in sorted((finished.out / "outbox").glob("*.mseed")) for h in in_file_order(path)]
    sent = {identity(header) for header in headers}
    assert len(sent) == len(headers)
    for name, rows in finished.segments.items():
        is_whole = all(identity(header) in sent for header in index_file(finished.out / name).headers)
        assert (name in sent_segments(finished.out / "downlink.log", rows)) == is_whole
    stored = sum(len(index_file(finished.out / name).headers) for name in finished.segments)
    assert 0 < len(sent) < stored


def in_file_order(path: Path) -> list[RecordHeader]:
    return sorted(index_file(path).headers, key=lambda header: header.offset)


def identity(header: RecordHeader) -> tuple[str, int, int]:
    return header.source_id, header.start_ns, header.n_samples


def segment_of(finished: LiveRun, evid: str) -> str:
    (name,) = {row.segment for rows in finished.segments.values() for row in rows if row.evid == evid}
    return name


def priority_of(finished: LiveRun, name: str) -> float:
    return max(row.priority for row in finished.segments[name])


def ranked(
    finished: LiveRun, names: Sequence[str], headers: Sequence[RecordHeader]
) -> list[tuple[RecordHeader, float]]:
    """Return records with their ranks: the event's priority times a weight that falls after the onset's window.

    `names` are the segments that they may come from.
    """
    window_ns = round(load_manifest("moon")[0].trigger.pre_roll_s * NS_PER_S)
    source = {identity(h): name for name in names for h in index_file(finished.out / name).headers}
    found = []
    for header in headers:
        name = source[identity(header)]
        weights = []
        for row in finished.segments[name]:
            after_ns = header.start_ns - (row.onset_ns + window_ns)
            before_ns = row.onset_ns - window_ns / 6 - header.stop_ns
            in_coda = 1 / 8 / (1 + after_ns / window_ns)  # the weights of docs/downlink.md
            weights.append(in_coda if after_ns >= 0 else 1 / 512 if before_ns >= 0 else 1.0)
        found.append((header, round(priority_of(finished, name) * max(weights), 12)))
    return found
