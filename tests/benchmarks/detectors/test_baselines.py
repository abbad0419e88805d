"""Baselines on small synthetic files, compared with numpy and with figures worked out by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pymseed
import pytest

from edgequake.benchmarks.detectors.baselines import Clock
from edgequake.benchmarks.detectors.sta_lta import RecursiveStaLta, StaLta, ZDetect, prepare, swept
from edgequake.benchmarks.detectors.station_arrays import bridge, despike, station_samples
from edgequake.benchmarks.tuning.baseline_grid import Grid, choose_clock, tune
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, record

RATE_HZ = 8.0  # a power of two: sample times are whole nanoseconds
Samples = npt.NDArray[np.int32]


def write(path: Path, traces: list[tuple[str, float, Samples]], **changes: object) -> LabelledRecord:
    """Write runs of samples (channel, start in seconds, samples) and return their record."""
    obspy_traces = pymseed.MS3TraceList()
    for channel, start_s, samples in traces:
        source_id = f"FDSN:XA_S12__{'_'.join(channel)}"
        obspy_traces.add_data(source_id, samples.astype(np.int32), "i", RATE_HZ, starttime=at(start_s))
    obspy_traces.to_file(path, overwrite=True, format_version=2, max_record_length=512)
    stop_s = max(start_s + len(samples) / RATE_HZ for _, start_s, samples in traces)
    drawn = record(stop_s)
    return dataclasses.replace(drawn, file=path, sampling_rate_hz=RATE_HZ, channels=("MHZ",), **changes)


def noise(seed: int, n_samples: int, scale: float = 30.0) -> Samples:
    return np.random.default_rng(seed).normal(0, scale, n_samples).round().astype(np.int32)


def burst(seed: int, length_s: float = 4000, onset_s: float = 2500, gain: float = 10) -> Samples:
    samples = noise(seed, int(length_s * RATE_HZ)).astype(np.float64)
    onset = int(onset_s * RATE_HZ)
    samples[onset : onset + int(400 * RATE_HZ)] *= gain
    return samples.round().astype(np.int32)


def slow_ratio(samples: npt.NDArray[np.float64], n_sta: int, n_lta: int) -> npt.NDArray[np.float64]:
    """Mean power of the last n_sta samples over that of the last n_lta, 0 until the long window is full."""
    power = samples**2
    ratio = np.zeros(len(samples))
    for i in range(n_lta - 1, len(samples)):
        ratio[i] = power[i - n_sta + 1 : i + 1].mean() / power[i - n_lta + 1 : i + 1].mean()
    return ratio


def ratio_of(drawn: LabelledRecord) -> npt.NDArray[np.float64]:
    """Return the classic ratio of 20 s and 100 s over the whole record."""
    return StaLta(20, 100, 1, 1).curve(prepare(drawn, T0_NS, None, despiked=False)).values


def test_the_ratio_is_that_of_mean_powers(tmp_path: Path) -> None:
    samples = burst(1, length_s=500, onset_s=300)
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, samples)])
    ratio = ratio_of(drawn)
    assert ratio == pytest.approx(slow_ratio(samples - samples.mean(), 160, 800), abs=1e-9)


def test_a_burst_is_detected_within_the_short_window_and_kept_with_its_rolls(tmp_path: Path) -> None:
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, burst(2))])
    found = StaLta(30, 600, on=3.0, off=1.5)(drawn, T0_NS)
    (onset,), ((start, stop),) = found.onsets_ns, found.kept
    assert at(2500) < onset < at(2530)
    assert start == onset - 60 * NS_PER_S
    assert at(2900 + 300) < stop < at(2900 + 30 + 300 + 30)  # the trigger closes within about a short window


def slow_recursive(samples: npt.NDArray[np.float64], n_sta: int, n_lta: int) -> npt.NDArray[np.float64]:
    """Exponential averages, in which each new power has the weight 1 / n; 0 for the length of the long window."""
    sta, lta, ratio = 0.0, 1e-99, np.zeros(len(samples))
    for i, power in enumerate(samples**2):
        if i > 0:  # obspy leaves out the first sample
            sta += (power - sta) / n_sta
            lta += (power - lta) / n_lta
        ratio[i] = sta / lta if i >= n_lta else 0.0
    return ratio


def test_the_recursive_ratio_is_that_of_exponential_averages(tmp_path: Path) -> None:
    samples = burst(1, length_s=500, onset_s=300)
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, samples)])
    ratio = RecursiveStaLta(20, 100, 1, 1).curve(prepare(drawn, T0_NS, None, despiked=False)).values
    expected = slow_recursive(samples - samples.mean(), 160, 800)
    assert ratio == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_z_is_the_powers_distance_from_its_mean_in_deviations(tmp_path: Path) -> None:
    samples = burst(1, length_s=500, onset_s=300)
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, samples)])
    z = ZDetect(20, 1, 0).curve(prepare(drawn, T0_NS, None, despiked=False)).values
    power = (samples - samples.mean()) ** 2
    sums = np.array([power[max(0, i - 160) : i].sum() if i >= 160 else 0.0 for i in range(len(power))])
    expected = (sums - sums.mean()) / sums.std()
    assert np.abs(z - expected)[200:].max() < 0.05  # obspy's window stands a sample elsewhere
    assert np.corrcoef(z, expected)[0, 1] > 0.9999


@pytest.mark.parametrize("detector", [RecursiveStaLta(30, 600, on=3.0, off=1.5), ZDetect(30, on=2.0, off=0.5)])
def test_the_other_detectors_find_a_burst_and_their_curve_peaks_there(
    tmp_path: Path, detector: RecursiveStaLta | ZDetect
) -> None:
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, burst(2))])
    found = detector(drawn, T0_NS)
    (onset,) = found.onsets_ns
    assert at(2500) < onset < at(2530)
    assert found.characteristic is not None and found.characteristic.threshold == detector.on
    edges_ns = np.array([at(0), at(1000), at(2000), at(3000), at(4000)])
    assert found.characteristic.window_maxima(edges_ns).argmax() == 2
    assert (found.characteristic.window_maxima(edges_ns) >= detector.on).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    "detector", [StaLta(30, 600, 3.0, 1.5, (0.3, 1.5), True), RecursiveStaLta(30, 600, 3.0, 1.5), ZDetect(30, 2.0, 0.5)]
)
def test_a_sweep_finds_what_the_detector_finds_at_each_threshold(tmp_path: Path, detector: StaLta | ZDetect) -> None:
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, burst(2, gain=4))])
    for on, at_on in swept(detector, (0.3, 1.2, 2.0, 50.0)).items():
        alone = dataclasses.replace(detector, on=on, off=min(detector.off, on))
        for start_ns in (T0_NS, at(500)):
            assert at_on(drawn, start_ns) == alone(drawn, start_ns)


def test_samples_before_the_start_are_not_used(tmp_path: Path) -> None:
    samples = burst(3)
    changed = samples.copy()
    changed[: int(1000 * RATE_HZ)] *= 7
    detector = StaLta(30, 600, on=3.0, off=1.5, band_hz=(0.3, 1.5), despiked=True)
    plain = detector(write(tmp_path / "a.mseed", [("MHZ", 0, samples)]), at(1000))
    loud = detector(write(tmp_path / "b.mseed", [("MHZ", 0, changed)]), at(1000))
    assert plain == loud
    assert len(plain.onsets_ns) == 1


def test_a_gap_restarts_no_window(tmp_path: Path) -> None:
    samples = burst(4, length_s=500, onset_s=300)
    traces = [("MHZ", 0.0, samples[:800]), ("MHZ", 160.0, samples[800:])]  # 60 s are missing between them
    with_gap = write(tmp_path / "gap.mseed", traces)
    ratio = ratio_of(with_gap)
    assert np.isnan(ratio[800:1280]).all()
    whole = write(tmp_path / "whole.mseed", [("MHZ", 0, samples)])
    expected = ratio_of(whole)
    assert ratio[~np.isnan(ratio)] == pytest.approx(expected, abs=1e-9)
    # times go by the clock, not by the count of samples: the burst comes 60 s later
    found, moved = (StaLta(20, 100, on=2.0, off=1.2)(drawn, T0_NS).onsets_ns for drawn in (whole, with_gap))
    assert moved == tuple(onset + 60 * NS_PER_S for onset in found)


def test_the_station_is_the_mean_of_its_live_channels(tmp_path: Path) -> None:
    first, second = burst(5, 500, 300), burst(6, 500, 350)
    traces = [("MH1", 0.0, first), ("MH2", 0.0, second[:2000]), ("MHZ", 0.0, np.full(4000, 508))]
    traces += [("SHZ", 0.0, noise(7, 4000, 500))]
    drawn = dataclasses.replace(write(tmp_path / "a.mseed", traces), channels=("MH1", "MH2", "MHZ"))
    ratio = ratio_of(drawn)
    one = slow_ratio(first - first.mean(), 160, 800)
    other = slow_ratio(second[:2000] - second[:2000].mean(), 160, 800)
    assert ratio[:2000] == pytest.approx((one[:2000] + other) / 2, abs=1e-9)  # the flat MHZ and SHZ take no part
    assert ratio[2000:] == pytest.approx(one[2000:], abs=1e-9)


def test_fill_values_are_gaps_where_true_samples_are_far_away(tmp_path: Path) -> None:
    samples = noise(8, 400, 20.0) + 500
    samples[[50, 51, 52, 120]] = -1
    samples[[53, 200, 300, 301]] = [0, 0, 0, 0]
    filled = write(tmp_path / "a.mseed", [("MHZ", 0, samples)])
    gaps = np.isnan(station_samples(filled, T0_NS).channels[0])
    assert np.flatnonzero(gaps).tolist() == [50, 51, 52, 53, 120, 300, 301]  # a lone 0 may be a clipped sample
    around_zero = write(tmp_path / "b.mseed", [("MHZ", 0, samples - 500)])
    assert not np.isnan(station_samples(around_zero, T0_NS).channels).any()


def test_a_packet_csv_is_read_as_its_miniseed_is(tmp_path: Path) -> None:
    samples = noise(10, 400)
    lines = [
        f"1970-01-02T03:46:{40 + i / RATE_HZ:09.6f},{i / RATE_HZ},{value}" for i, value in enumerate(samples[:160])
    ]
    path = tmp_path / "xa.s12.00.mhz.1970-01-02HR03_evid00001.csv"
    path.write_text("time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)\n" + "\n".join(lines) + "\n")
    of_mseed = write(tmp_path / "a.mseed", [("MHZ", 0, samples[:160])])
    of_csv = dataclasses.replace(of_mseed, file=path)
    expected = station_samples(of_mseed, at(5)).channels
    assert station_samples(of_csv, at(5)).channels.tolist() == expected.tolist() == [samples[40:160].tolist()]


def test_gaps_are_interpolated_linearly() -> None:
    with_gaps = np.array([np.nan, 1.0, np.nan, np.nan, 4.0, np.nan])
    assert bridge(with_gaps).tolist() == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]


def test_despiking_removes_spikes_and_leaves_quakes_and_steps() -> None:
    quiet = np.random.default_rng(9).normal(0, 1, 1000)
    spiked = quiet.copy()
    spiked[[100, 500, 501]] += [60, -80, -70]
    cleaned = despike(spiked)
    assert np.abs(cleaned[[100, 500, 501]]).max() < 4
    quake = np.sin(2 * np.pi * 0.5 * np.arange(2000) / 6.625) * 100
    assert np.abs(despike(quake) - quake).max() < 1
    stairs = np.repeat([10.0, 11.0, 10.0, 12.0], 50)
    assert despike(stairs).tolist() == stairs.tolist()


@pytest.mark.parametrize(
    "detector",
    [
        StaLta(30, 600, 3.0, 1.5),
        StaLta(30, 600, 3.0, 1.5, (0.3, 1.5), True),
        RecursiveStaLta(30, 600, 3.0, 1.5),
        ZDetect(101, 1.0, 0.5),
    ],
)
def test_a_flat_record_and_a_short_one_have_no_detections(tmp_path: Path, detector: StaLta | ZDetect) -> None:
    flat = write(tmp_path / "flat.mseed", [("MHZ", 0, np.full(8000, 508))])
    short = write(tmp_path / "short.mseed", [("MHZ", 0, noise(1, 800))])
    assert detector(flat, T0_NS).onsets_ns == detector(short, T0_NS).onsets_ns == ()


def test_bad_files_are_named(tmp_path: Path) -> None:
    drawn = write(tmp_path / "a.mseed", [("MHZ", 0, noise(1, 800))])
    with pytest.raises(DataError, match=r"a\.mseed: expected the channels BHV, got none of them"):
        station_samples(dataclasses.replace(drawn, channels=("BHV",)), T0_NS)
    with pytest.raises(DataError, match=r"a\.mseed: expected 6\.625 Hz, got 8\.0 Hz"):
        station_samples(dataclasses.replace(drawn, sampling_rate_hz=6.625), T0_NS)
    (tmp_path / "junk.mseed").write_bytes(b"junk" * 200)
    with pytest.raises(DataError, match=r"junk\.mseed cannot be read by obspy"):
        station_samples(dataclasses.replace(drawn, file=tmp_path / "junk.mseed"), T0_NS)


def test_the_clock_reports_its_times_that_lie_in_the_record() -> None:
    found = Clock((100.0, 5000.0))(record(4000), at(10))
    assert found.onsets_ns == (at(110),)
    assert found.kept == ((at(50), at(410)),)


def test_the_clock_is_chosen_to_score_best_from_the_files_own_starts() -> None:
    # One time recalls three arrivals near 1840 s. In a fourth record, with its arrival at 7000 s, that time is a false
    # alarm; a second time near 7000 s recalls it and lies after the stop of the others, so it pays too.
    records = [record(5000, arrival(t, 0.0)) for t in (1830, 1840, 1850)]
    clock = choose_clock(records)
    assert len(clock.times_s) == 1
    assert abs(clock.times_s[0] - 1840) <= 15
    assert choose_clock([*records, record(9000, arrival(7000, 0.0))]).times_s == pytest.approx((1830.0, 7000.0), abs=30)


def test_tuning_finds_the_combination_that_scores_best(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(write(tmp_path / f"{i}.mseed", [("MHZ", 0, burst(i, gain=3))]), arrivals=(arrival(2500),))
        for i in range(3)
    ]
    grid = Grid(bands_hz=((0.3, 1.5),), windows_s=((30.0, 600.0),), ons=(1.05, 2.5, 50.0), offs=(1.0,))
    shares: list[float] = []
    tuned, summary = tune(records, (0, 1), grid, lambda share, _: shares.append(share or 0.0))
    assert (tuned.on, tuned.band_hz, tuned.despiked) == (2.5, (0.3, 1.5), True)
    assert summary.spreads["f1"].mean == 1.0
    assert shares == [1.0]
