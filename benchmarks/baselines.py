"""Detectors to beat: one that reads only the clock, and STA/LTA in two tempers.

A detector is a callable `(record, start_ns) -> Detections` that looks at nothing before `start_ns`.

References
----------
Allen (1978), BSSA 68(5), for STA/LTA; Withers et al. (1998), BSSA 88(1), for the classic form. The settings of
`nasa_notebook` are those of the demonstration notebook in the NASA Space Apps 2024 seismic packet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.samples import FloatArray, StationSamples, bridge, despike, station_samples
from edgequake.benchmarks.scoring import Detections, Interval
from edgequake.dataset import Record
from edgequake.edge.piece import NS_PER_S

Detector = Callable[[Record, int], Detections]

# What is kept before and after a detection, by body: (pre, post) in seconds. An arrival must lie in what is sent.
ROLLS_S = {"moon": (60.0, 300.0), "mars": (30.0, 60.0), "earth": (5.0, 10.0)}
FILTER_CORNERS = 4  # poles of the Butterworth band-pass


@dataclass(frozen=True)
class StaLta:
    """Classic STA/LTA on a station.

    The rule for several channels: the station's ratio is the mean of the ratios of those channels that have a sample,
    and one trigger runs over it. Gaps: a band-pass runs over straight lines across them, then their samples are left
    out of both averages, so windows count true samples and a tear restarts nothing. The first `lta_s` never trigger.
    Every channel's mean is taken off first, unfiltered or not: power around an offset of 500 counts never changes, and
    a baseline should not lose for that.
    """

    sta_s: float
    lta_s: float
    on: float
    off: float
    band_hz: tuple[float, float] | None = None  # None: unfiltered
    despiked: bool = False

    def __call__(self, record: Record, start_ns: int) -> Detections:
        """Detect from `start_ns` to the record's stop."""
        prepared = prepare(record, start_ns, self.band_hz, self.despiked)
        return trigger(prepared, station_ratio(prepared, self.sta_s, self.lta_s), self.on, self.off)


@dataclass(frozen=True)
class Clock:
    """Report fixed times after the start, whatever the ground does: how much of a score the file layout gives away."""

    times_s: tuple[float, ...]

    def __call__(self, record: Record, start_ns: int) -> Detections:
        """Report the times that lie in the record."""
        onsets = [start_ns + round(time_s * NS_PER_S) for time_s in self.times_s]
        inside = [onset for onset in onsets if onset < record.stop_ns]
        return Detections(tuple(inside), tuple(_kept(record.body, onset, onset) for onset in inside))


NASA_NOTEBOOK = StaLta(sta_s=120.0, lta_s=600.0, on=4.0, off=1.5)

# Found on `val` by `edgequake.benchmarks.tuning`, five random starts for STA/LTA, the files' own starts for the clocks.
TUNED_STA_LTA = {
    "moon": StaLta(sta_s=120.0, lta_s=600.0, on=2.2, off=1.5, band_hz=(0.35, 1.4), despiked=True),
    "mars": StaLta(sta_s=30.0, lta_s=120.0, on=3.0, off=1.8, band_hz=(1.0, 4.0), despiked=True),
    "earth": StaLta(sta_s=0.5, lta_s=10.0, on=14.0, off=1.8, band_hz=(0.5, 5.0), despiked=True),
}
CLOCKS = {"moon": Clock((1890.0,)), "mars": Clock((288.0, 1818.0)), "earth": Clock((99.5, 240.0))}


@dataclass(frozen=True)
class Prepared:
    """Channels ready for averages."""

    body: str
    samples: StationSamples  # filtered; NaN in gaps


def prepare(record: Record, start_ns: int, band_hz: tuple[float, float] | None, despiked: bool) -> Prepared:
    """Read a record, take each channel's mean off, and despike and band-pass it as asked."""
    raw = station_samples(record, start_ns)
    channels = [_condition(samples, raw.sampling_rate_hz, band_hz, despiked) for samples in raw.channels]
    stacked = np.array(channels, np.float64).reshape(raw.channels.shape)
    return Prepared(record.body, StationSamples(raw.start_ns, raw.sampling_rate_hz, stacked))


def station_ratio(prepared: Prepared, sta_s: float, lta_s: float) -> FloatArray:
    """Return the station's STA/LTA, shape (n_samples,), NaN where no channel has a sample."""
    rate_hz = prepared.samples.sampling_rate_hz
    n_sta, n_lta = round(sta_s * rate_hz), round(lta_s * rate_hz)
    channels = prepared.samples.channels
    total = np.zeros(channels.shape[1])
    n_live = np.zeros(channels.shape[1])
    for samples in channels:
        ratio = _channel_ratio(samples, n_sta, n_lta)
        total += np.nan_to_num(ratio)
        n_live += ~np.isnan(ratio)
    return np.divide(total, n_live, out=np.full(len(total), np.nan), where=n_live > 0)


def trigger(prepared: Prepared, ratio: FloatArray, on: float, off: float) -> Detections:
    """Return the events between `ratio` rising to `on` and falling under `off`; gaps are stepped over."""
    from obspy.signal.trigger import trigger_onset

    live = np.flatnonzero(~np.isnan(ratio))
    spans = trigger_onset(ratio[live], on, off) if len(live) else []
    samples = prepared.samples
    times = [(samples.time_ns(int(live[i])), samples.time_ns(int(live[j]) + 1)) for i, j in spans]
    return Detections(tuple(start for start, _ in times), tuple(_kept(prepared.body, *time) for time in times))


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


def _channel_ratio(samples: FloatArray, n_sta: int, n_lta: int) -> FloatArray:
    from obspy.signal.trigger import classic_sta_lta

    live = np.flatnonzero(~np.isnan(samples))
    ratio = np.full(len(samples), np.nan)
    if len(live) <= n_lta:  # the long average never fills, so nothing can trigger
        ratio[live] = 0.0
        return ratio
    # A flat stretch has power 0 in both averages; 0/0 is no event.
    ratio[live] = np.nan_to_num(classic_sta_lta(samples[live], n_sta, n_lta), nan=0.0, posinf=0.0)
    return ratio


def _kept(body: str, start_ns: int, stop_ns: int) -> Interval:
    pre_s, post_s = ROLLS_S[body]
    return start_ns - round(pre_s * NS_PER_S), stop_ns + round(post_s * NS_PER_S)
