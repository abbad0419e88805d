"""Waveforms of other programs as traces: times, types, gaps and codes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveform_objects import time_ns_of, traces_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

START_NS = 1_714_564_800_000_000_000  # 2024-05-01T12:00:00, by `date -u -d 2024-05-01T12:00 +%s`
LATER = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "time",
    [
        START_NS,
        np.int64(START_NS),
        "2024-05-01T12:00:00",
        "2024-05-01T12:00:00Z",
        np.datetime64("2024-05-01T12:00"),
        datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
        datetime(2024, 5, 1, 12),
        datetime(2024, 5, 1, 14, tzinfo=LATER),
        SimpleNamespace(ns=START_NS),  # as an obspy UTCDateTime
    ],
    ids=lambda time: type(time).__name__,
)
def test_times_of_every_kind(time: object) -> None:
    assert time_ns_of(time) == START_NS


@pytest.mark.parametrize("time", [None, 1.5, True, np.datetime64("NaT"), "yesterday"])
def test_what_is_no_time_is_refused(time: object) -> None:
    with pytest.raises(DataError, match="expected"):
        time_ns_of(time)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("i2", "i4"), ("u1", "i4"), (">i4", "i4"), ("i8", "i4"), ("f2", "f4"), (">f4", "f4"), ("f8", "f8"), ("u4", "i4")],
)
def test_samples_get_a_type_that_records_have(dtype: str, expected: str) -> None:
    samples = np.array([1, 2, 100], dtype)
    (trace,) = traces_of(samples, sampling_rate_hz=10, start=0, channels="EHZ")
    assert trace.samples.dtype == np.dtype(expected) and trace.samples.tolist() == [1, 2, 100]


def test_large_integers_become_floats_where_these_are_exact() -> None:
    (trace,) = traces_of(np.array([2**40, -1]), sampling_rate_hz=10, start=0, channels="EHZ")
    assert trace.samples.dtype == np.float64 and trace.samples.tolist() == [2**40, -1]
    with pytest.raises(DataError, match=r"samples reach 9007199254740993, expected integers of at most 53 bits"):
        traces_of(np.array([2**53 + 1, 0]), sampling_rate_hz=10, start=0, channels="EHZ")


def test_masked_samples_are_gaps() -> None:
    samples = np.ma.masked_array(np.arange(10, dtype=np.int32), mask=[0, 0, 1, 1, 0, 0, 0, 0, 0, 1])
    parts = traces_of(samples, sampling_rate_hz=4, start=START_NS, channels="EHZ")
    assert [part.samples.tolist() for part in parts] == [[0, 1], [4, 5, 6, 7, 8]]
    assert [part.start_ns - START_NS for part in parts] == [0, NS_PER_S]
    assert traces_of(np.ma.masked_all(5, np.int32), sampling_rate_hz=4, start=0, channels="EHZ") == []


def test_long_traces_are_cut_and_channels_interleaved() -> None:
    samples = np.arange(2 * 1500, dtype=np.int32).reshape(2, 1500)
    pieces = traces_of(samples, sampling_rate_hz=10.0, start=START_NS, channels=["EHZ", "EHN"])
    assert [(piece.start_ns - START_NS) // NS_PER_S for piece in pieces] == [0, 0, 60, 60, 120, 120]
    joined = np.concatenate([piece.samples for piece in pieces if piece.source_id.endswith("Z")])
    assert joined.tolist() == samples[0].tolist()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("EHZ", "FDSN:XX_STA__E_H_Z"),
        ("AM.R1234.00.EHZ", "FDSN:AM_R1234_00_E_H_Z"),
        ("FDSN:XX_LUN_00_B_HYDRO_", "FDSN:XX_LUN_00_B_HYDRO_"),
    ],
)
def test_codes_of_channels(code: str, expected: str) -> None:
    (trace,) = traces_of(np.zeros(3, np.int32), sampling_rate_hz=10, start=0, channels=[code])
    assert trace.source_id == expected


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (["AM.R1234.EHZ"], "expected a code as EHZ, NET.STA.LOC.CHA"),
        (["EHZZ"], "expected up to three letters"),
        (["E/Z"], "letters, digits and dashes"),
        (["EHZ", "EHN"], r"holds 1 channel\(s\) and 2 are named"),
    ],
)
def test_codes_that_are_none_are_refused(codes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        traces_of(np.zeros(3, np.int32), sampling_rate_hz=10, start=0, channels=codes)


def test_a_trace_of_ours_and_one_with_stats_are_the_same() -> None:
    samples = np.arange(5, dtype=np.int32)
    stats = SimpleNamespace(
        network="AM", station="R1234", location="00", channel="EHZ", sampling_rate=100.0,
        starttime=SimpleNamespace(ns=START_NS),
    )  # fmt: skip
    (theirs,) = traces_of([SimpleNamespace(data=samples, stats=stats)])
    ours = Trace("FDSN:AM_R1234_00_E_H_Z", START_NS, 100.0, samples)
    assert (theirs.source_id, theirs.start_ns, theirs.sampling_rate_hz) == (ours.source_id, START_NS, 100.0)
    assert traces_of(ours)[0] is ours and np.shares_memory(theirs.samples, samples)
