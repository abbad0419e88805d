"""A whole run: its output, its counts, and the conditions that must not change them."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import __version__
from edgequake.edge.__main__ import main
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.memory import peak_memory_bytes
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import Trace, parse_time
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.summary import RecordTime, Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

from .live_command import live_command

S = 1_000_000_000
T0_NS = synthetic_dataset.DAY_START_NS
RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ
# The columns of the catalogue of the NASA packet, then ours, as the documentation lists them.
HEADER = (
    "filename,time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),evid,mq_type,station_id,channels,stop_abs,"
    "onset_uncertainty_s,peak_probability,priority,segment,n_samples,size_bytes"
)

Write = Callable[..., Path]
Moon = tuple[Manifest, bytes, Variant]


@pytest.fixture(scope="module")
def done(quake_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """Return the folder and the summary of one run."""
    out = tmp_path_factory.mktemp("done") / "out"
    return out, run(RunConfig((str(quake_file),), out))


def events_of(summary: Summary) -> list[tuple[int, int, float, int]]:
    return [(row.onset_ns, row.stop_ns, row.peak_probability, row.n_samples) for row in summary.events]


def time_multiplexed(path: Path) -> bytes:
    """Return a file's records in the order of their start times, as a live stream has them."""
    records = {}
    data = path.read_bytes()
    for first in range(0, len(data), 512):
        header = obspy.read(io.BytesIO(data[first : first + 512]), headonly=True)[0].stats
        records[header.starttime.ns, header.channel] = data[first : first + 512]
    return b"".join(records[key] for key in sorted(records))


@pytest.fixture
def on_stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# --- output ----------------------------------------------------------------------------------------------------------


def test_the_quake_is_detected(quake: synthetic_dataset.SyntheticRecord, done: tuple[Path, Summary]) -> None:
    (row,) = done[1].events
    assert abs(row.onset_ns - quake.onsets_ns[0]) < 300 * S


def test_the_catalogue_has_the_packets_columns_and_consistent_times(
    quake_file: Path, done: tuple[Path, Summary]
) -> None:
    text = (done[0] / "catalog.csv").read_text()
    assert text.splitlines()[0] == HEADER
    (cells,) = csv.DictReader(io.StringIO(text))
    onset = datetime.strptime(cells["time_abs(%Y-%m-%dT%H:%M:%S.%f)"], "%Y-%m-%dT%H:%M:%S.%f")
    first = min(trace.stats.starttime for trace in obspy.read(str(quake_file), headonly=True)).datetime
    assert float(cells["time_rel(sec)"]) == pytest.approx((onset - first) / timedelta(seconds=1), abs=2e-6)
    assert datetime.strptime(cells["stop_abs"], "%Y-%m-%dT%H:%M:%S.%f") > onset
    assert cells["filename"] == quake_file.stem and cells["station_id"] == "XX_LUN"
    assert cells["evid"] == f"XX_LUN_{onset:%Y%m%dT%H%M%S}.{onset.microsecond // 1000:03d}"
    assert cells["channels"] == "MH1 MH2 MHZ" and cells["mq_type"] in ("", "impact_mq", "deep_mq")
    assert 0.5 < float(cells["peak_probability"]) <= 1
    segment = obspy.read(str(done[0] / cells["segment"]))
    assert int(cells["n_samples"]) == sum(len(trace) for trace in segment)
    assert int(cells["size_bytes"]) == (done[0] / cells["segment"]).stat().st_size


def test_the_catalogue_has_the_events_of_the_summary(done: tuple[Path, Summary]) -> None:
    def rounded(row: CatalogRow) -> CatalogRow:
        return dataclasses.replace(
            row,
            onset_ns=round(row.onset_ns / 1000),
            stop_ns=round(row.stop_ns / 1000),
            time_rel_s=round(row.time_rel_s, 6),
            peak_probability=round(row.peak_probability, 4),
            priority=round(row.priority, 4),
            onset_uncertainty_s=round(row.onset_uncertainty_s or 0.0, 3),
        )

    assert [rounded(row) for row in read_catalog(done[0] / "catalog.csv")] == [rounded(r) for r in done[1].events]


def test_the_summary_counts_what_obspy_counts(quake_file: Path, moon_path: Path, done: tuple[Path, Summary]) -> None:
    out, summary = done
    written = json.loads((out / "summary.json").read_text())
    source = obspy.read(str(quake_file))
    manifest = json.loads(moon_path.read_text())
    graph = moon_path.parent / manifest["variants"][manifest["default_variant"]]["file"]
    record_s = max(t.stats.endtime + t.stats.delta for t in source) - min(t.stats.starttime for t in source)
    (segment,) = summary.segments
    kept_s = (segment.stop_ns - segment.start_ns) / S
    (event,) = summary.events
    assert round(segment.stop_ns / 1000) == event.stop_ns // 1000 + round(manifest["trigger"]["post_roll_s"] * 10**6)
    assert 0 < (event.onset_ns - segment.start_ns) / S < manifest["trigger"]["pre_roll_s"] + 260.0  # lag, search
    expected = {
        "edgequake_version": __version__,
        "model": "moon",
        "variant": manifest["default_variant"],
        "graph_sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "onset_threshold": manifest["trigger"]["onset_thresholds"]["normal"],
        "inputs": [str(quake_file)],
        "stations": ["XX_LUN"],
        "samples_in": sum(len(trace) for trace in source),
        "bytes_in": quake_file.stat().st_size,
        "samples_kept": sum(len(trace) for trace in obspy.read(str(out / segment.file))),
        "bytes_kept": (out / segment.file).stat().st_size,
        "record_s": pytest.approx(record_s, abs=0.01),
        "kept_s": pytest.approx(kept_s),
        "kept_fraction": pytest.approx(kept_s / record_s, rel=1e-5),
        "restarts": 0,
        "fill_samples": int(sum((trace.data == -1).sum() for trace in source)),
        "not_finite_samples": 0,
        "overlap_samples": 0,
        "unreadable_bytes": 0,
        "ignored_channels": [],
        "warnings": [],
        "n_events": 1,
    }
    assert {key: written[key] for key in expected} == expected
    assert written["tears_bridged"] >= len(obspy.read(str(quake_file))) - 3  # gaps between records, and runs of -1
    assert written["samples_bridged"] > 0 and written["wall_s"] > 0 and written["cpu_s"] > 0
    assert 10e6 < written["peak_memory_bytes"] < 100e9
    assert "tflite-runtime" in written["runtime"] or "ai-edge-litert" in written["runtime"]
    fields = {field.name for field in dataclasses.fields(Summary)} - {"out"}
    assert set(written) == fields
    assert "1 event(s) in 2 h 30 min of XX_LUN" in summary.text()


def test_a_quiet_record_leaves_an_empty_catalogue(write: Write, noise: np.ndarray, tmp_path: Path) -> None:
    summary = run(RunConfig((str(write("a.mseed", noise)),), tmp_path / "out"))
    assert summary.events == () and summary.segments == () and summary.kept_fraction == 0
    assert (tmp_path / "out" / "catalog.csv").read_text() == HEADER + "\n"
    assert list((tmp_path / "out" / "segments").iterdir()) == []


def test_results_are_replaced_only_with_force(
    quake_file: Path, write: Write, noise: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(RunConfig((str(quake_file),), out))
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    quiet = (str(write("a.mseed", noise)),)
    with pytest.raises(ConfigError, match="contains the results of an earlier run; choose another --out, or --force"):
        run(RunConfig(quiet, out))
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    run(RunConfig(quiet, out, force=True))
    assert list((out / "segments").iterdir()) == []
    assert json.loads((out / "summary.json").read_text())["n_events"] == 0


def test_progress_rises_to_one(quake_file: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    run(RunConfig((str(quake_file),), tmp_path / "out"), shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 3


# --- conditions that must not change it ------------------------------------------------------------------------------


def test_a_stream_gives_the_results_of_the_file(
    quake_file: Path, done: tuple[Path, Summary], on_stdin: Callable[[bytes], None], tmp_path: Path
) -> None:
    on_stdin(time_multiplexed(quake_file))
    summary = run(RunConfig(("-",), tmp_path / "out"))
    assert events_of(summary) == events_of(done[1])
    for name in ("samples_in", "bytes_in", "samples_kept", "record_s", "kept_s", "tears_bridged", "warnings"):
        assert getattr(summary, name) == getattr(done[1], name), name
    (row,) = summary.events
    assert row.filename == "-" and row.time_rel_s == pytest.approx(done[1].events[0].time_rel_s, abs=1.0)
    segment = (tmp_path / "out" / row.segment).read_bytes()
    assert segment == (done[0] / done[1].events[0].segment).read_bytes()


def test_a_stream_out_of_order_is_reported(quake_file: Path, on_stdin: Callable[[bytes], None], tmp_path: Path) -> None:
    on_stdin(quake_file.read_bytes())  # one channel after the other
    summary = run(RunConfig(("-",), tmp_path / "out"))
    assert len(summary.warnings) == 2  # the first channel is in time
    for warning in summary.warnings:
        assert "expected records in time order" in warning and int(warning.split()[0]) > 10_000


@pytest.mark.parametrize("years", [-61, -30, 100])
def test_the_epoch_does_not_matter(
    years: int, quake: synthetic_dataset.SyntheticRecord, done: tuple[Path, Summary], tmp_path: Path
) -> None:
    """Apollo 11 and 12 recorded before 1970, where times are negative."""
    shift_ns = years * 365 * 86_400 * S
    moved = dataclasses.replace(quake, start_ns=quake.start_ns + shift_ns)
    path = synthetic_dataset.write_miniseed(moved, tmp_path / "a.mseed")
    (row,) = run(RunConfig((str(path),), tmp_path / "out")).events
    (expected,) = done[1].events
    assert (row.onset_ns - shift_ns, row.stop_ns - shift_ns) == (expected.onset_ns, expected.stop_ns)
    assert (row.peak_probability, row.n_samples) == (expected.peak_probability, expected.n_samples)


@pytest.mark.parametrize("start_ns", [-100 * 86_400 * S, 0, T0_NS])
def test_rows_depend_neither_on_the_epoch_nor_on_the_cuts(start_ns: int, moon: Moon, noise: np.ndarray) -> None:
    config = moon[0].front_end

    def rows(first_ns: int, size: int) -> np.ndarray:
        traces = [
            Trace(f"FDSN:XX_LUN_00_M_H_{code}", first_ns + round(i * S / RATE_HZ), RATE_HZ, noise[i : i + size] + j)
            for i in range(0, len(noise), size)
            for j, code in enumerate("12Z")
        ]
        return station_rows(config, RATE_HZ, traces).rows

    np.testing.assert_array_equal(rows(start_ns, 400), rows(T0_NS, 20_000), strict=True)


def test_start_and_stop_use_the_samples_between_them_and_no_others(quake_file: Path, tmp_path: Path) -> None:
    start, stop = "2030-01-01T00:33:20.10", "2030-01-01T02:00:00.05"
    cut = obspy.read(str(quake_file)).slice(obspy.UTCDateTime(start), obspy.UTCDateTime(stop), nearest_sample=False)
    cut.write(str(tmp_path / "cut.mseed"), format="MSEED")
    options = {"start_ns": parse_time(start), "stop_ns": parse_time(stop)}
    trimmed = run(RunConfig((str(quake_file),), tmp_path / "a", **options))
    expected = run(RunConfig((str(tmp_path / "cut.mseed"),), tmp_path / "b"))
    assert trimmed.samples_in == sum(len(trace) for trace in cut) == expected.samples_in
    assert trimmed.record_s == pytest.approx(expected.record_s, abs=1e-5)
    assert len(trimmed.events) == 1
    for row, other in zip(trimmed.events, expected.events, strict=True):
        assert abs(row.onset_ns - other.onset_ns) <= 1000 and abs(row.stop_ns - other.stop_ns) <= 1000
        assert (row.peak_probability, row.n_samples) == (other.peak_probability, other.n_samples)


def test_a_packet_csv_gives_the_results_of_the_same_samples_in_miniseed(
    quake: synthetic_dataset.SyntheticRecord, write: Write, tmp_path: Path
) -> None:
    samples = quake.samples[2].astype(np.float64) * 1e-10
    first = datetime.fromtimestamp(T0_NS // S, timezone.utc)
    path = tmp_path / "xx.lun.00.mhz.2030-01-01HR00.csv"
    with path.open("w") as file:
        file.write("time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)\n")
        for i, value in enumerate(samples.tolist()):
            moment = first + timedelta(seconds=i / RATE_HZ)
            file.write(f"{moment:%Y-%m-%dT%H:%M:%S.%f},{i / RATE_HZ!r},{value!r}\n")
    mseed = write("a.mseed", samples)
    from_csv = run(RunConfig((str(path),), tmp_path / "a"))
    from_mseed = run(RunConfig((str(mseed),), tmp_path / "b"))
    assert from_csv.samples_in == from_mseed.samples_in == len(samples)
    assert len(from_csv.events) >= 1 and events_of(from_csv) == events_of(from_mseed)
    kept = [
        np.concatenate([trace.data for trace in obspy.read(str(folder / summary.events[0].segment))])
        for folder, summary in ((tmp_path / "a", from_csv), (tmp_path / "b", from_mseed))
    ]
    assert kept[0].dtype == np.float64
    np.testing.assert_array_equal(kept[0], kept[1])
    assert from_csv.events[0].filename == "xx.lun.00.mhz.2030-01-01HR00"


def test_nan_and_infinity_are_gaps_and_are_kept_as_they_are(
    quake: synthetic_dataset.SyntheticRecord, write: Write, tmp_path: Path
) -> None:
    samples = quake.samples[0].astype(np.float32)
    onset = round((quake.onsets_ns[0] - quake.start_ns) / S * RATE_HZ)
    samples[onset + 500 : onset + 600] = np.nan
    samples[onset + 700] = np.inf
    summary = run(RunConfig((str(write("a.mseed", samples)),), tmp_path / "out"))
    assert summary.not_finite_samples == 101 and len(summary.events) == 1
    stored = np.concatenate([t.data for t in obspy.read(str(tmp_path / "out" / summary.events[0].segment))])
    assert stored.dtype == np.float32 and np.isnan(stored).sum() == 100 and np.isinf(stored).sum() == 1


@pytest.mark.parametrize("scale", [1e-310, 1e-30, 1e30, 1e90])
def test_any_unit_is_accepted(
    scale: float, quake: synthetic_dataset.SyntheticRecord, write: Write, tmp_path: Path
) -> None:
    path = write("a.mseed", quake.samples[0].astype(np.float64) * scale)
    with np.errstate(all="raise", under="ignore"):
        summary = run(RunConfig((str(path),), tmp_path / "out"))
    assert len(summary.events) == (0 if scale < 1e-300 else 1)  # denormal numbers count as silence


def test_absurdly_large_values_are_not_ground_motion(noise: np.ndarray, write: Write, tmp_path: Path) -> None:
    samples = noise.astype(np.float64)
    samples[9000:9010] = 1e300
    with np.errstate(all="raise", under="ignore"):
        summary = run(RunConfig((str(write("a.mseed", samples)),), tmp_path / "out"))
    assert summary.not_finite_samples == 10 and summary.events == ()


@pytest.mark.parametrize(
    "samples",
    [
        np.full(20_000, 512, np.int32),
        -np.full(20_000, 2**30, np.int32) + np.arange(20_000, dtype=np.int32) % 7,
        np.random.default_rng(3).integers(-(2**31), 2**31 - 1, 20_000).astype(np.int32) // 8,
        np.array([5], np.int32),
        np.array([5, 6], np.int32),
    ],
    ids=["constant", "negative", "full scale", "one sample", "two samples"],
)
def test_odd_samples_run_to_the_end(samples: np.ndarray, write: Write, tmp_path: Path) -> None:
    summary = run(RunConfig((str(write("a.mseed", samples)),), tmp_path / "out"))
    assert summary.samples_in == len(samples) and summary.kept_s <= summary.record_s


def test_records_of_one_sample_give_the_same_results(loud: np.ndarray, write: Write, tmp_path: Path) -> None:
    cuts = [*range(1000), *range(1000, 26_000, 5000), *range(26_000, 27_000), len(loud)]  # the quake rises at 26 500
    for start, stop in itertools.pairwise(cuts):
        path = write("a.mseed", loud[start:stop], start_ns=T0_NS + round(start * 1e6 / RATE_HZ) * 1000)
    whole = write("b.mseed", loud)
    a = run(RunConfig((str(path),), tmp_path / "a"))
    b = run(RunConfig((str(whole),), tmp_path / "b"))
    assert events_of(a) == events_of(b) and len(a.events) > 0
    assert a.record_s == pytest.approx(b.record_s, abs=2e-6)


# --- errors during a run ---------------------------------------------------------------------------------------------


def test_an_error_during_a_run_leaves_no_summary(write: Write, loud: np.ndarray, tmp_path: Path) -> None:
    a = write("a.mseed", loud, source_id="FDSN:XX_AAA_00_M_H_Z")
    b = write("b.mseed", loud, source_id="FDSN:XX_BBB_00_M_H_Z")

    def remove(share: float) -> None:
        b.unlink(missing_ok=True)

    with pytest.raises(DataError, match=r"b\.mseed cannot be read: No such file"):
        run(RunConfig((str(a), str(b)), tmp_path / "out"), remove)
    assert not (tmp_path / "out" / "summary.json").exists()
    assert len(read_catalog(tmp_path / "out" / "catalog.csv")) > 0  # the events found by then


def _enable_interrupts() -> None:
    """Undo the setting of a shell that makes its background programs and their children ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("signal_number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_stream_that_is_stopped_ends_cleanly(
    signal_number: signal.Signals, exit_code: int, quake_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = live_command(out)
    pipes = dict.fromkeys(("stdin", "stderr", "stdout"), subprocess.PIPE)
    with subprocess.Popen(command, preexec_fn=_enable_interrupts, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(time_multiplexed(quake_file))
        process.stdin.flush()
        for _ in range(200):  # the quake is over: its row is written while the stream goes on
            if (out / "catalog.csv").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal_number)
        try:
            assert process.wait(timeout=60) == exit_code
        finally:
            process.kill()
        said = process.stderr.read().decode()
    model, event = said.splitlines()
    assert model.startswith("edgequake-edge: XX_LUN: model moon (")
    assert re.fullmatch(r"edgequake-edge: XX_LUN: event from \S+ UTC on", event)
    assert len(read_catalog(out / "catalog.csv")) == json.loads((out / "summary.json").read_text())["n_events"] == 1
    assert sorted(path.name for path in out.iterdir()) == [
        "catalog.check", "catalog.csv", "checkpoint.edgequake", "segments", "status.json", "summary.json"
    ]  # fmt: skip


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_summary(quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", str(quake_file), "--out", str(out), "--channels", " MH1, MHZ", "--sensitivity", "high"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("edgequake-edge: XX_LUN: model moon (") and said.err.count("\n") == 1
    assert "1 event(s) in 2 h 30 min of XX_LUN" in said.out and said.out.endswith(f"in {out}\n")
    assert json.loads((out / "summary.json").read_text())["ignored_channels"] == ["MH2"]


def test_the_command_prints_json(quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(quake_file), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "summary.json").read_text())


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux")
def test_peak_memory_is_this_processs_own() -> None:
    ballast = np.ones(50_000_000)  # 400 MB
    code = "from edgequake.edge.base.memory import peak_memory_bytes; print(peak_memory_bytes())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert peak_memory_bytes() > ballast.nbytes > 2 * int(answer.stdout)


def test_record_time_includes_short_gaps_and_no_long_ones() -> None:
    covered = RecordTime(bridge_ns=10)
    assert covered.total_ns == 0
    for start, stop in [(-100, -50), (-45, 0), (-60, -20), (10, 20), (31, 40)]:  # gaps of 5, 10 and 11
        covered.add(start, stop)
    assert covered.total_ns == 140 - 11
    assert covered.within(15, 35) == 20 - 11 and covered.within(21, 30) == 0
