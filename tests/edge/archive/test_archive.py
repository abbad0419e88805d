"""The archive of the raw stream: obspy reads it as SDS, no sample is lost or stored twice, its size is limited."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.clients.filesystem.sds import Client

from edgequake.edge.archive import day_files
from edgequake.edge.archive.archive import Archive
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

DAY_NS = 86_400 * NS_PER_S
T0_NS = parse_time("2030-01-01T00:00:00")
MOON = "FDSN:XX_LUN_00_M_H_Z"
RATE_HZ = 6.625
# `make archive` tries more limits.
LIMITS_BYTES = (50_000, 300_000, 700_000, 1_000_000) if "EDGEQUAKE_LONG_ARCHIVE" in os.environ else (300_000,)
Traces = Callable[..., list[Trace]]


def archive_of(folder: Path, traces: list[Trace], cap_bytes: int | None = None, block_samples: int = 4096) -> Archive:
    archive = Archive(folder, cap_bytes, Diagnostics(), block_samples)
    for trace in traces:
        archive.push(trace)
    archive.close()
    return archive


def read(folder: Path, channel: str = "MHZ", *, station: str = "LUN", network: str = "XX") -> list[obspy.Trace]:
    """Read all of a channel with obspy's SDS client, a trace for each contiguous run."""
    day_s = 86_400
    start = obspy.UTCDateTime(T0_NS / 1e9)
    stream = Client(str(folder)).get_waveforms(network, station, "*", channel, start - 9 * day_s, start + 20 * day_s)
    return sorted(stream, key=lambda trace: trace.stats.starttime)


def start_ns_of(trace: obspy.Trace) -> int:
    return int(trace.stats.starttime.ns)


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("block_samples", [100, 4096])
def test_obspys_sds_client_reads_every_sample(
    dtype: str, block_samples: int, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    samples = days_of_noise[:20_000].astype(dtype)
    archive_of(tmp_path, traces(samples, start_ns=T0_NS + 7 * 3600 * NS_PER_S), block_samples=block_samples)

    (trace,) = read(tmp_path)

    np.testing.assert_array_equal(trace.data, samples)
    assert start_ns_of(trace) == T0_NS + 7 * 3600 * NS_PER_S
    assert trace.stats.sampling_rate == RATE_HZ
    assert names(tmp_path) == ["2030/XX/LUN/MHZ.D/XX.LUN.00.MHZ.D.2030.001"]


def test_records_are_512_bytes_of_steim2(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    archive_of(tmp_path, traces(days_of_noise[:20_000]))

    stream = obspy.read(str(tmp_path / names(tmp_path)[0]), details=True)

    assert stream[0].stats.mseed["encoding"] == "STEIM2"
    assert stream[0].stats.mseed["record_length"] == 512


def test_traces_of_a_quarter_of_a_second_fill_whole_records(traces: Traces, tmp_path: Path) -> None:
    # What a Raspberry Shake sends: 25 samples at 100 Hz, three channels in turn.
    rng = np.random.default_rng(3)
    signals = {c: np.cumsum(rng.integers(-40, 41, 50_000)).astype(np.int32) for c in ("EHZ", "EHN", "EHE")}
    cut = [traces(x, rate_hz=100.0, source_id=f"FDSN:AM_R0_00_{'_'.join(c)}", n_each=25) for c, x in signals.items()]
    archive_of(tmp_path / "in_turn", [trace for turn in zip(*cut, strict=True) for trace in turn])
    whole = traces(signals["EHZ"], rate_hz=100.0, source_id="FDSN:AM_R0_00_E_H_Z", n_each=50_000)
    archive_of(tmp_path / "at_once", whole)

    for channel, samples in signals.items():
        (obspy_trace,) = read(tmp_path / "in_turn", channel, station="R0", network="AM")
        np.testing.assert_array_equal(obspy_trace.data, samples)
    n_records = disk_bytes(tmp_path / "in_turn" / "2030/AM/R0/EHZ.D") // 512
    assert n_records <= disk_bytes(tmp_path / "at_once") // 512 + 1


def test_a_day_ends_at_midnight_to_the_sample(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    start_ns = T0_NS + 1234567
    archive_of(tmp_path, traces(days_of_noise, start_ns=start_ns, n_each=[17, 4001, 300]))

    files = names(tmp_path)
    assert [file[-8:] for file in files] == ["2030.001", "2030.002", "2030.003"]
    for file in files:
        for header in index_file(tmp_path / file).headers:
            last_ns = header.stop_ns - duration_ns(1, RATE_HZ)
            assert header.start_ns // DAY_NS == last_ns // DAY_NS == int(file[-3:]) - 1 + T0_NS // DAY_NS
    np.testing.assert_array_equal(np.concatenate([trace.data for trace in read(tmp_path)]), days_of_noise)


def test_one_trace_of_three_days_is_three_files(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    archive_of(tmp_path / "one", traces(days_of_noise, n_each=len(days_of_noise)))
    archive_of(tmp_path / "many", traces(days_of_noise))

    assert names(tmp_path / "one") == names(tmp_path / "many")
    for folder in ("one", "many"):
        np.testing.assert_array_equal(np.concatenate([trace.data for trace in read(tmp_path / folder)]), days_of_noise)


def test_gaps_stay_gaps(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    parts = [(0, 5000), (5001, 9000), (9100, 9101), (12_000, 20_000)]  # a sample lost; one alone between two gaps
    cut = [
        trace
        for a, b in parts
        for trace in traces(days_of_noise[a:b], start_ns=T0_NS + duration_ns(a, RATE_HZ), n_each=333)
    ]
    archive_of(tmp_path, cut)

    obspy_traces = read(tmp_path)

    assert len(obspy_traces) == len(parts)
    for obspy_trace, (a, b) in zip(obspy_traces, parts, strict=True):
        np.testing.assert_array_equal(obspy_trace.data, days_of_noise[a:b])
        assert abs(start_ns_of(obspy_trace) - T0_NS - duration_ns(a, RATE_HZ)) <= 1000  # miniSEED 2 has microseconds


def test_a_drifting_clock_is_followed(days_of_noise: np.ndarray, tmp_path: Path) -> None:
    # Every trace is a twentieth of a sample later than the rate implies: after ten of them a new record begins.
    step_ns = duration_ns(400, RATE_HZ) + duration_ns(1, RATE_HZ) // 20
    cut = [Trace(MOON, T0_NS + i * step_ns, RATE_HZ, days_of_noise[400 * i : 400 * i + 400]) for i in range(50)]
    archive_of(tmp_path, cut)

    headers = index_file(tmp_path / names(tmp_path)[0]).headers
    n_before = 0
    for header in headers:
        true_ns = T0_NS + (n_before // 400) * step_ns + duration_ns(n_before % 400, RATE_HZ)
        assert abs(header.start_ns - true_ns) <= duration_ns(1, RATE_HZ) / 2 + 1000
        n_before += header.n_samples
    assert n_before == 50 * 400


def test_a_change_of_rate_or_dtype_ends_a_record(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    first = traces(days_of_noise[:1000])
    second = traces(days_of_noise[:1000].astype(np.float32), start_ns=first[-1].stop_ns)
    third = traces(days_of_noise[:1000].astype(np.float32), start_ns=second[-1].stop_ns, rate_hz=13.25)
    archive_of(tmp_path, first + second + third)

    obspy_traces = obspy.read(str(tmp_path / names(tmp_path)[0]))  # the client expects one dtype

    assert [(obspy_trace.data.dtype.kind, obspy_trace.stats.sampling_rate) for obspy_trace in obspy_traces] == [
        ("i", RATE_HZ), ("f", RATE_HZ), ("f", 13.25)
    ]  # fmt: skip
    for obspy_trace in obspy_traces:
        np.testing.assert_array_equal(obspy_trace.data, days_of_noise[:1000])


def test_extreme_values_come_back(tmp_path: Path) -> None:
    samples = np.array([2**31 - 1, -(2**31), 0, 2**29, -(2**29), 7] * 300, np.int32)
    floats = np.array([np.nan, np.inf, -np.inf, 1e300, 0.0, -0.0] * 300)
    archive_of(tmp_path, [Trace(MOON, T0_NS, RATE_HZ, samples), Trace(MOON, T0_NS + 10**12, RATE_HZ, floats)])

    integers, numbers = obspy.read(str(tmp_path / names(tmp_path)[0]))

    np.testing.assert_array_equal(integers.data, samples)
    np.testing.assert_array_equal(numbers.data, floats)


def test_codes_cannot_leave_the_archive(days_of_noise: np.ndarray, tmp_path: Path) -> None:
    odd = ["FDSN:.._.._.._._._.", "FDSN:X/_../A__M_H_Z"]
    archive = archive_of(tmp_path / "in", [Trace(name, T0_NS, RATE_HZ, days_of_noise[:5000]) for name in odd])

    assert names(tmp_path) == [f"in/{name}" for name in names(tmp_path / "in")]
    assert len(names(tmp_path)) == 2
    assert archive.total_bytes == disk_bytes(tmp_path)
    again = Archive(tmp_path / "in", None, Diagnostics())  # it finds their files again
    assert again.total_bytes == archive.total_bytes


def test_each_valid_identifier_has_its_own_files(days_of_noise: np.ndarray, tmp_path: Path) -> None:
    valid = [
        "FDSN:___M_H_Z", "FDSN:_____", "FDSN:XX_LUN__M_H_Z", "FDSN:XX_LUN_--_M_H_Z", "FDSN:XX_LUN__m_h_z",
        "FDSN:xx_lun__M_H_Z",
        "FDSN:XX_LUN__M__Z", "FDSN:XX_LUN__M_Z_", "FDSN:XX_LUN___M_Z", "FDSN:XX_LUN_1__M_H_Z", "FDSN:XX_LUN__M_HH_Z",
        "FDSN:NETWORK8_STATION8_LOCATIO8_" + "B" * 15 + "_" + "S" * 13 + "_Z",
    ]  # fmt: skip
    archive = archive_of(tmp_path, [Trace(name, T0_NS, RATE_HZ, days_of_noise[:5000]) for name in valid])

    assert len(names(tmp_path)) == len(valid)
    assert Archive(tmp_path, None, Diagnostics()).total_bytes == archive.total_bytes
    found = set()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        index = index_file(path)
        found |= {header.source_id for header in index.headers}
        np.testing.assert_array_equal(
            np.concatenate([trace.samples for trace in read_indexed(index, index.headers)]), days_of_noise[:5000]
        )
    assert found == set(valid)


# Duplicates


def test_duplicate_samples_are_stored_once(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    cut = traces(days_of_noise[:30_000])
    once = archive_of(tmp_path / "once", cut)
    each_twice = archive_of(tmp_path / "twice", [trace for trace in cut for _ in range(2)])
    late = archive_of(tmp_path / "late", [*cut[:40], *cut[20:40], *cut[40:], *cut[3:50:7]])

    for archive in (each_twice, late):
        (obspy_trace,) = read(archive.folder)
        np.testing.assert_array_equal(obspy_trace.data, days_of_noise[:30_000])
        assert archive.total_bytes == once.total_bytes  # not a record more


def test_a_whole_record_again_in_other_traces_is_stored_once(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    archive = archive_of(tmp_path, traces(days_of_noise[:200_000]))
    size_bytes = archive.total_bytes
    for again in (archive, Archive(tmp_path, None, Diagnostics())):  # the same process, and a new one
        for trace in traces(days_of_noise[:200_000], n_each=177):
            again.push(trace)
        again.close()
        assert disk_bytes(tmp_path) == size_bytes

    longer = Archive(tmp_path, None, Diagnostics())
    for trace in traces(days_of_noise[:210_000], n_each=1000):  # half of a trace is new
        longer.push(trace)
    longer.close()
    (obspy_trace,) = read(tmp_path)
    np.testing.assert_array_equal(obspy_trace.data, days_of_noise[:210_000])


def test_a_second_version_is_stored_where_it_differs(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    other = days_of_noise[:40_000].copy()
    other[20_000:20_100] += 50  # deglitched, say
    archive_of(tmp_path, [*traces(days_of_noise[:40_000]), *traces(other)])

    stored = [header for file in names(tmp_path) for header in index_file(tmp_path / file).headers]
    index = index_file(tmp_path / names(tmp_path)[0])
    found = list(read_indexed(index, index.headers))
    assert any(np.array_equal(p.samples[: len(p.samples)], other[i : i + len(p.samples)])
               and not np.array_equal(p.samples, days_of_noise[i : i + len(p.samples)])
               for p in found for i in [round((p.start_ns - T0_NS) * RATE_HZ / 1e9)])  # fmt: skip
    assert 40_100 <= sum(header.n_samples for header in stored) <= 42_000


def test_a_clock_set_back_loses_nothing(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    first, second = days_of_noise[:50_000], days_of_noise[50_000:100_000]
    archive_of(tmp_path, [*traces(first), *traces(second, start_ns=T0_NS + duration_ns(10_000, RATE_HZ))])

    headers = [header for file in names(tmp_path) for header in index_file(tmp_path / file).headers]
    assert sum(header.n_samples for header in headers) == 100_000
    index = index_file(tmp_path / names(tmp_path)[0])
    in_file = sorted(index.headers, key=lambda header: header.offset)
    written = np.concatenate([trace.samples for trace in read_indexed(index, in_file)])
    np.testing.assert_array_equal(written, days_of_noise[:100_000])  # in the order of arrival


def test_a_time_far_ahead_does_no_harm(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    wild = Trace(MOON, T0_NS + 15 * DAY_NS, RATE_HZ, days_of_noise[:100])
    cut = traces(days_of_noise[:20_000])
    archive_of(tmp_path, [*cut[:20], wild, *cut[20:]])

    obspy_traces = read(tmp_path)
    np.testing.assert_array_equal(
        np.concatenate([obspy_trace.data for obspy_trace in obspy_traces[:-1]]), days_of_noise[:20_000]
    )
    assert len(obspy_traces) == 2


# The size limit


@pytest.mark.parametrize(
    "cap_bytes",
    [100_000, *(pytest.param(n_bytes, marks=pytest.mark.slow) for n_bytes in LIMITS_BYTES)],
)
def test_the_size_limit_is_never_exceeded(
    cap_bytes: int, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = [0]
    samples = days_of_noise[: 715_000 if cap_bytes <= 100_000 else None]  # a day and a quarter exceeds these ten times

    def watch(real: Callable[..., object]) -> Callable[..., object]:
        def watched(*arguments: object) -> object:
            result = real(*arguments)
            largest[0] = max(largest[0], disk_bytes(tmp_path))
            return result

        return watched

    monkeypatch.setattr(day_files, "append", watch(day_files.append))
    monkeypatch.setattr(Path, "replace", watch(Path.replace))  # after which the copy is there and the original gone
    monkeypatch.setattr(os, "fsync", watch(os.fsync))  # before which both are there
    archive = Archive(tmp_path, cap_bytes, Diagnostics())
    channels = [traces(samples, source_id=MOON.replace("Z", code)) for code in "ZNE"]
    for turn in zip(*channels, strict=True):
        for trace in turn:
            archive.push(trace)
    archive.close()

    assert largest[0] <= cap_bytes
    assert archive.total_bytes == disk_bytes(tmp_path)
    assert archive.total_bytes >= 0.3 * cap_bytes
    for code in "ZNE":
        data = np.concatenate([obspy_trace.data for obspy_trace in read(tmp_path, f"MH{code}")])
        np.testing.assert_array_equal(data, samples[-len(data) :])  # the latest, without a gap


def test_whole_days_are_deleted_oldest_first(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "whole", traces(days_of_noise)).total_bytes
    archive_of(tmp_path / "capped", traces(days_of_noise), cap_bytes=int(0.7 * whole))

    assert [name[-3:] for name in names(tmp_path / "capped")] == ["002", "003"]
    data = np.concatenate([trace.data for trace in read(tmp_path / "capped")])
    np.testing.assert_array_equal(data, days_of_noise[572_400:])


def test_a_limit_below_a_day_is_used_to_a_third_or_more(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    cap_bytes, sizes_bytes = 100_000, []
    archive = Archive(tmp_path, cap_bytes, Diagnostics(), 1024)
    for trace in traces(days_of_noise[:570_000]):
        archive.push(trace)
        sizes_bytes.append(archive.total_bytes)

    steady = sizes_bytes[len(sizes_bytes) // 4 :]
    assert min(steady) >= 0.3 * cap_bytes
    assert max(steady) >= 0.6 * cap_bytes


def test_a_lowered_limit_applies_from_the_first_write(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    archive_of(tmp_path, traces(days_of_noise[:1_000_000]))
    archive_of(tmp_path, traces(days_of_noise[1_000_000:1_010_000], start_ns=T0_NS + 2 * DAY_NS), cap_bytes=50_000)

    assert disk_bytes(tmp_path) <= 50_000
    assert len(read(tmp_path)[-1].data) == 10_000


def test_a_limit_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an archive of 511 bytes is too small; expected 16384 or more"):
        Archive(tmp_path, 511, Diagnostics())


# A full disk


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Limit the bytes on the disk under `tmp_path` to the first item of the list returned."""
    size_bytes = [10**9]
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        left_bytes = size_bytes[0] - disk_bytes(tmp_path)
        if left_bytes <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:left_bytes])  # as on a real disk, a part is written

    monkeypatch.setattr(day_files.os, "write", full)
    return size_bytes


def test_a_full_disk_evicts_the_oldest(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, small_disk: list[int]
) -> None:
    small_disk[0] = 700_123
    diagnostics = Diagnostics()
    archive = Archive(tmp_path, None, diagnostics)
    for trace in traces(days_of_noise):
        archive.push(trace)
    archive.close()

    assert any("deleted its oldest files because the disk was full" in text for text in diagnostics.texts())
    data = np.concatenate([obspy_trace.data for obspy_trace in read(tmp_path)])
    np.testing.assert_array_equal(data, days_of_noise[-len(data) :])
    assert archive.total_bytes == disk_bytes(tmp_path) > 250_000


def test_make_room_deletes_the_oldest_files(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    archive = archive_of(tmp_path, traces(days_of_noise))
    before = disk_bytes(tmp_path)

    assert archive.make_room(1)
    assert [name[-3:] for name in names(tmp_path)] == ["002", "003"]
    assert archive.make_room(before)
    assert names(tmp_path) == []
    assert not archive.make_room(1)
    assert not (tmp_path / "2030").exists()


def test_a_disk_that_stays_full_loses_records_and_does_not_end_the_run(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, small_disk: list[int]
) -> None:
    small_disk[0] = 0
    diagnostics = Diagnostics()
    archive = Archive(tmp_path, None, diagnostics)
    for trace in traces(days_of_noise[:100_000]):
        archive.push(trace)
    archive.close()

    assert any("record(s) not archived: the disk is full" in text for text in diagnostics.texts())
    assert disk_bytes(tmp_path) == archive.total_bytes == 0


def test_a_folder_that_cannot_be_written_is_one_error_line(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    (tmp_path / "archive").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot write .*archive.*; mount the disk writable or choose another --out"):
        archive_of(tmp_path / "archive", traces(days_of_noise[:10_000]))


@pytest.mark.records
def test_an_apollo_day_with_its_gaps_is_read_back(records_dir: Path, tmp_path: Path) -> None:
    source = records_dir / "moon" / "xa.s14.00.1973-06-30.mseed"
    index = index_file(source)
    archive_of(tmp_path, list(read_indexed(index, index.headers)))

    expected = obspy.read(str(source))
    for channel in ("MH1", "MH2", "MHZ"):
        mine = Client(str(tmp_path)).get_waveforms(
            "XA", "S14", "*", channel, obspy.UTCDateTime("1973-06-29"), obspy.UTCDateTime("1973-07-02")
        )
        theirs = expected.select(channel=channel).merge(-1).sort(["starttime"])
        assert len(mine) >= 444
        np.testing.assert_array_equal(
            np.concatenate([trace.data for trace in mine.sort(["starttime"])]),
            np.concatenate([trace.data for trace in theirs]),
        )


@pytest.mark.parametrize("seed", range(12))
def test_any_traces_in_any_order_are_stored_once(seed: int, days_of_noise: np.ndarray, tmp_path: Path) -> None:
    """Random overlapping parts of a record across midnight: each sample that arrived is stored, and once."""
    rng = np.random.default_rng(seed)
    start_ns = T0_NS + DAY_NS - duration_ns(6000, RATE_HZ)
    archive = Archive(tmp_path, None, Diagnostics(), int(rng.choice([50, 700, 4096])))
    came = np.zeros(20_000, np.int64)
    first = 0
    for _ in range(150):
        if rng.random() < 0.3:
            first = int(rng.integers(18_000))
        stop = min(20_000, first + int(10 ** rng.uniform(0, 3.3)))
        jitter_ns = int(rng.integers(-1, 2)) * duration_ns(1, RATE_HZ) // 300
        samples = days_of_noise[first:stop]
        if len(samples):
            archive.push(Trace(MOON, start_ns + duration_ns(first, RATE_HZ) + jitter_ns, RATE_HZ, samples))
        came[first:stop] = 1
        first = stop if rng.random() < 0.9 else stop + int(rng.integers(30))
    archive.close()

    stored = np.zeros(20_000, np.int64)
    for file in names(tmp_path):
        index = index_file(tmp_path / file)
        for trace in read_indexed(index, index.headers):
            at = round((trace.start_ns - start_ns) * RATE_HZ / NS_PER_S)
            np.testing.assert_array_equal(trace.samples, days_of_noise[at : at + len(trace.samples)])
            stored[at : at + len(trace.samples)] += 1
    np.testing.assert_array_equal(stored, came)


def test_old_days_leave_the_account_and_late_samples_are_still_appended(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    """Ten days, of which a live station remembers the last three; then late samples of the first, several times."""
    archive = Archive(tmp_path, None, Diagnostics(), block_samples=100, remembered_days=2)
    parts = [traces(days_of_noise[: 2 * 300], start_ns=T0_NS + day * DAY_NS, n_each=300) for day in range(10)]
    for first, _ in parts:
        archive.push(first)
    archive.close()
    assert [name[-3:] for name, _ in archive.sizes_bytes()] == ["008", "009", "010"]
    assert archive.state()["files"] == {"files": []}
    archive.push(parts[0][1])
    archive.close()
    assert archive.total_bytes == disk_bytes(tmp_path)
    for restarted in (archive, Archive(tmp_path, None, Diagnostics(), block_samples=100, remembered_days=2)):
        assert restarted.total_bytes == disk_bytes(tmp_path)
        late, *others = read(tmp_path)
        np.testing.assert_array_equal(late.data, days_of_noise[:600])
        assert len(others) == 9
        restarted.push(parts[0][1])  # a duplicate
        restarted.close()
