"""A station's samples on one regular grid, for the baselines: read with obspy, NaN in gaps.

On purpose this does not use the front end of `edgequake.edge`, so that the baselines do not inherit its faults.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import NS_PER_S

FloatArray = npt.NDArray[np.float64]
ChannelSamples = tuple[str, int, npt.NDArray[Any]]  # channel, start_ns, samples of a contiguous run

FILL_VALUES = (-1, 0)
# Fill values count as gaps only where true samples are far from them: Apollo's 10-bit counts idle near 512.
FILL_MIN_MEDIAN = 100
HAMPEL_SAMPLES = 5
HAMPEL_THRESHOLD = 4.0
MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class StationSamples:
    """Evenly sampled channels of one station; sample i is at `start_ns + i / sampling_rate_hz`."""

    start_ns: int
    sampling_rate_hz: float
    channels: FloatArray  # (n_channels, n_samples), NaN where there is no sample

    def time_ns(self, index: int) -> int:
        """Return the time of a sample."""
        return self.start_ns + round(index * NS_PER_S / self.sampling_rate_hz)


def station_samples(record: LabelledRecord, start_ns: int) -> StationSamples:
    """Return the record's seismometer channels from `start_ns` on; earlier samples are not used.

    Channels that never change are left out: they are dead, such as the vertical of S14.

    Raises
    ------
    DataError
        The file cannot be read, has none of the record's channels, or has them at another rate.
    """
    rate_hz = record.sampling_rate_hz
    n_samples = round((record.stop_ns - start_ns) / NS_PER_S * rate_hz)
    grid = {name: np.full(n_samples, np.nan) for name in record.channels}
    for channel, run_start_ns, samples in _read(record.file, record.channels, rate_hz):
        first = round((run_start_ns - start_ns) / NS_PER_S * rate_hz)
        inside = samples[max(0, -first) : max(0, n_samples - first)]
        at = max(0, first)
        grid[channel][at : at + len(inside)] = inside
    alive = [samples for samples in grid.values() if len(np.unique(samples[~np.isnan(samples)])) > 1]
    return StationSamples(start_ns, rate_hz, np.array(alive, np.float64).reshape(len(alive), n_samples))


def contiguous_runs(record: LabelledRecord) -> list[ChannelSamples]:
    """Return the contiguous runs of the record's channels, samples as they are in the file.

    Raises
    ------
    DataError
        As `station_samples`.
    """
    return _runs(record.file, record.channels, record.sampling_rate_hz)


def bridge(samples: FloatArray) -> FloatArray:
    """Return the samples with the gaps interpolated linearly, so that filters do not ring at their edges."""
    live = ~np.isnan(samples)
    positions = np.arange(len(samples))
    return np.interp(positions, positions[live], samples[live])


def despike(samples: FloatArray) -> FloatArray:
    """Replace spikes by the median of the five samples around them.

    Hampel's rule with a floor: a sample is a spike when it is more than four robust standard deviations from that
    median. The deviation is that of the five samples or that of all residuals, whichever is larger: without this floor
    every step of a quantised quiet record would be a spike.

    References
    ----------
    Davies & Gather (1993), doi:10.1080/01621459.1993.10476339.
    """
    reach = HAMPEL_SAMPLES // 2
    fives = np.lib.stride_tricks.sliding_window_view(np.pad(samples, reach, mode="edge"), HAMPEL_SAMPLES)
    median = np.median(fives, axis=1)  # (n_samples, 5) -> (n_samples,)
    local = np.median(np.abs(fives - median[:, None]), axis=1)
    residual = np.abs(samples - median)
    sigma = MAD_TO_SIGMA * np.maximum(local, np.median(residual))
    return np.where(residual > HAMPEL_THRESHOLD * sigma, median, samples)


@functools.lru_cache(maxsize=256)
def _read(file: Path, channels: tuple[str, ...], rate_hz: float) -> tuple[ChannelSamples, ...]:
    """Read a file, its fill values as NaN; cached, as five seeds and a threshold sweep read it dozens of times."""
    runs = _runs(file, channels, rate_hz)
    filled = {name: _has_fills([samples for channel, _, samples in runs if channel == name]) for name in channels}
    return tuple(
        (channel, start_ns, _without_fills(samples) if filled[channel] else samples.astype(np.float64))
        for channel, start_ns, samples in runs
    )


def _runs(file: Path, channels: tuple[str, ...], rate_hz: float) -> list[ChannelSamples]:
    if file.suffix == ".csv":  # NASA's packet, which obspy does not read
        return [(channel_of(trace.source_id), trace.start_ns, trace.samples) for trace in read_packet_csv(file)]
    import obspy

    try:
        stream = obspy.read(str(file))
    except Exception as problem:  # obspy raises bare exceptions of many kinds for bad files
        raise DataError(f"{file} cannot be read by obspy: {problem}") from problem
    traces = [trace for trace in stream if trace.stats.channel in channels]
    if not traces:
        raise DataError(f"{file}: expected the channels {', '.join(channels)}, got none of them")
    for trace in traces:
        if abs(trace.stats.sampling_rate / rate_hz - 1) > 1e-3:
            raise DataError(f"{file}: expected {rate_hz} Hz, got {trace.stats.sampling_rate} Hz in {trace.id}")
    return [(trace.stats.channel, int(trace.stats.starttime.ns), trace.data) for trace in traces]


def _has_fills(runs: list[npt.NDArray[Any]]) -> bool:
    if not runs or runs[0].dtype.kind not in "iu":
        return False
    return bool(np.median(np.concatenate(runs).astype(np.float64)) >= FILL_MIN_MEDIAN)


def _without_fills(samples: npt.NDArray[Any]) -> FloatArray:
    """Return the samples with NaN for fill values.

    Every -1 is a fill value. A 0 is one only next to another: a single 0 can be the lowest count of a clipped record.
    """
    is_fill = np.isin(samples, FILL_VALUES)
    beside = np.concatenate([[False], is_fill[:-1]]) | np.concatenate([is_fill[1:], [False]])
    return np.where((samples == -1) | (is_fill & beside), np.nan, samples.astype(np.float64))
