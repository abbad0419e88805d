"""Training examples, injected and recorded: rows of the device's front end with targets for each block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.results.progress import Progress, silent
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import Recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.data.records import record_traces
from edgequake.train.examples.augmentation import injected_record
from edgequake.train.examples.labels import Targets, loudest_bands, mark_event


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
    recipe: Recipe, bank: NoiseBank, n_examples: int, seed: int, progress: Progress = silent
) -> Examples:
    """Return `n_examples` examples with injected quakes; the same seed gives the same examples."""
    out = Examples.empty(n_examples, recipe)
    for i in range(n_examples):
        out.put(i, *_synthetic(np.random.default_rng([seed, 1, i]), recipe, bank))
        progress((i + 1) / n_examples, "examples")
    return out


def recorded_examples(
    recipe: Recipe, records: list[LabelledRecord], n_examples: int, seed: int, progress: Progress = silent
) -> Examples:
    """Cut `n_examples` examples with random starts from labelled records, in turn from each record."""
    out = Examples.empty(n_examples, recipe)
    traces = {record.file: record_traces(record) for record in records}
    for i in range(n_examples):
        record = records[i % len(records)]
        out.put(i, *_recorded(np.random.default_rng([seed, 2, i]), recipe, record, traces[record.file]))
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
        block = int(np.searchsorted(rows.block, elapsed_s / block_s - _hops_to_newest(front_end)))
        is_coarse = arrival.precision_s >= scales.coarse_label_s
        before_s = max(scales.search_before_s, arrival.precision_s) if is_coarse else arrival.precision_s
        visible = mark_event(targets, excess, block, block_s, scales, before_s)
        if not visible and not arrival.primary:
            reach = round(scales.search_s / block_s)
            targets.weight[max(0, block - reach) : block + reach] = 0.0
    targets.weight[~rows.valid] *= 0.5
    return targets


def _synthetic(rng: np.random.Generator, recipe: Recipe, bank: NoiseBank) -> tuple[npt.NDArray[np.float32], Targets]:
    plan, config = recipe.examples, recipe.front_end
    with_front = rng.random() < 0.8 and plan.random_starts
    front = int(rng.integers(0, plan.max_front_blocks + 1)) if with_front else 0
    n_blocks = plan.n_blocks + front
    hop, rate_hz = config.hop_samples, recipe.sampling_rate_hz
    block_s = hop / rate_hz
    record = injected_record(rng, bank, plan, (n_blocks + 2) * hop, hop, rate_hz)
    rows = station_rows(config, rate_hz, record.traces)
    truth = Targets.quiet(len(record.excess))
    for arrival_s in record.arrivals_s:
        mark_event(truth, record.excess, int(np.floor(arrival_s / block_s)) - 1, block_s, plan.scales)
    same_newest = rows.block + _hops_to_newest(config) - 1  # the truth is that of windows of two hops
    chosen = (rows.block >= front) & (same_newest >= 0) & (same_newest < len(record.excess))
    index = same_newest[chosen]
    return rows.rows[chosen], Targets(truth.onset[index], truth.event[index], truth.weight[index])


def _recorded(
    rng: np.random.Generator, recipe: Recipe, record: LabelledRecord, traces: list[Trace]
) -> tuple[npt.NDArray[np.float32], Targets]:
    """Cut a record at a random start (its own without `random_starts`); half of the cuts get an arbitrary unit."""
    first_ns = min(trace.start_ns for trace in traces)
    plan = recipe.examples
    start_ns = _start_ns(rng, record, traces, first_ns, plan.scales) if plan.random_starts else first_ns
    gain = 10.0 ** rng.uniform(-2.0, 2.0) if rng.random() < 0.5 else None
    cut = [trace.between(start_ns, None) for trace in traces]
    scaled = [_scaled(trace, gain) for trace in cut if len(trace.samples)]
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, scaled)
    return rows.rows, recorded_targets(rows, record, recipe.front_end, recipe.sampling_rate_hz, plan.scales)


def _start_ns(
    rng: np.random.Generator, record: LabelledRecord, traces: list[Trace], first_ns: int, scales: Scales
) -> int:
    """Draw a start before one of the arrivals or, in a fifth of the cases, anywhere in the record."""
    latest_ns = max(trace.stop_ns for trace in traces) - round(scales.min_rest_s * NS_PER_S)
    earliest_ns = first_ns
    if record.arrivals and rng.random() < 0.8:
        arrival_ns = int(rng.choice([a.time_ns for a in record.arrivals]))
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
        features = rows.rows[:, 0, :-1][:, _label_features(front_end, scales)]
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
        edges = np.asarray(front_end.spectrogram.band_edges_hz)
        low, high = edges[:-1], edges[1:]
    return (low >= scales.label_bands_hz[0]) & (high <= scales.label_bands_hz[-1])


def _hops_to_newest(front_end: FrontEndConfig) -> int:
    """Return the whole hops from the start of a block's window to its newest hop."""
    return front_end.window_samples // front_end.hop_samples - 1
