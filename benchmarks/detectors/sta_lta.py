"""Triggers on the power of the samples: classic and recursive STA/LTA and the z-detector, over a whole station.

Several channels: the station's curve is the mean of the curves of those channels that have a sample, and one trigger
runs over it. Gaps: the band-pass runs over linearly interpolated samples, which are then left out of all averages, so
that windows count true samples and a gap restarts nothing. Every channel's mean is removed first, filtered or not: the
power around an offset of 500 counts hardly changes, and a baseline should not lose for that. A channel with fewer
samples than the longest window never triggers.

References
----------
Allen (1978), BSSA 68(5), for STA/LTA; Withers et al. (1998), BSSA 88(1), for the classic and the recursive form and the
z-detector, which is Swindell & Snell's (1977). The curves are obspy's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.detectors.station_arrays import FloatArray, StationSamples, bridge, despike, station_samples
from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.scoring import Detections, Interval
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

# Kept before and after a detection, by body: (pre, post) in seconds. The arrival must lie in what is sent.
ROLLS_S = {"moon": (60.0, 300.0), "mars": (30.0, 60.0), "earth": (5.0, 10.0)}
FILTER_CORNERS = 4  # poles of the Butterworth band-pass


@dataclass(frozen=True)
class Curve:
    """A station's ratio or z over time, shape (n_samples,), NaN where no channel has a sample."""

    body: str
    samples: StationSamples
    values: FloatArray

    def characteristic(self, threshold: float) -> CharacteristicFunction:
        """Return the curve for figures by windows."""
        samples = self.samples
        offsets_ns = np.rint(np.arange(len(self.values)) * (NS_PER_S / samples.sampling_rate_hz)).astype(np.int64)
        return CharacteristicFunction(samples.start_ns + offsets_ns, self.values, threshold)


@dataclass(frozen=True)
class Prepared:
    """A station's channels after the filters."""

    body: str
    samples: StationSamples  # NaN in gaps


@dataclass(frozen=True)
class StaLta:
    """Classic STA/LTA: mean power of the last `sta_s` over that of the last `lta_s`; the first `lta_s` are silent."""

    sta_s: float
    lta_s: float
    on: float
    off: float
    band_hz: tuple[float, float] | None = None  # None: unfiltered
    despiked: bool = False

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Detect from `start_ns` to the record's stop."""
        return detect(self, self.curve(prepare(record, start_ns, self.band_hz, self.despiked)))

    def curve(self, prepared: Prepared) -> Curve:
        """Return the station's ratio."""
        from obspy.signal.trigger import classic_sta_lta

        return _two_averages(classic_sta_lta, self.sta_s, self.lta_s, prepared)


@dataclass(frozen=True)
class RecursiveStaLta(StaLta):
    """Recursive STA/LTA: both averages decay exponentially; the first `lta_s` are silent."""

    def curve(self, prepared: Prepared) -> Curve:
        """Return the station's ratio."""
        from obspy.signal.trigger import recursive_sta_lta

        return _two_averages(recursive_sta_lta, self.sta_s, self.lta_s, prepared)


@dataclass(frozen=True)
class ZDetect:
    """Z-detector: how many standard deviations the power of the last `sta_s` lies above its mean.

    As in obspy, mean and deviation are those of the *whole* record: this baseline looks ahead, which no lander can.
    """

    sta_s: float
    on: float
    off: float
    band_hz: tuple[float, float] | None = None
    despiked: bool = False

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Detect from `start_ns` to the record's stop."""
        return detect(self, self.curve(prepare(record, start_ns, self.band_hz, self.despiked)))

    def curve(self, prepared: Prepared) -> Curve:
        """Return the station's z."""
        from obspy.signal.trigger import z_detect

        n_sta = round(self.sta_s * prepared.samples.sampling_rate_hz)
        return station_curve(prepared, n_sta, lambda samples: z_detect(samples, n_sta))


PowerDetector = StaLta | ZDetect  # and RecursiveStaLta, which is a StaLta


def prepare(record: LabelledRecord, start_ns: int, band_hz: tuple[float, float] | None, despiked: bool) -> Prepared:
    """Read a record, remove each channel's mean, and despike and band-pass it as asked."""
    raw = station_samples(record, start_ns)
    channels = [_condition(samples, raw.sampling_rate_hz, band_hz, despiked) for samples in raw.channels]
    stacked = np.array(channels, np.float64).reshape(raw.channels.shape)
    return Prepared(record.body, StationSamples(raw.start_ns, raw.sampling_rate_hz, stacked))


def station_curve(prepared: Prepared, n_longest: int, of_channel: Callable[[FloatArray], FloatArray]) -> Curve:
    """Return the mean curve over the channels that have a sample; `of_channel` gets samples without gaps."""
    channels = prepared.samples.channels
    total = np.zeros(channels.shape[1])
    n_live = np.zeros(channels.shape[1])
    for samples in channels:
        live = np.flatnonzero(~np.isnan(samples))
        if len(live) > n_longest:
            # Where the samples are constant no average has any power; 0/0 is no event.
            with np.errstate(invalid="ignore", divide="ignore"):
                total[live] += np.nan_to_num(of_channel(samples[live]), nan=0.0, posinf=0.0, neginf=0.0)
        n_live[live] += 1
    values = np.divide(total, n_live, out=np.full(len(total), np.nan), where=n_live > 0)
    return Curve(prepared.body, prepared.samples, values)


def trigger(curve: Curve, on: float, off: float) -> Detections:
    """Return the events: each from the curve's rise to `on` until it falls below `off`; gaps are skipped."""
    from obspy.signal.trigger import trigger_onset

    live = np.flatnonzero(~np.isnan(curve.values))
    spans = trigger_onset(curve.values[live], on, off) if len(live) else []
    samples = curve.samples
    times = [(samples.time_ns(int(live[i])), samples.time_ns(int(live[j]) + 1)) for i, j in spans]
    return Detections(tuple(start for start, _ in times), tuple(kept_around(curve.body, *time) for time in times))


def detect(detector: PowerDetector, curve: Curve) -> Detections:
    """Return the events on a curve, with the curve for figures by windows."""
    found = trigger(curve, detector.on, detector.off)
    return dataclasses.replace(found, characteristic=curve.characteristic(detector.on))


def swept(detector: PowerDetector, ons: Sequence[float]) -> dict[float, Callable[[LabelledRecord, int], Detections]]:
    """Return a detector at several thresholds; each record is prepared once for all of them."""

    @cache
    def curve(record: LabelledRecord, start_ns: int) -> Curve:
        whole = detector.curve(prepare(record, start_ns, detector.band_hz, detector.despiked))
        without = StationSamples(whole.samples.start_ns, whole.samples.sampling_rate_hz, np.zeros((0, 0)))
        return Curve(whole.body, without, whole.values)  # cached without the samples

    def at(on: float) -> Callable[[LabelledRecord, int], Detections]:
        return lambda record, start_ns: trigger(curve(record, start_ns), on, min(detector.off, on))

    return {on: at(on) for on in ons}


def kept_around(body: str, start_ns: int, stop_ns: int) -> Interval:
    """Return the segment kept of a detection that lasts from start to stop."""
    pre_s, post_s = ROLLS_S[body]
    return start_ns - round(pre_s * NS_PER_S), stop_ns + round(post_s * NS_PER_S)


def _two_averages(
    ratio: Callable[[FloatArray, int, int], FloatArray], sta_s: float, lta_s: float, prepared: Prepared
) -> Curve:
    rate_hz = prepared.samples.sampling_rate_hz
    n_sta, n_lta = round(sta_s * rate_hz), round(lta_s * rate_hz)
    return station_curve(prepared, n_lta, lambda samples: ratio(samples, n_sta, n_lta))


def _condition(
    samples: FloatArray, rate_hz: float, band_hz: tuple[float, float] | None, despiked: bool
) -> npt.NDArray[np.float64]:
    from obspy.signal.filter import bandpass

    gaps = np.isnan(samples)
    whole = bridge(samples)
    if despiked:
        whole = despike(whole)
    whole = whole - np.mean(whole[~gaps])
    if band_hz is not None:
        whole = bandpass(whole, band_hz[0], band_hz[1], rate_hz, corners=FILTER_CORNERS)
    return np.where(gaps, np.nan, whole)
