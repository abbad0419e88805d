"""SAC files, read back by obspy and compared with the segments sample for sample."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import cli
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

from .run_folder import (
    GAP_SAMPLES,
    ONSETS_S,
    RATE_HZ,
    START_NS,
    lunar_traces,
    martian_trace,
    segment_values,
    write_run,
    write_segment,
)

SEGMENT = "segments/XA_S12_one.mseed"


def exported(run_dir: Path) -> list[obspy.Trace]:
    assert cli.main(["export", str(run_dir), "--sac"]) == 0
    # By default obspy rounds the header's interval to the microsecond: 0.4 us off at Apollo's rate.
    return [
        trace
        for path in sorted((run_dir / "sac").glob("*.SAC"))
        for trace in obspy.read(str(path), format="SAC", round_sampling_interval=False)
    ]


def test_samples_and_times_are_those_of_the_segments(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    traces = exported(run_dir)
    kept = [trace for path in sorted((run_dir / "segments").iterdir()) for trace in obspy.read(str(path))]
    assert len(traces) == len(kept) == 7  # three channels in two stretches each, and one of Mars
    for trace in kept:
        (sac,) = [
            other for other in traces
            if other.id == trace.id and abs(other.stats.starttime - trace.stats.starttime) < 1e-6
        ]  # fmt: skip
        np.testing.assert_array_equal(sac.data, trace.data.astype(np.float32))
        assert sac.stats.sampling_rate == pytest.approx(trace.stats.sampling_rate, rel=1e-6)
        # delta is a 32-bit float: over these stretches it moves the last sample by far less than a thousandth of one.
        assert abs(sac.stats.endtime - trace.stats.endtime) < 1e-3 / trace.stats.sampling_rate


def test_integers_are_preserved_exactly(tmp_path: Path) -> None:
    obspy_traces = exported(write_run(tmp_path / "run"))
    for trace in lunar_traces():
        channel = trace.source_id[-5::2].replace("_", "")
        (data,) = [
            obspy_trace.data for obspy_trace in obspy_traces
            if obspy_trace.stats.channel == channel and abs(obspy_trace.stats.starttime.ns - trace.start_ns) < 1000
        ]  # fmt: skip
        np.testing.assert_array_equal(data.astype(np.int64), trace.samples)


def test_reference_time_is_the_first_sample_to_the_millisecond(tmp_path: Path) -> None:
    first = next(trace for trace in exported(write_run(tmp_path / "run")) if trace.id == "XA.S12.00.MHZ")
    header = first.stats.sac
    # START_NS is 1971-04-08T23:06:40.123456; 8 April is day 98.
    date = [header[name] for name in ("nzyear", "nzjday", "nzhour", "nzmin", "nzsec", "nzmsec")]
    assert date == [1971, 98, 23, 6, 40, 123]
    assert header["b"] == pytest.approx(0.000456, abs=1e-9)
    assert [header[name].strip() for name in ("knetwk", "kstnm", "khole", "kcmpnm")] == ["XA", "S12", "00", "MHZ"]


def test_onsets_are_marked_in_the_file_that_contains_them(tmp_path: Path) -> None:
    traces = exported(write_run(tmp_path / "run"))
    torn_at_s = 1000 / RATE_HZ  # 151 s: the first onset comes before the gap, the second after it
    assert ONSETS_S[0] < torn_at_s < torn_at_s + GAP_SAMPLES / RATE_HZ < ONSETS_S[1]
    onsets = {}
    for trace in traces:
        header = trace.stats.sac
        reference = trace.stats.starttime - float(header["b"])
        assert header["ka"].strip() == "A" and header["kf"].strip() == "F"
        onsets.setdefault(trace.stats.station, set()).add(round((reference + float(header["a"])).ns, -6))
        assert header["f"] - header["a"] == pytest.approx(40.0 if trace.stats.station == "ELYSE" else 90.0, abs=1e-3)
    expected = {round(START_NS + round(onset_s * NS_PER_S), -6) for onset_s in ONSETS_S}
    assert onsets["S12"] == expected
    assert onsets["ELYSE"] == {martian_trace().start_ns + 30 * NS_PER_S}


def test_further_onsets_of_a_file_are_t0_and_following(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    joined = [
        Trace(trace.source_id, trace.start_ns, RATE_HZ, np.arange(2000, dtype=np.int32))
        for trace in lunar_traces()[::2]
    ]
    write_segment(run_dir, SEGMENT, joined)
    lunar = [obspy_trace.stats.sac for obspy_trace in exported(run_dir) if obspy_trace.stats.station == "S12"]
    assert len(lunar) == 3
    for header in lunar:
        assert header["a"] == pytest.approx(ONSETS_S[0] + 0.000456, abs=1e-4)
        assert header["t0"] == pytest.approx(ONSETS_S[1] + 0.000456, abs=1e-4) and header["kt0"].strip() == "A"
        assert "t1" not in header


def test_onset_within_a_gap_is_in_no_header(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    write_segment(run_dir, SEGMENT, [trace for trace in lunar_traces() if trace.start_ns > START_NS])
    first = [obspy_trace for obspy_trace in exported(run_dir) if obspy_trace.stats.station == "S12"]
    assert first and all(
        obspy_trace.stats.sac["a"] == pytest.approx(ONSETS_S[1] - 1040 / RATE_HZ, abs=1e-3) for obspy_trace in first
    )


def test_rounding_of_64_bit_samples_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run")
    assert cli.main(["export", str(run_dir), "--sac"]) == 0
    assert "note: 64-bit samples were rounded" in capsys.readouterr().out
    values = json.loads((run_dir / "summary.json").read_text())
    (run_dir / "summary.json").write_text(json.dumps({**values, "segments": [segment_values(SEGMENT, "XA_S12")]}))
    assert cli.main(["export", str(run_dir), "--sac", "--out", str(tmp_path / "lunar"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["notes"] == [] and len(told["files"]) == 6


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.array([0, 2**24 + 1], dtype=np.int32), "reaches 16777217"),
        (np.array([0, -(2**30)], dtype=np.int32), "reaches 1073741824"),
        (np.array([0.0, 1e300]), "reaches 1e+300"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    samples: np.ndarray, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run")
    write_segment(run_dir, "segments/XB_ELYSE_one.mseed", [replace(martian_trace(), samples=samples)])
    assert cli.main(["export", str(run_dir), "--sac"]) == 1
    said = capsys.readouterr().err
    assert words in said and "miniSEED segments" in said and said.count("\n") == 1
    assert not (run_dir / "sac").exists()


def test_the_largest_exact_integer_is_accepted(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    write_segment(
        run_dir, "segments/XB_ELYSE_one.mseed",
        [replace(martian_trace(), samples=np.array([2**24, -(2**24), 1], dtype=np.int32))],
    )  # fmt: skip
    (trace,) = [trace for trace in exported(run_dir) if trace.stats.station == "ELYSE"]
    assert trace.data.astype(np.int64).tolist() == [16777216, -16777216, 1]


def test_codes_longer_than_sacs_are_whole_in_the_file_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run")
    ids = ("FDSN:XB_STATION890__B_HYDRO_ZZ", "FDSN:xb_ELYSE_02_B_H_V", "FDSN:XB_ELYSE_02_B_H_V", "FDSN:_ELYSE_02_B_H_V")
    traces = [replace(martian_trace(), source_id=source_id) for source_id in ids]
    write_segment(run_dir, "segments/XB_ELYSE_one.mseed", traces)
    assert cli.main(["export", str(run_dir), "--sac"]) == 0
    assert "note: SAC headers hold the first 8 letters of a code" in capsys.readouterr().out
    names = [path.name.lower() for path in (run_dir / "sac").iterdir()]
    assert len(set(names)) == len(names) and not any(name.startswith(".") for name in names)
    (path,) = (run_dir / "sac").glob("XB.STATION890..B_HYDRO_ZZ.*")
    assert obspy.read(str(path))[0].id == "XB.STATION8..B_HYDRO_"
