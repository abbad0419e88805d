"""A requested span is extracted to the sample, and missing parts are reported."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.archive import extract
from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import Span, get_run_waveforms, get_waveforms
from edgequake.edge.archive.ssam import SsamWriter
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.downlink.requests import Request, add_request_arguments, request_command
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, format_time, parse_time

T0_NS = parse_time("2030-01-01T00:00:00")
MOON = "FDSN:XX_LUN_00_M_H_Z"
RATE_HZ = 6.625
DAY_S = 86_400
Traces = Callable[..., list[Trace]]


@pytest.fixture
def out(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> Path:
    """Return a run folder with two channels of two stations, a day and some hours, with a gap of an hour."""
    archive = Archive(tmp_path / "run" / "archive", None, Diagnostics())
    summary = SsamWriter(tmp_path / "run" / "continuous", Diagnostics())
    for station in ("LUN", "MON"):
        for code in "ZN":
            name = f"FDSN:XX_{station}_00_M_H_{code}"
            after_ns = T0_NS + duration_ns(123_850, RATE_HZ)
            before_gap = traces(days_of_noise[:100_000], source_id=name)
            after_gap = traces(days_of_noise[123_850:700_000], start_ns=after_ns, source_id=name)
            for trace in (*before_gap, *after_gap):
                archive.push(trace)
                summary.push(trace)
    archive.close()
    summary.close()
    return tmp_path / "run"


def ask(out: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its log."""
    parser = argparse.ArgumentParser()
    add_request_arguments(parser)
    said: list[str] = []
    return request_command(parser.parse_args([str(out), *arguments]), Control(log=said.append)), said


def at(seconds: float) -> str:
    return format_time(T0_NS + round(seconds * NS_PER_S))


def expected_indices(start_ns: int, stop_ns: int) -> np.ndarray:
    times = np.array([T0_NS + duration_ns(i, RATE_HZ) for i in range(700_000)])
    lost = (np.arange(700_000) >= 100_000) & (np.arange(700_000) < 123_850)
    return np.flatnonzero((times >= start_ns) & (times < stop_ns) & ~lost)


@pytest.mark.parametrize("seed", range(6))
def test_any_span_is_extracted_to_the_sample(seed: int, out: Path, days_of_noise: np.ndarray) -> None:
    rng = np.random.default_rng(seed)
    first, length = int(rng.integers(700_000)), int(10 ** rng.uniform(0, 5.5))
    start_ns = T0_NS + duration_ns(first, RATE_HZ) - int(rng.integers(1, 150_000_000))  # between two samples
    stop_ns = start_ns + duration_ns(length, RATE_HZ)

    found = get_waveforms(out / "archive", start_ns, stop_ns, "LUN", ("MHZ",))

    indices = expected_indices(start_ns, stop_ns)
    got = np.concatenate([trace.samples for trace in found]) if found else np.empty(0, np.int32)
    np.testing.assert_array_equal(got, days_of_noise[indices])
    for trace in found:
        index = round((trace.start_ns - T0_NS) * RATE_HZ / NS_PER_S)
        assert abs(trace.start_ns - T0_NS - duration_ns(index, RATE_HZ)) <= 1000
        assert trace.samples[0] == days_of_noise[index]


def test_the_span_includes_its_start_and_excludes_its_stop(out: Path, days_of_noise: np.ndarray) -> None:
    start_ns, stop_ns = T0_NS + duration_ns(5300, RATE_HZ), T0_NS + duration_ns(5353, RATE_HZ)

    (trace,) = get_waveforms(out / "archive", start_ns, stop_ns, "XX_LUN", ("MHZ",))

    np.testing.assert_array_equal(trace.samples, days_of_noise[5300:5353])
    assert get_waveforms(out / "archive", start_ns, start_ns, None, None) == []


def test_a_span_across_midnight_is_one_trace(out: Path, days_of_noise: np.ndarray) -> None:
    (trace,) = get_waveforms(
        out / "archive", T0_NS + (DAY_S - 60) * NS_PER_S, T0_NS + (DAY_S + 60) * NS_PER_S, "MON", ("MHN",)
    )

    np.testing.assert_array_equal(trace.samples, days_of_noise[572_400 - 397 : 572_400 + 398])


def test_station_and_channels_select(out: Path) -> None:
    def selected(station: str | None, channels: tuple[str, ...] | None) -> list[str]:
        return [trace.source_id for trace in get_waveforms(out / "archive", T0_NS, T0_NS + NS_PER_S, station, channels)]

    assert len(selected(None, None)) == 4
    assert selected("LUN", None) == ["FDSN:XX_LUN_00_M_H_N", "FDSN:XX_LUN_00_M_H_Z"]
    assert selected("XX_MON", ("MHZ", "BH?")) == ["FDSN:XX_MON_00_M_H_Z"]
    assert selected("S12", None) == selected(None, ("BHZ",)) == []


def test_only_the_records_of_the_span_are_decoded(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    class Watched(extract.RecordScanner):
        def feed(self, data: bytes, at_end: bool = False):  # type: ignore[no-untyped-def]
            if self._decode:
                decoded.append(len(data))
            return super().feed(data, at_end)

    monkeypatch.setattr(extract, "RecordScanner", Watched)
    get_waveforms(out / "archive", T0_NS + 7200 * NS_PER_S, T0_NS + 7260 * NS_PER_S, "LUN", ("MHZ",))

    assert 0 < sum(decoded) <= 2 * 512


def test_an_eviction_during_the_extraction_gives_no_wrong_sample(
    out: Path, days_of_noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is cut to its later half between reading the headers and decoding."""
    path = out / "archive/2030/XX/LUN/MHZ.D/XX.LUN.00.MHZ.D.2030.001"
    ranges = extract._ranges

    def cutting(file: object, span: Span) -> object:
        found = ranges(file, span)  # type: ignore[arg-type]
        data = path.read_bytes()
        path.with_name("new").write_bytes(data[len(data) // 1024 * 512 :])
        path.with_name("new").replace(path)
        return found

    monkeypatch.setattr(extract, "_ranges", cutting)
    (trace,) = get_waveforms(out / "archive", T0_NS, T0_NS + 3600 * NS_PER_S, "LUN", ("MHZ",))

    np.testing.assert_array_equal(trace.samples, days_of_noise[:23_850])


def test_the_command_writes_what_obspy_reads(out: Path, days_of_noise: np.ndarray, tmp_path: Path) -> None:
    code, said = ask(out, at(-600), at(5000), "--station", "LUN", "--out", str(tmp_path / "cut.mseed"))

    stream = obspy.read(str(tmp_path / "cut.mseed"))
    assert code == 0
    assert [trace.id for trace in stream] == ["XX.LUN.00.MHN", "XX.LUN.00.MHZ"]
    for trace in stream:
        np.testing.assert_array_equal(trace.data, days_of_noise[: int(5000 * RATE_HZ)])
    size_bytes = (tmp_path / "cut.mseed").stat().st_size
    assert said == [
        f"66250 samples of 2 channel(s), {size_bytes} bytes",
        *(f"XX_LUN_00_MH{c}: 600.000 s are not stored: {at(-600)} to {at(0)}" for c in "NZ"),
    ]


def test_all_missing_parts_are_listed(out: Path, tmp_path: Path) -> None:
    _, said = ask(out, at(0), at(2 * DAY_S), "--station", "MON", "--channels", "MHZ", "--out", str(tmp_path / "cut"))

    gap = " to ".join(format_time(T0_NS + duration_ns(i, RATE_HZ)) for i in (100_000, 123_850))
    last = f"{format_time(T0_NS + duration_ns(700_000, RATE_HZ))} to {at(2 * DAY_S)}"
    lost_s = 23_850 / RATE_HZ + 2 * DAY_S - 700_000 / RATE_HZ
    assert said[1:] == [f"XX_MON_00_MHZ: {lost_s:.3f} s are not stored: {gap}, {last}"]


def test_the_samples_may_be_written_to_standard_output(
    out: Path, days_of_noise: np.ndarray, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    ask(out, at(0), at(3600), "--station", "LUN", "--channels", "MHZ", "--out", "-")

    (tmp_path / "piped").write_bytes(capfdbinary.readouterr().out)
    np.testing.assert_array_equal(obspy.read(str(tmp_path / "piped"))[0].data, days_of_noise[:23_850])


def test_ssam_channels_are_extracted_where_they_are_named(out: Path, tmp_path: Path) -> None:
    ask(out, at(0), at(3600), "--station", "LUN", "--channels", "WHZ", "--out", str(tmp_path / "summary"))

    stream = obspy.read(str(tmp_path / "summary"))
    assert sorted(trace.id for trace in stream) == ["XX.LUN.H0.WHZ", "XX.LUN.L0.WHZ", "XX.LUN.M0.WHZ"]
    assert {len(trace.data) for trace in stream} == {30}


def test_what_the_archive_has_evicted_is_read_from_the_segments(
    out: Path, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    (out / "segments").mkdir()
    kept = traces(days_of_noise[99_000:110_000], start_ns=T0_NS + duration_ns(99_000, RATE_HZ), n_each=11_000)
    (out / "segments" / "event.mseed").write_bytes(encode(kept))
    start_ns, stop_ns = T0_NS + duration_ns(98_000, RATE_HZ), T0_NS + duration_ns(124_000, RATE_HZ)

    found = get_run_waveforms(out, Span(start_ns, stop_ns, "LUN", ("MHZ",)))

    whole, after = found  # archive and segment are contiguous without a duplicate sample
    np.testing.assert_array_equal(whole.samples, days_of_noise[98_000:110_000])
    np.testing.assert_array_equal(after.samples, days_of_noise[123_850:124_000])


def test_unwritten_samples_may_be_passed_along(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", None, Diagnostics())
    for trace in traces(days_of_noise[:10_000]):
        archive.push(trace)
    span = Span(T0_NS, T0_NS + 3600 * NS_PER_S)

    on_disk = sum(len(trace.samples) for trace in get_run_waveforms(tmp_path, span))
    (whole,) = get_run_waveforms(tmp_path, span, archive.unwritten())

    assert 0 < on_disk < 10_000
    np.testing.assert_array_equal(whole.samples, days_of_noise[:10_000])


def test_a_request_is_queued_for_the_run(out: Path) -> None:
    code, said = ask(out, "2030-01-01T01:00:00.5", at(7200), "--channels", "MHZ, MHN", "--send")
    ask(out, at(0), at(1), "--station", "LUN", "--send")

    first, second = sorted((out / "requests").iterdir())
    assert code == 0 and str(first) in said[0]
    assert json.loads(first.read_bytes()) == {
        "start": "2030-01-01T01:00:00.500000", "stop": at(7200), "station": None, "channels": ["MHZ", "MHN"]
    }  # fmt: skip
    read = Request.read(first)
    assert read == Request(first.stem, Span(parse_time("2030-01-01T01:00:00.5"), T0_NS + 7200 * NS_PER_S, None,
                                            ("MHZ", "MHN")))  # fmt: skip
    assert Request.read(second).span.station == "LUN"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"start": 3, "stop": 4}', '{"start": "2030-01-02", "stop": "2030-01-01"}', "\xff",
     '{"start": "2030-01-01", "stop": "2030-01-02", "station": 3}',
     '{"start": "2030-01-01", "stop": "2030-01-02", "channels": "MHZ"}'],
)  # fmt: skip
def test_a_malformed_request_is_one_error_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r'r\.json is no request: expected \{"start": TIME') as error:
        Request.read(tmp_path / "r.json")
    assert "\n" not in str(error.value)


def test_error_messages(out: Path, tmp_path: Path) -> None:
    target = tmp_path / "cut.mseed"
    with pytest.raises(ConfigError, match="START 2030-01-02 is not before STOP 2030-01-01"):
        ask(out, "2030-01-02", "2030-01-01", "--out", str(target))
    with pytest.raises(DataError, match="expected ISO 8601"):
        ask(out, "yesterday", "2030-01-01", "--out", str(target))
    with pytest.raises(DataError, match="none is no folder; expected the --out of a run"):
        ask(tmp_path / "none", "2030-01-01", "2030-01-02", "--out", str(target))
    with pytest.raises(DataError, match=r"nothing .* in .*: the archive reaches from 2030-01-01 to 2030-01-02$"):
        ask(out, "2031-01-01", "2031-01-02", "--out", str(target))
    with pytest.raises(DataError, match=r"2030-01-02, and none of its channels matches$"):
        ask(out, "2030-01-01", "2030-01-02", "--station", "S12", "--out", str(target))
    with pytest.raises(DataError, match="there is no archive; a run writes one with --archive-bytes"):
        ask(tmp_path, "2030-01-01", "2030-01-02", "--out", str(target))
    with pytest.raises(DataError, match="cannot write"):
        ask(out, "2030-01-01", "2030-01-02", "--out", str(tmp_path / "no" / "folder"))
    assert list(tmp_path.iterdir()) == [out]
