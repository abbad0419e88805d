"""Slowed earthquakes: what stretching does to durations and frequencies, and where they are implanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.earth import EarthQuake, draw_factor, earth_quake_records, read_earth_quakes, stretched
from edgequake.train.examples.augmentation import make_record
from edgequake.train.examples.examples import made_examples
from edgequake.train.trainer import train

RATE_HZ = 6.625
START = obspy.UTCDateTime("2020-01-01T00:00:00")
HEADER = "split,body,group,file,station,channel,sampling_rate_hz,start,duration_s,n_samples,units,source,note\n"
CATALOG = "split,body,group,file,event,event_type,time_abs,time_rel_s,precision_s,primary,label_source\n"


def burst(tone_hz: float, rate_hz: float = 100.0, duration_s: float = 60.0, width_s: float = 4.0) -> EarthQuake:
    """A tone under a Gaussian that peaks in the middle."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = np.sin(2 * np.pi * tone_hz * t) * np.exp(-0.5 * ((t - duration_s / 2) / width_s) ** 2)
    return EarthQuake(wave.astype(np.float32), rate_hz, 2.0)


def duration_and_peak(wave: np.ndarray, rate_hz: float) -> tuple[float, float]:
    """Return the seconds that hold the middle 90 % of the energy, and the frequency of the spectrum's peak."""
    energy = np.cumsum(wave**2) / np.sum(wave**2)
    low, high = np.searchsorted(energy, [0.05, 0.95])
    spectrum = np.abs(np.fft.rfft(wave, 1 << 20))
    return (high - low) / rate_hz, float(np.argmax(spectrum) * rate_hz / (1 << 20))


@pytest.mark.parametrize("factor", [4.0, 7.3, 20.0])
def test_stretching_multiplies_durations_and_divides_frequencies(factor: float) -> None:
    quake = burst(tone_hz=8.0)
    was_s, was_hz = duration_and_peak(quake.samples.astype(np.float64), quake.sampling_rate_hz)
    wave, lead_s = stretched(quake, factor, RATE_HZ)
    is_s, is_hz = duration_and_peak(wave, RATE_HZ)
    assert len(wave) / RATE_HZ == pytest.approx(60.0 * factor, abs=1 / RATE_HZ)
    assert is_s / was_s == pytest.approx(factor, rel=0.02)
    assert is_hz / was_hz == pytest.approx(1 / factor, rel=1e-3)
    assert lead_s == 2.0 * factor


def test_frequencies_beyond_the_new_nyquist_do_not_fold_back() -> None:
    wave, _ = stretched(burst(tone_hz=30.0), 4.0, RATE_HZ)  # 7.5 Hz, far above 3.3 Hz
    assert np.abs(wave).max() < 1e-3


def test_factors_are_log_uniform_and_leave_something_in_the_band() -> None:
    rng = np.random.default_rng(0)
    fast = [draw_factor(rng, burst(8.0), (4.0, 30.0), 1.5) for _ in range(2000)]
    assert 4.0 <= min(fast) < 4.1 and 29.0 < max(fast) <= 30.0
    assert np.median(fast) == pytest.approx(np.sqrt(4.0 * 30.0), rel=0.05)
    slow = [draw_factor(rng, burst(2.0, rate_hz=20.0), (4.0, 30.0), 1.5) for _ in range(200)]
    assert max(slow) <= 10.0 / 1.5
    assert draw_factor(rng, burst(0.5, rate_hz=5.0), (4.0, 30.0), 1.5) == pytest.approx(4.0)


def earth_folder(folder: Path, loudness: float = 30.0) -> Path:
    """Write a data folder with three Earth records: noise, and after 40 s a tone of 5 Hz that decays."""
    rng = np.random.default_rng(1)
    (folder / "earth").mkdir(parents=True)
    records, catalog = HEADER, CATALOG
    for i, split in enumerate(("train", "train", "val")):
        t = np.arange(12_000) / 100.0
        coda = np.where(t >= 40.0, np.exp(-(t - 40.0) / 15.0), 0.0)
        samples = 100 * (rng.standard_normal(len(t)) + loudness * coda * np.sin(2 * np.pi * 5.0 * t))
        trace = obspy.Trace(samples.astype(np.int32), {"sampling_rate": 100.0, "starttime": START, "channel": "HHZ"})
        trace.stats.network, trace.stats.station = "XX", "EAR"
        name = f"earth/{split}_{i}.mseed"
        trace.write(str(folder / name), format="MSEED")
        records += f"{split},earth,e{i},{name},EAR,HHZ,100.0,{START},119.99,12000,counts,drawn,\n"
        catalog += f"{split},earth,e{i},{name},e{i},earthquake,{START + 40},40.0,1,1,drawn\n"
    (folder / "records.csv").write_text(records)
    (folder / "catalog.csv").write_text(catalog)
    return folder


def test_only_train_records_are_read_and_each_begins_before_its_arrival(tmp_path: Path) -> None:
    records = earth_quake_records(earth_folder(tmp_path / "data"))
    assert [record.file.name for record in records] == ["train_0.mseed", "train_1.mseed"]
    quakes = read_earth_quakes(records)
    assert len(quakes) == 2
    for quake in quakes:
        assert (quake.lead_s, len(quake.samples)) == (2.0, 8200)
        before, after = quake.samples[:190], quake.samples[210:410]
        assert np.std(after) > 5 * np.std(before)
        assert abs(quake.samples[0]) + abs(quake.samples[-1]) < 1e-6 * np.abs(quake.samples).max()


def test_records_without_a_clear_quake_are_refused(tmp_path: Path) -> None:
    records = earth_quake_records(earth_folder(tmp_path / "data", loudness=0.0))
    with pytest.raises(DataError, match="none of 2 Earth records holds a clear quake"):
        read_earth_quakes(records)


def test_data_without_earth_records_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 1, n_train=2, n_val=1, n_test=1)
    with pytest.raises(DataError, match=r"examples\.earth_quake_share needs Earth records of split 'train'"):
        train("moon-pretrain", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_implanted_earthquakes_begin_at_their_arrivals() -> None:
    """A tone of 8 Hz that begins at once: its frequency tells the factor, and its power the onset."""
    tone = np.sin(2 * np.pi * 8.0 * np.arange(6000) / 100.0).astype(np.float32)
    tone[:200] = 0.0
    bank = NoiseBank((), (), (EarthQuake(tone, 100.0, 2.0),))
    plan = replace(
        load_recipe("moon-pretrain").examples,
        integer_share=0.0, quakes_per_example=2.0, excess_decades=(2.9, 3.0), earth_stretch=(8.0, 12.0),
    )  # fmt: skip
    found = 0
    for seed in range(12):
        made = make_record(np.random.default_rng(seed), bank, plan, 40_000, 64, RATE_HZ)
        rises = np.flatnonzero(np.diff((made.excess > 1.0).astype(int)) == 1) + 1
        for arrival_s in made.arrivals_s:
            if 0.0 < arrival_s < 35_000 / RATE_HZ:
                nearest = min(abs((rise + 1) * 64 / RATE_HZ - arrival_s) for rise in rises)
                assert nearest < 2 * 64 / RATE_HZ
                found += 1
    assert found >= 5


def test_without_a_share_earthquakes_change_nothing() -> None:
    recipe = load_recipe("tiny", {"examples.n_blocks": 100, "examples.max_front_blocks": 10})
    bare, with_earth = (made_examples(recipe, NoiseBank((), (), earth), 3, 1) for earth in ((), (burst(8.0),)))
    np.testing.assert_array_equal(bare.rows, with_earth.rows)


@pytest.mark.slow
def test_pretraining_is_where_another_training_begins(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 2, n_train=2, n_val=1, n_test=1)
    earth = earth_folder(tmp_path / "earth")
    for name, columns in (("records.csv", HEADER), ("catalog.csv", CATALOG)):
        with (folder / name).open("a") as table:
            table.write((earth / name).read_text().removeprefix(columns))
    (folder / "earth").symlink_to(earth / "earth")
    small = {"examples.n_examples": 8, "examples.n_blocks": 100, "examples.max_front_blocks": 10,
             "classes": None, "network.conv_filters": [4, 4], "network.lstm_units": [4],
             "fit.steps": 2, "fit.batch": 4, "fit.crop_blocks": 64}  # fmt: skip
    first = train("moon-pretrain", folder, tmp_path / "first", small)
    second = train("moon", folder, tmp_path / "second", {**small, "fit.start_from": str(first.keras_file)})
    afresh = train("moon", folder, tmp_path / "afresh", small)
    assert second.history[0].loss != afresh.history[0].loss


@pytest.mark.records
@pytest.mark.slow
def test_the_real_earth_records_give_many_templates(records_dir: Path) -> None:
    records = earth_quake_records(records_dir)
    assert {record.split for record in records} == {"train"}
    quakes = read_earth_quakes(records[::20])
    assert len(quakes) >= 0.9 * len(records[::20])
    assert {quake.sampling_rate_hz for quake in quakes} == {20.0, 40.0, 100.0}
