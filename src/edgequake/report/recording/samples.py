"""One channel's samples made ready for drawing: no lost ones, no spikes of the telemetry, on an even grid if wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.report.charts.picture import GAP_COUNTS, Floats

SPIKE_LOCAL = 7.4  # five robust standard deviations, in median absolute deviations of five samples
SPIKE_USUAL = 5.0  # times what 95 % of the samples differ from the median of their neighbours
USUAL_SHARE = 95.0


@dataclass(frozen=True)
class Samples:
    """Samples in time order, without lost ones and spikes; arrays of shape (n_samples,)."""

    times_ns: npt.NDArray[np.int64]
    values: Floats

    @property
    def live(self) -> bool:
        """Whether the channel moves at all: a dead one sends one value, with a spike here and there."""
        return bool(len(self.values)) and bool(np.ptp(np.percentile(self.values, [0.5, 99.5])) > 0)

    def extremes(self, start_ns: int, stop_ns: int, n_columns: int) -> tuple[Floats, Floats]:
        """Return the smallest and largest sample in each of `n_columns` equal parts of time; NaN where none is."""
        low, high = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
        columns = np.floor((self.times_ns - start_ns) / (stop_ns - start_ns) * n_columns).astype(np.int64)
        inside = (columns >= 0) & (columns < n_columns)
        np.minimum.at(low, columns[inside], self.values[inside])
        np.maximum.at(high, columns[inside], self.values[inside])
        empty = low > high
        low[empty] = high[empty] = np.nan
        return low, high


@dataclass(frozen=True)
class EvenSamples:
    """Samples on an even grid, gaps bridged by straight lines; arrays of shape (n_samples,)."""

    start_ns: int
    rate_hz: float
    values: Floats
    missing: npt.NDArray[np.bool_]  # where the gap is too long to be believed


def joined(traces: Iterable[Trace]) -> Samples:
    """Join one channel's traces, without samples that mark a gap, and take spikes out."""
    times, parts = [np.zeros(0, np.int64)], [np.zeros(0)]
    for trace in sorted(traces, key=lambda trace: trace.start_ns):
        values = trace.samples.astype(np.float64)
        good = np.isfinite(values)
        if np.issubdtype(trace.samples.dtype, np.integer):
            good &= values != GAP_COUNTS
        offsets_ns = np.arange(len(values)) * (NS_PER_S / trace.sampling_rate_hz)
        times.append(trace.start_ns + np.round(offsets_ns[good]).astype(np.int64))
        parts.append(values[good])
    return Samples(np.concatenate(times), despiked(np.concatenate(parts)))


def despiked(values: Floats) -> Floats:
    """Return samples with each spike replaced by the median of the five samples around it.

    A spike stands out both from its four neighbours and from what is usual in the whole stretch: so the steps of a
    coarse digitizer, which the runner's own filter takes for spikes in quiet times, stay as they are.
    """
    if len(values) < 5:
        return values
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), 5)
    medians: Floats = np.median(windows, axis=1)
    away = np.abs(values - medians)
    spread = np.median(np.abs(windows - medians[:, np.newaxis]), axis=1)
    spikes = (away > SPIKE_LOCAL * spread) & (away > SPIKE_USUAL * np.percentile(away, USUAL_SHARE))
    return np.where(spikes, medians, values)


def even(samples: Samples, rate_hz: float, bridge_s: float) -> EvenSamples | None:
    """Lay samples on an even grid; None where there are none."""
    if not len(samples.values):
        return None
    start_ns = int(samples.times_ns[0])
    known = np.round((samples.times_ns - start_ns) * (rate_hz / NS_PER_S)).astype(np.int64)
    known, firsts = np.unique(known, return_index=True)
    missing = np.zeros(int(known[-1]) + 1, np.bool_)
    for i in np.flatnonzero(np.diff(known) - 1 > bridge_s * rate_hz):
        missing[known[i] + 1 : known[i + 1]] = True
    values: Floats = np.interp(np.arange(len(missing)), known, samples.values[firsts])
    return EvenSamples(start_ns, rate_hz, values, missing)


def channel_order(source_ids: Iterable[str], samples: dict[str, Samples]) -> list[str]:
    """Return channels as they are drawn: those that move, then the dead ones; the vertical one first."""
    return sorted(source_ids, key=lambda name: (not samples[name].live, not name.endswith("Z"), name))


def by_channel(traces: Sequence[Trace]) -> dict[str, Samples]:
    """Return the samples of each channel."""
    names = sorted({trace.source_id for trace in traces})
    return {name: joined(trace for trace in traces if trace.source_id == name) for name in names}


def unit_of(traces: Sequence[Trace]) -> str:
    """Return what samples are measured in: integers are the digitizer's counts, others what the record is in."""
    return "counts" if traces and np.issubdtype(traces[0].samples.dtype, np.integer) else "record's units"
