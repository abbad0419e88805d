"""The resampler against analytic signals and scipy, and its clock against records whose true times are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

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
from edgequake.edge.manifest.tables import SpectrogramConfig

from .front_ends import front_end

RATE_HZ = 20.0
NAME = "FDSN:XX_AAA_00_B_H_Z"
T0_NS = 1_600_000_000_000_000_000
CONFIG = front_end(
    "spectrogram",
    hop_samples=8,
    bridge_s=2.0,
    fill_values=(),
    fill_min_jump=0,
    despike_threshold=0.0,
    decimators={"5": tuple(float(tap) for tap in signal.firwin(155, 0.16))},
    spectrogram=SpectrogramConfig(32, (0.6, 2.0, 9.0), -1.0, 3.0, 64),
)
RATIOS = [
    0.98,
    0.9999956,
    1 + 5e-5,
    np.pi / 3.1,
    1.02,
    1.2,
    4 / 3,
    np.sqrt(2),
    2.0,
    2.5,
    np.e,
    4.0,
    6.25,
    2 * np.pi,
    12.75,
]


def tones(low_hz: float, high_hz: float, seed: int, n: int = 40) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of time that is the sum of tones between two frequencies, of unit variance."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(low_hz, high_hz, n), rng.uniform(0, 2 * np.pi, n)
    return lambda t: np.sin(2 * np.pi * frequency * t[:, None] + phase).sum(axis=1) * np.sqrt(2 / n)


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
    outputs.clock.maps[:] = ChannelClock(rate_hz, 0, on_grid=False).maps
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

HALF_S = 0.5 / RATE_HZ
Wrong = Callable[[int], float]  # by how many seconds the start of record i is wrong


def slow(t: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * t) + np.sin(2 * np.pi * 0.173 * t)


def records(
    true_hz: float,
    header_hz: float | list[float],
    length: int,
    wrong_s: Wrong = lambda i: 0.0,
    duration_s: float = 3600,
) -> list[Trace]:
    """Return records of `slow` sampled at `true_hz`."""
    headers, found, n_samples = np.atleast_1d(header_hz), [], int(duration_s * true_hz)
    for i, first in enumerate(range(0, n_samples, length)):
        t = np.arange(first, min(first + length, n_samples)) / true_hz
        start_ns = T0_NS + round((first / true_hz + wrong_s(i)) * NS_PER_S)
        found.append(Trace(NAME, start_ns, float(headers[i % len(headers)]), slow(t)))
    return found


def lateness_s(traces: list[Trace], known_s: float = 0.0) -> np.ndarray:
    """Return by how much more than `known_s` the outputs are late, minute by minute: least squares on the slope."""
    (run,) = join_runs(on_model_grid(CONFIG, RATE_HZ, traces, T0_NS))
    n_minutes = len(run.values) // 1200
    t = (run.first + np.arange(n_minutes * 1200)) / RATE_HZ
    shifted = t - known_s
    slope = 2 * np.pi * (np.cos(2 * np.pi * shifted) + 0.173 * np.cos(2 * np.pi * 0.173 * shifted))
    slope, early = slope.reshape(-1, 1200), (slow(shifted) - run.values[: len(t)]).reshape(-1, 1200)
    assert n_minutes >= 18
    return (slope * early).sum(axis=1) / (slope * slope).sum(axis=1)


def is_the_samples_themselves(traces: list[Trace]) -> bool:
    (run,) = join_runs(on_model_grid(CONFIG, RATE_HZ, traces, T0_NS))
    return np.array_equal(run.values, np.concatenate([trace.samples for trace in traces]))


def jitter(share: float, rate_hz: float) -> Wrong:
    wrong = np.random.default_rng(7).uniform(-share, share, 10_000) / rate_hz
    return lambda i: float(wrong[i])


@pytest.mark.parametrize(
    "traces",
    [
        records(20.0, 20.0, 400),
        records(20.0, 20.0, 400, jitter(0.05, 20.0)),
        records(20.0, 20.0, 400, jitter(0.45, 20.0)),
        records(20.0, 19.99944, 400),  # 49.9986 Hz in a header, scaled to this rate
        records(20.0, [20.0004, 19.9996], 400),
    ],
    ids=["clean", "jitter", "strong jitter", "header off", "header flickers"],
)
def test_while_record_starts_stay_within_half_a_sample_nothing_changes(traces: list[Trace]) -> None:
    assert is_the_samples_themselves(traces)


@pytest.mark.parametrize("length", [25, 7000])
@pytest.mark.parametrize("drift", [5e-5, -9.3e-4])
@pytest.mark.parametrize("rate_hz", [20.0, pytest.param(50.0, marks=pytest.mark.long), 100.0])
@pytest.mark.parametrize("wrong", ["rate", "header", "neither"])
def test_the_true_times_win_whatever_the_headers_say(rate_hz: float, drift: float, length: int, wrong: str) -> None:
    """Believing the headers would be late by 60 ms or more in the end, over 20 min; long records need an hour."""
    true_hz = rate_hz * (1 + drift) if wrong != "header" else rate_hz
    header_hz = rate_hz * (1 + drift) if wrong != "rate" else rate_hz
    late = np.abs(lateness_s(records(true_hz, header_hz, length, duration_s=1200 if length == 25 else 3600)))
    assert late.max() < max(2 * HALF_S, 3 * abs(drift) * length / rate_hz)  # the first records are believed
    assert np.median(late[-len(late) // 3 :]) < 0.7 * HALF_S


def test_a_step_of_the_clock_is_followed_at_once() -> None:
    for step_s in (1.0, -1.0, 0.7 / RATE_HZ):
        traces = records(20.0, 20.0, 400, lambda i, step_s=step_s: step_s if i >= 60 else 0.0)  # type: ignore[misc]
        assert np.abs(lateness_s(traces)[:19]).max() < 1e-6
        assert np.abs(lateness_s(traces, step_s)[22:]).max() < 1.5 * HALF_S


def test_a_year_after_a_gap_the_time_is_exact() -> None:
    """A header of 0.9999956 of the nominal rate, as Martian records have: 136 s a year."""
    year_s, rate_hz = 31_557_600, 0.9999956 * RATE_HZ
    before = records(rate_hz, rate_hz, 400, duration_s=200)
    after = [replace(trace, start_ns=trace.start_ns + year_s * NS_PER_S) for trace in before]
    first, second = join_runs(on_model_grid(CONFIG, RATE_HZ, [*before, *after], T0_NS))
    assert abs((second.first - first.first) / RATE_HZ - year_s) <= HALF_S


@settings(max_examples=15, deadline=None)
@given(
    rate_hz=st.sampled_from([20.0, 20.3, 50.0, 100.0]),
    drift=st.sampled_from([0.0, 3e-5, -1e-4, 8e-4]),
    share=st.sampled_from([0.0, 0.05, 0.3]),
    length=st.sampled_from([25, 400, 3000]),
    lost=st.integers(0, 60),
    seed=st.integers(0, 1000),
)
def test_where_records_are_cut_makes_no_difference(
    rate_hz: float, drift: float, share: float, length: int, lost: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wrong = jitter(share, rate_hz)
    whole = records(rate_hz * (1 + drift), rate_hz, length, lambda i: wrong(i) + (lost / rate_hz if i > 9 else 0), 400)
    pieces = []
    for trace in whole:
        cuts = np.unique([0, *rng.integers(0, len(trace.samples), rng.integers(0, 4)), len(trace.samples)])
        for a, b in pairwise(cuts):
            start_ns = trace.start_ns + duration_ns(int(a), trace.sampling_rate_hz)
            start_ns = start_ns if a == 0 else round(start_ns / 1000) * 1000  # to the microsecond, as in miniSEED 2
            pieces.append(replace(trace, start_ns=start_ns, samples=trace.samples[a:b]))
    runs = [join_runs(on_model_grid(CONFIG, RATE_HZ, traces, T0_NS)) for traces in (whole, pieces)]
    assert [(run.first, len(run.values)) for run in runs[0]] == [(run.first, len(run.values)) for run in runs[1]]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-12)
        np.testing.assert_array_equal(one.valid, other.valid)


def test_the_clocks_state_continues_where_it_was() -> None:
    traces = records(50.0 * (1 + 3e-4), 50.0, 400, jitter(0.05, 50.0), 400)
    whole = ToModelGrid(CONFIG, RATE_HZ, 50.0, T0_NS, T0_NS)
    parts = ToModelGrid(CONFIG, RATE_HZ, 50.0, T0_NS, T0_NS)
    for i, trace in enumerate(traces):
        given = []
        for grid in (whole, parts):
            position = grid.clock.place(trace.start_ns, len(trace.samples), trace.sampling_rate_hz)
            given.append(grid.push(ContiguousRun(position, trace.samples, np.ones(len(trace.samples), bool), i == 0)))
        a, b = given
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.first == b.first
            np.testing.assert_array_equal(a.values, b.values)
        state = json.loads(json.dumps(parts.state(), default=lambda array: array.tolist()))
        parts = ToModelGrid(CONFIG, RATE_HZ, 50.0, T0_NS, T0_NS)
        tail = state["tail"]
        if tail is not None:
            tail["values"], tail["valid"] = np.array(tail["values"], float), np.array(tail["valid"], bool)
        parts.restore(state)


@pytest.mark.parametrize(("rate_hz", "taken"), [(19.5, False), (19.6, True), (320.0, True), (330.0, False)])
def test_rates_from_0_98_to_16_times_the_models_are_taken(rate_hz: float, taken: bool) -> None:
    if taken:
        ToModelGrid(CONFIG, RATE_HZ, rate_hz, 0, 0)
    else:
        with pytest.raises(DataError, match=r"this model takes 19\.6 to 320 Hz"):
            ToModelGrid(CONFIG, RATE_HZ, rate_hz, 0, 0)
