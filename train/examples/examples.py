"""Training examples, injected and recorded: rows of the device's front end with targets for each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from edgequake.data.tables import UNREVIEWED, LabelledRecord
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.results.progress import Progress, silent
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ExamplesRecipe, Recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.data.records import record_traces
from edgequake.train.examples.augmentation import injected_record
from edgequake.train.examples.labels import Targets, doubt, loudest_bands, mark_event

NO_MARKS: Mapping[Path, Sequence[int]] = {}


@dataclass(frozen=True)
class Examples:
    """Sequences of blocks with their targets.

    Attributes
    ----------
    rows : float32, shape (n_examples, n_blocks, rows_per_block, n_features).
    targets : float32, shape (n_examples, n_blocks, 2): onset, event.
    weights : float32, shape (n_examples, n_blocks); 0 after the end of a shorter example.
    """

    rows: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, n_examples: int, recipe: Recipe) -> Examples:
        """Return examples of a recipe's shape, all zero."""
        config, shape = recipe.front_end, (n_examples, recipe.examples.n_blocks)
        return cls(
            np.zeros((*shape, config.rows_per_block, config.n_features), np.float32),
            np.zeros((*shape, 2), np.float32),
            np.zeros(shape, np.float32),
        )

    def put(self, i: int, rows: npt.NDArray[np.float32], targets: Targets) -> None:
        """Fill example `i`, as far as it has room."""
        n = min(self.rows.shape[1], len(rows))
        self.rows[i, :n] = rows[:n]
        self.targets[i, :n, 0], self.targets[i, :n, 1] = targets.onset[:n], targets.event[:n]
        self.weights[i, :n] = targets.weight[:n]

    def at(self, *index: Any) -> Examples:
        """Return the part at an index of the axes (example, block)."""
        return Examples(self.rows[index], self.targets[index], self.weights[index])


def synthetic_examples(
    recipe: Recipe, banks: Mapping[float, NoiseBank], n_examples: int, seed: int, progress: Progress = silent
) -> Examples:
    """Return `n_examples` examples with injected quakes; the same seed gives the same examples.

    banks : recorded noise and quakes at each of the recipe's sampling rates.
    """
    out = Examples.empty(n_examples, recipe)
    for i in range(n_examples):
        out.put(i, *_synthetic(np.random.default_rng([seed, 1, i]), recipe, banks))
        progress((i + 1) / n_examples, "examples")
    return out


def recorded_examples(
    recipe: Recipe,
    records: list[LabelledRecord],
    n_examples: int,
    seed: int,
    progress: Progress = silent,
    marks_ns: Mapping[Path, Sequence[int]] = NO_MARKS,
) -> Examples:
    """Cut `n_examples` examples with random starts from labelled records, in turn or by the recipe's `emphasis`.

    marks_ns : by file, times beside the arrivals that most examples begin before, as of false alarms.
    """
    out = Examples.empty(n_examples, recipe)
    traces = {record.file: record_traces(record) for record in records}
    shares = _shares(records, recipe.examples)
    for i in range(n_examples):
        rng = np.random.default_rng([seed, 2, i])
        record = records[i % len(records) if shares is None else int(rng.choice(len(records), p=shares))]
        out.put(i, *_recorded(rng, recipe, record, traces[record.file], marks_ns.get(record.file, ())))
        progress((i + 1) / n_examples, "examples")
    return out


def join(parts: list[Examples]) -> Examples:
    """Concatenate examples."""
    return Examples(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def recorded_targets(
    rows: Rows, record: LabelledRecord, front_end: FrontEndConfig, rate_hz: float, scales: Scales
) -> Targets:
    """Return the targets of a record's rows, from its catalogued arrivals and the visible excess of the rows.

    The features of spectrogram and scalogram are the excess; for a waveform it is the log power of each block.
    """
    block_s = front_end.hop_samples / rate_hz
    excess = _visible_excess(rows, front_end, scales)
    targets = Targets.quiet(len(rows.block))
    for arrival in record.arrivals:
        elapsed_s = (arrival.time_ns - rows.t0_ns) / NS_PER_S
        if arrival.event_type == UNREVIEWED:
            _leave_out(targets, elapsed_s / block_s, scales, block_s)
            continue
        exact_block = elapsed_s / block_s - _hops_to_newest(front_end)
        # An arrival before the record keeps its distance: the record begins inside the event.
        block = int(np.searchsorted(rows.block, exact_block)) if elapsed_s >= 0 else int(np.floor(exact_block))
        is_coarse = arrival.precision_s >= scales.coarse_label_s
        before_s = max(scales.search_before_s, arrival.precision_s) if is_coarse else arrival.precision_s
        after_s = arrival.precision_s if is_coarse else 0.0
        known = not is_coarse or elapsed_s < 0 or elapsed_s >= arrival.precision_s
        visible = mark_event(targets, excess, block, block_s, scales, before_s, after_s, onset_known=known)
        if not visible and not arrival.primary:
            reach = round(scales.search_s / block_s)
            targets.weight[max(0, block - reach) : max(0, block + reach)] = 0.0
    targets.weight[~rows.valid] *= 0.5
    return targets


def _leave_out(targets: Targets, block: float, scales: Scales, block_s: float) -> None:
    """Learn nothing from what may be an event or none, in place."""
    first, stop = block - scales.before_event_s / block_s, block + scales.max_event_s / block_s
    targets.weight[max(0, int(first)) : max(0, int(stop))] = 0.0


def _shares(records: list[LabelledRecord], plan: ExamplesRecipe) -> npt.NDArray[np.float64] | None:
    """Return how often each record is drawn; None: they take turns."""
    if not plan.emphasis:
        return None
    weights = np.array([plan.emphasis_of(record.file.name) for record in records], np.float64)
    return weights / np.sum(weights)


def _synthetic(
    rng: np.random.Generator, recipe: Recipe, banks: Mapping[float, NoiseBank]
) -> tuple[npt.NDArray[np.float32], Targets]:
    plan, config = recipe.examples, recipe.front_end
    with_early = plan.early_share > 0 and bool(rng.random() < plan.early_share)
    with_front = rng.random() < 0.8 and plan.random_starts and not with_early
    front = int(rng.integers(0, plan.max_front_blocks + 1)) if with_front else 0
    n_blocks = plan.n_blocks + front
    block_s = config.hop_samples / recipe.sampling_rate_hz
    rate_hz = float(rng.choice(plan.rates_hz)) if plan.rates_hz else recipe.sampling_rate_hz
    hop = round(block_s * rate_hz)
    # Filters use up samples of a faster record, two seconds at most.
    n_more = 2 if rate_hz == recipe.sampling_rate_hz else 2 + int(np.ceil(2.0 / block_s))
    record = injected_record(rng, banks[rate_hz], plan, (n_blocks + n_more) * hop, hop, rate_hz, with_early)
    rows = station_rows(config, recipe.sampling_rate_hz, record.traces)
    truth = Targets.quiet(len(record.excess))
    for arrival_s in record.arrivals_s:
        mark_event(truth, record.excess, int(np.floor(arrival_s / block_s)) - 1, block_s, plan.scales)
    same_newest = rows.block + _hops_to_newest(config) - 1  # the truth is that of windows of two hops
    chosen = (rows.block >= front) & (same_newest >= 0) & (same_newest < len(record.excess))
    index = same_newest[chosen]
    return rows.rows[chosen], Targets(truth.onset[index], truth.event[index], truth.weight[index])


def _recorded(
    rng: np.random.Generator,
    recipe: Recipe,
    record: LabelledRecord,
    traces: list[Trace],
    marks_ns: Sequence[int],
) -> tuple[npt.NDArray[np.float32], Targets]:
    """Cut a record at a random start (its own without `random_starts`); half of the cuts get an arbitrary unit."""
    first_ns = min(trace.start_ns for trace in traces)
    plan = recipe.examples
    start_ns = _start_ns(rng, record, traces, first_ns, plan.scales, marks_ns) if plan.random_starts else first_ns
    gain = 10.0 ** rng.uniform(-2.0, 2.0) if rng.random() < 0.5 else None
    n_samples = plan.n_blocks * recipe.front_end.hop_samples + recipe.front_end.window_samples
    stop_ns = start_ns + duration_ns(n_samples, recipe.sampling_rate_hz) + 5 * NS_PER_S  # filters use up some
    cut = [trace.between(start_ns, stop_ns) for trace in traces]
    scaled = [_scaled(trace, gain) for trace in _thinned(rng, recipe, cut) if len(trace.samples)]
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, scaled)
    targets = recorded_targets(rows, record, recipe.front_end, recipe.sampling_rate_hz, plan.scales)
    if plan.is_incomplete(record.file.name):
        doubt(targets, _visible_excess(rows, recipe.front_end, plan.scales), plan.scales)
    return rows.rows, targets


def _thinned(rng: np.random.Generator, recipe: Recipe, traces: list[Trace]) -> list[Trace]:
    """Return a share of the records with one component only, or at a slower rate, as other stations record them."""
    if rng.random() >= recipe.examples.thinned_share:
        return traces
    names = sorted({trace.source_id for trace in traces})
    if len(names) > 1 and rng.random() < 0.7:
        kept = str(rng.choice(names))
        traces = [trace for trace in traces if trace.source_id == kept]
    slower = sorted({rate for rate in recipe.examples.rates_hz if rate < 0.9 * traces[0].sampling_rate_hz})
    if not slower or rng.random() < 0.5:
        return traces
    rate_hz = float(rng.choice(slower))
    return [_slowed(trace, rate_hz) for trace in traces]


def _slowed(trace: Trace, rate_hz: float) -> Trace:
    """Return a trace at a slower rate; counts stay counts."""
    ratio = Fraction(rate_hz / trace.sampling_rate_hz).limit_denominator(100)
    if len(trace.samples) < 10 * ratio.denominator:
        return Trace(trace.source_id, trace.start_ns, rate_hz, trace.samples[:0], trace.file)
    samples = resample_poly(trace.samples.astype(np.float64), ratio.numerator, ratio.denominator, padtype="line")
    if trace.samples.dtype.kind in "iu":
        samples = np.rint(samples).astype(np.int32)
    return Trace(trace.source_id, trace.start_ns, rate_hz, samples, trace.file)


def _start_ns(
    rng: np.random.Generator,
    record: LabelledRecord,
    traces: list[Trace],
    first_ns: int,
    scales: Scales,
    marks_ns: Sequence[int],
) -> int:
    """Draw a start before one of the arrivals or marks or, in a fifth of the cases, anywhere in the record."""
    latest_ns = max(trace.stop_ns for trace in traces) - round(scales.min_rest_s * NS_PER_S)
    earliest_ns = first_ns
    times_ns = [*(a.time_ns for a in record.arrivals), *marks_ns]
    if times_ns and rng.random() < 0.8:
        arrival_ns = int(rng.choice(times_ns))
        latest_ns = arrival_ns - round(scales.lead_s * NS_PER_S)
        earliest_ns = max(first_ns, latest_ns - round(scales.approach_s * NS_PER_S))
    return int(rng.integers(earliest_ns, latest_ns)) if latest_ns > earliest_ns else first_ns


def _scaled(trace: Trace, gain: float | None) -> Trace:
    """Convert counts to floats in another unit, and lost samples to NaN."""
    if gain is None:
        return trace
    samples = trace.samples.astype(np.float64)
    if trace.samples.dtype.kind in "iu":
        samples[trace.samples == -1] = np.nan
    return Trace(trace.source_id, trace.start_ns, trace.sampling_rate_hz, samples * gain, trace.file)


def _visible_excess(rows: Rows, front_end: FrontEndConfig, scales: Scales) -> npt.NDArray[np.float64]:
    if front_end.kind != "waveform":
        features = rows.rows[:, 0, : front_end.n_channel_features][:, _label_features(front_end, scales)]
        if front_end.high_bands is not None:  # the bands are those of the labels
            return loudest_bands(features, scales.label_best_bands)
        share = scales.label_best_bands / (len(scales.label_bands_hz) - 1)
        return loudest_bands(features, max(1, round(features.shape[1] * share)))
    power = np.mean(np.square(rows.rows[..., 0], dtype=np.float64), axis=1)
    return np.asarray(np.log10(power + 1e-3), np.float64)


def _label_features(front_end: FrontEndConfig, scales: Scales) -> npt.NDArray[np.bool_]:
    """Return which bands or wavelets lie in the band of the quakes."""
    if front_end.kind == "scalogram" and front_end.scalogram is not None:
        low = high = np.asarray(front_end.scalogram.centre_frequencies_hz)
    else:
        assert front_end.spectrogram is not None
        tables = [table for table in (front_end.spectrogram, front_end.high_bands) if table is not None]
        low = np.asarray(front_end.lower_edges_hz)
        high = np.concatenate([table.band_edges_hz[1:] for table in tables])
    return (low >= scales.label_bands_hz[0]) & (high <= scales.label_bands_hz[-1])


def _hops_to_newest(front_end: FrontEndConfig) -> int:
    """Return the whole hops from the start of a block's window to its newest hop."""
    return front_end.window_samples // front_end.hop_samples - 1
