"""Reading miniSEED against obspy on obspy's own files; written miniSEED read back by obspy."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import encode, index_file, read_indexed
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import Trace, duration_ns

Write = Callable[..., Path]

OBSPY_FILES = Path(obspy.__file__).parent / "io" / "mseed" / "tests" / "data"
T0_NS = 1_893_456_000_123_456_000
SOURCE = "FDSN:XX_LUN_00_M_H_Z"

# Files that our reader (libmseed 3) and obspy (libmseed 2) read differently, and why.
REFUSED = {
    "infinite-loop.mseed",  # obspy refuses it too
    "rt130_sr0_cropped.mseed",  # a log: text without a sampling rate
}


def read(path: Path) -> list[Trace]:
    index = index_file(path)
    return list(read_indexed(index, index.headers))


def read_stream(data: bytes, diagnostics: Diagnostics, size: int = 512) -> list[Trace]:
    """Return the traces of bytes that arrive `size` at a time."""
    scanner = RecordScanner("stream", diagnostics, decode=True)
    chunks = [bytes(data[at : at + size]) for at in range(0, len(data), size)] + [b""]
    return [record.trace() for chunk in chunks for record in scanner.feed(chunk, at_end=not chunk)]


def by_channel(traces: list[Trace]) -> dict[tuple[str, str], list[Trace]]:
    channels: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        channels.setdefault((trace.station_id, channel_of(trace.source_id)), []).append(trace)
    return channels


def obspy_samples(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return obspy's samples of each station and channel that is not text, in time order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obspy warns about its unusual files
        stream = obspy.read(str(path), format="MSEED")
    stream.sort(["starttime"])
    channels: dict[tuple[str, str], list[np.ndarray]] = {}
    for trace in stream:
        if trace.data.dtype.kind != "S" and trace.stats.npts:
            stats = trace.stats
            channels.setdefault((f"{stats.network}_{stats.station}", stats.channel), []).append(trace.data)
    return {name: np.concatenate(parts) for name, parts in channels.items()}


@pytest.mark.parametrize("path", sorted(OBSPY_FILES.rglob("*.*")), ids=lambda path: path.name)
def test_obspys_own_files_give_obspys_samples_or_an_error_message(path: Path) -> None:
    try:
        ours = by_channel(read(path))
    except DataError as problem:
        assert path.name in str(problem) and "\n" not in str(problem)
        readable = {}
        if path.name not in REFUSED and not path.name.startswith("not") and path.stat().st_size:
            readable = obspy_samples(path)
        assert readable == {}, "obspy reads samples here"
        return
    assert path.name not in REFUSED
    theirs = obspy_samples(path)
    assert set(ours) == set(theirs)
    for name, traces in ours.items():
        np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), theirs[name], strict=True)


@pytest.mark.parametrize("encoding", ["STEIM1", "STEIM2", "INT32", "INT16", "FLOAT32", "FLOAT64"])
@pytest.mark.parametrize("byte_order", [">", "<"])
def test_files_written_by_obspy_give_the_same_samples(encoding: str, byte_order: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    dtype = {"INT16": np.int16, "FLOAT32": np.float32, "FLOAT64": np.float64}.get(encoding, np.int32)
    samples = (1000 * rng.standard_normal(5000)).astype(dtype)
    header = {"network": "XX", "station": "LUN", "channel": "MHZ", "sampling_rate": 6.625}
    obspy_trace = obspy.Trace(samples, header)
    obspy_trace.stats.starttime = obspy.UTCDateTime(ns=T0_NS)
    path = tmp_path / "a.mseed"
    obspy_trace.write(str(path), format="MSEED", encoding=encoding, byteorder=byte_order, reclen=256)
    traces = read(path)
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), samples)
    assert len(traces) > 10
    first = 0
    for trace in traces:
        assert trace.source_id == "FDSN:XX_LUN__M_H_Z" and trace.station_id == "XX_LUN"
        assert trace.sampling_rate_hz == 6.625
        assert abs(trace.start_ns - T0_NS - first / 6.625 * 1e9) <= 1000
        assert trace.file_start_ns == T0_NS and trace.file == "a.mseed"
        first += len(trace.samples)


def test_version_3_records_keep_their_nanoseconds_and_long_codes(write: Write, noise: np.ndarray) -> None:
    source_id = "FDSN:XXNET2030_STATION9_LOC_M_H_Z"
    path = write("three.mseed", noise, version=3, source_id=source_id, start_ns=T0_NS + 789)
    traces = read(path)
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), noise)
    assert traces[0].source_id == source_id and traces[0].start_ns == T0_NS + 789


def test_text_records_are_skipped(write: Write, noise: np.ndarray) -> None:
    path = write("log.mseed", noise[:500])
    text = (OBSPY_FILES / "encoding" / "smallASCII_bigEndian.mseed").read_bytes()
    path.write_bytes(text + path.read_bytes() + text)
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in read(path)]), noise[:500])


def test_a_damaged_header_costs_its_record_and_no_other(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = bytearray(path.read_bytes())
    n_lost = index_file(path).headers[5].n_samples
    data[5 * 512 : 6 * 512] = np.random.default_rng(3).bytes(512)
    path.write_bytes(data)
    index = index_file(path)
    assert index.unreadable_bytes == 512 and index.problem is not None
    assert sum(header.n_samples for header in index.headers) == len(noise) - n_lost
    assert sum(len(trace.samples) for trace in read_indexed(index, index.headers)) == len(noise) - n_lost


def test_a_damaged_body_is_left_out_and_reported(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = bytearray(path.read_bytes())
    data[5 * 512 + 64 : 6 * 512] = np.random.default_rng(3).bytes(448)
    path.write_bytes(data)
    index = index_file(path)
    diagnostics = Diagnostics()
    traces = list(read_indexed(index, index.headers, diagnostics))
    assert sum(len(trace.samples) for trace in traces) == len(noise) - index.headers[5].n_samples
    (text,) = diagnostics.texts()
    assert "1 damaged record(s) left out" in text and "byte 2560" in text and diagnostics.unreadable_bytes == 512
    with pytest.raises(DataError, match="the record at byte 2560 cannot be decoded"):
        list(read_indexed(index, index.headers))


def test_a_flipped_bit_is_reported(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = bytearray(path.read_bytes())
    data[5 * 512 + 103] ^= 0x01
    path.write_bytes(data)
    index = index_file(path)
    diagnostics = Diagnostics()
    assert sum(len(trace.samples) for trace in read_indexed(index, index.headers, diagnostics)) == 20_000
    (text,) = diagnostics.texts()
    assert "1 record(s) fail their own check" in text and diagnostics.unreadable_bytes == 0


def test_records_out_of_order_are_sorted(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = path.read_bytes()
    records = [data[i : i + 512] for i in range(0, len(data), 512)]
    order = np.random.default_rng(4).permutation(len(records))
    path.write_bytes(b"".join(records[i] for i in order))
    traces = read(path)
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), noise)
    assert traces[0].file_start_ns == traces[0].start_ns


def test_a_stream_gives_the_traces_of_the_file(quake_file: Path) -> None:
    data = quake_file.read_bytes()
    streamed = by_channel(read_stream(data, Diagnostics()))
    from_file = by_channel(read(quake_file))
    assert set(streamed) == set(from_file)
    for name, traces in from_file.items():
        assert [trace.start_ns for trace in streamed[name]] == [trace.start_ns for trace in traces]
        for a, b in zip(streamed[name], traces, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples, strict=True)


def test_damage_in_a_stream_costs_its_record_and_is_reported(write: Write, noise: np.ndarray) -> None:
    data = bytearray(write("a.mseed", noise).read_bytes())
    data[5 * 512 + 64 : 6 * 512] = np.random.default_rng(3).bytes(448)
    data[7 * 512 + 15] = 0xC5  # an undecodable channel code
    data[9 * 512 + 103] ^= 0x01
    diagnostics = Diagnostics()
    traces = read_stream(data, diagnostics)
    assert len(traces) == len(data) // 512 - 2
    junk, damaged, suspect = diagnostics.texts()
    assert "512 bytes belong to no readable record: byte 3584: its channel codes are no text" in junk
    assert "1 damaged record(s) left out; the first: the record at byte 2560 cannot be decoded" in damaged
    assert "1 record(s) fail their own check" in suspect and diagnostics.unreadable_bytes == 1024


def test_undecodable_channel_codes_cost_their_record_and_no_other(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = bytearray(path.read_bytes())
    data[7 * 512 + 15] = 0xC5
    path.write_bytes(data)
    index = index_file(path)
    assert (index.unreadable_bytes, index.problem) == (512, "byte 3584: its channel codes are no text")
    assert len(index.headers) == len(data) // 512 - 1


def test_a_stream_that_stops_within_a_record_is_reported(quake_file: Path) -> None:
    diagnostics = Diagnostics()
    data = quake_file.read_bytes()[: 10 * 512 - 100]
    assert len(read_stream(data, diagnostics)) == 9
    (text,) = diagnostics.texts()
    assert "412 bytes belong to no readable record: byte 4608: Incomplete miniSEED record" in text


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 100_000])
def test_junk_between_records_is_skipped_and_reported_for_any_block_size(
    size: int, write: Write, noise: np.ndarray
) -> None:
    data = write("a.mseed", noise).read_bytes()
    rng = np.random.default_rng(6)
    junk = [b"no record at all " * 100, b"\0" * 3000, rng.bytes(5000), data[:200]]  # the last one: a truncated record
    mixed = junk[0] + b"".join(data[512 * i : 512 * (i + 1)] + junk[i % 4] for i in range(len(data) // 512))

    diagnostics = Diagnostics()
    traces = read_stream(mixed, diagnostics, size)
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), noise)
    assert diagnostics.unreadable_bytes == len(mixed) - len(data)
    # A truncated record ends within the next one: it is found, and is damaged.
    junk_text, damage_text = diagnostics.texts()
    assert "belong to no readable record: byte 0: No miniSEED data detected" in junk_text
    assert "damaged record(s) left out" in damage_text


def test_a_damaged_length_does_not_swallow_the_records_behind(write: Write, noise: np.ndarray) -> None:
    path = write("a.mseed", noise)
    data = bytearray(path.read_bytes())
    assert data[5 * 512 + 54] == 9  # the record's length as a power of two, in its blockette 1000
    data[5 * 512 + 54] = 13
    path.write_bytes(data)
    n_lost = index_file(write("b.mseed", noise)).headers[5].n_samples
    for traces in (read(path), read_stream(data, Diagnostics())):
        assert sum(len(trace.samples) for trace in traces) in (len(noise), len(noise) - n_lost)


# --- writing -------------------------------------------------------------------------------------------------------


def read_back(data: bytes) -> obspy.Stream:
    return obspy.read(io.BytesIO(data), format="MSEED")


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_obspy_reads_written_files_bit_for_bit(dtype: type) -> None:
    samples = (1e4 * np.random.default_rng(5).standard_normal(7000)).astype(dtype)
    if dtype is not np.int32:
        samples[[0, 7, 8, 9]] = [np.nan, np.inf, -np.inf, -0.0]
    (trace,) = read_back(encode([Trace(SOURCE, T0_NS, 6.625, samples)]))
    assert trace.id == "XX.LUN.00.MHZ" and trace.stats.sampling_rate == 6.625
    assert trace.data.dtype == dtype and trace.data.tobytes() == samples.tobytes()
    assert abs(trace.stats.starttime.ns - T0_NS) <= 1000
    expected = {np.int32: "STEIM2", np.float32: "FLOAT32", np.float64: "FLOAT64"}[dtype]
    assert trace.stats.mseed.encoding == expected


@pytest.mark.parametrize("start_ns", [-62_135_000_000_000_000 * 15, -1, 0, 1_000, 999_999_999, T0_NS, T0_NS + 50_000])
def test_written_times_are_right_to_the_microsecond(start_ns: int) -> None:
    samples = np.arange(3000, dtype=np.int32)
    stream = read_back(encode([Trace(SOURCE, start_ns, 6.625, samples)]))
    assert sum(len(trace) for trace in stream) == 3000
    assert abs(stream[0].stats.starttime.ns - start_ns) <= 1000
    stops = [trace.stats.endtime.ns + 1e9 / 6.625 for trace in stream]
    assert abs(max(stops) - start_ns - duration_ns(3000, 6.625)) <= 2000


@pytest.mark.parametrize(
    ("samples", "encoding"),
    [
        ([2**31 - 1, -(2**31), 2**31 - 1, 0], "INT32"),
        ([0, 2**29], "INT32"),
        ([0, 2**29 - 1, 0, -(2**29) + 1], "STEIM2"),
        ([2**31 - 1] * 100, "STEIM2"),  # the first difference of a record is from its own first sample
        ([-(2**31)], "STEIM2"),
        ([5], "STEIM2"),
    ],
)
def test_integers_of_any_size_are_read_back(samples: list[int], encoding: str) -> None:
    values = np.array(samples, np.int32)
    (trace,) = read_back(encode([Trace(SOURCE, T0_NS, 6.625, values)]))
    np.testing.assert_array_equal(trace.data, values)
    assert trace.stats.mseed.encoding == encoding


def test_huge_differences_between_records_are_read_back() -> None:
    values = np.random.default_rng(6).integers(-(2**31), 2**31 - 1, 3000).astype(np.int32)
    (trace,) = read_back(encode([Trace(SOURCE, T0_NS, 6.625, values)]))
    np.testing.assert_array_equal(trace.data, values)


@pytest.mark.parametrize(
    ("source_id", "start_ns"),
    [
        ("FDSN:XXNET2030_STATION9_LOC_M_H_Z", T0_NS),
        ("FDSN:XX_LUN_1_00_M_H_Z", T0_NS),
        ("FDSN:XX_LUN_00_M_HYDRO_", T0_NS),
        ("FDSN:XX_LUN__Z__", T0_NS),
        ("FDSN:_____", T0_NS),
        (SOURCE, T0_NS + 200 * 31_557_600 * 10**9),
        (SOURCE, -(2**61)),
    ],
)
def test_codes_and_times_outside_version_2_are_written_as_version_3(
    source_id: str, start_ns: int, tmp_path: Path
) -> None:
    samples = np.arange(2000, dtype=np.int32)
    path = tmp_path / "a.mseed"
    path.write_bytes(encode([Trace(source_id, start_ns, 6.625, samples)]))
    assert path.read_bytes()[:3] == b"MS\x03"
    traces = read(path)
    assert traces[0].source_id == source_id and traces[0].start_ns == start_ns
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), samples)
