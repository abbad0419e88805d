"""The scalogram against an independent wavelet transform, with other block sizes, and on damage."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edgequake.edge.base.errors import ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.features.spectra import WaveletPower, morlet
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest, load_manifest, parse_manifest, read_graph
from edgequake.edge.manifest.tables import FrontEndConfig, ScalogramConfig

from .front_ends import front_end

RATE_HZ = 6.625
HOP, WINDOW = 64, 192
T0_NS = 1_700_000_000_123_456_000
SCALOGRAM = ScalogramConfig(WINDOW, (0.25, 0.35, 0.49, 0.68, 0.95, 1.33, 1.86, 2.6), 5.0, 3.0, -1.0, 3.0, 64)
CONFIG = front_end("scalogram", hop_samples=HOP, scalogram=SCALOGRAM)


def noise(seed: int, n_samples: int, scale: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(512 + scale * rng.standard_normal(n_samples)).astype(np.int32)


def trace(samples: np.ndarray, first: int = 0, code: str = "M_H_Z") -> Trace:
    return Trace(f"FDSN:XX_LUN_00_{code}", T0_NS + duration_ns(first, RATE_HZ), RATE_HZ, samples)


def rows_of(*traces: Trace) -> Rows:
    return station_rows(CONFIG, RATE_HZ, traces)


def windows_of(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP])


def independent_wavelet(centre_hz: float) -> np.ndarray:
    """Build the documented wavelet, with its two corrections solved for numerically."""
    scale_s = SCALOGRAM.cycles / (2 * np.pi * centre_hz)
    half = int(np.floor(SCALOGRAM.support_scales * scale_s * RATE_HZ))
    t = np.arange(-half, half + 1) / RATE_HZ
    envelope = signal.windows.gaussian(2 * half + 1, scale_s * RATE_HZ)
    wave = np.exp(2j * np.pi * centre_hz * t)
    moments = np.array([[np.sum(envelope * t ** (i + j)) for j in (0, 1)] for i in (0, 1)])
    constant, slope = np.linalg.solve(moments, [np.sum(envelope * wave), np.sum(envelope * wave * t)])
    taps = envelope * (wave - constant - slope * t)
    return np.asarray(taps * np.sqrt(2 / (RATE_HZ * np.sum(np.abs(taps) ** 2))))


def test_power_is_that_of_scipys_convolution_with_the_documented_wavelets() -> None:
    samples = noise(1, 20_000).astype(np.float64)
    got = WaveletPower(SCALOGRAM, HOP, RATE_HZ)(windows_of(samples))
    for i, centre_hz in enumerate(SCALOGRAM.centre_frequencies_hz):
        taps = independent_wavelet(centre_hz)
        power = np.abs(signal.fftconvolve(samples, taps, "valid")) ** 2  # output j uses samples up to j + n - 1
        stops = np.arange(len(got)) * HOP + WINDOW - len(taps) + 1
        newest = [power[stop - HOP : stop] for stop in stops]
        np.testing.assert_allclose(got[:, i], np.mean(newest, axis=1), rtol=1e-7)


def test_white_noise_has_its_own_density_in_every_wavelet() -> None:
    samples = 7.0 * np.random.default_rng(2).standard_normal(64 * 20_000)
    powers = WaveletPower(SCALOGRAM, HOP, RATE_HZ)(windows_of(samples))
    density = 7.0**2 / (RATE_HZ / 2)  # one-sided
    # The longest wavelet leaves 20 000 blocks about 10 000 independent values: 1 % of standard error.
    np.testing.assert_allclose(powers.mean(axis=0), density, rtol=0.04)


@pytest.mark.parametrize("i", range(len(SCALOGRAM.centre_frequencies_hz)))
def test_a_sinusoid_has_the_level_of_the_gaussian_integral(i: int) -> None:
    centre_hz = SCALOGRAM.centre_frequencies_hz[i]
    scale_s = SCALOGRAM.cycles / (2 * np.pi * centre_hz)
    t = np.arange(5000) / RATE_HZ
    powers = WaveletPower(SCALOGRAM, HOP, RATE_HZ)(windows_of(4.0 * np.sin(2 * np.pi * centre_hz * t + 0.3)))
    # |sum of g * A/2|^2 over the energy sum(g^2) * fs / 2, with integrals of Gaussians for the sums: A^2 sqrt(pi) s.
    np.testing.assert_allclose(powers[:, i], 16.0 * np.sqrt(np.pi) * scale_s, rtol=0.02)
    assert np.all(np.argmax(powers, axis=1) == i)


def test_an_offset_and_a_drift_have_no_effect() -> None:
    drifting = 1e4 + 0.5 * np.arange(3000.0)
    powers = WaveletPower(SCALOGRAM, HOP, RATE_HZ)(windows_of(drifting))
    assert powers.max() < 1e-16 * 1e8
    for centre_hz in SCALOGRAM.centre_frequencies_hz:
        taps = morlet(centre_hz, SCALOGRAM, RATE_HZ)
        assert abs(np.sum(taps)) < 1e-12 and abs(np.sum(taps * np.arange(len(taps)))) < 1e-10


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_any_block_size_gives_the_bits_of_the_whole_record(sizes: list[int], seed: int) -> None:
    samples = noise(seed, 6000)
    samples[1000:1004] = -1  # marked as lost
    samples[3000] += 300  # a spike
    parts, first = [], 0
    while first < len(samples):
        size = sizes[len(parts) % len(sizes)]
        parts.append(trace(samples[first : first + size], first))
        first += size
    cut, whole = rows_of(*parts), rows_of(trace(samples))
    # Despiking loses two samples on either side, and block 0 with them.
    np.testing.assert_array_equal(whole.block, np.arange(1, (5998 - WINDOW) // HOP + 1))
    for name in ("block", "rows", "valid", "restart"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name), strict=True)


def test_a_window_has_the_same_power_alone_and_among_thousands() -> None:
    windows = windows_of(noise(7, 40_000).astype(np.float64))  # more than are transformed at once
    power = WaveletPower(SCALOGRAM, HOP, RATE_HZ)
    alone = np.concatenate([power(windows[k : k + 1]) for k in range(len(windows))])
    np.testing.assert_array_equal(power(windows), alone)


def test_features_do_not_depend_on_the_unit_or_the_gain() -> None:
    counts = noise(3, 30_000, scale=20.0).astype(np.float64)
    rows = rows_of(trace(counts)).rows
    np.testing.assert_array_equal(rows, rows_of(trace(counts * 2.0**-30)).rows)
    np.testing.assert_allclose(rows, rows_of(trace(counts * 3.7e-10)).rows, atol=1.01 / 64)  # a rounding at most


def test_a_dead_channel_does_not_count_and_a_dead_station_is_flagged() -> None:
    alive, dead = noise(4, 20_000), np.full(20_000, 512, np.int32)
    both = rows_of(trace(alive, code="M_H_1"), trace(dead, code="M_H_Z"))
    stuck_from = round(600 * RATE_HZ / HOP)
    np.testing.assert_array_equal(both.rows[stuck_from:], rows_of(trace(alive)).rows[stuck_from:])
    alone = rows_of(trace(dead))
    assert not alone.valid[stuck_from:].any() and np.all(alone.rows[stuck_from:, 0, -1] == 1.0)


def test_a_burst_appears_in_the_block_whose_newest_hop_it_fills() -> None:
    samples = noise(5, 40_000, scale=2.0).astype(np.float64)
    first = 300 * HOP  # grid positions: despiking does not move them
    t = np.arange(4 * HOP) / RATE_HZ
    samples[first : first + len(t)] += 30.0 * np.sin(2 * np.pi * 1.33 * t)
    rows = rows_of(trace(samples))
    seen = rows.block[rows.rows[:, 0, 5] > 1.0]
    assert seen[0] == 300 - (WINDOW // HOP - 1)
    assert seen[-1] == 302  # one block after its last: the 1.33 Hz outputs lie 11 samples back


def test_decisions_stop_where_the_newest_hop_does() -> None:
    manifest, folder = load_manifest("moon")
    variant, graph = read_graph(manifest, folder)
    manifest = replace(manifest, front_end=CONFIG)
    detector = Detector(manifest, graph, variant, 0.5)
    decisions = list(detector.decide(rows_of(trace(noise(6, 2000)))))
    assert len(decisions) == (1998 - WINDOW) // HOP  # from block 1 on: block 0 loses two samples to despiking
    for block, decision in enumerate(decisions, start=1):
        assert decision.stop_ns == T0_NS + duration_ns(block * HOP + WINDOW, RATE_HZ)
        assert decision.start_ns == decision.stop_ns - duration_ns(HOP, RATE_HZ)


def test_a_manifest_with_a_scalogram_reads_back() -> None:
    shipped, _ = load_manifest("moon")
    manifest = replace(shipped, front_end=CONFIG)
    again = parse_manifest(manifest.to_json(), "it")
    assert isinstance(again, Manifest) and again == manifest
    assert (CONFIG.rows_per_block, CONFIG.n_features, CONFIG.window_samples) == (1, 9, WINDOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centre_frequencies_hz": [0.5, 0.5]}, r"centre_frequencies_hz must be rising frequencies above 0, got \[0.5"),
        ({"centre_frequencies_hz": [0.0, 0.5]}, "centre_frequencies_hz must be rising frequencies above 0"),
        ({"centre_frequencies_hz": []}, "centre_frequencies_hz must be rising frequencies above 0"),
        ({"window_samples": 0}, "window_samples must be 2 to 1000000, got 0"),
        ({"cycles": 0.0}, "cycles must lie in"),
        ({"omega": 6.0}, "unknown field 'omega'"),
    ],
)
def test_a_bad_scalogram_is_refused_on_reading(changes: dict[str, object], message: str) -> None:
    values = json.loads(json.dumps(asdict(CONFIG)))
    values["scalogram"].update(changes)
    with pytest.raises(ManifestError, match=message):
        schema.build(FrontEndConfig, values, "front_end", ManifestError)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(SCALOGRAM, window_samples=189), "window_samples must be at least 190, a hop and the longest wavelet"),
        (replace(SCALOGRAM, centre_frequencies_hz=(1e-12, 1.0)), "window_samples must be at least"),
        (replace(SCALOGRAM, centre_frequencies_hz=(1.0, 3.4)), "must lie below 3.3125 Hz, half the sampling rate"),
        (replace(SCALOGRAM, support_scales=0.1), "the wavelet at 0.68 Hz has too few samples"),
    ],
)
def test_a_bank_that_does_not_fit_the_rate_is_refused(config: ScalogramConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WaveletPower(config, HOP, RATE_HZ)
