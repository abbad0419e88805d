"""Lunar days as band powers: which stretches are quiet, and noise that follows them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import spectrogram

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train.bandpower import (
    AFTER_EVENT_S,
    BEFORE_EVENT_S,
    DAY_NS,
    FRAME_S,
    QuietCurve,
    draw_modulation,
    quiet_curves,
    read_quiet_curves,
)
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank, read_levent
from edgequake.train.data.training_data import find_materials
from edgequake.train.examples.augmentation import _noise
from edgequake.train.examples.examples import made_examples

RATE_HZ = 6.625
N_FRAMES = 2555
TIMES_S = 19.32 + FRAME_S * np.arange(N_FRAMES)
NO_EVENTS = np.zeros(0, np.int64)
S = 1_000_000_000


def swelling(n_frames: int = N_FRAMES) -> np.ndarray:
    """Power that rises and falls by ten every 4 hours."""
    return 3e-20 * 10.0 ** (0.5 * np.sin(2 * np.pi * FRAME_S * np.arange(n_frames) / 14_400.0))


def test_a_day_without_events_is_one_curve_less_its_tapered_ends() -> None:
    (curve,) = quiet_curves(TIMES_S, swelling(), 5 * S, NO_EVENTS)
    cut = round(1800.0 / FRAME_S)
    assert len(curve.amplitude) == pytest.approx(N_FRAMES - 2 * cut, abs=2)
    assert (curve.start_ns / S - 5 - 19.32) / FRAME_S == pytest.approx(cut, abs=1.01)
    first = round((curve.start_ns / S - 5 - 19.32) / FRAME_S)
    inside = swelling()[first : first + len(curve.amplitude)]
    np.testing.assert_allclose(curve.amplitude, np.sqrt(inside / np.median(inside)), rtol=1e-9)


def test_known_events_are_left_out() -> None:
    event_s = 40_000.0
    before, after = quiet_curves(TIMES_S, swelling(), 0, np.array([round(event_s * S)], np.int64))
    for curve, low_s, high_s in ((before, 0.0, event_s - BEFORE_EVENT_S), (after, event_s + AFTER_EVENT_S, 1e9)):
        start_s = curve.start_ns / S
        assert low_s <= start_s and start_s + FRAME_S * (len(curve.amplitude) - 1) < high_s


def test_dead_and_glitching_frames_are_limited_and_dead_days_left_out() -> None:
    power = swelling()
    power[1000:1010], power[1500] = 1e-33, 1e-10
    (curve,) = quiet_curves(TIMES_S, power, 0, NO_EVENTS)
    assert curve.amplitude.min() == pytest.approx(0.1) and curve.amplitude.max() == pytest.approx(10**0.75)
    for dead_share in (3, 6):  # of ten frames: the lower quartile is dead, or the median too
        power = swelling()
        power[np.arange(N_FRAMES) % 10 < dead_share] = 1e-30
        assert quiet_curves(TIMES_S, power, 0, NO_EVENTS) == []


def test_modulated_noise_has_the_days_power_curve() -> None:
    """By scipy's spectrogram, the transform that the days were made with."""
    (curve,) = quiet_curves(TIMES_S, swelling(), 0, NO_EVENTS)
    rng = np.random.default_rng(3)
    n_samples = round(10 * 3600 * RATE_HZ)
    amplitude = draw_modulation(rng, [curve], n_samples, RATE_HZ)
    frequencies, times_s, power = spectrogram(amplitude * rng.standard_normal(n_samples), RATE_HZ)
    heard = power[(frequencies >= 0.5) & (frequencies < 2.0)].mean(axis=0)
    # The swell has a period of 4 hours: its amplitude and period must be those of the day.
    trend = np.convolve(np.log10(heard), np.ones(21) / 21, "valid")
    assert np.ptp(trend) == pytest.approx(1.0, abs=0.12)
    spectrum = np.abs(np.fft.rfft(trend - trend.mean(), 1 << 16))
    period_s = FRAME_S * (1 << 16) / (spectrum[4:].argmax() + 4)
    assert period_s == pytest.approx(14_400.0, rel=0.1)
    expected = np.interp(times_s, np.arange(n_samples) / RATE_HZ, 2 * np.log10(amplitude))
    assert np.corrcoef(np.log10(heard), expected)[0, 1] > 0.98


def test_frames_follow_one_another_from_a_random_one_and_turn_at_the_last() -> None:
    curve = QuietCurve(0, np.array([1.0, 2.0, 4.0]))
    at_frames = np.round(np.arange(6) * FRAME_S * 1000).astype(int)
    seen = set()
    for seed in range(20):
        values = draw_modulation(np.random.default_rng(seed), [curve], 250_000, 1000.0)[at_frames]
        seen.add(tuple(np.round(values, 3)))
    assert seen == {(1, 2, 4, 4, 2, 1), (2, 4, 4, 2, 1, 1), (4, 4, 2, 1, 1, 2)}


def test_long_stretches_are_drawn_more_often() -> None:
    curves = [QuietCurve(0, np.full(100, 1.0)), QuietCurve(0, np.full(300, 2.0))]
    rng = np.random.default_rng(0)
    drawn = [draw_modulation(rng, curves, 10, RATE_HZ)[0] for _ in range(800)]
    assert np.mean(np.equal(drawn, 2.0)) == pytest.approx(0.75, abs=0.06)


def test_only_the_share_of_synthetic_noise_is_modulated() -> None:
    recipe = load_recipe("tiny", {"examples.n_blocks": 100, "examples.max_front_blocks": 10})
    silence = NoiseBank((), (), (), (QuietCurve(0, np.full(50, 1e-9)),))
    plan = replace(recipe.examples, synthetic_noise_share=0.5, bandpower_share=0.5)
    ones = NoiseBank((np.ones((1, 5000)) + np.arange(5000) % 2,), (), (), silence.curves)
    drawn = [_noise(np.random.default_rng(seed), ones, plan, 2000, RATE_HZ) for seed in range(200)]
    assert np.mean([np.abs(noise).max() < 1e-6 for noise in drawn]) == pytest.approx(0.25, abs=0.08)
    bare, unasked = (made_examples(recipe, bank, 3, 1).rows for bank in (NoiseBank((), ()), silence))
    np.testing.assert_array_equal(bare, unasked)


def written_days(folder: Path, days: list[str]) -> Path:
    """Write band powers of days (ISO dates), each with one arrival at noon, and a catalogue of an event of 1969."""
    arrays = {}
    with (folder / "moon_bandpower.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["evid", "catalog_time_abs", "trace_start_assumed"])
        for i, day in enumerate(days):
            table.writerow([f"{i:05}", f"{day}T12:00:00.000000", "00:00:00"])
            arrays |= {f"{i:05}_t": TIMES_S.astype(np.float32), f"{i:05}_power": swelling().astype(np.float32)}
    np.savez(folder / "moon_bandpower.npz", **arrays)
    (folder / "levent.csv").write_text("Year,DOY,StartTime\n69,210,0\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("bandpower") / "data", 4, n_train=3, n_val=1, n_test=1)


def iso_day(record: LabelledRecord) -> str:
    return str(np.datetime64(record.start_ns, "ns").astype("datetime64[D]"))


def days_of(curves: tuple[QuietCurve, ...]) -> set[str]:
    return {str(np.datetime64(curve.start_ns, "ns").astype("datetime64[D]")) for curve in curves}


def test_days_of_records_that_are_kept_out_are_not_read(data: Path) -> None:
    by_split = {split: load(data, "moon", split) for split in ("train", "val", "test")}
    folds_held = iso_day(by_split["train"][1])
    days = [iso_day(record) for records in by_split.values() for record in records]
    written_days(data, [*days, "1980-01-01", "1980-01-01"])
    recipe = load_recipe("tiny", {"examples.bandpower_share": 1.0})
    materials = find_materials(recipe, data, None)
    kept = days_of(materials.bank(recipe).curves)
    assert kept == {"1980-01-01", *(iso_day(record) for record in by_split["train"])}
    held = replace(materials, val=[*materials.val, by_split["train"][1]], train=materials.train[2:])
    assert days_of(held.bank(recipe).curves) == kept - {folds_held}


def test_a_day_that_is_listed_twice_is_read_once(tmp_path: Path) -> None:
    written_days(tmp_path, ["1980-01-01", "1980-01-01"])
    curves = read_quiet_curves(tmp_path, [], [])
    assert len({curve.start_ns for curve in curves}) == len(curves) == 2  # before and after noon's event


def test_the_days_arrivals_and_the_catalogue_are_kept_away_from(tmp_path: Path) -> None:
    written_days(tmp_path, ["1980-01-01"])
    day_ns = int(np.datetime64("1980-01-01", "ns").astype(np.int64))
    curves = read_quiet_curves(tmp_path, [], [day_ns + 70_000 * S])
    for curve in curves:
        frames_s = (curve.start_ns - day_ns) / S + FRAME_S * np.arange(len(curve.amplitude))
        for event_s in (43_200.0, 70_000.0):
            assert not np.any((frames_s >= event_s - BEFORE_EVENT_S) & (frames_s < event_s + AFTER_EVENT_S))


def test_missing_files_and_other_bodies_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 4, n_train=2, n_val=1, n_test=1)
    recipe = load_recipe("tiny", {"examples.bandpower_share": 0.5})
    with pytest.raises(DataError, match=r"needs moon_bandpower\.csv, moon_bandpower\.npz, levent\.csv in"):
        find_materials(recipe, folder, None)
    table = (folder / "records.csv").read_text().replace(",moon,", ",mars,")
    (folder / "records.csv").write_text(table)
    with pytest.raises(ConfigError, match="band powers are of lunar days, this recipe is for 'mars'"):
        find_materials(replace(recipe, body="mars"), folder, None)


def test_days_that_leave_nothing_are_refused(data: Path) -> None:
    test = load(data, "moon", "test")
    with pytest.raises(DataError, match="leaves no quiet time to use"):
        read_quiet_curves(written_days(data, [iso_day(test[0])]), test, [])


@pytest.mark.records
def test_the_real_days_give_weeks_of_quiet_time_away_from_val_and_test(records_dir: Path) -> None:
    kept_out = [record for record in load(records_dir, "moon") if record.split != "train"]
    events_ns = np.asarray(read_levent(records_dir / "levent.csv"))
    curves = read_quiet_curves(records_dir, kept_out, events_ns.tolist())
    assert sum(len(curve.amplitude) for curve in curves) * FRAME_S > 14 * 86_400
    forbidden = {day for r in kept_out for day in (r.start_ns // DAY_NS, (r.stop_ns - 1) // DAY_NS)}
    for curve in curves:
        stop_ns = curve.start_ns + round(FRAME_S * (len(curve.amplitude) - 1) * S)
        assert not forbidden & {curve.start_ns // DAY_NS, stop_ns // DAY_NS}
        assert not np.any((events_ns > curve.start_ns - AFTER_EVENT_S * S) & (events_ns <= stop_ns - AFTER_EVENT_S * S))
        assert np.all((curve.amplitude > 0.09) & (curve.amplitude < 6.0))
