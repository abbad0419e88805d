"""The resampler against analytic signals and scipy, and its clock against records whose true times are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edgequake.edge.base.errors import DataError
from edgequake.edge.features.channel_clock import ChannelClock
from edgequake.edge.features.conditioning import ContiguousRun, join_runs
from edgequake.edge.features.resampling import ToModelGrid, on_model_grid
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.front_end_config import BackgroundConfig, FrontEndConfig, SpectrogramConfig

RATE_HZ = 20.0
NAME = "FDSN:XX_AAA_00_B_H_Z"
T0_NS = 1_600_000_000_000_000_000
CONFIG = FrontEndConfig(
    kind="spectrogram",
    hop_samples=8,
    bridge_s=2.0,
    max_gap_fraction=0.25,
    stuck_s=600.0,
    fill_values=(),
    fill_min_jump=0,
    despike_threshold=0.0,
    decimators={"5": tuple(float(tap) for tap in signal.firwin(155, 0.16))},
    background=BackgroundConfig(0.7, 0.002, 0.06, 16),
    spectrogram=SpectrogramConfig(32, (0.6, 2.0, 9.0), -1.0, 3.0, 64),
)
RATIOS = [0.98, 0.9999956, 1 + 5e-5, np.pi / 3.1, 1.02, 1.2, 4 / 3, np.sqrt(2), 2.0, 2.5, np.e, 4.0, 6.25, 2 * np.pi, 12.75]


def tones(low_hz: float, high_hz: float, seed: int, n: int = 40) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of time that is the sum of tones between two frequencies, of unit variance."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(low_hz, high_hz, n), rng.uniform(0, 2 * np.pi, n)
    return lambda t: np.sin(2 * np.pi * frequency * t[:, None] + phase).sum(axis=1) * np.sqrt(2 / n)


def resampled(rate_hz: float, values: np.ndarray) -> ContiguousRun:
    outputs = ToModelGrid(CONFIG, RATE_HZ, rate_hz, 0, 0)
    position = outputs.clock.place(0, len(values), rate_hz)
    run = outputs.push(ContiguousRun(position, values, np.ones(len(values), bool), True))
    assert run is not None
    return run


def decibels(error: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(error**2) / np.mean(reference**2)))


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_error_is_below_minus_80_decibels_up_to_0_7_of_the_nyquist_frequency(ratio: float) -> None:
    wanted, rate_hz = tones(0.0, 0.7 * RATE_HZ / 2, 1), ratio * RATE_HZ
    run = on_any_clock(rate_hz, wanted(np.arange(int(400 * rate_hz)) / rate_hz))
    truth = wanted((run.first + np.arange(len(run.values))) / RATE_HZ)
    assert len(truth) > 7900
    assert decibels(run.values - truth, truth) < -80.0


def on_any_clock(rate_hz: float, values: np.ndarray) -> ContiguousRun:
    """Resample although the rate may be within the tolerance of the model's."""
    outputs = ToModelGrid(CONFIG, RATE_HZ, 3.3 * RATE_HZ, 0, 0)
    outputs.clock = ChannelClock(rate_hz, 0, on_grid=False)
    outputs.clock.place(0, len(values), rate_hz)
    run = outputs.push(ContiguousRun(0, values, np.ones(len(values), bool), True))
    assert run is not None
    return run


@pytest.mark.parametrize("ratio", [ratio for ratio in RATIOS if ratio > 1.35])
def test_what_would_fold_into_the_band_from_above_is_suppressed(ratio: float) -> None:
    rate_hz = ratio * RATE_HZ
    above = tones(1.3 * RATE_HZ / 2, rate_hz / 2, 2)
    run = on_any_clock(rate_hz, above(np.arange(int(400 * rate_hz)) / rate_hz))
    assert decibels(run.values, np.ones(1)) < -80.0


@pytest.mark.parametrize(("up", "down"), [(5, 6), (3, 4), (1, 2), (2, 5), (4, 25), (4, 51)])
def test_noise_is_resampled_as_by_scipy_with_a_long_filter(up: int, down: int) -> None:
    rate_hz = RATE_HZ * down / up
    noise = np.random.default_rng(3).standard_normal(int(300 * rate_hz))
    run = on_any_clock(rate_hz, noise)
    taps = signal.firwin(2 * 400 * down + 1, 1.0 / down, window=("kaiser", 14.0)) * up
    reference = signal.resample_poly(noise, up, down, window=taps / up)
    band = signal.firwin(801, 0.7, window=("kaiser", 14.0))  # compare up to 0.7 of the Nyquist frequency
    middle = slice(1200, 4800)
    ours, theirs = (np.convolve(x, band, "same")[middle] for x in (padded(run, len(reference)), reference))
    assert decibels(ours - theirs, theirs) < -78.0  # `band` itself ends at 0.71


def padded(run: ContiguousRun, n: int) -> np.ndarray:
    out = np.zeros(n)
    out[run.first : run.first + len(run.values)] = run.values[: n - run.first]
    return out


# Records whose true times are known


def records(
    true_hz: float, header_hz: float | list[float], n_samples: int, length: int, wrong_s: Callable[[int], float] = lambda i: 0.0
) -> list[Trace]:
    """Return records of a signal sampled at `true_hz`; the start of record i is wrong by `wrong_s(i)`."""
    headers = header_hz if isinstance(header_hz, list) else [header_hz]
    found = []
    for i, first in enumerate(range(0, n_samples, length)):
        t = (first + np.arange(min(length, n_samples - first))) / true_hz
        start_ns = T0_NS + round((first / true_hz + wrong_s(i)) * NS_PER_S)
        found.append(Trace(NAME, start_ns, headers[i % len(headers)], SIGNAL(t)))
    return found


def SIGNAL(t: np.ndarray) -> np.ndarray:
    """A chirp-like sum of slow tones: an error of time of dt changes it by about 2 pi dt."""
    return np.sin(2 * np.pi * 1.0 * t) + np.sin(2 * np.pi * 0.173 * t)


def lateness_s(traces: list[Trace], truth: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Return by how much the outputs are late, minute by minute, by least squares against the true signal."""
    runs = join_runs(on_model_grid(CONFIG, RATE_HZ, traces, T0_NS))
    late = []
    for run in runs:
        t = (run.first + np.arange(len(run.values))) / RATE_HZ
        exact = SIGNAL(t) if truth is None else truth(t)
        slope = 2 * np.pi * (np.cos(2 * np.pi * t) + 0.173 * np.cos(2 * np.pi * 0.173 * t))
        n = 1200
        for i in range(0, len(t) - n, n):
            late.append(float(slope[i : i + n] @ (exact - run.values)[i : i + n] / (slope[i : i + n] @ slope[i : i + n])))
    return np.array(late)


HALF_S = 0.5 / RATE_HZ


@pytest.mark.parametrize("true_hz", [20.0, 50.0, 100.0])
def test_true_times_win_where_the_header_is_nominal_and_the_clock_drifts(true_hz: float) -> None:
    late = lateness_s(records(true_hz * (1 + 5e-5), true_hz, int(true_hz * 7200), 400))
    assert len(late) > 110
    assert np.abs(late).max() < 1.2 * HALF_S
    assert np.abs(late[60:]).max() < 0.5 * HALF_S  # once the rate is known
