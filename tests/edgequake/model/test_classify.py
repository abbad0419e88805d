"""`load_model(...).classify` against the catalogue of a run on the same records, whatever holds the samples."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest

import edgequake
from edgequake.benchmarks.robustness.shake_signal import RATE_HZ, START_NS, shake_signal
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.results.catalog import CatalogRow, catalog_text, read_catalog
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.export.quakeml import quakeml
from edgequake.model.classified_events import EventList
from edgequake.model.quake_model import QuakeModel
from edgequake.results.finished_run import read_run
from edgequake.synthetic import synthetic_dataset


@pytest.fixture(scope="module")
def earth() -> QuakeModel:
    return edgequake.load_model("earth")


@pytest.fixture(scope="module")
def moon() -> QuakeModel:
    return edgequake.load_model("moon")


@pytest.fixture(scope="module")
def moonquake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of three channels with gaps, fill values, spikes and a moonquake."""
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5
    )
    return synthetic_dataset.write_miniseed(record, tmp_path_factory.mktemp("moon") / "quake.mseed")


@pytest.fixture(scope="module")
def quakes() -> np.ndarray:
    """Return six minutes of a Shake's three channels with two local quakes, int32, at 100 Hz."""
    return shake_signal(np.random.default_rng(3), 390.0).samples


def rows_of(rows: list[CatalogRow]) -> list[str]:
    """Return rows as they are printed, without the file, of which arrays and Streams know nothing."""
    return [catalog_text([dataclasses.replace(row, filename="-", time_rel_s=0.0)]) for row in rows]


def run_rows(record: Path, out: Path, model: str) -> list[str]:
    run(RunConfig((str(record),), out, model=model))
    return rows_of(read_catalog(out / "catalog.csv"))


def traces(samples: np.ndarray, rate_hz: float = RATE_HZ, station: str = "AM_R0E05") -> list[Trace]:
    return [
        Trace(f"FDSN:{station}_00_E_H_{name}", START_NS, rate_hz, row)
        for name, row in zip("ZNE", samples, strict=False)
    ]


def test_a_stream_gives_the_rows_of_a_run(moon: QuakeModel, moonquake: Path, tmp_path: Path) -> None:
    expected = run_rows(moonquake, tmp_path / "run", "moon")
    stream = obspy.read(str(moonquake))
    assert len(stream) > 3  # with gaps
    events = moon.classify(stream)
    assert rows_of(list(events)) == expected and len(events) == 1
    assert rows_of(list(moon.classify(*reversed(stream)))) == expected  # in any order
    assert rows_of(list(moon.classify(stream.copy().merge()))) == expected  # masked where samples are missing
    assert rows_of(list(moon.classify(moonquake.read_bytes()))) == expected
    (from_file,) = moon.classify(moonquake)
    assert rows_of([from_file]) == expected and from_file.filename == "quake"
    (segment,) = Summary.read(tmp_path / "run" / "summary.json").segments
    assert (events[0].kept_start_ns, events[0].kept_stop_ns) == (segment.start_ns, segment.stop_ns)


@pytest.mark.parametrize(("rate_hz", "dtype"), [(100.0, np.int32), (120.0, np.float32), (97.5, np.float64)])
def test_other_rates_and_floats_too(
    rate_hz: float, dtype: type, earth: QuakeModel, quakes: np.ndarray, tmp_path: Path
) -> None:
    samples = quakes.astype(dtype)
    (tmp_path / "day.mseed").write_bytes(encode(traces(samples, rate_hz)))
    expected = run_rows(tmp_path / "day.mseed", tmp_path / "run", "earth")
    assert len(expected) >= 1
    codes = [f"AM.R0E05.00.EH{name}" for name in "ZNE"]
    # miniSEED 2 holds microseconds: so do the times of this array
    events = earth.classify(samples, sampling_rate_hz=rate_hz, start=START_NS, channels=codes)
    assert rows_of(list(events)) == expected
    assert rows_of(list(earth.classify(obspy.read(str(tmp_path / "day.mseed"))))) == expected


def test_several_stations_and_gaps(earth: QuakeModel, quakes: np.ndarray, tmp_path: Path) -> None:
    first, second = traces(quakes[:1]), traces(quakes[:1, :12_000], station="AM_RAAAA")
    later = Trace(second[0].source_id, START_NS + 150 * NS_PER_S, RATE_HZ, quakes[0, 15_000:])  # 30 s are missing
    (tmp_path / "both.mseed").write_bytes(encode([*first, *second, later]))
    expected = run_rows(tmp_path / "both.mseed", tmp_path / "run", "earth")
    stations = {line.split(",")[5] for line in expected}
    assert stations == {"AM_R0E05", "AM_RAAAA"}
    assert rows_of(list(earth.classify(obspy.read(str(tmp_path / "both.mseed"))))) == expected
    assert rows_of(list(earth.classify(tmp_path / "both.mseed"))) == expected


@pytest.mark.records
@pytest.mark.parametrize(
    ("model", "pattern"),
    [("earth", "earth/*.mseed"), ("earth", "earth_other_rates/local_BW.UH*.mseed"), ("mars", "mars/located*.mseed")],
)
def test_recorded_data(model: str, pattern: str, records_dir: Path, tmp_path: Path) -> None:
    loaded = edgequake.load_model(model)
    files = sorted(records_dir.glob(pattern), key=lambda path: path.stat().st_size)[:3]
    assert len(files) == 3
    n_events = 0
    for number, file in enumerate(files):
        expected = run_rows(file, tmp_path / str(number), model)
        assert rows_of(list(loaded.classify(obspy.read(str(file))))) == expected
        n_events += len(expected)
    assert n_events > 0


def test_events_become_an_obspy_catalog(earth: QuakeModel, quakes: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "day.mseed").write_bytes(encode(traces(quakes)))
    run(RunConfig((str(tmp_path / "day.mseed"),), tmp_path / "run", model="earth"))
    events = earth.classify(tmp_path / "day.mseed")
    catalog = events.to_catalog()
    assert [event.picks[0].time.ns for event in catalog] == [event.onset_ns for event in events]
    (tmp_path / "run.xml").write_bytes(quakeml(read_run(tmp_path / "run")))
    exported = obspy.read_events(str(tmp_path / "run.xml"))
    assert len(catalog) == len(exported) == len(events) > 0
    for ours, theirs in zip(catalog, exported, strict=True):
        assert ours.resource_id == theirs.resource_id and ours.picks[0].waveform_id == theirs.picks[0].waveform_id
        assert abs(ours.picks[0].time.ns - theirs.picks[0].time.ns) <= 500  # the file has microseconds
        assert ours.picks[0].method_id == theirs.picks[0].method_id


def test_an_event_list_is_a_sequence(earth: QuakeModel, quakes: np.ndarray) -> None:
    events = earth.classify(quakes, sampling_rate_hz=100.0, start=START_NS, channels=["EHZ", "EHN", "EHE"])
    assert isinstance(events, EventList) and list(events) == [events[i] for i in range(len(events))]
    assert isinstance(events[:1], EventList) and len(events[:1]) == 1
    first = events[0]
    assert first.station_id == "XX_STA" and first.channels == ("EHE", "EHN", "EHZ")
    assert first.onset_uncertainty_s is not None and first.onset.startswith("2030-01-01T00:0")
    assert first.kept_start_ns < first.onset_ns < first.stop_ns < first.kept_stop_ns
    assert str(events).splitlines()[0] == f"{len(events)} event(s) by earth int8"
    assert first.onset in str(events) and "earth int8" in repr(earth) and repr(events) == str(events)
    kept = (obspy.UTCDateTime(first.kept_start), obspy.UTCDateTime(first.kept_stop))
    assert [round(time.ns, -3) for time in kept] == [first.kept_start_ns, first.kept_stop_ns]


def test_annotations_are_what_the_trigger_judges(earth: QuakeModel, quakes: np.ndarray) -> None:
    events = earth.classify(quakes, sampling_rate_hz=100.0, start=START_NS, channels=["EHZ", "EHN", "EHE"])
    stream = earth.annotate(quakes, sampling_rate_hz=100.0, start=START_NS, channels=["EHZ", "EHN", "EHE"])
    assert [trace.id for trace in stream] == ["XX.STA..earth_onset", "XX.STA..earth_event"]
    onset, _ = stream
    manifest = earth.manifest
    assert onset.stats.sampling_rate == manifest.sampling_rate_hz / manifest.front_end.hop_samples
    assert 0.0 <= onset.data.min() and onset.data.max() <= 1.0
    for event in events:
        near = onset.slice(*(obspy.UTCDateTime(ns=event.onset_ns + seconds * NS_PER_S) for seconds in (-3, 6)))
        assert near.data.max() >= earth.threshold
        assert abs(onset.slice(obspy.UTCDateTime(ns=event.onset_ns - 5 * NS_PER_S)).data.max()) >= 0.9
    quiet = onset.slice(endtime=obspy.UTCDateTime(ns=events[0].onset_ns - 20 * NS_PER_S))
    assert quiet.data.max() < earth.threshold


def test_annotations_are_cut_at_long_gaps(earth: QuakeModel, quakes: np.ndarray) -> None:
    masked = np.ma.masked_array(quakes[0], mask=False)
    masked[12_000:22_000] = np.ma.masked
    stream = earth.annotate(masked, sampling_rate_hz=100.0, start=START_NS, channels=["EHZ"])
    names = [trace.stats.channel for trace in stream]
    assert names == ["earth_onset", "earth_onset", "earth_event", "earth_event"]
    assert stream[1].stats.starttime.ns >= START_NS + duration_ns(22_000, 100.0)


def test_the_detector_of_a_model_is_that_of_edge(earth: QuakeModel) -> None:
    assert edgequake.Detector is edgequake.edge.Detector is Detector
    assert isinstance(earth.detector(), Detector) and earth.detector().threshold == earth.threshold


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.classify(), "no waveforms: expected an obspy Stream"),
        (lambda m, x: m.classify(x), "needs sampling_rate_hz and start"),
        (lambda m, x: m.classify(x, sampling_rate_hz=100, start=0), r"holds 3 channel\(s\) and 0 are named"),
        (lambda m, x: m.classify(x.T, sampling_rate_hz=100, start=0, channels=["EHZ"]), "expected shape"),
        (lambda m, x: m.classify(x[0], sampling_rate_hz=-1, start=0, channels=["EHZ"]), "a number of Hz above 0"),
        (lambda m, x: m.classify(x[0], sampling_rate_hz=5, start=0, channels=["EHZ"]), "XX_STA__EHZ: "),
        (lambda m, x: m.classify(x[0], sampling_rate_hz=100, start=1.5, channels=["EHZ"]), "expected a time as"),
        (lambda m, x: m.classify(x[0] * 1j, sampling_rate_hz=100, start=0, channels=["EHZ"]), "complex128, expected"),
        (lambda m, x: m.classify(x[0] * np.nan, sampling_rate_hz=100, start=0, channels=["EHZ"]), "are NaN"),
        (lambda m, x: m.classify("/nowhere/x.mseed"), "is no file or folder"),
        (lambda m, x: m.classify("x.mseed", x), "files and waveforms in one call"),
        (lambda m, x: m.classify(b"not a record"), "are no miniSEED records"),
        (lambda m, x: m.classify(obspy.Stream()), "hold no sample"),
        (lambda m, x: m.classify(obspy.Trace(x[0], {"channel": "LOG"})), "no channel matches"),
        (lambda m, x: m.classify({"data": x}), "waveforms of type dict"),
        (lambda m, x: m.classify([x]), "a list of arrays"),
    ],
)
def test_bad_waveforms_are_refused_in_one_line(
    call: Callable[[QuakeModel, np.ndarray], object], message: str, earth: QuakeModel, quakes: np.ndarray
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        call(earth, quakes[:, :500])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("venus", {}, ManifestError, "no model 'venus'"),
        ("runs/mine.keras", {}, ConfigError, "convert it with `edgequake convert runs/mine.keras"),
        ("mine.int8.tflite", {}, ConfigError, "load the manifest beside it"),
        ("auto", {}, ConfigError, "name one of earth, mars, moon"),
        ("earth", {"sensitivity": "loud"}, ConfigError, "sensitivity 'loud': expected one of low, normal, high"),
        ("earth", {"threshold": 2.0}, ConfigError, "threshold 2: expected a probability"),
        ("earth", {"variant": "int4"}, EdgequakeError, "no variant 'int4'"),
    ],
)
def test_what_is_no_model_is_refused(
    name: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        edgequake.load_model(name, **options)  # type: ignore[arg-type]


def test_a_manifest_and_other_thresholds(moonquake: Path, root: Path, tmp_path: Path) -> None:
    model = edgequake.load_model(root / "edge/models/moon.json", sensitivity="high")
    assert model.threshold == model.manifest.trigger.onset_thresholds["high"]
    assert edgequake.load_model("moon", threshold=0.25).threshold == 0.25
    run(RunConfig((str(moonquake),), tmp_path / "run", model="moon", sensitivity="high"))
    assert rows_of(list(model.classify(moonquake))) == rows_of(read_catalog(tmp_path / "run" / "catalog.csv"))
