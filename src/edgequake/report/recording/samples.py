"""Records read from their files, and one channel's samples prepared for drawing: without gap marks and spikes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.folder_listing import files_in
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, merge_contiguous

Floats = npt.NDArray[np.float64]

SUFFIXES = (".mseed", ".miniseed", ".ms")
GAP_COUNTS = -1  # marks lost samples in archived integer records
SPIKE_LOCAL = 7.4  # five robust standard deviations, in median absolute deviations of five samples
SPIKE_USUAL = 5.0  # times what 95 % of the samples differ from the median of their neighbours
BLOCK = 1 << 15  # samples that are despiked at once
USUAL_SHARE = 95.0


def record_files(
    paths: Iterable[Path], out: Path | None = None, suffixes: Collection[str] | None = SUFFIXES
) -> list[Path]:
    """Return the files among `paths`, and those in the folders among them that a run reads.

    out : without those below it.
    suffixes : of the files in folders, by default those of miniSEED; None: any.

    Raises
    ------
    DataError
        A path that does not exist.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = files_in(path, out)
            files += [file for file in found if suffixes is None or file.suffix.lower() in suffixes]
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"{path} does not exist: name the records that were run with --input")
    return files


def read_record(path: Path) -> list[Trace]:
    """Return the contiguous traces of a miniSEED file or of a Space Apps CSV file.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    if path.suffix.lower() == ".csv":
        return list(read_packet_csv(path))
    index = index_file(path)
    return merge_contiguous(read_indexed(index, index.headers))


def join_intervals(intervals: Iterable[tuple[int, int]], gap_ns: int = 0) -> list[tuple[int, int]]:
    """Return the union of half-open intervals as disjoint ones, rising; gaps up to `gap_ns` are part of it."""
    union: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if union and start - union[-1][1] <= gap_ns:
            union[-1] = (union[-1][0], max(stop, union[-1][1]))
        else:
            union.append((start, stop))
    return union


@dataclass(frozen=True)
class Samples:
    """Samples of a channel in time order, without gap marks and spikes; arrays of shape (n_samples,)."""

    times_ns: npt.NDArray[np.int64]
    values: Floats

    @property
    def live(self) -> bool:
        """Whether the channel records motion: a dead one repeats one value, with an occasional spike."""
        return bool(len(self.values)) and bool(np.ptp(np.percentile(self.values, [0.5, 99.5])) > 0)

    def extremes(self, start_ns: int, stop_ns: int, n_columns: int) -> tuple[Floats, Floats]:
        """Return the smallest and largest sample in each of `n_columns` equal intervals; NaN where there is none."""
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
    """Samples on a regular grid, gaps interpolated linearly; arrays of shape (n_samples,)."""

    start_ns: int
    rate_hz: float
    values: Floats
    missing: npt.NDArray[np.bool_]  # where the gap is too long to be interpolated


def joined(traces: Iterable[Trace]) -> Samples:
    """Join the traces of one channel, without samples that mark a gap, and remove spikes."""
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

    A spike differs both from its four neighbours and from the usual differences in the whole trace. So the steps of a
    coarse digitizer, which the runner's own filter takes for spikes in quiet times, stay as they are.
    """
    if len(values) < 5:
        return values
    padded = np.pad(values, 2, mode="edge")
    medians, spread = np.empty(len(values)), np.empty(len(values))
    for i in range(0, len(values), BLOCK):  # their windows take five times the memory of the samples
        stop = min(i + BLOCK, len(values))
        near = [padded[i + k : stop + k] for k in range(5)]
        middle = _median_of_five(*near)
        medians[i:stop] = middle
        spread[i:stop] = _median_of_five(*(np.abs(part - middle) for part in near))
    away = np.abs(values - medians)
    spikes = (away > SPIKE_LOCAL * spread) & (away > SPIKE_USUAL * np.percentile(away, USUAL_SHARE))
    return np.where(spikes, medians, values)


def _median_of_five(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats) -> Floats:
    """Return the median of five arrays, as `np.median` does of finite values, in a fifth of its time."""
    # Neither the smallest nor the largest of a to d can be it: it is the median of the other two and e.
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    found: Floats = np.maximum(np.minimum(e, low), np.minimum(np.maximum(e, low), high))
    return found


def even(samples: Samples, rate_hz: float, bridge_s: float) -> EvenSamples | None:
    """Return samples on a regular grid; None where there are none."""
    if not len(samples.values):
        return None
    start_ns = int(samples.times_ns[0])
    known = np.round((samples.times_ns - start_ns) * (rate_hz / NS_PER_S)).astype(np.int64)
    known_values = samples.values
    if not (known[1:] > known[:-1]).all():
        known, firsts = np.unique(known, return_index=True)
        known_values = known_values[firsts]
    missing = np.zeros(int(known[-1]) + 1, np.bool_)
    for i in np.flatnonzero(np.diff(known) - 1 > bridge_s * rate_hz):
        missing[known[i] + 1 : known[i + 1]] = True
    values: Floats = np.interp(np.arange(len(missing)), known, known_values)
    return EvenSamples(start_ns, rate_hz, values, missing)


def channel_order(source_ids: Iterable[str], samples: dict[str, Samples]) -> list[str]:
    """Return channels in the order in which they are drawn: live before dead ones, the vertical one first."""
    return sorted(source_ids, key=lambda name: (not samples[name].live, not name.endswith("Z"), name))


def by_channel(traces: Sequence[Trace]) -> dict[str, Samples]:
    """Return the samples of each channel."""
    names = sorted({trace.source_id for trace in traces})
    return {name: joined(trace for trace in traces if trace.source_id == name) for name in names}


def unit_of(traces: Sequence[Trace]) -> str:
    """Return the unit of samples: integers are counts of the digitizer, others in the unit of the record."""
    return "counts" if traces and np.issubdtype(traces[0].samples.dtype, np.integer) else "record's units"
