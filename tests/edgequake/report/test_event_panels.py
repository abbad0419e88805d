"""The panel of an event: its spectrogram compared with scipy's, its marks and lines with the figures they show."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.report.charts.day_plot import Mark
from edgequake.report.charts.event_panels import EventPanel, event_figure
from edgequake.report.charts.images import png_uri
from edgequake.report.charts.spectrogram import spectrogram_of
from edgequake.report.recording.probabilities import ProbabilityTrace
from edgequake.report.recording.samples import (
    SPIKE_LOCAL,
    SPIKE_USUAL,
    USUAL_SHARE,
    Samples,
    despiked,
    even,
    joined,
)

from .legibility import cut_off, overlaps, words

RATE_HZ = 6.625
START_NS = 110_000_000 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S


def samples_of(values: np.ndarray, rate_hz: float = RATE_HZ) -> Samples:
    times = START_NS + np.round(np.arange(len(values)) * NS_PER_S / rate_hz).astype(np.int64)
    return Samples(times, values.astype(np.float64))


def noise(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 50.0, n)


def test_spectrogram_is_scipy_s() -> None:
    values = noise(4000)
    ours = spectrogram_of(samples_of(values), RATE_HZ, 128, 60.0)
    assert ours is not None
    frequencies, times, power = scipy.signal.spectrogram(
        values, RATE_HZ, window=np.hanning(128), nperseg=128, noverlap=96, detrend="linear"
    )
    np.testing.assert_allclose(ours.decibels, 10 * np.log10(power), atol=1e-6)
    assert ours.edges_hz[0] == 0 and ours.edges_hz[-1] == pytest.approx(RATE_HZ / 2)
    np.testing.assert_allclose((ours.edges_hz[1:-2] + ours.edges_hz[2:-1]) / 2, frequencies[1:-1])
    middles_s = (ours.edges_ns[:-1] + ours.edges_ns[1:]) / 2 / NS_PER_S - START_NS / NS_PER_S
    np.testing.assert_allclose(middles_s, times, atol=1e-3)


def test_short_gaps_are_interpolated_and_long_ones_stay_empty() -> None:
    values = noise(4000)
    whole = samples_of(values)
    kept = np.ones(4000, bool)
    kept[1000:1020] = False  # 3 s
    kept[2000:2700] = False  # 106 s
    holed = spectrogram_of(Samples(whole.times_ns[kept], whole.values[kept]), RATE_HZ, 128, 60.0)
    assert holed is not None
    blank = np.isnan(holed.decibels).all(axis=0)
    starts = np.arange(len(blank)) * 32
    assert blank.tolist() == [bool(start < 2700 and start + 128 > 2000) for start in starts]
    assert np.isfinite(holed.decibels[:, ~blank]).all()


@pytest.mark.parametrize("values", [np.zeros(0), np.full(4000, 7.0), noise(40)], ids=["none", "dead", "short"])
def test_no_spectrogram_of_too_few_samples(values: np.ndarray) -> None:
    assert spectrogram_of(samples_of(values), RATE_HZ, 128, 60.0) is None


def test_spikes_are_removed_and_the_steps_of_a_coarse_digitizer_stay() -> None:
    steps = np.round(np.random.default_rng(2).normal(0, 0.7, 5000))
    spiked = steps.copy()
    spiked[[100, 1000, 4000]] = (900, -700, 512)
    clean = despiked(spiked)
    assert np.abs(clean).max() <= np.abs(steps).max()
    others = np.ones(5000, bool)
    others[[100, 1000, 4000]] = False
    np.testing.assert_array_equal(clean[others], steps[others])


def test_traces_are_joined_in_time_without_lost_samples() -> None:
    early = Trace("FDSN:XX_LUN_00_M_H_Z", START_NS, 10.0, np.array([5, 6, -1, 7], np.int32))
    late = Trace("FDSN:XX_LUN_00_M_H_Z", START_NS + NS_PER_S, 10.0, np.array([8, 9], np.int32))
    found = joined([late, early])
    assert found.values.tolist() == [5, 6, 7, 8, 9]
    assert ((found.times_ns - START_NS) // 10**6).tolist() == [0, 100, 300, 1000, 1100]
    grid = even(found, 10.0, bridge_s=0.3)
    assert grid is not None
    assert grid.values[:4].tolist() == [5, 6, 6.5, 7]
    assert np.flatnonzero(grid.missing).tolist() == [4, 5, 6, 7, 8, 9]


def test_extremes_by_hand() -> None:
    low, high = samples_of(np.arange(100.0), 10.0).extremes(START_NS, START_NS + 20 * NS_PER_S, 4)
    np.testing.assert_array_equal(low, [0, 50, np.nan, np.nan])
    np.testing.assert_array_equal(high, [49, 99, np.nan, np.nan])


def panel(
    *, n_events: int = 1, n_samples: int = 9000, rate_hz: float = RATE_HZ, both: bool = True, **changes: object
) -> EventPanel:
    stop_ns = START_NS + duration_ns(n_samples, rate_hz)
    length_ns = stop_ns - START_NS
    onsets_ns = [START_NS + round(length_ns * (0.1 + 0.2 * i)) for i in range(n_events)]
    row = CatalogRow(
        "record", onsets_ns[0], 1.0, "XX_LUN_1", "", "XX_LUN", ("MH1", "MH2", "MHZ"),
        onsets_ns[0] + length_ns // 2, 0.9, 0.9, "segments/one.mseed", n_samples, 1, False,
    )  # fmt: skip
    n_steps = 50
    edges = START_NS + np.arange(n_steps + 1) * (length_ns // n_steps)
    onset = np.linspace(0, 1, n_steps)
    trace = ProbabilityTrace("XX_LUN", edges[:-1], edges[1:], onset, onset**2 if both else onset, tuple(onsets_ns))
    values: dict[str, object] = {
        "row": row,
        "segment": Segment(row.segment, "XX_LUN", START_NS, stop_ns, n_samples, 1),
        "traces": tuple(
            Trace(f"FDSN:XX_LUN_00_M_{name}", START_NS, rate_hz, noise(n_samples, i).astype(np.int32))
            for i, name in enumerate(("H_1", "H_2", "H_Z"))
        ),
        "probabilities": trace,
        "marks": tuple(Mark(onset_ns, i + 1) for i, onset_ns in enumerate(onsets_ns)),
        "onset_threshold": 0.8,
        "event_threshold": 0.5,
    }
    return EventPanel(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "drawn",
    [
        panel(),
        pytest.param(panel(n_events=4), marks=pytest.mark.long),
        pytest.param(panel(n_samples=24_000), marks=pytest.mark.long),
        panel(n_samples=3000, rate_hz=100.0),
        panel(n_samples=60),
        panel(probabilities=None, event_threshold=None),
        panel(both=False),
        panel(traces=(Trace("FDSN:XB_ELYSE_02_B_H_V", START_NS, RATE_HZ, noise(9000) * 1e-9),)),
        panel(traces=(Trace("FDSN:XX_LUN_00_M_H_Z", START_NS, RATE_HZ, np.full(9000, 3, np.int32)),)),
    ],
    ids="plain merged hour earth short no-model one-output tiny-floats dead".split(),
)
def test_texts_do_not_overlap(drawn: EventPanel) -> None:
    figure = event_figure(drawn)
    texts = words(figure)
    assert overlaps(texts) == [] and cut_off(figure, texts) == []
    said = " ".join(text for text, _ in texts)
    assert "UTC, 1973-06-27" in said and "frequency [Hz]" in said and "onset 1" in said
    assert ("probability" in said) == (drawn.probabilities is not None)


def test_probabilities_thresholds_and_onset_are_drawn_at_their_values() -> None:
    drawn = panel()
    assert drawn.probabilities is not None
    axes = event_figure(drawn).axes
    probability = next(one for one in axes if "probability" in one.get_ylabel())
    lines = {str(line.get_label()): line for line in probability.get_lines()}
    assert lines["onset threshold 0.8"].get_ydata()[0] == 0.8
    assert lines["event threshold 0.5"].get_ydata()[0] == 0.5
    np.testing.assert_allclose(lines["onset"].get_ydata()[::2], drawn.probabilities.onset)
    np.testing.assert_allclose(lines["onset"].get_ydata()[1::2], drawn.probabilities.onset)
    np.testing.assert_allclose(lines["event"].get_xdata()[::2], drawn.probabilities.start_ns / NS_PER_DAY)
    for one in (one for one in axes if one.get_lines() and "dB" not in one.get_ylabel()):
        verticals = [line for line in one.get_lines() if len(set(np.ravel(line.get_xdata()))) == 1]
        assert any(
            line.get_xdata()[0] == pytest.approx(drawn.row.onset_ns / NS_PER_DAY, abs=1e-9) for line in verticals
        )


def test_a_break_in_the_decisions_is_a_break_in_the_line() -> None:
    drawn = panel()
    trace = drawn.probabilities
    assert trace is not None
    kept = np.r_[0:20, 30:50]
    holed = ProbabilityTrace(
        "XX_LUN", trace.start_ns[kept], trace.stop_ns[kept], trace.onset[kept], trace.event[kept], trace.onsets_ns
    )
    probability = next(
        one for one in event_figure(panel(probabilities=holed)).axes if "probability" in one.get_ylabel()
    )
    values = next(line for line in probability.get_lines() if line.get_label() == "onset").get_ydata()
    assert np.flatnonzero(np.isnan(values)).tolist() == [40]


def test_ten_panels_and_a_day_fit_in_five_megabytes() -> None:
    assert 10 * len(png_uri(event_figure(panel(n_samples=24_000)))) + 600_000 < 5_000_000


@pytest.mark.parametrize("seed", range(3))
def test_spikes_are_told_by_medians_of_five(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0, 3, 5000)) + 80.0 * (rng.random(5000) < 0.01)  # with ties
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), 5)
    medians = np.median(windows, axis=1)
    spread, away = np.median(np.abs(windows - medians[:, np.newaxis]), axis=1), np.abs(values - medians)
    spikes = (away > SPIKE_LOCAL * spread) & (away > SPIKE_USUAL * np.percentile(away, USUAL_SHARE))
    assert spikes.any() and np.array_equal(despiked(values), np.where(spikes, medians, values))
