"""Training examples: made and real records, through the device's own front end, with targets block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.front_end_config import FrontEndConfig
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import Recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.data.records import record_traces
from edgequake.train.examples.augmentation import make_record
from edgequake.train.examples.labels import Targets, loudest_bands, mark


@dataclass(frozen=True)
class Examples:
    """Sequences of blocks with their targets.

    Attributes
    ----------
    rows : float32, shape (n_examples, n_blocks, rows_per_block, n_features).
    targets : float32, shape (n_examples, n_blocks, 2): onset, event.
    weights : float32, shape (n_examples, n_blocks); 0 past an example's own length.
    """

    rows: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def made_examples(
    recipe: Recipe, bank: NoiseBank, n_examples: int, seed: int, progress: Callable[[float], None] | None = None
) -> Examples:
    """Make `n_examples` examples of implanted quakes; the same seed gives the same examples."""
    plan = recipe.examples
    out = _empty(n_examples, recipe)
    for i in range(n_examples):
        rng = np.random.default_rng([seed, 1, i])
        _put(out, i, *_made(rng, recipe, bank), plan.n_blocks)
        if progress:
            progress((i + 1) / n_examples)
    return out


def real_examples(
    recipe: Recipe,
    records: list[LabelledRecord],
    n_examples: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Examples:
    """Cut `n_examples` examples from labelled records, each begun at a random instant; records take turns."""
    out = _empty(n_examples, recipe)
    traces = {record.file: record_traces(record) for record in records}
    for i in range(n_examples):
        rng = np.random.default_rng([seed, 2, i])
        record = records[i % len(records)]
        _put(out, i, *_real(rng, recipe, record, traces[record.file]), recipe.examples.n_blocks)
        if progress:
            progress((i + 1) / n_examples)
    return out


def join(parts: list[Examples]) -> Examples:
    """Put examples one after another."""
    return Examples(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def real_targets(
    rows: Rows, record: LabelledRecord, front_end: FrontEndConfig, rate_hz: float, scales: Scales
) -> Targets:
    """Return the targets of a real record's rows, from its catalogue and its own visible excess.

    Spectrogram and scalogram show the excess itself; with a waveform it is the log power of the normalised block.
    """
    block_s = front_end.hop_samples / rate_hz
    excess = _visible_excess(rows, front_end, scales)
    targets = Targets.quiet(len(rows.block))
    for arrival in record.arrivals:
        elapsed_s = (arrival.time_ns - rows.t0_ns) / NS_PER_S
        block = int(np.searchsorted(rows.block, elapsed_s / block_s - _lead_hops(front_end)))
        is_coarse = arrival.precision_s >= scales.coarse_label_s
        before_s = max(scales.search_before_s, arrival.precision_s) if is_coarse else arrival.precision_s
        visible = mark(targets, excess, block, block_s, scales, before_s)
        if not visible and not arrival.primary:
            reach = round(scales.search_s / block_s)
            targets.weight[max(0, block - reach) : block + reach] = 0.0
    targets.weight[~rows.live] *= 0.5
    return targets


def _made(rng: np.random.Generator, recipe: Recipe, bank: NoiseBank) -> tuple[npt.NDArray[np.float32], Targets]:
    plan, config = recipe.examples, recipe.front_end
    with_front = rng.random() < 0.8 and plan.random_starts
    front = int(rng.integers(0, plan.max_front_blocks + 1)) if with_front else 0
    n_blocks = plan.n_blocks + front
    made = make_record(
        rng, bank, plan, (n_blocks + 2) * config.hop_samples, config.hop_samples, recipe.sampling_rate_hz
    )
    rows = station_rows(config, recipe.sampling_rate_hz, made.traces)
    block_s = config.hop_samples / recipe.sampling_rate_hz
    truth = Targets.quiet(len(made.excess))
    for arrival_s in made.arrivals_s:
        mark(truth, made.excess, int(np.floor(arrival_s / block_s)) - 1, block_s, plan.scales)
    same_news = rows.block + _lead_hops(config) - 1  # the truth is told for windows of two hops
    chosen = (rows.block >= front) & (same_news >= 0) & (same_news < len(made.excess))
    index = same_news[chosen]
    return rows.rows[chosen], Targets(truth.onset[index], truth.event[index], truth.weight[index])


def _real(
    rng: np.random.Generator, recipe: Recipe, record: LabelledRecord, traces: list[Trace]
) -> tuple[npt.NDArray[np.float32], Targets]:
    """Cut a record and give it a unit; without `random_starts` it begins where it does."""
    first_ns = min(trace.start_ns for trace in traces)
    plan = recipe.examples
    start_ns = _start_ns(rng, record, traces, first_ns, plan.scales) if plan.random_starts else first_ns
    gain = 10.0 ** rng.uniform(-2.0, 2.0) if rng.random() < 0.5 else None
    cut = [trace.between(start_ns, None) for trace in traces]
    scaled = [_scaled(trace, gain) for trace in cut if len(trace.samples)]
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, scaled)
    return rows.rows, real_targets(rows, record, recipe.front_end, recipe.sampling_rate_hz, plan.scales)


def _start_ns(
    rng: np.random.Generator, record: LabelledRecord, traces: list[Trace], first_ns: int, scales: Scales
) -> int:
    """Draw an instant before one of the arrivals, or, in a long record, anywhere at all."""
    latest_ns = max(trace.stop_ns for trace in traces) - round(scales.min_rest_s * NS_PER_S)
    earliest_ns = first_ns
    if record.arrivals and rng.random() < 0.8:
        arrival_ns = int(rng.choice([a.time_ns for a in record.arrivals]))
        latest_ns = arrival_ns - round(scales.lead_s * NS_PER_S)
        earliest_ns = max(first_ns, latest_ns - round(scales.approach_s * NS_PER_S))
    return int(rng.integers(earliest_ns, latest_ns)) if latest_ns > earliest_ns else first_ns


def _scaled(trace: Trace, gain: float | None) -> Trace:
    """Turn counts into floats of another unit, lost samples into NaN."""
    if gain is None:
        return trace
    samples = trace.samples.astype(np.float64)
    if trace.samples.dtype.kind in "iu":
        samples[trace.samples == -1] = np.nan
    return Trace(trace.source_id, trace.start_ns, trace.sampling_rate_hz, samples * gain, trace.file)


def _visible_excess(rows: Rows, front_end: FrontEndConfig, scales: Scales) -> npt.NDArray[np.float64]:
    if front_end.kind != "waveform":
        features = rows.rows[:, 0, :-1][:, _label_features(front_end, scales)]
        return loudest_bands(features, _n_best(features.shape[1], scales))
    power = np.mean(np.square(rows.rows[..., 0], dtype=np.float64), axis=1)
    return np.asarray(np.log10(power + 1e-3), np.float64)


def _n_best(n_features: int, scales: Scales) -> int:
    """Return how many features are as wide as the best label bands."""
    return max(1, round(n_features * scales.label_best_bands / (len(scales.label_bands_hz) - 1)))


def _label_features(front_end: FrontEndConfig, scales: Scales) -> npt.NDArray[np.bool_]:
    """Return which bands or wavelets lie where quakes are."""
    if front_end.kind == "scalogram" and front_end.scalogram is not None:
        low = high = np.asarray(front_end.scalogram.centre_frequencies_hz)
    else:
        assert front_end.spectrogram is not None
        edges = np.asarray(front_end.spectrogram.band_edges_hz)
        low, high = edges[:-1], edges[1:]
    return (low >= scales.label_bands_hz[0]) & (high <= scales.label_bands_hz[-1])


def _lead_hops(front_end: FrontEndConfig) -> int:
    """Return whole hops from the start of a block's window to its newest hop."""
    return front_end.window_samples // front_end.hop_samples - 1


def _empty(n_examples: int, recipe: Recipe) -> Examples:
    config, n_blocks = recipe.front_end, recipe.examples.n_blocks
    return Examples(
        np.zeros((n_examples, n_blocks, config.rows_per_block, config.n_features), np.float32),
        np.zeros((n_examples, n_blocks, 2), np.float32),
        np.zeros((n_examples, n_blocks), np.float32),
    )


def _put(out: Examples, i: int, rows: npt.NDArray[np.float32], targets: Targets, n_blocks: int) -> None:
    n = min(n_blocks, len(rows))
    out.rows[i, :n] = rows[:n]
    out.targets[i, :n, 0], out.targets[i, :n, 1] = targets.onset[:n], targets.event[:n]
    out.weights[i, :n] = targets.weight[:n]
