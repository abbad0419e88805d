"""The bands of the second grid and the contrasts of components: against scipy, in any cut, and at many rates."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edgequake.edge.features.front_end import StationFrontEnd, station_rows
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.tables import BackgroundConfig, ContrastConfig, HighBandsConfig, SpectrogramConfig

from .front_ends import front_end

MODEL_HZ = 20.0
T0_NS = 1_700_000_000_000_000_000
LOW = SpectrogramConfig(32, (0.6, 1.3, 1.9, 2.6, 3.9, 5.1, 7.6, 9.9), -1.0, 4.0, 64)
HIGH = HighBandsConfig(64, (10.0, 14.0, 20.0, 28.0, 40.0), -1.0, 4.0, 64, sampling_rate_hz=100.0)
CONFIG = replace(
    front_end("spectrogram", spectrogram=LOW, decimators={"5": tuple(float(t) for t in signal.firwin(155, 0.16))}),
    hop_samples=8,
    despike_threshold=0.0,
    background=BackgroundConfig(0.6, 0.004, 0.06, 16),
    high_bands=HIGH,
    contrast=ContrastConfig((0.6, 2.6, 9.9, 40.0)),
)
N_LOW, N_HIGH = 7, 4


def trace(samples: np.ndarray, rate_hz: float, component: str = "Z", first: int = 0) -> Trace:
    return Trace(f"FDSN:XX_STA_00_H_H_{component}", T0_NS + duration_ns(first, rate_hz), rate_hz, samples)


def noise(seed: int, n_samples: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_samples) * 1000.0


def at_any_rate(rate_hz: float, seconds: float, seed: int = 3) -> np.ndarray:
    """Return the same motion at any rate from 100 Hz on: tones up to 35 Hz, louder from the middle on."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    tones = np.sin(2 * np.pi * rng.uniform(0.7, 35.0, 300) * t[:, None] + rng.uniform(0, 2 * np.pi, 300)).sum(axis=1)
    return tones * np.where(t < seconds / 2, 100.0, 1000.0)


def test_high_bands_are_scipys_spectrogram_of_windows_that_stop_with_the_models() -> None:
    samples = noise(1, 30_000)
    row = station_rows(CONFIG, MODEL_HZ, [trace(samples, 100.0)])
    frequencies, _, density = signal.spectrogram(
        samples[96:],  # 160 samples of the model's window less 64
        100.0,
        window=signal.get_window("hann", 64),
        nperseg=64,
        noverlap=24,
        detrend="linear",
    )
    edges = HIGH.band_edges_hz
    bands = [density[(frequencies >= a) & (frequencies < b)].mean(axis=0) for a, b in pairwise(edges)]
    levels = np.log10(np.stack(bands, axis=1))
    features = row.rows[:, 0, N_LOW : N_LOW + N_HIGH]
    # The background of a settled stream moves by at most 0.004 a block: differences of neighbours are the levels'.
    inside = (np.abs(features) < 0.95).all(axis=1)
    chosen = np.flatnonzero(inside[1:] & inside[:-1] & (row.block[1:] > 400))
    assert len(chosen) > 200
    first = row.block[chosen]
    np.testing.assert_allclose(
        features[chosen + 1] - features[chosen], levels[first + 1] - levels[first], atol=0.004 + 1.0 / 64
    )


@pytest.mark.parametrize("rate_hz", [100.0, 99.0, 120.0, 125.0, 128.0, 200.0, 250.0])
def test_a_tremor_begins_in_the_same_block_in_low_and_high_bands_at_every_rate(rate_hz: float) -> None:
    rows = station_rows(CONFIG, MODEL_HZ, [trace(at_any_rate(rate_hz, 120.0), rate_hz)])
    low, high = rows.rows[:, 0, 2:6].mean(axis=1), rows.rows[:, 0, N_LOW : N_LOW + 3].mean(axis=1)
    rises = [rows.block[np.flatnonzero((part > 1.0) & (rows.block > 50))[0]] * 0.4 + 1.6 for part in (low, high)]
    assert rises == pytest.approx([60.6, 60.6], abs=0.8)
    assert rows.rows[:, 0, -2].max() == 0.0


@pytest.mark.parametrize("rate_hz", [20.0, 40.0, 50.0, 80.0])
def test_slow_channels_have_zeros_and_a_flag_and_the_models_own_bands_as_without(rate_hz: float) -> None:
    samples = noise(2, int(60 * rate_hz))
    rows = station_rows(CONFIG, MODEL_HZ, [trace(samples, rate_hz)]).rows
    plain = station_rows(replace(CONFIG, high_bands=None, contrast=None), MODEL_HZ, [trace(samples, rate_hz)]).rows
    assert not rows[:, 0, N_LOW : N_LOW + N_HIGH].any()
    assert rows[:, 0, -2].all() and rows[:, 0, -3].all()
    np.testing.assert_array_equal(rows[..., :N_LOW], plain[..., :N_LOW])


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(150, 2000), min_size=1, max_size=5),
    rate_hz=st.sampled_from([100.0, 101.3, 125.0, 200.0]),
    gap=st.sampled_from([0, 30, 150, 900]),
)
def test_any_cut_and_a_checkpoint_between_any_two_records_give_the_same_rows(
    sizes: list[int], rate_hz: float, gap: int
) -> None:
    samples = {code: noise(seed, 8000) for seed, code in enumerate("ENZ")}
    pieces: list[Trace] = []
    first = 0
    while first < 8000:
        n = sizes[len(pieces) % len(sizes)]
        later = gap if first >= 4000 else 0
        pieces += [trace(samples[code][first : first + n], rate_hz, code, first + later) for code in "ENZ"]
        first += n
    halves = [
        trace(samples[c][a:b], rate_hz, c, a + later) for a, b, later in _halves(pieces, rate_hz, gap) for c in "ENZ"
    ]
    whole = station_rows(CONFIG, MODEL_HZ, halves)
    front_end_a, parts = StationFrontEnd(CONFIG, MODEL_HZ), []
    for piece in pieces:
        parts.append(front_end_a.push(piece))
        state = front_end_a.state()
        front_end_a = StationFrontEnd(CONFIG, MODEL_HZ)
        front_end_a.restore(state)
    parts.append(front_end_a.finish())
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), whole.rows)
    np.testing.assert_array_equal(np.concatenate([part.block for part in parts]), whole.block)


def _halves(pieces: list[Trace], rate_hz: float, gap: int) -> list[tuple[int, int, int]]:
    """Return the same samples as two traces a channel, cut where the gap is."""
    n_before = sum(len(p.samples) for p in pieces[::3] if p.start_ns < T0_NS + duration_ns(4000, rate_hz))
    return [(0, n_before, 0), (n_before, 8000, gap)] if 0 < n_before < 8000 else [(0, 8000, 0)]


def test_contrast_is_vertical_minus_horizontal_by_groups_of_bands() -> None:
    samples = {code: noise(seed, 12_000) for seed, code in enumerate("12Z")}
    samples["Z"][6000:6400] *= 10.0
    alone = {
        code: station_rows(CONFIG, MODEL_HZ, [trace(samples[code], 100.0, code)]).rows[:, 0].astype(np.float64)
        for code in "12Z"
    }
    rows = station_rows(CONFIG, MODEL_HZ, [trace(samples[code], 100.0, code) for code in "12Z"]).rows[:, 0]
    difference = alone["Z"] - (alone["1"] + alone["2"]) / 2
    groups = [slice(0, 3), slice(3, 7), slice(7, 11)]
    wanted = np.stack([difference[:, group].mean(axis=1) for group in groups], axis=1)
    np.testing.assert_allclose(rows[:, 11:14], wanted, atol=1e-6)
    np.testing.assert_allclose(rows[:, :11], sum(part[:, :11] for part in alone.values()) / 3, atol=1e-6)
    assert rows[:, 11:14].max() > 1.0
    assert not rows[:, 14:].any()


def test_one_slow_component_leaves_the_high_bands_to_the_others() -> None:
    fast, slow = noise(1, 12_000), noise(2, 2400)
    both = station_rows(CONFIG, MODEL_HZ, [trace(fast, 100.0, "Z"), trace(slow, 20.0, "N")])
    alone = station_rows(CONFIG, MODEL_HZ, [trace(fast, 100.0, "Z")])
    _, i, j = np.intersect1d(both.block, alone.block, return_indices=True)
    assert len(i) > 280
    high = slice(N_LOW, N_LOW + N_HIGH)
    np.testing.assert_array_equal(both.rows[i, 0, high], alone.rows[j, 0, high])
    assert not both.rows[i, 0, 13].any()  # no contrast in the high group: only one kind of component has it
