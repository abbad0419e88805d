"""Segments against intervals computed by hand, and against the records as obspy reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.detection.onset import Onset
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import TriggerConfig, load_manifest
from edgequake.edge.results.catalog import HEADER, CatalogRow, Segment, catalog_text, read_catalog
from edgequake.edge.results.ledger import Ledger, event_id
from edgequake.edge.results.segments import SegmentWriter
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

S = 1_000_000_000
CONFIG = TriggerConfig(
    onset_thresholds={"low": 0.8, "normal": 0.6, "high": 0.4},
    rearm_ratio=0.5,
    event_threshold=0.5,
    min_duration_s=0.0,
    hold_s=1.0,
    merge_s=1.0,
    max_event_s=50.0,
    onset_lag_s=0.0,
    pre_roll_s=10.0,
    post_roll_s=5.0,
)


def event(onset_s: float, stop_s: float) -> Event:
    return Event(round(onset_s * S), round(stop_s * S), 0.9)


def trace(first_s: int, stop_s: int, code: str = "M_H_Z") -> Trace:
    """Return one sample a second whose value is its time."""
    return Trace(f"FDSN:XX_LUN_00_{code}", first_s * S, 1.0, np.arange(first_s, stop_s, dtype=np.int32), "a.mseed", 0)


def kept(folder: Path, segments: list[Segment]) -> list[list[int]]:
    """Return the samples of each segment as obspy reads them; a sample's value is its time."""
    out = []
    for segment in segments:
        stream = obspy.read(str(folder / segment.file))
        for trace in stream:
            assert trace.stats.starttime.ns == trace.data[0] * S
        out.append(sorted(int(value) for trace in stream for value in trace.data))
        assert segment.n_samples == len(out[-1])
        assert segment.size_bytes == (folder / segment.file).stat().st_size
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "segments").mkdir()
    return tmp_path


def test_a_segment_is_the_event_with_pre_roll_and_post_roll(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(0, 100))
    writer.add_event(event(30, 40))
    assert writer.flush(55 * S) == []  # an event at 55 s would reach back to 45 s, where this segment stops
    ((segment, (row,)),) = writer.flush(56 * S)
    assert kept(out, [segment]) == [list(range(20, 45))]
    assert (segment.start_ns, segment.stop_ns) == (20 * S, 45 * S)
    assert (row.onset_ns, row.stop_ns, row.time_rel_s) == (30 * S, 40 * S, 30.0)
    assert (row.filename, row.station_id, row.channels, row.segment) == ("a", "XX_LUN", ("MHZ",), segment.file)
    assert segment.file == "segments/XX_LUN_19700101T000020.000.mseed"
    assert row.evid == "XX_LUN_19700101T000030.000"


def test_a_segment_is_clipped_to_the_record(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(100, 150))
    writer.add_event(event(103, 148))
    ((segment, _),) = writer.flush(None)
    assert (segment.start_ns, segment.stop_ns) == (100 * S, 150 * S)
    assert kept(out, [segment]) == [list(range(100, 150))]


def test_overlapping_segments_are_one(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(0, 100))
    writer.add_event(event(30, 35))
    writer.add_event(event(45, 50))  # 35 to 55: overlaps 20 to 40
    ((segment, rows),) = writer.flush(None)
    assert kept(out, [segment]) == [list(range(20, 55))]
    assert [row.segment for row in rows] == [segment.file] * 2


def test_a_long_series_of_events_is_cut_into_consecutive_segments(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(0, 300))
    for onset in range(20, 200, 20):  # each reaches the next: 10 s before to 20 s after
        writer.add_event(event(onset, onset + 15))
    written = writer.flush(None)
    samples = kept(out, [segment for segment, _ in written])
    assert len(samples) == 2  # at most 2 * 50 + 15 s each
    assert samples[0] + samples[1] == list(range(10, 200))
    assert written[0][0].stop_ns == written[1][0].start_ns
    assert sum(len(rows) for _, rows in written) == 9


@pytest.mark.parametrize("n_per_trace", [1, 300])
def test_an_onset_is_refined_with_its_pre_roll_where_a_segment_begins_later(out: Path, n_per_trace: int) -> None:
    firsts_s = {}

    def refine(traces: Iterable[Trace], onset_ns: int) -> Onset:
        firsts_s[onset_ns // S] = min(trace.start_ns for trace in traces) // S
        return Onset(onset_ns, 1.0, True)

    writer = SegmentWriter(out, "XX_LUN", CONFIG, refine=refine)
    events = {90: event(30, 80), 150: event(86, 140)}  # by when they close; together longer than a segment may be
    written = []
    for second in range(0, 300, n_per_trace):
        writer.add_trace(trace(second, second + n_per_trace))
        for closed_s in range(second, second + n_per_trace):
            if closed_s in events:
                writer.add_event(events[closed_s])
            written += writer.flush(min(30 if closed_s < 90 else 86 if closed_s < 150 else closed_s, closed_s) * S)
    assert [(segment.start_ns // S, segment.stop_ns // S) for segment, _ in written] == [(20, 85), (85, 145)]
    assert firsts_s[30] <= 30 - CONFIG.pre_roll_s
    assert firsts_s[86] <= 86 - CONFIG.pre_roll_s


def test_samples_written_once_are_not_written_again(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(0, 100))
    writer.add_event(event(30, 40))
    ((first, _),) = writer.flush(56 * S)
    writer.add_event(event(50, 60))  # earlier than the horizon allowed: a part of its pre-roll has been dropped
    ((second, _),) = writer.flush(None)
    assert kept(out, [first, second]) == [list(range(20, 45)), list(range(45, 65))]


def test_two_streams_that_detect_the_same_event_write_a_file_each(out: Path) -> None:
    names, ledger = [], Ledger()
    for i in range(3):
        writer = SegmentWriter(out, "XX_LUN", CONFIG, ledger)
        writer.add_trace(dataclasses.replace(trace(0, 100), samples=np.arange(100, dtype=np.int32) + i))
        writer.add_event(event(30, 40))
        ((segment, (row,)),) = writer.flush(None)
        names.append((Path(segment.file).name, row.evid))
    stem = "XX_LUN_19700101T000020.000"
    assert [name for name, _ in names] == [f"{stem}.mseed", f"{stem}_2.mseed", f"{stem}_3.mseed"]
    evid = "XX_LUN_19700101T000030.000"
    assert [one for _, one in names] == [evid, f"{evid}_2", f"{evid}_3"]


def test_a_change_of_dtype_begins_a_new_trace(out: Path) -> None:
    writer = SegmentWriter(out, "XX_LUN", CONFIG)
    writer.add_trace(trace(0, 30))
    writer.add_trace(dataclasses.replace(trace(30, 60), samples=np.arange(30, 60, dtype=np.float64)))
    writer.add_event(event(30, 40))
    ((segment, _),) = writer.flush(None)
    assert kept(out, [segment]) == [list(range(20, 45))]
    stream = obspy.read(str(out / segment.file))
    assert [obspy_trace.data.dtype.name for obspy_trace in stream] == ["int32", "float64"]


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    lengths=st.lists(st.integers(0, 50), min_size=8, max_size=8),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_the_samples_of_any_events_are_written_once_and_no_others(
    gaps: list[int], lengths: list[int], sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    (folder / "segments").mkdir()
    events, t = [], 0
    for gap, length in zip(gaps, lengths, strict=False):  # onsets do not overlap the event before
        events.append(event(t + gap, t + gap + length))
        t += gap + length
    n_samples = t + 20
    wanted = np.zeros(n_samples, bool)
    for e in events:
        wanted[max(0, e.onset_ns // S - 10) : e.stop_ns // S + 5] = True

    writer, written, first = SegmentWriter(folder, "XX_LUN", CONFIG), [], 0
    waiting = list(events)
    for i in range(n_samples):  # traces of the given sizes; an event is added once its stop has been read
        size = sizes[i % len(sizes)]
        if first >= n_samples:
            break
        writer.add_trace(trace(first, min(first + size, n_samples)))
        first += size
        while waiting and waiting[0].stop_ns <= first * S:
            writer.add_event(waiting.pop(0))
        horizon = min(first * S, waiting[0].onset_ns) if waiting else first * S
        written += writer.flush(horizon)
    written += writer.flush(None)
    samples = [value for part in kept(folder, [segment for segment, _ in written]) for value in part]
    assert samples == np.flatnonzero(wanted).tolist()
    assert sum(len(rows) for _, rows in written) == len(events)


# --- a whole run -----------------------------------------------------------------------------------------------------


def assert_kept_bit_for_bit(records: Path, out: Path, summary: Summary) -> None:
    """Compare every kept sample with the record, both read by obspy, and the intervals with the manifest."""
    manifest, _ = load_manifest("moon")
    pre_ns, post_ns = round(manifest.trigger.pre_roll_s * S), round(manifest.trigger.post_roll_s * S)
    source = obspy.read(str(records))
    assert manifest.onset is not None
    written_until_ns = 0
    intervals = {kept.file: (kept.start_ns, kept.stop_ns) for kept in summary.segments}
    for name in sorted({row.segment for row in summary.events}):
        rows = [row for row in summary.events if row.segment == name]
        first = min(rows, key=lambda row: row.onset_ns)
        start_ns, stop_ns = intervals[name][0], max(row.stop_ns for row in rows) + post_ns
        if first.onset_uncertainty_s == manifest.onset.coarse_sigma_s:  # the trigger's own onset
            assert abs(start_ns - max(written_until_ns, first.onset_ns - pre_ns)) < 1000  # rounded in the catalogue
        else:  # a refined one, which is searched around the rise, `onset_lag_s` after the trigger's onset
            search_ns = (manifest.trigger.onset_lag_s - manifest.onset.before_s) * S
            latest_ns = first.onset_ns - pre_ns - search_ns
            if start_ns != written_until_ns and start_ns > latest_ns:  # then the record begins there, after a gap
                before = [_within(trace, latest_ns, start_ns) for trace in source if trace.stats.channel[:2] == "MH"]
                assert sum(map(len, before)) == 0
        written_until_ns = stop_ns
        segment = obspy.read(str(out / name))
        n_samples = 0
        for trace_id in sorted({trace.id for trace in source if trace.stats.channel.startswith("MH")}):
            expected = [_within(trace, start_ns, stop_ns) for trace in source.select(id=trace_id)]
            chosen = segment.select(id=trace_id)
            chosen.sort(["starttime"])
            np.testing.assert_array_equal(
                np.concatenate([trace.data for trace in chosen]), np.concatenate(expected), strict=True
            )
            n_samples += sum(len(part) for part in expected)
        assert {(row.n_samples, row.size_bytes) for row in rows} == {(n_samples, (out / name).stat().st_size)}
    assert sorted(path.name for path in (out / "segments").iterdir()) == sorted(
        {Path(row.segment).name for row in summary.events}
    )


def _within(trace: obspy.Trace, start_ns: int, stop_ns: int) -> np.ndarray:
    times_ns = trace.stats.starttime.ns + np.arange(len(trace)) * (S / trace.stats.sampling_rate)
    # obspy joins records whose times differ by less than half a sample; ours keep their own times.
    tolerance_ns = 1e-3 * S / trace.stats.sampling_rate
    return np.asarray(trace.data[(times_ns >= start_ns - tolerance_ns) & (times_ns < stop_ns - tolerance_ns)])


def test_the_segments_of_a_synthesised_day_equal_the_record(tmp_path: Path) -> None:
    record = synthetic_dataset.write_day(tmp_path / "day", seed=5)
    summary = run(RunConfig((str(record),), tmp_path / "out"))
    assert len(summary.events) >= 3
    assert_kept_bit_for_bit(record, tmp_path / "out", summary)


@pytest.mark.records
def test_the_segments_of_a_lunar_day_with_gaps_equal_the_record(records_dir: Path, tmp_path: Path) -> None:
    record = records_dir / "moon" / "xa.s14.00.1973-06-30.mseed"
    summary = run(RunConfig((str(record),), tmp_path / "out", threshold=0.05))  # low, so that something is kept
    assert len(summary.events) >= 3
    assert_kept_bit_for_bit(record, tmp_path / "out", summary)


# --- the catalogue's file --------------------------------------------------------------------------------------------

ROW = CatalogRow(
    "a, \"b\"", 1_234_567_000, 1.25, "XX_LUN_19700101T000001.234", "", "XX_LUN", ("MH1", "MHZ"), 9 * S, 0.75, 0.5,
    "segments/x.mseed", 12, 512, False,
)  # fmt: skip


def test_a_catalogue_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [ROW, dataclasses.replace(ROW, onset_ns=-1_000, mq_type="impact_mq")]
    (tmp_path / "catalog.csv").write_bytes(HEADER + catalog_text(rows).encode())
    assert read_catalog(tmp_path / "catalog.csv") == rows[::-1]  # in the order of their onsets


def test_a_file_name_that_is_not_utf_8_is_written_escaped(tmp_path: Path) -> None:
    text = catalog_text([dataclasses.replace(ROW, filename="caf\udce9")])
    (tmp_path / "catalog.csv").write_bytes(HEADER + text.encode())
    assert read_catalog(tmp_path / "catalog.csv")[0].filename == "caf\\udce9"


@pytest.mark.parametrize("station_id", ["../../etc_x", "X/_../x", "A B_C", "Ö_\0"])
def test_the_name_of_an_event_is_a_plain_file_name(station_id: str) -> None:
    name = event_id(station_id, 1_234_567_890)
    assert name.endswith("_19700101T000001.234")
    assert set(name[:-19]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def test_overlapping_samples_that_differ_are_counted(out: Path) -> None:
    diagnostics = Diagnostics()
    writer = SegmentWriter(out, "XX_LUN", CONFIG, diagnostics=diagnostics)
    one = trace(0, 100)
    other = dataclasses.replace(one, samples=np.where(np.arange(100) < 7, -1, one.samples))
    for again in (one, one, trace(100, 150), other):
        writer.add_trace(again)
    writer.add_trace(trace(90, 120))  # equal to what was read first
    (text,) = diagnostics.texts()
    assert text.startswith("7 overlapping sample(s) of XX_LUN_") and "the first ones are used" in text


def test_segments_of_stations_that_differ_in_case_have_different_names() -> None:
    ledger = Ledger()
    names = [ledger.segment_name(station, S)[0] for station in ("XX_LUN", "XX_lun", "xx_LUN")]
    assert len({name.lower() for name in names}) == 3
