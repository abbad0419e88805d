"""Synthetic signals of Mars and the Earth, measured with scipy and by hand: glitches, quakes, knocks, records."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.examples.augmentation import injected_record
from edgequake.train.signals import earth, mars
from edgequake.train.signals.bodies import BODY_SIGNALS

RATE_HZ = 20.0
BODIES = ("mars", "earth")


def share_of_power(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Return the share of a wave's power that lies in [low, high), by Welch's method."""
    frequency_hz, density = signal.welch(wave, RATE_HZ, nperseg=min(512, len(wave)))
    return float(density[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum() / density.sum())


def test_a_glitch_is_a_one_sided_pulse_of_ten_to_twentyfive_seconds() -> None:
    smooth = 0
    for seed in range(40):
        pulse = mars.glitch(np.random.default_rng(seed), RATE_HZ)
        late = pulse[int(0.5 * RATE_HZ) :]  # a precursor is over by then
        assert late.min() > 0.0 and late.max() == pytest.approx(1.0, abs=0.01)
        above_s = np.flatnonzero(pulse > 0.03)[-1] / RATE_HZ
        assert 5.0 < above_s < 26.0
        peak = int(np.argmax(late))
        assert np.all(np.diff(late[:peak]) > 0) and np.all(np.diff(late[peak:]) < 0)
        if np.all(np.diff(pulse[: int(0.5 * RATE_HZ)]) > 0):
            smooth += 1
            assert share_of_power(pulse, 0.0, 1.0) > 0.98
    assert 15 <= smooth <= 33  # about six in ten have no precursor


def test_a_pressure_drop_is_a_tilt_of_seconds_to_minutes_on_every_channel() -> None:
    for seed in range(20):
        channels = np.zeros((3, int(1800 * RATE_HZ)))
        mars._add_pressure_drop(np.random.default_rng(seed), channels, RATE_HZ)
        for channel in channels:
            touched = np.flatnonzero(channel)
            assert len(touched) == 0 or np.ptp(touched) / RATE_HZ <= 16 * 40.0
        loud = [channel for channel in channels if np.any(channel)]
        assert len(loud) in (0, 3)
        low = [signal.sosfiltfilt(signal.butter(4, 0.3, fs=RATE_HZ, output="sos"), channel) for channel in loud]
        assert all(np.abs(one).max() > 0.0 for one in low)


@pytest.mark.parametrize(
    ("family", "low_hz", "high_hz"), [("low", 0.1, 1.6), ("2.4 Hz", 1.8, 3.2), ("high", 1.5, 10.0), ("broad", 0.1, 8.0)]
)
def test_marsquakes_are_in_the_band_of_their_family(
    monkeypatch: pytest.MonkeyPatch, family: str, low_hz: float, high_hz: float
) -> None:
    monkeypatch.setattr(mars, "FAMILY_SHARES", {family: 1.0})
    scales = load_recipe("mars").examples.scales
    for seed in range(8):
        waves = mars.marsquake(np.random.default_rng(seed), scales, "VHH", RATE_HZ)
        assert len(waves) == 3 and len({len(wave) for wave in waves}) == 1
        assert share_of_power(waves[0], low_hz, high_hz) > 0.95


def test_a_marsquake_has_two_phases_and_decays() -> None:
    scales = load_recipe("mars").examples.scales
    for seed in range(12):
        wave = np.mean(np.square(mars.marsquake(np.random.default_rng(seed), scales, "VHH", RATE_HZ)), axis=0)
        power = wave[: len(wave) // 200 * 200].reshape(-1, 200).mean(axis=1)  # ten seconds each
        low_s, high_s = mars.S_AFTER_P_S
        longest_s = high_s + mars.CODA_DECAYS * scales.decay_s[1]
        assert low_s < len(wave) / RATE_HZ <= longest_s
        assert power[-1] < 0.05 * power.max()
        assert power[: int(high_s / 10) + 10].max() == power.max()


def test_a_distant_quake_is_slow_low_and_vertical() -> None:
    scales = load_recipe("earth").examples.scales
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(earth, "DISTANT_SHARE", 1.0)
        ratios, loudest_s = [], []
        for seed in range(20):
            vertical, horizontal = earth.earthquake(np.random.default_rng(seed), scales, "VH", RATE_HZ)
            assert share_of_power(vertical, 0.0, 4.0) > 0.6
            ratios.append(np.std(vertical) / np.std(horizontal))
            loudest_s.append(np.argmax(np.convolve(np.square(vertical), np.ones(40), "same")) / RATE_HZ)
        assert np.median(ratios) > 1.2 and np.median(loudest_s) > 2.0


def test_the_components_of_p_and_s_differ() -> None:
    scales = load_recipe("earth").examples.scales
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(earth, "DISTANT_SHARE", 0.0)
        patch.setattr(earth, "S_AFTER_P_S", (20.0, 20.001))
        ratios = []
        for seed in range(30):
            vertical, horizontal = earth.earthquake(np.random.default_rng(seed), scales, "VH", 100.0)
            p, s = slice(0, 300), slice(2000, 2300)
            ratios.append([np.std(vertical[part]) / np.std(horizontal[part]) for part in (p, s)])
        p_ratio, s_ratio = np.median(ratios, axis=0)
        assert p_ratio > 1.2 and s_ratio < 0.9


def test_thumps_and_packets_are_short() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert 0.2 < len(earth.thump(rng, 100.0)) / 100.0 < 3 * 6.0 + 5 * 2.0 + 0.1
        wave = earth.packet(rng, 100.0, 2.0)
        assert 2.0 <= len(wave) / 100.0 <= 6.0


def test_an_earthquake_has_a_sharp_onset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earth, "DISTANT_SHARE", 0.0)
    scales = load_recipe("earth").examples.scales
    for seed in range(20):
        (wave,) = earth.earthquake(np.random.default_rng(seed), scales, "V", RATE_HZ)
        envelope = np.sqrt(np.convolve(np.square(wave), np.ones(10) / 10.0, "same"))
        first_s = np.flatnonzero(envelope > 0.02 * envelope.max())[0] / RATE_HZ
        assert first_s < 2.0
        assert share_of_power(wave, 0.5, 10.0) > 0.4


def test_knocks_and_pulses_are_short() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert 0.1 < len(earth.knock(rng, RATE_HZ)) / RATE_HZ < 6.0
        pulse = earth.calibration_pulse(rng, RATE_HZ)
        assert 0.9 < len(pulse) / RATE_HZ <= 40.0
        assert np.abs(pulse).max() == 1.0
        assert np.all(pulse >= 0) or np.all(pulse <= 0)


@pytest.mark.parametrize("body", BODIES)
def test_disturbances_are_added_to_a_copy_of_the_noise(body: str) -> None:
    noise = np.random.default_rng(0).standard_normal((3, 72_000))
    before, loud = noise.copy(), 0
    for seed in range(6):
        disturbed = BODY_SIGNALS[body].disturb(np.random.default_rng(seed), noise, RATE_HZ)
        assert disturbed.shape == noise.shape and np.isfinite(disturbed).all()
        loud += bool(np.abs(disturbed - noise).max() > 5.0)
    np.testing.assert_array_equal(noise, before)
    assert loud >= 5


@pytest.mark.parametrize("body", BODIES)
def test_records_are_counts_or_floats_of_one_to_three_channels(body: str) -> None:
    plan, n_channels, kinds = load_recipe(body).examples, set(), set()
    for seed in range(12):
        record = injected_record(np.random.default_rng(seed), NoiseBank((), ()), plan, 6000, 64, RATE_HZ)
        ids = {trace.source_id for trace in record.traces}
        n_channels.add(len(ids))
        kinds |= {trace.samples.dtype.kind for trace in record.traces}
        by_channel = [[(p.start_ns, len(p.samples)) for p in record.traces if p.source_id == name] for name in ids]
        assert all(spans == by_channel[0] for spans in by_channel)
    assert n_channels == ({1, 3} if plan.components else {1, 2, 3}) and kinds == {"i", "f"}
