"""The front end against scipy, with other block sizes, and on every kind of damage."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.stats import norm

from edgequake.edge.base.errors import DataError
from edgequake.edge.features.conditioning import ContiguousRun, Despike, GapBridge
from edgequake.edge.features.front_end import Rows, StationFrontEnd, station_rows
from edgequake.edge.features.normalization import Background, quantization_density
from edgequake.edge.features.resampling import ToModelGrid
from edgequake.edge.features.spectra import BandPower
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.tables import (
    BackgroundConfig,
    CatchUpConfig,
    FrontEndConfig,
    SpectrogramConfig,
    WaveformConfig,
)

from .front_ends import front_end

RATE_HZ = 6.625
T0_NS = 1_700_000_000_123_456_000
SPECTROGRAM = SpectrogramConfig(128, (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.6, 3.2), -1.0, 3.0, 64)
TAPS = tuple(float(tap) for tap in signal.firwin(63, 0.4))
CONFIG = front_end("spectrogram", decimators={"2": TAPS}, spectrogram=SPECTROGRAM)
WAVEFORM = front_end("waveform", decimators={"2": TAPS}, waveform=WaveformConfig(clip=8.0, steps_per_unit=32))


def noise(seed: int, n_samples: int, scale: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(512 + scale * rng.standard_normal(n_samples)).astype(np.int32)


def trace(samples: np.ndarray, first: int = 0, code: str = "M_H_Z", rate_hz: float = RATE_HZ) -> Trace:
    return Trace(f"FDSN:XX_LUN_00_{code}", T0_NS + duration_ns(first, rate_hz), rate_hz, samples)


def cut(samples: np.ndarray, sizes: list[int], code: str = "M_H_Z") -> list[Trace]:
    traces, first = [], 0
    while first < len(samples):
        size = sizes[len(traces) % len(sizes)]
        traces.append(trace(samples[first : first + size], first, code))
        first += size
    return traces


def assert_same(a: Rows, b: Rows) -> None:
    assert a.t0_ns == b.t0_ns
    for name in ("block", "rows", "valid", "restart"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6), seed=st.integers(0, 1000))
@pytest.mark.parametrize("config", [CONFIG, WAVEFORM], ids=["spectrogram", "waveform"])
def test_any_block_size_gives_the_bits_of_the_whole_record(config: FrontEndConfig, sizes: list[int], seed: int) -> None:
    samples = noise(seed, 6000)
    samples[1000:1004] = -1  # marked as lost
    samples[3000] += 300  # a spike
    assert_same(station_rows(config, RATE_HZ, cut(samples, sizes)), station_rows(config, RATE_HZ, [trace(samples)]))


def test_band_power_is_scipys_spectrogram_averaged_over_bands() -> None:
    samples = noise(1, 20_000).astype(np.float64)
    frequencies, _, density = signal.spectrogram(
        samples, RATE_HZ, window=signal.get_window("hann", 128), nperseg=128, noverlap=64, detrend="linear"
    )
    edges = SPECTROGRAM.band_edges_hz
    expected = np.stack(
        [density[(frequencies >= a) & (frequencies < b)].mean(axis=0) for a, b in itertools.pairwise(edges)]
    )
    windows = np.lib.stride_tricks.sliding_window_view(samples, 128)[::64]
    np.testing.assert_allclose(BandPower(SPECTROGRAM, RATE_HZ)(np.ascontiguousarray(windows)).T, expected, rtol=1e-9)


def test_rounding_density_is_the_spectrum_of_rounding() -> None:
    rng = np.random.default_rng(5)
    exact = 40 * rng.standard_normal(200_000)
    _, density = signal.welch(np.rint(exact) - exact, RATE_HZ, nperseg=256)
    assert quantization_density(exact, True, RATE_HZ) == pytest.approx(np.mean(density[1:-1]), rel=0.03)
    assert quantization_density(np.rint(exact) * 2.5e-10, False, RATE_HZ) == pytest.approx(
        2.5e-10**2 / (6 * RATE_HZ), rel=1e-6
    )


def test_features_do_not_depend_on_the_unit() -> None:
    counts = noise(2, 30_000, scale=20.0).astype(np.float64)
    a = station_rows(CONFIG, RATE_HZ, [trace(counts)])
    b = station_rows(CONFIG, RATE_HZ, [trace(counts * 2.0**-30)])
    np.testing.assert_array_equal(a.rows, b.rows)


def test_despike_is_the_hampel_filter_sample_by_sample() -> None:
    values = noise(3, 4500).astype(np.float64)  # more than are despiked at a time
    values[[50, 51, 200, 333, 2049, 4097]] += [400, -90, 30, 6, 70, -60]
    got = Despike(3.0).push(ContiguousRun(0, values, np.ones(4500, bool), True))
    assert got is not None and got.first == 2 and len(got.values) == 4496
    for i, value in enumerate(got.values, start=2):
        around = values[i - 2 : i + 3]
        median = np.median(around)
        limit = 3.0 * 1.4826 * np.median(np.abs(around - median))
        assert value == (median if abs(values[i] - median) > limit else values[i])


@pytest.mark.parametrize("sizes", [[10_000], [37], [1, 500, 2]])
def test_decimation_is_scipys_filter_without_delay(sizes: list[int]) -> None:
    values = np.random.default_rng(4).standard_normal(10_000)
    whole = np.convolve(values, TAPS, "same")[::2]
    to_grid, out, first = ToModelGrid(CONFIG, RATE_HZ, 2 * RATE_HZ, 0, 0), [], 0
    for i in range(10_000):
        if first >= 10_000:
            break
        part = values[first : first + sizes[i % len(sizes)]]
        given = to_grid.push(ContiguousRun(first, part, np.ones(len(part), bool), first == 0))
        first += len(part)
        out += [given] if given is not None else []
    assert out[0].first == 16  # 31 samples of half-width, rounded up to an even position
    joined = np.concatenate([run.values for run in out])
    np.testing.assert_allclose(joined, whole[16 : 16 + len(joined)], atol=1e-12)
    assert len(joined) == 4984 - 16 + 1  # even positions 32 to 9968 have the taps inside


def test_a_rate_of_twice_the_models_gives_nearly_the_features_of_the_models() -> None:
    rng = np.random.default_rng(6)
    slow = signal.lfilter([1], [1, -0.9], rng.standard_normal(20_000)) * 50
    fast = signal.resample(slow, 40_000)
    config = replace(CONFIG, despike_threshold=1e9)  # which samples are spikes depends on the rate
    a = station_rows(config, RATE_HZ, [trace(slow)])
    b = station_rows(config, RATE_HZ, [trace(fast, rate_hz=2 * RATE_HZ)])
    common = np.intersect1d(a.block, b.block)[40:-40]
    difference = a.rows[np.isin(a.block, common)] - b.rows[np.isin(b.block, common)]
    assert len(common) > 200
    assert np.abs(difference[:, 0, :6]).max() < 0.1  # decades; the top bands lie in the low-pass's slope


@pytest.mark.parametrize("rate_hz", [6.4, 107.0])
def test_rates_out_of_reach_are_refused_and_the_range_named(rate_hz: float) -> None:
    with pytest.raises(DataError, match=rf"sampling rate {rate_hz:g} Hz: this model takes 6\.492 to 106 Hz"):
        station_rows(CONFIG, RATE_HZ, [trace(noise(1, 100), rate_hz=rate_hz)])


def test_short_gaps_are_interpolated_linearly_and_flagged() -> None:
    bridge = GapBridge(10, (), 0)
    (first,) = bridge.push((0, np.array([4, 6], np.int32)))
    (second,) = bridge.push((5, np.array([12, 12], np.int32)))
    np.testing.assert_array_equal(np.concatenate([first.values, second.values]), [4, 6, 7.5, 9, 10.5, 12, 12])
    np.testing.assert_array_equal(np.concatenate([first.valid, second.valid]), [1, 1, 0, 0, 0, 1, 1])
    assert (bridge.counts.bridged_gaps, bridge.counts.bridged_samples, bridge.counts.restarts) == (1, 3, 0)


def test_long_gaps_begin_a_fresh_run() -> None:
    bridge = GapBridge(10, (), 0)
    assert [s.fresh for s in bridge.push((0, np.ones(3)))] == [True]
    (bridged,) = bridge.push((13, np.ones(2)))  # ten samples missing: still interpolated
    assert not bridged.fresh and bridged.first == 3 and len(bridged.values) == 12
    (fresh,) = bridge.push((26, np.ones(2)))  # eleven missing
    assert fresh.fresh and fresh.first == 26 and bridge.counts.restarts == 1


def test_overlapping_and_repeated_samples_are_dropped_and_counted() -> None:
    bridge = GapBridge(10, (), 0)
    bridge.push((0, np.arange(10.0)))
    (rest,) = bridge.push((8, np.array([80.0, 90.0, 100.0])))
    np.testing.assert_array_equal(rest.values, [100.0])
    assert bridge.push((0, np.arange(5.0))) == [] and bridge.counts.overlap_samples == 7


def test_fill_values_are_lost_samples_only_far_from_the_signal() -> None:
    (run,) = GapBridge(10, (-1, 0), 32).push((0, np.array([500, -1, 502, 0, 0, 505], np.int32)))
    np.testing.assert_array_equal(run.values, [500, 501, 502, 503, 504, 505])
    near = GapBridge(10, (-1, 0), 32)
    (kept,) = near.push((0, np.array([2, -1, 0, 0, 1, -1], np.int32)))
    np.testing.assert_array_equal(kept.values, [2, -1, 0, 0, 1, -1])
    assert near.counts.fill_samples == 0


def test_nan_and_infinite_samples_are_lost_samples() -> None:
    bridge = GapBridge(10, (), 0)
    (run,) = bridge.push((0, np.array([1.0, np.nan, np.inf, 4.0])))
    np.testing.assert_array_equal(run.values, [1, 2, 3, 4])
    assert bridge.counts.not_finite_samples == 2


def test_a_background_starts_at_the_median_and_then_moves_by_the_stated_steps() -> None:
    background = Background(BackgroundConfig(quantile=0.7, step=0.01, step_start=0.1, start_frames=3))
    valid = np.ones(5, bool)
    excess = background.excess(np.array([[1.0], [3.0], [2.0], [4.0], [0.0]]), valid)[:, 0]
    # Medians 1, 2, 2; frame 4 is 2 above, so the level rises by 0.7 * (0.1 * 3 / 4) to 2.0525.
    np.testing.assert_allclose(excess, [0.0, 1.0, 0.0, 2.0, -2.0525])
    # Frame 5 was below: down by 0.3 * (0.1 * 3 / 5) to 2.0345.
    assert background.excess(np.array([[2.0345]]), valid[:1])[0, 0] == pytest.approx(0.0)


def test_a_background_settles_at_its_quantile() -> None:
    background = Background(BackgroundConfig(0.7, 0.002, 0.06, 16))
    levels = np.random.default_rng(7).standard_normal((40_000, 1))
    excess = background.excess(levels, np.ones(40_000, bool))
    assert np.mean(excess[20_000:] < 0) == pytest.approx(0.7, abs=0.03)


def test_a_badly_wrong_background_catches_up_by_the_stated_rule() -> None:
    catch_up = CatchUpConfig(memory_frames=2.0, share_high=0.6, share_low=0.1, step=1.0)
    background = Background(BackgroundConfig(0.5, 0.1, 0.1, 1, catch_up))
    excess = background.excess(np.array([[0.0], [9.0], [9.0], [-9.0], [-9.0], [-9.0], [-9.0]]), np.ones(7, bool))[:, 0]
    # Shares of frames above, from 0.5: 0.75 and 0.875 (fast: up by 0.5), then 0.4375, 0.21875, 0.109375 (slow: down by
    # 0.05), 0.0546875 (fast again).
    np.testing.assert_allclose(excess, [0.0, 9.0, 8.5, -10.0, -9.95, -9.9, -9.85])
    assert background.excess(np.array([[0.35]]), np.ones(1, bool))[0, 0] == pytest.approx(0.0)


def test_a_tapered_start_blinds_the_front_end_for_an_hour_and_not_for_a_day() -> None:
    config = BackgroundConfig(0.7, 0.002, 0.06, 16, CatchUpConfig(186.0, 0.75, 0.05, 0.05))
    rng = np.random.default_rng(8)
    levels = 0.3 * rng.standard_normal((1500, 1))
    levels[:200, 0] += 4.0 * np.log10(np.sin(0.5 * np.pi * (np.arange(200) + 1.0) / 200))  # a taper's power
    quantile = 0.3 * float(norm.ppf(0.7))
    after = 1 + int(np.ceil(4200 / 9.66))  # 70 minutes
    caught_up = levels[after:] - Background(config).excess(levels, np.ones(1500, bool))[after:]
    assert np.abs(caught_up - quantile).max() < 0.35
    slow = Background(replace(config, catch_up=None)).excess(levels, np.ones(1500, bool))[after:]
    assert np.median(levels[after:] - slow) < quantile - 1.0


def test_a_station_is_the_mean_of_its_valid_channels() -> None:
    a, b = noise(8, 6000), noise(9, 6000)
    both = station_rows(CONFIG, RATE_HZ, [trace(a, code="M_H_1"), trace(b, code="M_H_2")])
    alone = [station_rows(CONFIG, RATE_HZ, [trace(x)]) for x in (a, b)]
    np.testing.assert_array_equal(both.rows, ((alone[0].rows + alone[1].rows) / np.float32(2)).astype(np.float32))


def test_a_channel_that_is_constant_for_long_enough_is_no_longer_valid() -> None:
    a, dead = noise(10, 20_000), np.full(20_000, 512, np.int32)
    both = station_rows(CONFIG, RATE_HZ, [trace(a, code="M_H_1"), trace(dead, code="M_H_Z")])
    alone = station_rows(CONFIG, RATE_HZ, [trace(a)])
    stuck_from = round(600 * RATE_HZ / 64)
    np.testing.assert_array_equal(both.rows[stuck_from:], alone.rows[stuck_from:])


def test_a_channel_that_stops_leaves_the_others_alone() -> None:
    a, b = noise(11, 30_000), noise(12, 3000)
    traces = sorted([*cut(a, [500], "M_H_1"), *cut(b, [500], "M_H_2")], key=lambda p: p.start_ns)
    both, alone = station_rows(CONFIG, RATE_HZ, traces), station_rows(CONFIG, RATE_HZ, [trace(a)])
    np.testing.assert_array_equal(both.block, alone.block)
    np.testing.assert_array_equal(both.rows[60:], alone.rows[60:])


def test_rows_wait_for_a_missing_channel_no_longer_than_an_interpolated_gap() -> None:
    front_end = StationFrontEnd(CONFIG, RATE_HZ)
    a = noise(13, 60_000)
    front_end.push(trace(noise(14, 500), code="M_H_2"))
    given = 0
    for part in cut(a, [500], "M_H_1"):
        given += len(front_end.push(part).block)
        newest_s = (part.start_ns - T0_NS) / 1e9
        # Never delayed by more than the longest interpolated gap, a window and a trace.
        assert given * 64 / RATE_HZ >= newest_s - CONFIG.bridge_s - 128 / RATE_HZ - 500 / RATE_HZ


def test_a_long_gap_restarts_the_station() -> None:
    samples = noise(15, 12_000)
    lost = round(400 * RATE_HZ)
    rows = station_rows(CONFIG, RATE_HZ, [trace(samples[:6000]), trace(samples[6000:], 6000 + lost)])
    assert rows.restart.sum() == 2 and rows.restart[0]
    again = int(np.flatnonzero(rows.restart)[1])
    assert rows.block[again] == -(-(6000 + lost + 2) // 64)  # despiking loses two samples
    assert np.all(np.diff(rows.block)[np.arange(len(rows.block) - 1) != again - 1] == 1)


def test_blocks_in_a_short_gap_carry_the_gap_flag() -> None:
    samples = noise(16, 12_000)
    lost = round(100 * RATE_HZ)
    rows = station_rows(CONFIG, RATE_HZ, [trace(samples[:6000]), trace(samples[6000:], 6000 + lost)])
    flagged = rows.block[rows.rows[:, 0, -1] == 1.0]
    assert rows.restart.sum() == 1
    # A window is not valid when more than 32 of its 128 samples are interpolated.
    expected = [k for k in rows.block if max(0, min(k * 64 + 128, 6000 + lost) - max(k * 64, 6000)) > 32]
    np.testing.assert_array_equal(flagged, expected)
    assert np.all(rows.rows[~rows.valid][:, 0, :-1] == 0)


def test_waveform_rows_are_samples_over_their_running_scale() -> None:
    samples = noise(17, 64 * 400, scale=30.0).astype(np.float64)
    rows = station_rows(replace(WAVEFORM, despike_threshold=1e9), RATE_HZ, [trace(samples)])
    assert rows.rows.shape[1:] == (64, 2)
    late = rows.rows[200:, :, 0].ravel()
    own = samples[64 * int(rows.block[200]) :][: len(late)]
    assert np.corrcoef(late, own)[0, 1] > 0.98
    assert np.std(late) == pytest.approx(1.0, abs=0.1)
