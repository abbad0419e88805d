"""The order in which an event's records are sent, against times written down by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.downlink.send_queue import (
    SendItem,
    SendLevel,
    SendRecord,
    record_weight,
    segment_records,
)
from edgequake.edge.formats.miniseed import encode, index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

S = NS_PER_S
WINDOW_NS = 180 * S


def record(start_s: float, stop_s: float) -> RecordHeader:
    return RecordHeader(0, 512, "FDSN:XX_LUN_00_M_H_Z", round(start_s * S), 1.0, round(stop_s - start_s))


@pytest.mark.parametrize(
    ("start_s", "stop_s", "weight"),
    [
        # docs/downlink.md: 1 around the onset, window / (window + t) / 8 a time t after the window, 1/512 before
        (900, 970, 1 / 512),  # stops where the lead of 30 s begins
        (900, 971, 1.0),
        (1000, 1060, 1.0),
        (1179, 1240, 1.0),
        (1180, 1240, 1 / 8),  # starts where the window stops
        (1360, 1420, 1 / 16),
        (1180 + 9 * 180, 3000, 1 / 80),
    ],
)
def test_the_weight_of_a_record(start_s: float, stop_s: float, weight: float) -> None:
    assert record_weight(record(start_s, stop_s), [1000 * S], WINDOW_NS) == pytest.approx(weight)


def test_in_a_segment_of_two_events_the_larger_weight_counts() -> None:
    onsets_ns = [1000 * S, 3000 * S]
    assert record_weight(record(2990, 3010), onsets_ns, WINDOW_NS) == 1.0
    assert record_weight(record(1360, 1420), onsets_ns, WINDOW_NS) == pytest.approx(1 / 16)
    assert record_weight(record(0, 60), onsets_ns, WINDOW_NS) == 1 / 512


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Return a file of two channels, 400 s to 4300 s, one after the other as in segments."""
    samples = np.random.default_rng(2).integers(-(2**20), 2**20, 3900 * 7).astype(np.int32)
    traces = [Trace(f"FDSN:XX_LUN_00_M_H_{code}", 400 * S, 7.0, samples) for code in "1Z"]
    path = tmp_path / "segment.mseed"
    path.write_bytes(encode(traces))
    return path


def test_onset_then_coda_then_pre_roll_each_by_time(segment: Path) -> None:
    by_offset = {header.offset: header for header in index_file(segment).headers}
    records = segment_records(segment, [1000 * S], WINDOW_NS)
    assert sorted(one.offset for one in records) == sorted(by_offset) and len(records) > 200
    parts = [
        "coda" if header.start_ns >= 1180 * S else "onset" if header.stop_ns > 970 * S else "before"
        for header in (by_offset[one.offset] for one in records)
    ]
    assert parts == sorted(parts, key=["onset", "coda", "before"].index)
    for part in ("onset", "coda", "before"):
        times = [by_offset[one.offset].start_ns for one, own in zip(records, parts, strict=True) if own == part]
        assert times == sorted(times) and len(times) > 10
    weights = [one.weight for one in records]
    assert weights == sorted(weights, reverse=True) and weights[-1] == 1 / 512 < weights[parts.index("before") - 1]


def test_without_an_event_records_are_sent_by_time(segment: Path) -> None:
    starts = {header.offset: header.start_ns for header in index_file(segment).headers}
    records = SendItem("requests/a.mseed", segment, SendLevel.REQUEST, 0).records
    assert [starts[one.offset] for one in records] == sorted(starts.values())
    assert all(one == SendRecord(1.0, one.offset, 512) for one in records)


def test_the_longest_coda_is_still_sent_before_the_pre_roll() -> None:
    from edgequake.edge.manifest.manifest import load_manifest

    for name in ("moon", "mars", "earth"):
        trigger = load_manifest(name)[0].trigger
        window_ns = round(trigger.pre_roll_s * S)
        longest_s = 2 * trigger.max_event_s + trigger.post_roll_s
        late = RecordHeader(0, 512, "", round(longest_s * S), 1.0, 1)
        assert record_weight(late, [0], window_ns) > 1 / 512
