"""Synthetic records are reproducible, have the documented properties, and are read by obspy sample for sample."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest
from scipy import signal

from edgequake.data import tables
from edgequake.edge.base.errors import DataError
from edgequake.synthetic import lunar_signals, synthetic_dataset

RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ


def band_power(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    frequencies_hz, density = signal.welch(samples, RATE_HZ, nperseg=1024)
    return float(density[(frequencies_hz >= low_hz) & (frequencies_hz < high_hz)].mean())


def moonquake(seed: int, **shape: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return lunar_signals.quake_component(rng, lunar_signals.draw_shape(rng, **shape), RATE_HZ)


def test_noise_has_the_requested_level_and_a_peak_at_the_resonance() -> None:
    noise = lunar_signals.quiet_noise(np.random.default_rng(1), 400_000, RATE_HZ, level_counts=0.6)
    assert noise.dtype == np.float64
    # The level varies log-normally by a fifth, in steps of half an hour: about 33 of them here.
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.6, rel=0.15)
    assert band_power(noise, 0.4, 0.5) > 5 * band_power(noise, 1.4, 2.0)
    assert band_power(noise, 0.4, 0.5) > 5 * band_power(noise, 0.05, 0.15)
    hourly = np.abs(noise[: 16 * 24_000]).reshape(16, -1).mean(axis=1)
    assert hourly.max() > 1.1 * hourly.min()


def test_a_quiet_record_has_only_a_few_values() -> None:
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(2), 3600.0, noise_counts=0.4, spikes_per_hour=0, gaps_per_hour=0, fills_per_hour=0
    )
    for row in record.samples:
        assert 2 <= np.unique(row).size <= 8
        assert abs(np.median(row) - synthetic_dataset.CENTRE_COUNTS) <= 25


def test_a_moonquake_rises_slowly_and_its_coda_decays_at_the_requested_rate() -> None:
    wave = moonquake(3, rise_s=120.0, decay_s=600.0)
    minute = int(60 * RATE_HZ)
    amplitude = np.sqrt(np.mean(wave[: wave.size // minute * minute].reshape(-1, minute) ** 2, axis=1))
    assert amplitude[0] < 0.8 * amplitude.max()
    assert amplitude.max() == pytest.approx(1.0, abs=0.25)
    assert 1 <= amplitude.argmax() <= 6
    slope_per_minute = np.polyfit(np.arange(10, 40), np.log(amplitude[10:40]), 1)[0]
    assert -60.0 / slope_per_minute == pytest.approx(600.0, rel=0.15)


def test_a_moonquake_is_limited_to_its_band() -> None:
    wave = moonquake(4)
    inside = band_power(wave, 0.3, 2.0)
    assert band_power(wave, 2.2, 3.3) < 1e-3 * inside
    assert band_power(wave, 0.02, 0.2) < 1e-2 * inside


def test_the_envelope_has_a_maximum_of_one_near_the_rise_time() -> None:
    shape = lunar_signals.QuakeShape(rise_s=100.0, decay_s=1000.0, peak_hz=0.8)
    envelope = lunar_signals.quake_envelope(shape, RATE_HZ)
    assert envelope.max() == 1.0
    assert 60.0 < envelope.argmax() / RATE_HZ < 240.0
    assert envelope[-1] < 0.02


def test_glitches_are_spikes_of_one_sample_and_steps() -> None:
    rng = np.random.default_rng(5)
    flat = np.zeros(100_000)
    spiked = lunar_signals.add_glitches(rng, flat, RATE_HZ, spikes_per_hour=10.0, steps_per_day=0.0)
    (places,) = np.nonzero(spiked)
    assert not flat.any()
    assert 20 <= places.size <= 65  # Poisson about 42
    assert np.abs(spiked[places]).min() >= 3.0
    assert np.diff(places).min() > 1
    stepped = lunar_signals.add_glitches(rng, flat, RATE_HZ, spikes_per_hour=0.0, steps_per_day=40.0)
    assert 1 <= np.count_nonzero(np.diff(stepped)) <= 20  # Poisson about 7
    assert np.abs(np.diff(stepped)).max() <= 4.0


def test_components_share_the_onset_and_are_uncorrelated() -> None:
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(6), 7200.0, [3600.0], ratios=[60.0], noise_counts=0.5, spikes_per_hour=0,
        gaps_per_hour=0, fills_per_hour=0,
    )  # fmt: skip
    onset = int(3600.0 * RATE_HZ)
    quake = record.samples[:, onset + 1000 : onset + 6000].astype(float)
    before = record.samples[:, onset - 6000 : onset - 1000].astype(float)
    assert (quake.std(axis=1) > 10 * before.std(axis=1)).all()
    assert np.abs(np.corrcoef(quake)[np.triu_indices(3, 1)]).max() < 0.2
    assert quake[0].std() > quake[2].std()
    assert record.onsets_ns == (record.sample_time_ns(onset),)


def test_the_record_depends_on_the_seed() -> None:
    first, again, other = (
        synthetic_dataset.synthetic_record(np.random.default_rng(seed), 1800.0, [600.0]) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first.samples, again.samples)
    assert (first.samples != other.samples).any()


@pytest.mark.parametrize(
    ("duration_s", "onsets_s", "ratios", "words"),
    [
        (0.0, [], None, "positive duration"),
        (60.0, [70.0], None, "onsets inside"),
        (60.0, [30.0, 20.0], None, "rising onsets"),
        (60.0, [30.0], [1.0, 2.0], "one ratio for each"),
    ],
)
def test_contradictory_arguments_are_refused(
    duration_s: float, onsets_s: list[float], ratios: list[float] | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        synthetic_dataset.synthetic_record(np.random.default_rng(0), duration_s, onsets_s, ratios=ratios)


def test_obspy_reads_the_written_file_sample_for_sample(tmp_path: Path) -> None:
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(9), 4 * 3600.0, [5000.0], gaps_per_hour=10.0, fills_per_hour=2.0
    )
    stream = obspy.read(str(synthetic_dataset.write_miniseed(record, tmp_path / "record.mseed")))
    assert record.gaps and record.fills
    assert {obspy_trace.id for obspy_trace in stream} == {"XX.LUN.00.MH1", "XX.LUN.00.MH2", "XX.LUN.00.MHZ"}
    assert {obspy_trace.stats.mseed.encoding for obspy_trace in stream} == {"STEIM2"}
    for channel, row in zip(synthetic_dataset.CHANNELS, record.samples, strict=True):
        traces = stream.select(channel=channel).sort(["starttime"])
        assert len(traces) == len(record.gaps) + 1
        for trace, start in zip(traces, [0, *(stop for _, stop in record.gaps)], strict=True):
            assert trace.stats.starttime.ns == record.sample_time_ns(start)
            np.testing.assert_array_equal(trace.data, row[start : start + trace.stats.npts])
        for start, stop in record.fills:
            assert (row[start:stop] == -1).all()
    assert record.samples.max() <= 1023


def test_a_day_has_four_quakes_and_their_true_onsets_beside_it(tmp_path: Path) -> None:
    path = synthetic_dataset.write_day(tmp_path / "day", seed=1)
    stream = obspy.read(str(path))
    assert stream[0].stats.starttime == obspy.UTCDateTime(2030, 1, 1)
    assert max(trace.stats.endtime for trace in stream) - stream[0].stats.starttime == pytest.approx(86_400, abs=1)
    truth = list(csv.DictReader((tmp_path / "day" / "catalog.csv").open()))
    assert len(truth) == 4
    for row in truth:
        counted = obspy.UTCDateTime(row["time_abs"]) - stream[0].stats.starttime
        assert counted == pytest.approx(float(row["time_rel_s"]), abs=0.01)
        assert row["file"] == path.name


def test_a_dataset_has_the_layout_of_a_data_folder(tmp_path: Path) -> None:
    synthetic_dataset.write_dataset(tmp_path, seed=1, n_train=3, n_val=1, n_test=1)
    records = list(csv.DictReader((tmp_path / "records.csv").open()))
    catalog = list(csv.DictReader((tmp_path / "catalog.csv").open()))
    assert {row["split"] for row in records} == {"train", "val", "test"}
    assert {row["channel"] for row in records} == set(synthetic_dataset.CHANNELS)
    assert len(records) == 5 * 3
    for row in records:
        traces = obspy.read(str(tmp_path / row["file"])).select(channel=row["channel"])
        assert int(row["n_samples"]) == sum(trace.stats.npts for trace in traces)
        assert obspy.UTCDateTime(row["start"]) == min(trace.stats.starttime for trace in traces)
    groups = {row["group"] for row in records}
    assert {row["group"] for row in catalog} < groups  # some records have no event
    assert len({row["event"] for row in catalog}) == len(catalog)


@pytest.mark.parametrize("write", [synthetic_dataset.write_day, synthetic_dataset.write_dataset])
def test_a_folder_that_is_not_empty_is_not_overwritten(tmp_path: Path, write: Callable[[Path, int], Path]) -> None:
    (tmp_path / "records.csv").write_text("precious")
    with pytest.raises(DataError, match="is not empty and is not overwritten"):
        write(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["records.csv"]


@pytest.mark.records
@pytest.mark.parametrize(("name", "columns"), [("records.csv", "RECORD_COLUMNS"), ("catalog.csv", "CATALOG_COLUMNS")])
def test_columns_are_those_of_the_recorded_data(records_dir: Path, name: str, columns: str) -> None:
    with (records_dir / name).open() as file:
        assert file.readline().strip() == ",".join(getattr(tables, columns))
