"""Parts of a scan: leases, the driver, plans, bands, looks at seams."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.cli import main
from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.scan.band_choice import SensorPlace, choose_bands
from edgequake.scan.driving import Driver, Piece
from edgequake.scan.engines import LostWorkers, Work, WorkOutcome
from edgequake.scan.planning import Plan, PlanOptions, make_shards
from edgequake.scan.seams import compare
from edgequake.scan.storage.archive_index import ArchiveIndex, IndexedFile
from edgequake.scan.storage.archives import ArchiveFile
from edgequake.scan.storage.leases import Leases
from edgequake.scan.storage.parquet_catalog import ScanRow
from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

HOUR_NS = DAY_NS // 24


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("leases", "drivers"):
        (tmp_path / name).mkdir()
    return tmp_path / "leases", tmp_path / "drivers"


def test_a_lease_is_one_drivers_until_it_is_given_back(folders: tuple[Path, Path]) -> None:
    with Leases(*folders) as first, Leases(*folders) as second:
        assert first.take("a") and first.take("a")
        assert not second.take("a") and second.take("b")
        assert first.others() == [second.driver_id]
        first.give_back("a")
        second.give_back("a")  # not its own any more, nor ever
        assert second.take("a") and not first.take("a")
    assert not list(folders[0].glob("[!.]*")) and not list(folders[1].iterdir())


def test_the_leases_of_a_driver_that_has_ended_are_taken_over(folders: tuple[Path, Path]) -> None:
    with Leases(*folders) as first, Leases(*folders) as second:
        assert first.take("a")
        path = folders[1] / f"{first.driver_id}.json"
        identity = json.loads(path.read_text())
        identity["process"]["started"] += 1  # another process had this number
        path.write_text(json.dumps(identity))
        assert second.take("a")
        first.give_back("a")
        assert (folders[0] / "a").read_text() == second.driver_id


def test_a_driver_that_is_silent_for_long_has_lost_its_leases(folders: tuple[Path, Path]) -> None:
    with Leases(*folders) as first, Leases(*folders, lease_s=-1.0) as impatient:
        assert first.take("a")
        assert impatient.take("a")


@dataclass
class Memory:
    """Marks in memory."""

    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    def is_done(self, name: str) -> bool:
        return name in self.done

    def has_failed(self, name: str) -> bool:
        return name in self.failed

    def take(self, name: str) -> bool:
        return True

    def give_back(self, name: str) -> None:
        pass

    def fail(self, name: str, why: str) -> None:
        self.failed[name] = why


class Shuffled:
    """An engine with outcomes in any order; it notes the most pieces that it ever had."""

    n_workers, dashboard = 3, None

    def __init__(self, lost: set[str]) -> None:
        self.waiting: deque[tuple[str, Work, tuple[Any, ...]]] = deque()
        self.most, self._lost, self._random = 0, lost, random.Random(5)

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        self.waiting.append((name, work, arguments))
        self.most = max(self.most, len(self.waiting))

    def next_outcome(self, timeout_s: float) -> WorkOutcome | None:
        self.waiting.rotate(self._random.randrange(len(self.waiting)))
        name, work, arguments = self.waiting.popleft()
        return (
            WorkOutcome(name, None, "ten workers died") if name in self._lost else WorkOutcome(name, work(*arguments))
        )

    def close(self) -> None:
        self.waiting.clear()


def test_pieces_of_a_chain_run_in_order_a_few_at_a_time() -> None:
    chains = [[Piece(f"{chain}.{i}", 10.0) for i in range(40)] for chain in range(50)]
    marks, engine, order = Memory(failed={"2.39": "long ago"}), Shuffled({"7.5"}), list[str]()

    def work(name: str) -> dict[str, Any]:
        order.append(name)
        return {"is_done": name != "3.30", "n_events": 2}

    driver = Driver(chains, marks, engine, work, lambda piece: (piece.name,), {"1.0", "1.1"}, {"2.39"})
    assert driver.run(Control())
    assert engine.most == 6  # two for each worker
    by_chain: dict[str, list[int]] = {}
    for name in order:
        by_chain.setdefault(name.partition(".")[0], []).append(int(name.partition(".")[2]))
    assert by_chain.pop("1") == list(range(2, 40))
    assert by_chain.pop("2") == list(range(39))
    assert by_chain.pop("3") == list(range(31))
    assert by_chain.pop("7") == list(range(5))
    assert all(own == list(range(40)) for own in by_chain.values()) and len(by_chain) == 46
    progress = driver.progress
    assert (progress.n_failed, progress.n_blocked) == (3, 9 + 34)
    assert progress.n_done == 2000 - 3 - 43 and marks.failed["7.5"] == "ten workers died"


def indexed(name: str, start: str, hours: float, *channels: str, rate_hz: float = 20.0) -> IndexedFile:
    start_ns = parse_time(start)
    stop_ns = start_ns + round(hours * HOUR_NS)
    spans = {f"FDSN:{channel}": (start_ns, stop_ns, rate_hz) for channel in channels}
    return IndexedFile(name, 1000, start_ns, spans, ((start_ns, stop_ns),), 0)


def plan_of(files: list[IndexedFile], days: int, folder: Path, lead_in_s: float | None = None) -> Plan:
    choice = ModelChoice()
    chosen = choose_bands(files, choice, None)
    options = PlanOptions("run", days, lead_in_s, {"earth": 600.0})
    return Plan.write(folder, make_shards(files, chosen, options, Diagnostics()), lead_in_s is None)


def test_one_band_of_each_location_is_taken() -> None:
    files = [
        indexed("a", "2020-01-01", 1, "NN_AAA_00_B_H_Z", "NN_AAA_00_B_H_N", "NN_AAA_00_L_H_Z"),
        indexed("b", "2020-01-01", 1, "NN_AAA_00_H_H_Z", "NN_AAA_10_S_H_Z", "XA_S12_00_M_H_Z", rate_hz=100.0),
        indexed("c", "2020-01-01", 1, "XA_S12_00_M_H_Z", rate_hz=6.625),
    ]
    chosen = choose_bands(files, ModelChoice(), None)
    assert chosen.bands == {
        SensorPlace("NN_AAA", "00"): "HH",
        SensorPlace("NN_AAA", "10"): "SH",
        SensorPlace("XA_S12", "00"): "MH",
    }
    assert chosen.other_bands[SensorPlace("NN_AAA", "00")] == ("BH",)
    assert chosen.models == {"NN_AAA": "earth", "XA_S12": "moon"}
    assert "FDSN:NN_AAA_00_L_H_Z" in chosen.ignored_channels
    assert chosen.by_place(files[0]) == {}
    assert next(iter(chosen.by_place(files[1]))) == SensorPlace("NN_AAA", "00")


def test_shards_cover_each_period_once_and_end_at_whole_days(tmp_path: Path) -> None:
    files = [
        indexed("1", "2020-01-01T06:00:00", 30, "NN_AAA_00_H_H_Z", rate_hz=100.0),
        indexed("2", "2020-01-02T13:00:00", 72, "NN_AAA_00_H_H_Z", rate_hz=100.0),  # after an hour's gap
        indexed("3", "2020-03-01T00:00:00", 24, "NN_AAA_00_H_H_Z", rate_hz=100.0),
        indexed("4", "2020-03-02T00:00:00", 24, "NN_AAA_00_H_H_Z", rate_hz=40.0),
    ]
    shards = list(plan_of(files, 2, tmp_path).shards())
    starts = ["2020-01-01T06:00", "2020-01-03T00:00", "2020-01-05T00:00", "2020-03-01T00:00", "2020-03-02T00:00"]
    assert [shard.start_ns for shard in shards] == [parse_time(start) for start in starts]
    assert [shard.stop_ns for shard in shards[:3]] == [parse_time(t) for t in (*starts[1:3], "2020-01-05T13:00")]
    assert [[file.name for file in shard.files] for shard in shards] == [["1", "2"], ["2"], ["2"], ["3"], ["4"]]
    assert [shard.previous for shard in shards] == [None, *(shard.id for shard in shards[:-1])]
    assert [shard.is_last for shard in shards] == [False, False, False, True, True]
    assert [shard.stream for shard in shards] == [0, 0, 0, 0, 1]
    titles = ["2020-01-01 to 2020-01-02", "2020-01-03 to 2020-01-04", "2020-01-05", "2020-03-01", "2020-03-02"]
    assert [shard.title for shard in shards] == [f"NN.AAA.00 {title}" for title in titles]


def test_an_id_depends_on_what_the_result_depends_on(tmp_path: Path) -> None:
    file = indexed("1", "2020-01-01", 100, "NN_AAA_00_H_H_Z", rate_hz=100.0)
    other = indexed("2", "2020-02-01", 1, "NN_BBB_00_H_H_Z", rate_hz=100.0)

    def ids(*files: IndexedFile, lead_in_s: float | None = None) -> list[str]:
        return [shard.id for shard in plan_of(list(files), 1, tmp_path, lead_in_s).shards()]

    assert ids(file) == ids(file, other)[:5]
    assert not set(ids(file)) & set(ids(replace(file, size_bytes=1001)))
    assert not set(ids(file)) & set(ids(file, lead_in_s=60.0))
    longer = indexed("3", "2020-01-05T04:00:00", 24, "NN_AAA_00_H_H_Z", rate_hz=100.0)
    assert ids(file)[:4] == ids(file, longer)[:4] and ids(file)[4] != ids(file, longer)[4]


def test_a_lead_in_reads_more_than_the_shard(tmp_path: Path) -> None:
    file = indexed("1", "2020-01-01", 72, "NN_AAA_00_H_H_Z", rate_hz=100.0)
    shards = list(plan_of([file], 1, tmp_path, lead_in_s=3600.0).shards())
    assert [(shard.start_ns - shard.read_start_ns) / HOUR_NS for shard in shards] == [1.0] * 3
    assert [(shard.read_stop_ns - shard.stop_ns) / HOUR_NS for shard in shards] == [1 / 6] * 3
    assert {shard.previous for shard in shards} == {None}


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    plan = plan_of([indexed("1", "2020-01-01", 30, "NN_AAA_00_H_H_Z", rate_hz=100.0)], 1, tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text().replace('"size_bytes":1000', '"size_bytes":1001'))
    with pytest.raises(DataError, match="is damaged"):
        list(plan.shards())


class Flaky:
    """An archive of one file, which cannot be read at first."""

    address, is_remote = "memory", True

    def __init__(self, path: Path) -> None:
        self.path, self.problem, self.n_looks = path, "the network is down", 0
        self.unreadable: dict[str, str] = {}
        self.names = ["a/1.mseed"]

    def files(self) -> Iterator[ArchiveFile]:
        return (ArchiveFile(name, 1, "stamp") for name in self.names)

    def local_path(self, name: str, scratch: Path) -> Path:
        self.n_looks += 1
        if self.problem:
            raise DataError(self.problem)
        return self.path


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    archive = Flaky(write_miniseed(synthetic_record(np.random.default_rng(1), 60.0), tmp_path / "minute.mseed"))
    with closing(ArchiveIndex(tmp_path / "index.sqlite")) as index:
        assert index.update(archive, tmp_path).unreadable == ("the network is down",)
        assert not list(index.files())
        archive.problem = ""
        assert index.update(archive, tmp_path).unreadable == ()
        assert [file.name for file in index.files()] == ["a/1.mseed"]
        assert index.update(archive, tmp_path).n_read == 0 and archive.n_looks == 2
        archive.names, archive.unreadable = [], {"a": "a cannot be read"}
        update = index.update(archive, tmp_path)
        assert (update.n_dropped, update.unreadable) == (0, ("a cannot be read",))  # what was known of it stays
        archive.unreadable = {}
        assert index.update(archive, tmp_path).n_dropped == 1


def test_what_is_no_record_is_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no records")
    archive = Flaky(tmp_path / "notes.txt")
    archive.problem = ""
    with closing(ArchiveIndex(tmp_path / "index.sqlite")) as index:
        for n_read in (1, 0):
            update = index.update(archive, tmp_path)
            assert (update.n_read, len(update.unusable), update.unreadable) == (n_read, 1, ())


def test_workers_that_do_not_come_back_are_replaced() -> None:
    lost = LostWorkers(2, 0.0)
    counts = [
        (0, 5.0),
        (2, 10.0),
        (1, 15.0),
        (2, 40.0),
        (1, 50.0),
        (1, 95.0),
        (1, 101.0),
        (1, 106.0),
        (1, 111.0),
        (2, 120.0),
    ]
    asked = [lost.n_asked(n_workers, now_s) for n_workers, now_s in counts]
    assert asked == [None, None, None, None, None, None, 1, 2, None, None]  # a minute after there were two
    assert lost.n_asked(1, 179.0) is None and lost.n_asked(0, 181.0) == 0
    assert lost.n_asked(0, 186.0) == 2
    with pytest.raises(DataError, match="no worker has lived for 300 s"):
        lost.n_asked(0, 479.0)


def row_at(second: float, probability: float = 0.9) -> ScanRow:
    onset_ns = round(second * 1e9)
    return ScanRow(
        "f", onset_ns, second, f"e{second}", "", "NN_AAA", ("HHZ",), onset_ns + 10, probability, 0.5, "s", 1, 1
    )


def test_a_look_at_a_seam_tells_gained_from_lost() -> None:
    expected = [row_at(10.0), row_at(20.0), row_at(30.0)]
    found = [row_at(10.0, 0.8), row_at(20.3), row_at(40.0)]
    report = compare(expected, found, frame_ns=400_000_000)
    assert (report.n_events, report.n_matched, report.n_lost, report.n_gained) == (3, 2, 1, 1)
    assert report.share_differing == pytest.approx(2 / 3)
    assert report.n_unequal == 6
    assert compare(expected, expected, 1, is_chained=True).n_unequal == 0


def test_bad_options_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["scan", str(tmp_path / "no"), *out]) == 1
    assert main(["scan", str(tmp_path), *out, "--workers", "1", "--scheduler", "tcp://x:1"]) == 1
    assert main(["scan", str(tmp_path), *out, "--parallel-in-time", "--lead-in", "0"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert ["is no folder" in lines[0], "name one" in lines[1], "--lead-in 0" in lines[2]] == [True] * 3
    assert len(lines) == 3
