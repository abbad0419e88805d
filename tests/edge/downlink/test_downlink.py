"""What is sent when: budgets, ranks and interruptions of a synthetic queue, computed by hand."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgequake.edge.archive.ssam import SsamWriter
from edgequake.edge.base.errors import DataError
from edgequake.edge.downlink import send_queue
from edgequake.edge.downlink.send_queue import segment_records
from edgequake.edge.formats.miniseed import index_file

Ground = Any  # of conftest.py
Grounds = Callable[..., Ground]


def spent(ground: Ground) -> dict[int, int]:
    """Return the bytes of the files in the outbox by UTC day, the day of the journal."""
    total: dict[int, int] = {}
    files = ground.files()
    for done in ground.journal():
        total[done.day] = total.get(done.day, 0) + sum(len(files[file.name]) for file in done.files)
    return total


# --- the budget ------------------------------------------------------------------------------------------------------


def test_the_budget_accrues_evenly_over_the_day(ground: Ground) -> None:
    ground.find(-3.5, length_h=3.0)
    for hour in range(1, 25):
        ground.pass_at(hour)
        n_bytes = sum(map(len, ground.files().values()))
        assert n_bytes <= 20_000 * hour / 24 < n_bytes + 512
    assert list(spent(ground)) == [21_915]  # 2030-01-01; the pass at midnight belongs to the day that ends


def test_what_a_day_does_not_use_is_lost(ground: Ground) -> None:
    for hour in range(1, 25):
        ground.pass_at(hour)
    assert ground.files() == {}
    ground.find(21.1, length_h=2.5)
    ground.pass_at(25)
    assert 0 < sum(map(len, ground.files().values())) <= 20_000 / 24


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    budget=st.integers(1024, 60_000),
    hours=st.lists(st.floats(0.05, 30.0), min_size=1, max_size=40),
)
def test_no_day_exceeds_its_budget_and_nothing_is_sent_twice(
    seed: int, budget: int, hours: list[float], tmp_path_factory: pytest.TempPathFactory, grounds: Grounds
) -> None:
    """Events of any priority and passes at any times, with a new process before some of them."""
    ground = grounds(tmp_path_factory.mktemp("run"), budget)
    rng = np.random.default_rng(seed)
    now = 0.0
    for step in hours:
        now += step
        if rng.random() < 0.5:
            ground.find(now - min(step, 0.04), float(rng.uniform(0.1, 1.0)), float(rng.uniform(0.06, 0.4)))
        if rng.random() < 0.2:
            ground.open()
        ground.pass_at(now + 0.5)
    by_day = spent(ground)
    assert all(n_bytes <= budget for n_bytes in by_day.values())
    sent = ground.sent_records()
    assert len(sent) == len(set(sent))
    stored = {record for name in ground.segments for record in ground.records_of(name)}
    assert set(sent) <= stored


def test_a_long_queue_is_read_once_and_not_at_every_pass(
    tmp_path: Path, grounds: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 150 events the onsets are sent, the codas are not: a pass opens only files of which it sends records."""
    ground, undisturbed = grounds(tmp_path / "long", 2_600_000), grounds(tmp_path / "undisturbed", 2_600_000)
    for each in (ground, undisturbed):
        for i in range(150):
            each.find(0.01 * i, priority=0.3 + 0.001 * i, length_h=0.25)
        for hour in (6, 12):
            each.pass_at(hour)
    assert sum(item.n_sent > 2 for item in ground.downlink.queue) > 100
    opened: list[Path] = []
    monkeypatch.setattr(
        send_queue, "segment_records", lambda path, *rest: opened.append(path) or segment_records(path, *rest)
    )
    n_before = len(ground.sent_records())
    for minute in range(1, 4):
        ground.pass_at(12 + minute / 60)
        n_read = len(opened)
        undisturbed.open()  # which has to read them all
        undisturbed.pass_at(12 + minute / 60)
        assert len(opened) - n_read > 100
        del opened[n_read:]
    n_sent = len(ground.sent_records()) - n_before
    assert 0 < len(opened) <= n_sent + 3
    assert ground.sent_records() == undisturbed.sent_records()


# --- the order -------------------------------------------------------------------------------------------------------


def test_onsets_of_all_events_are_sent_before_any_coda_best_first(ground: Ground) -> None:
    names = [ground.find(hour, priority) for hour, priority in ((1.0, 0.3), (2.0, 0.8), (3.0, 0.5))]
    for hour in range(4, 300):
        ground.pass_at(hour)
    order = {name: segment_records(ground.out / name, [ground.segments[name].rows[0].onset_ns], 180 * 10**9)
             for name in names}  # fmt: skip
    ranked = [
        (-unit.weight * ground.segments[name].rows[0].priority, -ground.segments[name].rows[0].priority, i, name, unit)
        for name in names
        for i, unit in enumerate(order[name])
    ]
    expected = []
    for *_, name, unit in sorted(ranked, key=lambda one: one[:3]):
        data = (ground.out / name).read_bytes()
        expected.append(data[unit.offset : unit.offset + unit.size_bytes])
    assert ground.sent_records() == expected
    weights = [one[4].weight for one in sorted(ranked, key=lambda one: one[:3])]
    n_onset = weights.count(1.0)
    assert n_onset > 10 and set(weights[:n_onset]) == {1.0}
    assert all(ground.is_sent(name) for name in names)


def test_a_better_event_interrupts_the_coda_of_a_worse_one(ground: Ground) -> None:
    worse = ground.find(0.1, 0.4, length_h=1.0)
    for hour in range(1, 10):
        ground.pass_at(hour)
    n_before = len(ground.sent_records())
    assert 0 < n_before < len(ground.records_of(worse))
    better = ground.find(9.5, 0.9, length_h=0.2)
    for hour in range(10, 240):
        ground.pass_at(hour)
    sent = ground.sent_records()
    of_better = [i for i, record in enumerate(sent) if record in set(ground.records_of(better))]
    assert of_better[0] == n_before  # at once, from its onset on
    assert sorted(sent) == sorted(ground.records_of(worse) + ground.records_of(better))


def test_all_events_are_reported_before_the_samples_of_any(ground: Ground) -> None:
    names = [ground.find(1.0 + hour / 10, 0.5 + hour / 100) for hour in range(5)]
    ground.pass_at(2.0)
    first = ground.files()["00000001.csv"].decode().splitlines()
    assert [line.split(",")[0] for line in first] == [ground.segments[name].rows[0].evid for name in reversed(names)]
    _, duration_s, peak, uncertainty_s, kind, priority, n_bytes = first[0].split(",")
    row = ground.segments[names[-1]].rows[0]
    assert (duration_s, peak, uncertainty_s, kind) == (str(round((row.stop_ns - row.onset_ns) / 1e9)), "0.9000", "", "")
    assert (float(priority), int(n_bytes)) == (row.priority, row.size_bytes)
    ground.pass_at(3.0)
    assert [name for name in ground.files() if name.endswith(".csv")] == ["00000001.csv"]


def test_every_file_is_miniseed_that_obspy_reads_sample_for_sample(ground: Ground) -> None:
    name = ground.find(0.1, length_h=0.3)
    for hour in range(1, 60):
        ground.pass_at(hour)
    assert ground.is_sent(name) and len(ground.files()) > 10
    got = obspy.Stream()
    for file, data in ground.files().items():
        if file.endswith(".mseed"):
            got += obspy.read(io.BytesIO(data))
    got.merge()
    whole = obspy.read(str(ground.out / name)).merge()
    assert len(got) == len(whole) == 3
    for mine, theirs in zip(got.sort(), whole.sort(), strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
        assert mine.stats.starttime == theirs.stats.starttime


def test_ssam_channels_get_what_is_left_over(
    tmp_path: Path, traces: Any, days_of_noise: np.ndarray, grounds: Grounds
) -> None:
    ground = grounds(tmp_path / "run")
    ground.ssam = SsamWriter(ground.out / "continuous", ground.diagnostics)
    for trace in traces(days_of_noise[:600_000]):
        ground.ssam.push(trace)
    ground.open()
    name = ground.find(24.05, length_h=0.1)
    for hour in range(25, 49):
        ground.pass_at(hour)
    sources = [part.source for done in ground.journal() for part in done.sent]
    assert ground.is_sent(name) and sources[0] == name
    first = next(i for i, source in enumerate(sources) if source.startswith("continuous/"))
    assert name not in sources[first + 1 :]
    stored = b"".join(path.read_bytes() for path in sorted((ground.out / "continuous").rglob("*.2030.001")))
    sent = [record for record in ground.sent_records() if record not in set(ground.records_of(name))]
    assert sent and b"".join(sorted(sent)) == b"".join(sorted(stored[i : i + 512] for i in range(0, len(stored), 512)))
    assert len(sent) == len(set(sent))


def test_an_incomplete_ssam_record_is_not_sent_and_does_no_harm(
    tmp_path: Path, traces: Any, days_of_noise: np.ndarray, grounds: Grounds
) -> None:
    """A power loss has left half a record after the whole ones; a live run continues."""
    ground = grounds(tmp_path / "run", replayed=False)
    before = SsamWriter(ground.out / "continuous", ground.diagnostics)
    for trace in traces(days_of_noise[:500_000]):
        before.push(trace)
    before.close()
    stored = {path: path.read_bytes() for path in sorted((ground.out / "continuous").rglob("*.2030.001"))}
    for path, data in stored.items():
        path.write_bytes(data + data[:200])
    ground.ssam = SsamWriter(ground.out / "continuous", ground.diagnostics, is_live=True)
    ground.open()
    for hour in range(24, 40):
        ground.pass_at(hour)
    data = b"".join(data for name, data in ground.files().items() if name.endswith(".mseed"))
    assert len(data) == sum(map(len, stored.values())) > 0
    assert sorted(obspy_trace.id for obspy_trace in obspy.read(io.BytesIO(data)).merge()) == sorted(
        obspy_trace.id for whole in stored.values() for obspy_trace in obspy.read(io.BytesIO(whole)).merge()
    )
    assert ground.diagnostics.texts() == ["3 archive file(s) cut back to their last whole record"]


# --- missing files, and repeated samples -----------------------------------------------------------------------------


def test_a_missing_segment_delays_nothing(ground: Ground) -> None:
    gone, there = ground.find(1.0, 0.9), ground.find(2.0, 0.5, length_h=0.1)
    (ground.out / gone).unlink()
    for hour in range(3, 60):
        ground.pass_at(hour)
    assert ground.is_sent(there) and not ground.is_sent(gone)
    assert ground.diagnostics.texts() == ["1 source(s) of the downlink could not be read and were not sent"]
    ground.open()
    ground.pass_at(61)


def test_an_event_in_a_gap_has_only_its_event_report(ground: Ground) -> None:
    name = ground.find(1.0, 0.9)
    (ground.out / name).write_bytes(b"")
    other = ground.find(2.0, 0.5, length_h=0.1)
    for hour in range(3, 60):
        ground.pass_at(hour)
    assert ground.is_sent(other)
    assert [len(data.splitlines()) for file, data in ground.files().items() if file.endswith(".csv")] == [2]


def test_two_segments_of_the_same_hours_of_a_station_are_marked(ground: Ground) -> None:
    first = ground.find(1.0, 0.9, length_h=0.1)
    second = ground.find(1.05, 0.5, length_h=0.1)
    elsewhere = ground.find(1.05, 0.4, length_h=0.1, station_id="XX_MON")
    for hour in range(2, 60):
        ground.pass_at(hour)
    again = {part.source for done in ground.journal() for part in done.sent if part.again}
    assert second in again and elsewhere not in again and all(map(ground.is_sent, (first, second, elsewhere)))


def test_a_file_in_the_outbox_is_never_overwritten(ground: Ground) -> None:
    ground.find(1.0)
    ground.pass_at(2)
    before = ground.files()
    (ground.out / "downlink.log").unlink()
    ground.open()
    ground.pass_at(3)
    assert before.items() <= ground.files().items() and len(ground.files()) > len(before)


# --- power loss ------------------------------------------------------------------------------------------------------


def test_a_part_without_a_journal_line_is_removed_and_one_with_a_line_is_renamed(ground: Ground) -> None:
    ground.find(0.1)
    ground.pass_at(5)
    outbox = ground.out / "outbox"
    (outbox / "00000001.mseed").rename(outbox / ".00000001.mseed.part")
    (outbox / ".00000002.mseed.part").write_bytes(b"half of")
    ground.open()
    assert set(ground.files()) == {"00000001.csv", "00000001.mseed"} and not list(outbox.glob(".*"))


@pytest.mark.parametrize("tail", [b'{"number":3,"clo', b"\0" * 40, b"\0\0\0\n", b"{}\n"])
def test_an_incomplete_last_line_is_cut_off(tail: bytes, ground: Ground) -> None:
    ground.find(0.1)
    for hour in (5, 6):
        ground.pass_at(hour)
    whole = (ground.out / "downlink.log").read_bytes()
    (ground.out / "downlink.log").write_bytes(whole + tail)
    ground.open()
    assert (ground.out / "downlink.log").read_bytes() == whole
    ground.pass_at(7)
    assert [done.number for done in ground.journal()] == [1, 2, 3] and ground.diagnostics.texts() == []


def test_a_damaged_line_stops_nothing_and_possible_repeats_are_marked(ground: Ground) -> None:
    early = ground.find(0.1, 0.5, length_h=2.0)
    for hour in (5, 6, 7):
        ground.pass_at(hour)
    lines = (ground.out / "downlink.log").read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"number":2', b'"numbes":2')
    (ground.out / "downlink.log").write_bytes(b"".join(lines))
    ground.open()
    late = ground.find(7.5, 0.9)
    for hour in range(8, 49):
        ground.pass_at(hour)
    assert ground.diagnostics.texts() == ["1 line(s) of the downlink's journal cannot be read"]
    parts = [part for done in ground.journal()[2:] for part in done.sent]
    assert {part.source for part in parts} == {early, late}
    assert all(part.again == (part.source == early) for part in parts)
    assert all(n_bytes <= 20_000 for n_bytes in spent(ground).values())


def test_a_full_disk_is_reported_and_the_pass_is_made_later(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    ground.find(0.1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"cannot write to the outbox .*No space left.*free the disk"):
            ground.pass_at(5)
    assert ground.files() == {} and ground.journal() == [] and not list((ground.out / "outbox").glob(".*"))
    ground.open()
    ground.pass_at(5)
    assert len(ground.files()) == 2


def test_in_a_replay_the_passes_of_an_earlier_process_are_not_repeated(ground: Ground) -> None:
    ground.find(0.1)
    for hour in (5, 6):
        ground.pass_at(hour)
    before = ground.files()
    ground.open()
    late = ground.find(0.2, 0.99)  # detected before the time of the journal's last pass, as in a resumed run
    for hour in (2, 5, 6):
        ground.pass_at(hour)
    assert ground.files() == before
    ground.pass_at(7)
    assert late in {part.source for part in ground.journal()[-1].sent}


def test_live_with_a_clock_set_back_no_day_is_spent_twice(tmp_path: Path, grounds: Grounds) -> None:
    ground = grounds(tmp_path / "run", replayed=False)
    ground.find(0.1, length_h=4.0)
    for hour in (20, 44, 12, 18, 20, 22, 36, 48, 24):
        ground.pass_at(hour)
        if hour == 12:
            ground.open()
    assert all(20_000 - 512 - 833 * 2 < n_bytes <= 20_000 for n_bytes in spent(ground).values())
    assert [done.clock_ns for done in ground.journal()] != sorted(done.clock_ns for done in ground.journal())
    sent = ground.sent_records()
    assert len(set(sent)) == len(sent)


def test_live_without_a_journal_the_checkpoint_tells_what_was_sent(tmp_path: Path, grounds: Grounds) -> None:
    ground = grounds(tmp_path / "run", replayed=False)
    name = ground.find(0.1, length_h=0.1)
    for hour in range(1, 24):
        ground.pass_at(hour)
    assert ground.is_sent(name)
    state = ground.downlink.state()
    (ground.out / "downlink.log").unlink()
    before = ground.files()
    ground.open(state)
    assert ground.diagnostics.texts() == [
        "the downlink's journal is shorter than it was; the checkpoint remembers its passes"
    ]
    ground.pass_at(30)
    assert ground.files() == before and list(ground.downlink.queue) == []


def test_exactly_the_records_of_the_segment_are_sent(ground: Ground) -> None:
    name = ground.find(1.0, length_h=0.2)
    for hour in range(2, 40):
        ground.pass_at(hour)
    assert len(ground.sent_records()) == len(index_file(ground.out / name).headers)
