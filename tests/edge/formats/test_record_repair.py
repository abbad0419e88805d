"""Records with one wrong field: what obspy reads is read alike, what a record's own check proves is read, no more."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy import UTCDateTime

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats import record_repair
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import Trace

SAMPLES = (1000 * np.sin(np.arange(100) / 5)).astype(np.int32)


def record(
    start: str = "2023-06-01T10:00:01", encoding: str = "STEIM1", byteorder: str = ">", length: int = 512
) -> bytearray:
    trace = obspy.Trace(SAMPLES.astype(np.float32) if encoding == "FLOAT32" else SAMPLES)
    trace.stats.update({"network": "XX", "station": "TEST", "channel": "BHZ", "sampling_rate": 20.0})
    trace.stats.starttime = UTCDateTime(start)
    buffer = io.BytesIO()
    trace.write(buffer, format="MSEED", encoding=encoding, byteorder=byteorder, reclen=length)
    return bytearray(buffer.getvalue())


def patched(data: bytearray, at: int, layout: str, *values: int) -> bytearray:
    struct.pack_into(layout, data, at, *values)
    return data


def both_ways(data: bytes, folder: Path) -> tuple[list[Trace], list[str]]:
    """Return the traces and the warnings of a file, which must be those of the same bytes as a stream."""
    path = folder / "a.mseed"
    path.write_bytes(data)
    of_file, live = Diagnostics(), Diagnostics()
    traces: list[Trace] = []
    try:
        index = index_file(path)
        of_file.add(index.diagnostics)
        traces = list(read_indexed(index, index.headers, of_file))
    except DataError as problem:
        assert "\n" not in str(problem)
    scanner = RecordScanner(str(path), live, decode=True)
    chunks = [data[at : at + 512] for at in range(0, len(data), 512)]
    streamed = [found.trace() for chunk in chunks for found in scanner.feed(bytes(chunk))]
    streamed += [found.trace() for found in scanner.feed(b"", at_end=True)]
    assert [(trace.start_ns, trace.samples.tolist()) for trace in streamed] == [
        (trace.start_ns, trace.samples.tolist()) for trace in traces
    ]
    assert not traces or of_file.texts() == live.texts()
    return traces, live.texts()


def require_obspys(data: bytes, traces: list[Trace]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = obspy.read(io.BytesIO(bytes(data)), format="MSEED")
    assert [(trace.start_ns, trace.samples.tolist()) for trace in traces] == [
        (int(trace.stats.starttime.ns), trace.data.tolist()) for trace in theirs
    ]


@pytest.mark.parametrize("fraction", [9999, 10_000, 15_000, 19_999])
@pytest.mark.parametrize("byteorder", [">", "<"])
@pytest.mark.parametrize(
    "start", ["2023-06-01T10:00:01", "2023-12-31T23:59:59", "2024-02-28T23:59:59", "1969-12-31T23:59:59"]
)
def test_a_fraction_over_a_second_is_the_next_second(fraction: int, byteorder: str, start: str, tmp_path: Path) -> None:
    data = patched(record(start, byteorder=byteorder), 28, f"{byteorder}H", fraction)
    traces, texts = both_ways(data, tmp_path)
    require_obspys(data, traces)
    assert traces[0].start_ns == UTCDateTime(start).ns + fraction * 100_000
    assert texts == ([f"1 {record_repair.LATE_FRACTION}"] if fraction >= 10_000 else [])


def test_such_records_among_others_cost_none(tmp_path: Path) -> None:
    data = bytearray()
    for i in range(30):
        one = record(str(UTCDateTime(2023, 6, 1) + 5 * i + 1))
        data += patched(one, 26, ">BBH", (5 * i) % 60, 0, 10_000) if i % 3 == 0 else one
    traces, texts = both_ways(data, tmp_path)
    assert [trace.start_ns for trace in traces] == [
        UTCDateTime(2023, 6, 1, 0, 0, 1).ns + 5 * i * 10**9 for i in range(30)
    ]
    assert texts == [f"10 {record_repair.LATE_FRACTION}"]


@pytest.mark.parametrize("fraction", [20_000, 65_535])
def test_a_larger_fraction_is_damage(fraction: int, tmp_path: Path) -> None:
    traces, texts = both_ways(record() + patched(record(), 28, ">H", fraction) + record(), tmp_path)
    assert len(traces) == 2 and "512 bytes belong to no readable record" in texts[0]


def test_nanoseconds_of_version_3_over_a_second() -> None:
    body = bytes(40) + b"FDSN:XX_LUN_00_M_H_Z"
    data = b"MS\x03\0" + struct.pack("<IHHBBB", 1_250_000_000, 2024, 366, 23, 59, 59) + body[15:]
    mended = record_repair.with_right_time(data)
    assert mended is not None and mended[15:] == data[15:] and len(mended) == len(data)
    assert struct.unpack_from("<IHHBBB", mended, 4) == (250_000_000, 2025, 1, 0, 0, 0)
    assert record_repair.with_right_time(mended) is None


def test_the_second_60_is_the_next_minute(tmp_path: Path) -> None:
    traces, texts = both_ways(patched(record("2016-12-31T23:59:59"), 26, ">BBH", 60, 0, 5000), tmp_path)
    assert traces[0].start_ns == UTCDateTime("2017-01-01T00:00:00.5").ns and texts == []


@pytest.mark.parametrize("day", [0, 366, 367])
def test_a_day_that_the_year_does_not_have_is_damage(day: int, tmp_path: Path) -> None:
    traces, texts = both_ways(record() + patched(record(), 22, ">H", day) + record(), tmp_path)
    assert len(traces) == 2 and "512 bytes belong to no readable record" in texts[0]


@pytest.mark.parametrize("power", [0, 7, 8, 10, 12, 30])
@pytest.mark.parametrize("n_records", [1, 4])
def test_a_wrong_record_length(power: int, n_records: int, tmp_path: Path) -> None:
    traces, texts = both_ways(patched(record(), 54, ">B", power) * n_records, tmp_path)
    assert [trace.samples.tolist() for trace in traces] == [SAMPLES.tolist()] * n_records
    assert texts == [f"{n_records} {record_repair.OTHER_LENGTH}"]


@pytest.mark.parametrize("power", [8, 10, 12])
def test_a_wrong_record_length_among_right_ones(power: int, tmp_path: Path) -> None:
    traces, texts = both_ways(record() + patched(record(), 54, ">B", power) + record(), tmp_path)
    assert [trace.samples.tolist() for trace in traces] == [SAMPLES.tolist()] * 3
    assert texts == [f"1 {record_repair.OTHER_LENGTH}"]


@pytest.mark.parametrize(
    ("at", "layout", "value", "what"),
    [
        (39, ">B", 0, record_repair.OTHER_BLOCKETTES),  # number of blockettes
        (39, ">B", 5, record_repair.OTHER_BLOCKETTES),
        (46, ">H", 0, record_repair.OTHER_BLOCKETTES),  # offset of the first one
        (46, ">H", 40, record_repair.OTHER_PLACE),
        (46, ">H", 50, record_repair.OTHER_PLACE),
        (50, ">H", 2, record_repair.OTHER_BLOCKETTES),  # offset of the next one
        (50, ">H", 0xFFFF, record_repair.OTHER_BLOCKETTES),
        (44, ">H", 0, record_repair.OTHER_PLACE),  # offset of the data
        (44, ">H", 56, record_repair.OTHER_PLACE),
        (44, ">H", 128, record_repair.OTHER_PLACE),
        (44, ">H", 600, record_repair.OTHER_PLACE),
        (52, ">B", 11, record_repair.OTHER_ENCODING),
        (52, ">B", 255, record_repair.OTHER_ENCODING),
        (53, ">B", 0, record_repair.OTHER_ORDER),
    ],
)
def test_a_wrong_field_of_the_structure(at: int, layout: str, value: int, what: str, tmp_path: Path) -> None:
    traces, texts = both_ways(record() + patched(record(), at, layout, value) + record(), tmp_path)
    assert [trace.samples.tolist() for trace in traces] == [SAMPLES.tolist()] * 3
    assert texts == [f"1 {what}"]


@pytest.mark.parametrize("encoding", ["STEIM1", "STEIM2"])
def test_records_without_blockette_1000(encoding: str, tmp_path: Path) -> None:
    data = patched(record(encoding=encoding), 39, ">B", 0)
    data[46:56] = bytes(10)
    traces, texts = both_ways(data * 3, tmp_path)
    assert [trace.samples.tolist() for trace in traces] == [SAMPLES.tolist()] * 3
    assert texts == ([] if encoding == "STEIM1" else [f"3 {record_repair.OTHER_ENCODING}"])


@pytest.mark.parametrize("encoding", ["INT32", "FLOAT32"])
def test_without_a_check_of_its_own_nothing_is_mended(encoding: str, tmp_path: Path) -> None:
    data = patched(record(encoding=encoding), 52, ">B", 255)
    traces, texts = both_ways(data, tmp_path)
    assert traces == [] and len(texts) == 1


def test_damaged_samples_are_no_wrong_field(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        data = record()
        data[64:] = rng.bytes(len(data) - 64)
        assert record_repair.repaired(bytes(data)) is None
