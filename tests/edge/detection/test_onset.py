"""Onsets refined from samples: synthetic events whose onset is known, obspy's pickers, gaps and dead channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from obspy.signal.trigger import aic_simple, ar_pick
from scipy.signal import butter, freqz, resample_poly, sosfilt

from edgequake.edge.detection.onset import Onset, band_pass, refine_onset
from edgequake.edge.features.conditioning import ContiguousRun, Despike
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest, Variant, load_manifest
from edgequake.edge.manifest.tables import FrontEndConfig, OnsetConfig

RATE_HZ = 100.0
START_NS = 1_700_000_000 * NS_PER_S
LENGTH_S, ONSET_S = 40.0, 20.0
CONFIG = OnsetConfig(
    low_hz=2.0,
    high_hz=20.0,
    filter_cycles=2.0,
    frame_s=0.05,
    before_s=5.0,
    after_s=3.0,
    tail_s=1.0,
    min_quiet_s=1.0,
    min_gain=6.0,
    evidence=0.5,
    late_s=0.5,
    late_spread_s=1.0,
    min_sigma_s=0.03,
    max_sigma_s=100.0,
    coarse_sigma_s=2.0,
)


@pytest.fixture(scope="module")
def front_end(moon: tuple[Manifest, bytes, Variant]) -> FrontEndConfig:
    """Return the lunar front end; gaps of at most a second are interpolated."""
    return replace(moon[0].front_end, bridge_s=1.0)


def event(rng: np.random.Generator, ratio: float, rise_s: float = 0.1) -> npt.NDArray[np.float64]:
    """Return 2-20 Hz noise of standard deviation 100; from ONSET_S on it contains an event `ratio` times as strong."""
    n_samples = round(LENGTH_S * RATE_HZ)
    sections = butter(2, (2.0, 20.0), "bandpass", fs=RATE_HZ, output="sos")
    noise, signal = (sosfilt(sections, rng.standard_normal(n_samples)) for _ in range(2))
    since_s = np.arange(n_samples) / RATE_HZ - ONSET_S
    envelope = np.where(since_s >= 0, (1 - np.exp(-since_s / rise_s)) * np.exp(-since_s / 10.0), 0.0)
    scale = 100.0 / np.std(noise)
    return scale * (noise + ratio * envelope * signal)


def traces_of(*channels: npt.NDArray[np.float64], size: int | None = None) -> list[Trace]:
    """Return channels as int32 traces of `size` samples."""
    traces = []
    for name, samples in zip("ZNE", channels, strict=False):
        counts = np.rint(samples).astype(np.int32)
        for first in range(0, len(counts), size or len(counts)):
            start_ns = START_NS + round(first / RATE_HZ * NS_PER_S)
            part = counts[first : first + (size or len(counts))]
            traces.append(Trace(f"FDSN:XX_STA_00_H_H_{name}", start_ns, RATE_HZ, part))
    return traces


def refine(
    traces: list[Trace], front_end: FrontEndConfig, late_s: float = 0.7, config: OnsetConfig = CONFIG
) -> tuple[float, Onset]:
    """Return the error in s, and the onset, of a trigger that is late."""
    onset_ns = START_NS + round(ONSET_S * NS_PER_S)
    onset = refine_onset(config, front_end, traces, onset_ns + round(late_s * NS_PER_S))
    return (onset.onset_ns - onset_ns) / NS_PER_S, onset


# A frame is 0.05 s. The envelope reaches the noise's level ln(r / (r - 1)) * 0.1 s after the onset: 0.01 s at ratio 10
# and 0.04 s at 3. At 100 the band-pass, which reaches 0.5 s ahead, shows the event early.
@pytest.mark.parametrize(("ratio", "median_s", "most_s"), [(100.0, 0.1, 0.2), (10.0, 0.06, 0.15), (3.0, 0.12, 0.5)])
def test_known_onsets_are_found(front_end: FrontEndConfig, ratio: float, median_s: float, most_s: float) -> None:
    rng = np.random.default_rng(3)
    errors_s = [refine(traces_of(event(rng, ratio)), front_end, late_s=rng.uniform(-0.5, 1.5))[0] for _ in range(60)]
    assert np.median(np.abs(errors_s)) <= median_s
    assert np.quantile(np.abs(errors_s), 0.9) <= most_s


@pytest.mark.parametrize("late_s", [-0.5, 0.0, 1.5])
def test_the_trigger_hardly_matters_to_a_clear_event(front_end: FrontEndConfig, late_s: float) -> None:
    error_s, onset = refine(traces_of(event(np.random.default_rng(5), 20.0)), front_end, late_s)
    assert onset.refined
    assert abs(error_s) <= 0.1


def test_agrees_with_obspys_pickers(front_end: FrontEndConfig) -> None:
    rng = np.random.default_rng(11)
    to_aic_s, to_ar_s = [], []
    for _ in range(20):
        samples = event(rng, 10.0)
        error_s, _ = refine(traces_of(samples), front_end)
        first = round((ONSET_S + 0.7 - CONFIG.before_s) * RATE_HZ)
        window = samples[first : first + round((CONFIG.before_s + CONFIG.after_s) * RATE_HZ)]
        to_aic_s.append(error_s - ((first + np.argmin(aic_simple(window))) / RATE_HZ - ONSET_S))
        # The horizontal traces are for S only, which is not compared.
        p_s, _ = ar_pick(samples, samples, samples, RATE_HZ, 2.0, 20.0, 1.0, 0.1, 2.0, 0.2, 2, 8, 0.1, 0.2)
        to_ar_s.append(error_s - (p_s - ONSET_S))
    assert np.median(np.abs(to_aic_s)) <= 0.05
    assert np.median(np.abs(to_ar_s)) <= 0.1


def test_two_thirds_of_the_errors_lie_within_sigma(front_end: FrontEndConfig) -> None:
    """Here the noise has the distribution that the method assumes, so all of the evidence counts."""
    config = replace(CONFIG, evidence=1.0, frame_s=0.025, min_sigma_s=0.01)
    rng = np.random.default_rng(17)
    within = []
    for ratio in np.geomspace(1.7, 30.0, 240):
        samples = event(rng, float(ratio), rise_s=0.05)
        error_s, onset = refine(traces_of(samples), front_end, rng.uniform(-0.2, 1.2), config)
        within += [abs(error_s) <= onset.sigma_s] if onset.refined else []
    assert len(within) > 200
    assert 0.55 <= np.mean(within) <= 0.8  # three standard deviations of a share of 2/3 among 200 are 0.1


def test_sigma_grows_as_events_get_fainter(front_end: FrontEndConfig) -> None:
    rng = np.random.default_rng(23)
    sigmas_s = [
        np.mean([refine(traces_of(event(rng, ratio)), front_end)[1].sigma_s for _ in range(20)])
        for ratio in (30.0, 3.0, 1.5)
    ]
    assert sigmas_s[0] < sigmas_s[1] < sigmas_s[2]


def test_the_same_samples_give_the_same_onset_however_they_are_cut(front_end: FrontEndConfig) -> None:
    rng = np.random.default_rng(29)
    channels = [event(rng, 4.0) for _ in range(3)]
    whole = refine(traces_of(*channels), front_end)[1]
    assert whole.refined
    for size in (1, 7, 100, 1024):
        assert refine(traces_of(*channels, size=size), front_end)[1] == whole


def test_only_samples_within_reach_are_used(front_end: FrontEndConfig) -> None:
    samples = event(np.random.default_rng(31), 4.0)
    coarse_s = ONSET_S + 0.7
    time_s = np.arange(len(samples)) / RATE_HZ
    outside = (time_s < coarse_s - CONFIG.reach_before_s) | (time_s >= coarse_s + CONFIG.reach_after_s)
    changed = np.where(outside, 1e6, samples)
    assert refine(traces_of(changed), front_end) == refine(traces_of(samples), front_end)
    assert outside.mean() > 0.5


@pytest.mark.parametrize("size", [40, 300])
def test_a_gap_in_the_quiet_part_does_no_harm(front_end: FrontEndConfig, size: int) -> None:
    samples = event(np.random.default_rng(37), 10.0)
    first = round((ONSET_S - 2.0) * RATE_HZ) - size  # 40 samples are interpolated, 300 begin a fresh run
    (trace,) = traces_of(samples)
    with_gap = [
        trace.between(None, START_NS + round(first / RATE_HZ * NS_PER_S)),
        trace.between(START_NS + round((first + size) / RATE_HZ * NS_PER_S), None),
    ]
    error_s, onset = refine(with_gap, front_end)
    assert onset.refined
    assert abs(error_s) <= 0.1


def test_a_dead_channel_has_no_effect(front_end: FrontEndConfig) -> None:
    samples = event(np.random.default_rng(41), 5.0)
    alone = refine(traces_of(samples), front_end)[1]
    assert refine(traces_of(samples, np.full(len(samples), 512.0)), front_end)[1] == alone


def test_channels_are_combined(front_end: FrontEndConfig) -> None:
    rng = np.random.default_rng(43)
    one, three = [], []
    for _ in range(40):
        channels = [event(rng, 2.0) for _ in range(3)]
        one.append(refine(traces_of(channels[0]), front_end)[0])
        three.append(refine(traces_of(*channels), front_end)[0])
    assert np.quantile(np.abs(three), 0.67) < np.quantile(np.abs(one), 0.67)


def test_coarse_quantisation_is_not_silence(front_end: FrontEndConfig) -> None:
    """Noise of a fifth of a count is a flat line with rare steps; no such step is the onset."""
    samples = event(np.random.default_rng(47), 20.0) / 500.0
    error_s, onset = refine(traces_of(samples), front_end)
    assert onset.refined
    assert abs(error_s) <= 0.1


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0),
        np.full(4000, 7.0),
        100 * np.random.default_rng(53).standard_normal(4000),
    ],
    ids=["nothing", "flat", "noise"],
)
def test_without_a_rise_the_triggers_onset_is_kept(front_end: FrontEndConfig, samples: npt.NDArray[np.float64]) -> None:
    error_s, onset = refine(traces_of(samples) if len(samples) else [], front_end)
    assert onset == Onset(onset.onset_ns, CONFIG.coarse_sigma_s, False)
    assert error_s == pytest.approx(0.7)


@pytest.mark.parametrize("quiet_s", [-1.0, 0.3])
def test_without_quiet_before_it_the_triggers_onset_is_kept(front_end: FrontEndConfig, quiet_s: float) -> None:
    (trace,) = traces_of(event(np.random.default_rng(59), 20.0))
    begun = trace.between(START_NS + round((ONSET_S - quiet_s) * NS_PER_S), None)
    error_s, onset = refine([begun], front_end)
    assert not onset.refined
    assert onset.sigma_s == CONFIG.coarse_sigma_s
    assert error_s == pytest.approx(0.7)


def test_a_slow_channel_is_used_up_to_its_highest_frequency(front_end: FrontEndConfig) -> None:
    samples = event(np.random.default_rng(61), 20.0)
    slow = Trace("FDSN:XX_STA_00_B_H_Z", START_NS, 20.0, np.rint(samples[::5]).astype(np.int32))
    error_s, onset = refine([slow], front_end)
    assert onset.refined
    assert abs(error_s) <= 0.15
    too_slow = Trace("FDSN:XX_STA_00_L_H_Z", START_NS, 4.0, np.rint(samples[::25]).astype(np.int32))
    assert not refine([too_slow], front_end)[1].refined


def test_the_band_pass_passes_only_its_band() -> None:
    taps = band_pass(2.0, 20.0, 4.0, RATE_HZ)
    frequency_hz, response = freqz(taps, worN=1000, fs=RATE_HZ)
    gain = np.abs(response)
    np.testing.assert_allclose(taps, taps[::-1])
    assert gain[0] < 1e-12
    assert np.all(np.abs(gain[(frequency_hz > 4) & (frequency_hz < 18)] - 1) < 0.02)
    assert np.all(gain[frequency_hz > 22] < 0.02)


@pytest.mark.parametrize(
    "changes",
    [{"high_hz": 2.0}, {"evidence": 1.5}, {"frame_s": 0.0}, {"min_quiet_s": 4.96}, {"late_s": float("nan")}],
)
def test_impossible_constants_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|expected"):
        replace(CONFIG, **changes)


@pytest.mark.parametrize(("up", "down"), [(2, 1), (5, 2), (51, 50), (49, 50)])  # 100 Hz: a decimator; the others: none
def test_the_onset_is_the_same_at_every_rate(front_end: FrontEndConfig, up: int, down: int) -> None:
    """The noise above the band, which only high rates show, has no effect."""
    own_hz = 50.0
    config = replace(front_end, highest_rate_hz=None, despike_threshold=1e9)
    for seed in range(5):
        own = resample_poly(event(np.random.default_rng(seed), 5.0), 1, 2)
        found = []
        for samples, rate_hz in ((own, own_hz), (resample_poly(own, up, down), own_hz * up / down)):
            if rate_hz > 2.0 * own_hz - 1.0:
                above = butter(4, 30.0, "highpass", fs=rate_hz, output="sos")
                samples = samples + sosfilt(above, np.random.default_rng(99).normal(0.0, 300.0, len(samples)))
            trace = Trace("FDSN:XX_STA_00_H_H_Z", START_NS, rate_hz, np.rint(16.0 * samples).astype(np.int32))
            coarse_ns = START_NS + round((ONSET_S + 0.7) * NS_PER_S)
            found.append(refine_onset(CONFIG, config, [trace], coarse_ns, model_rate_hz=own_hz))
        assert found[0].refined and found[1].refined
        assert abs(found[1].onset_ns - found[0].onset_ns) <= (CONFIG.frame_s + 0.5 / own_hz) * NS_PER_S


@pytest.mark.parametrize("body", ["mars"])
def test_the_spike_filter_replaces_spikes_and_not_noise(body: str) -> None:
    samples = np.random.default_rng(3).normal(0.0, 20.0, 400_000)
    spikes = np.arange(1000, 400_000, 5000)
    spiked = samples.copy()
    spiked[spikes] += 40_000.0
    despike = Despike(load_manifest(body)[0].front_end.despike_threshold)
    run = despike.push(ContiguousRun(0, spiked, np.ones(len(spiked), bool), True))
    assert run is not None
    changed = np.flatnonzero(run.values != spiked[run.first : run.first + len(run.values)]) + run.first
    assert set(spikes) <= set(changed)
    assert len(changed) - len(spikes) < 2e-4 * len(samples)
