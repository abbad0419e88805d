"""Many files in one run: which are consecutive, which are streams of their own, which are left out."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import encode, index_file, read_indexed
from edgequake.edge.formats.waveforms import Trace, duration_ns, format_time, merge_contiguous, parse_time
from edgequake.edge.inputs.files import InputPlan, plan_inputs
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

Write = Callable[..., Path]
Moon = tuple[Manifest, bytes, Variant]

RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ
T0_NS = synthetic_dataset.DAY_START_NS
YEAR_NS = 31_557_600 * 10**9
S = 10**9


@pytest.fixture
def manifest(moon: Moon) -> Manifest:
    return moon[0]


@pytest.fixture(scope="module")
def whole(quake_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Return the summary of a run over the whole file; other ways of reading it must give the same."""
    summary = run(RunConfig((str(quake_file),), tmp_path_factory.mktemp("whole") / "out"))
    assert len(summary.events) == 1
    return summary


def traces(plan: InputPlan, i: int = 0) -> list[Trace]:
    return list(plan.streams[i].traces(plan.diagnostics))


def event_of(row: CatalogRow) -> tuple[int, int, float, tuple[str, ...], int]:
    return row.onset_ns, row.stop_ns, row.peak_probability, row.channels, row.n_samples


def events_of(summary: Summary) -> list[tuple[int, int, float, tuple[str, ...], int]]:
    return [event_of(row) for row in summary.events]


def test_day_files_are_one_stream_and_give_the_events_of_the_whole(
    quake_file: Path, whole: Summary, tmp_path: Path
) -> None:
    source, middle = obspy.read(str(quake_file)), obspy.UTCDateTime(ns=T0_NS + 3_600_050_000_000)
    folder = tmp_path / "days"
    folder.mkdir()
    first = source.slice(endtime=middle, nearest_sample=False)
    second = source.slice(starttime=middle, nearest_sample=False)
    first.write(str(folder / "b_first.mseed"), format="MSEED")  # names out of order
    second.write(str(folder / "a_second.mseed"), format="MSEED")
    summary = run(RunConfig((str(folder),), tmp_path / "out"))
    assert summary.samples_in == whole.samples_in
    assert events_of(summary) == events_of(whole)
    (row,) = summary.events
    assert row.filename == "a_second"
    first_ns = min(trace.stats.starttime.ns for trace in obspy.read(str(folder / "a_second.mseed")))
    assert row.time_rel_s == pytest.approx((row.onset_ns - first_ns) / 1e9, abs=1e-5)


def test_one_file_per_channel_gives_the_events_of_one_file(quake_file: Path, whole: Summary, tmp_path: Path) -> None:
    source = obspy.read(str(quake_file))
    names = []
    for code in ("MHZ", "MH1", "MH2"):
        names.append(str(tmp_path / f"{code}.mseed"))
        source.select(channel=code).write(names[-1], format="MSEED")
    summary = run(RunConfig(tuple(names), tmp_path / "out"))
    assert events_of(summary) == events_of(whole)
    assert summary.kept_fraction == pytest.approx(whole.kept_fraction, abs=1e-6)
    kept = [obspy.read(str(folder / row.segment)) for folder, row in _kept(tmp_path, summary)]
    assert sum(len(trace) for stream in kept for trace in stream) == whole.samples_kept


def _kept(tmp_path: Path, summary: Summary) -> list[tuple[Path, CatalogRow]]:
    return [(tmp_path / "out", row) for row in summary.events]


def test_overlapping_files_are_one_stream(manifest: Manifest, write: Write, noise: np.ndarray) -> None:
    a = write("a.mseed", noise)
    b = write("b.mseed", noise + 1, start_ns=T0_NS + duration_ns(10_000, RATE_HZ))
    c = write("c.mseed", noise + 2, start_ns=T0_NS + duration_ns(20_000, RATE_HZ))
    plan = plan_inputs((str(c), str(b), str(a)), manifest)
    assert [[part.path.name for part in stream.parts] for stream in plan.streams] == [["a.mseed", "b.mseed", "c.mseed"]]
    starts_ns = [trace.start_ns for trace in traces(plan)]
    assert starts_ns == sorted(starts_ns)


def test_a_file_given_twice_is_used_once(quake_file: Path, whole: Summary, tmp_path: Path) -> None:
    link = tmp_path / "link.mseed"
    link.symlink_to(quake_file)
    summary = run(RunConfig((str(quake_file), str(link)), tmp_path / "out"))
    assert events_of(summary) == events_of(whole)
    assert summary.kept_fraction == pytest.approx(whole.kept_fraction)


@pytest.mark.parametrize("hours", [1.0, 0.25])
def test_overlapping_files_in_other_records_give_every_event_and_sample_once(
    hours: float, quake_file: Path, whole: Summary, tmp_path: Path
) -> None:
    """Day files that overlap by an hour and by a quarter, and records that are cut elsewhere."""
    index = index_file(quake_file)
    record = merge_contiguous(sorted(read_indexed(index, index.headers), key=lambda trace: trace.source_id))
    middle_ns = (record[0].start_ns + record[0].stop_ns) // 2
    for name, start_ns, stop_ns in (
        ("a", None, middle_ns + round(hours * 1800 * S)), ("b", middle_ns - round(hours * 1800 * S), None),
    ):  # fmt: skip
        (tmp_path / f"{name}.mseed").write_bytes(encode(trace.between(start_ns, stop_ns) for trace in record))
    summary = run(RunConfig((str(tmp_path / "a.mseed"), str(tmp_path / "b.mseed")), tmp_path / "out"))
    assert [row.onset_ns for row in summary.events] == [row.onset_ns for row in whole.events]
    assert len({row.evid for row in summary.events}) == len(summary.events)
    assert summary.samples_kept == whole.samples_kept


def test_a_csv_beside_its_miniseed_file_is_left_out(write: Write, noise: np.ndarray, tmp_path: Path) -> None:
    name = "xa.s12.00.mhz.2030-01-01HR00_evid00001"
    start_ns = parse_time("2030-01-01T00:00:00")
    path = write(f"in/{name}.mseed", noise, start_ns=start_ns, source_id="FDSN:XA_S12_00_M_H_Z")
    rows = [f"{format_time(start_ns + duration_ns(i, RATE_HZ))},{i / RATE_HZ!r},{v}" for i, v in enumerate(noise)]
    head = "time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)"
    path.with_suffix(".csv").write_text("\n".join([head, *rows, ""]))
    summary = run(RunConfig((str(path.parent),), tmp_path / "out"))
    assert summary.samples_in == len(noise)
    (warning,) = summary.warnings
    assert warning.endswith(f"{name}.csv left out: {name}.mseed holds the same channel and time")


def test_files_may_overlap_within_a_record(manifest: Manifest, write: Write, noise: np.ndarray) -> None:
    a = write("a.mseed", noise[:10_003])
    b = write("b.mseed", noise[10_000:], start_ns=T0_NS + duration_ns(10_000, RATE_HZ))
    plan = plan_inputs((str(a), str(b)), manifest)
    assert len(plan.streams) == 1


def test_stations_are_kept_apart(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    path = write("a.mseed", noise)
    write("a.mseed", noise + 5, source_id="FDSN:XX_MAR_00_M_H_Z")
    plan = plan_inputs((str(path),), manifest)
    assert [stream.station_id for stream in plan.streams] == ["XX_LUN", "XX_MAR"]
    for i, expected in enumerate([noise, noise + 5]):
        np.testing.assert_array_equal(np.concatenate([p.samples for p in traces(plan, i)]), expected)


def test_traces_of_all_files_are_in_order_of_start_time(quake_file: Path, manifest: Manifest) -> None:
    plan = plan_inputs((str(quake_file),), manifest)
    starts = [trace.start_ns for trace in traces(plan)]
    assert starts == sorted(starts) and len(plan.streams) == 1


def test_channels_are_chosen_by_pattern(quake_file: Path, tmp_path: Path) -> None:
    summary = run(RunConfig((str(quake_file),), tmp_path / "out", channels=("BH?", "MHZ")))
    (trace_samples,) = {sum(len(t) for t in obspy.read(str(quake_file)).select(channel="MHZ"))}
    assert summary.samples_in == trace_samples
    assert summary.ignored_channels == ("MH1", "MH2")
    assert {row.channels for row in summary.events} == {("MHZ",)}


@pytest.mark.parametrize("code", ["B_0_0", "m_h_z", "__Z"])
def test_a_file_without_a_matching_channel_is_refused(
    code: str, write: Write, noise: np.ndarray, manifest: Manifest, by_component: Manifest
) -> None:
    path = write("a.mseed", noise, source_id=f"FDSN:XX_LUN_00_{code}", version=3)
    named = r"no channel that matches MH\?, the channels of model moon: it has .*; name the channels with --channels"
    with pytest.raises(DataError, match=named):
        plan_inputs((str(path),), manifest)
    with pytest.raises(
        DataError, match=r"matches \?, \* and a component of model moon, \?HZ, \?HN: it has .*; name another"
    ):
        plan_inputs((str(path),), by_component, ("?", "*"))


@pytest.mark.parametrize("source_id", ["FDSN:_LUN__M_H_Z", "FDSN:XX___M_H_Z", "FDSN:___M_H_Z"])
def test_empty_codes_do_no_harm(source_id: str, write: Write, loud: np.ndarray, tmp_path: Path) -> None:
    path = write("a.mseed", loud, source_id=source_id)
    summary = run(RunConfig((str(path),), tmp_path / "out"))
    assert summary.samples_in == len(loud) and len(summary.events) > 0
    stored = obspy.read(str(tmp_path / "out" / summary.events[0].segment))
    assert stored[0].stats.channel == "MHZ"


def test_an_invalid_identifier_is_refused(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    path = write("a.mseed", noise, source_id="no/such thing", version=3)
    with pytest.raises(DataError, match=r"a\.mseed holds no usable record .*source identifier 'no/such thing'"):
        plan_inputs((str(path),), manifest, ("*",))


def test_the_longest_identifier_goes_into_a_segment(write: Write, loud: np.ndarray, tmp_path: Path) -> None:
    source_id = "FDSN:NETWORK8_STATION8_LOCATIO8_" + "B" * 15 + "_" + "S" * 13 + "_Z"
    path = write("a.mseed", loud, source_id=source_id, version=3)
    summary = run(RunConfig((str(path),), tmp_path / "out", channels=("*",)))
    (name, *_) = [row.segment for row in summary.events]
    (found,) = {header.source_id for header in index_file(tmp_path / "out" / name).headers}
    assert found == source_id and len(source_id) == 63


def test_a_rate_the_model_does_not_take_is_refused(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    path = write("a.mseed", noise, rate_hz=5.0)
    with pytest.raises(DataError, match=r"a\.mseed: model moon: sampling rate 5 Hz: this model takes 6\.492 to 106 Hz"):
        plan_inputs((str(path),), manifest)


def test_a_channel_that_changes_its_rate_is_refused_before_anything_is_written(
    write: Write, noise: np.ndarray, manifest: Manifest
) -> None:
    path = write("a.mseed", noise)
    write("a.mseed", noise, rate_hz=13.25, start_ns=T0_NS + duration_ns(20_000, RATE_HZ))
    with pytest.raises(DataError, match=r"a\.mseed: MHZ changes its sampling rate from 6\.625 to 13\.25 Hz"):
        plan_inputs((str(path),), manifest)


def test_unusable_files_of_a_folder_are_left_out_and_reported(write: Write, noise: np.ndarray, tmp_path: Path) -> None:
    write("in/deep/er/a.mseed", noise)
    write("in/fast.mseed", noise, rate_hz=200.0)
    folder = tmp_path / "in"
    (folder / "empty.mseed").write_bytes(b"")
    (folder / "junk.bin").write_bytes(np.random.default_rng(1).bytes(10_000))
    (folder / "readme.txt").write_text("no record")
    (folder / "kept.csv").write_text("filename,evid\n")
    (folder / "catalog.csv").write_text(
        "filename,evid\n"
    )  # of a data folder, as records.csv: labels, which no run reads
    (folder / "records.csv").write_text("file\n")
    (folder / ".hidden").write_bytes(b"x")
    (folder / "dangling.mseed").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder)
    summary = run(RunConfig((str(folder),), tmp_path / "out"))
    assert summary.samples_in == len(noise)
    assert len(summary.warnings) == 5 and all(text.startswith("left out: ") for text in summary.warnings)
    for name in ("fast.mseed", "empty.mseed", "junk.bin", "readme.txt", "kept.csv"):
        assert any(name in text for text in summary.warnings)


def test_a_folder_with_no_usable_file_is_refused_with_the_reason(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"holds no usable record$"):
        plan_inputs((str(tmp_path),), manifest)
    (tmp_path / "note.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"holds no usable record; the first was .*note\.txt is not miniSEED"):
        plan_inputs((str(tmp_path),), manifest)


def test_a_gap_of_years_takes_no_memory_and_is_no_record_time(write: Write, loud: np.ndarray, tmp_path: Path) -> None:
    for i, years in enumerate([-250, -60, 0, 200]):
        write(f"in/{i}.mseed", loud, start_ns=T0_NS + years * YEAR_NS, version=3)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, limits[1]))  # the blocks of the years would need more
    try:
        summary = run(RunConfig((str(tmp_path / "in"),), tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert summary.record_s == pytest.approx(4 * len(loud) / RATE_HZ)
    assert summary.restarts == 3
    assert 0 < summary.kept_s <= summary.record_s
    onsets = [(row.onset_ns - T0_NS) / YEAR_NS for row in summary.events]
    assert {round(onset) for onset in onsets} == {-250, -60, 0, 200}  # the same samples, the same events


def test_many_files_are_not_all_open_at_once(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    for i in range(60):
        folder = write(f"in/{i:02d}.mseed", noise[:300], start_ns=T0_NS + duration_ns(300 * i, RATE_HZ)).parent
    n_open = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 64
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, limits[1]))
    try:
        plan = plan_inputs((str(folder),), manifest)
        n_samples = sum(len(trace.samples) for trace in traces(plan))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(plan.streams) == 1 and n_samples == 60 * 300


def test_a_file_deleted_during_the_run_is_an_error(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    path = write("a.mseed", noise)
    plan = plan_inputs((str(path),), manifest)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.mseed cannot be read: No such file"):
        traces(plan)


def test_a_file_truncated_during_the_run_is_reported(write: Write, noise: np.ndarray, manifest: Manifest) -> None:
    path = write("a.mseed", noise)
    plan = plan_inputs((str(path),), manifest)
    path.write_bytes(path.read_bytes()[: 512 * 3 + 100])
    assert len(traces(plan)) == 3
    (text,) = plan.diagnostics.texts()
    assert "damaged record(s) left out" in text


def test_a_copy_with_other_record_lengths_gives_the_same_catalogue(
    quake_file: Path, whole: Summary, tmp_path: Path
) -> None:
    source = obspy.read(str(quake_file))
    for record_bytes in (256, 4096):
        path = tmp_path / str(record_bytes) / quake_file.name
        path.parent.mkdir()
        source.write(str(path), format="MSEED", reclen=record_bytes, encoding="STEIM2")
        summary = run(RunConfig((str(path),), tmp_path / f"out{record_bytes}"))
        assert events_of(summary) == events_of(whole)
        (row,), (expected,) = summary.events, whole.events
        assert (row.filename, row.evid, row.segment) == (expected.filename, expected.evid, expected.segment)
        assert row.time_rel_s == expected.time_rel_s
        shutil.rmtree(path.parent)
