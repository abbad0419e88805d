"""Training examples: made and real records, through the device's own front end, with targets block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.dataset import Record
from edgequake.edge.manifest import FrontEndConfig
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.station import Rows, station_rows
from edgequake.train.implants import make_record
from edgequake.train.labels import SEARCH_S, Targets, mark
from edgequake.train.quiet import Bank
from edgequake.train.recipe import Recipe
from edgequake.train.records import record_pieces

# A real arrival's visible onset may lie this long before its catalogued minute (labels early and late by minutes).
REAL_SEARCH_BEFORE_S = 150.0
MIN_LEAD_S = {"moon": 300.0, "mars": 180.0, "earth": 10.0}  # random starts lie at least this long before the arrival


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
    recipe: Recipe, bank: Bank, n_examples: int, seed: int, progress: Callable[[float], None] | None = None
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
    recipe: Recipe, records: list[Record], n_examples: int, seed: int, progress: Callable[[float], None] | None = None
) -> Examples:
    """Cut `n_examples` examples from labelled records, each begun at a random instant; records take turns."""
    out = _empty(n_examples, recipe)
    pieces = {record.file: record_pieces(record) for record in records}
    for i in range(n_examples):
        rng = np.random.default_rng([seed, 2, i])
        record = records[i % len(records)]
        _put(out, i, *_real(rng, recipe, record, pieces[record.file]), recipe.examples.n_blocks)
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


def real_targets(rows: Rows, record: Record, front_end: FrontEndConfig, rate_hz: float) -> Targets:
    """Return the targets of a real record's rows, from its catalogue and its own visible excess.

    A spectrogram front end shows the excess itself; with a waveform one it is the log power of the normalised block.
    """
    block_s = front_end.hop_samples / rate_hz
    excess = _visible_excess(rows, front_end)
    targets = Targets.quiet(len(rows.block))
    for arrival in record.arrivals:
        elapsed_s = (arrival.time_ns - rows.t0_ns) / NS_PER_S
        block = int(np.searchsorted(rows.block, elapsed_s / block_s - 1.0))  # a window's newest hop is its second
        before_s = max(REAL_SEARCH_BEFORE_S, arrival.precision_s) if arrival.precision_s >= 60 else arrival.precision_s
        visible = mark(targets, excess, block, block_s, before_s)
        if not visible and not arrival.primary:
            low = max(0, block - round(SEARCH_S / block_s))
            targets.weight[low : block + round(SEARCH_S / block_s)] = 0.0
    targets.weight[~rows.live] *= 0.5
    return targets


def _made(rng: np.random.Generator, recipe: Recipe, bank: Bank) -> tuple[npt.NDArray[np.float32], Targets]:
    plan, config = recipe.examples, recipe.front_end
    front = int(rng.integers(0, plan.max_front_blocks + 1)) if rng.random() < 0.8 else 0
    n_blocks = plan.n_blocks + front
    made = make_record(
        rng, bank, plan, (n_blocks + 2) * config.hop_samples, config.hop_samples, recipe.sampling_rate_hz
    )
    rows = station_rows(config, recipe.sampling_rate_hz, made.pieces)
    block_s = config.hop_samples / recipe.sampling_rate_hz
    truth = Targets.quiet(len(made.excess))
    for arrival_s in made.arrivals_s:
        mark(truth, made.excess, int(np.floor(arrival_s / block_s)) - 1, block_s)
    index = rows.block[(rows.block >= front) & (rows.block < len(made.excess))]
    chosen = np.isin(rows.block, index)
    return rows.rows[chosen], Targets(truth.onset[index], truth.event[index], truth.weight[index])


def _real(
    rng: np.random.Generator, recipe: Recipe, record: Record, pieces: list[Piece]
) -> tuple[npt.NDArray[np.float32], Targets]:
    """Begin a record at a random instant before its first arrival, or, in a long record, anywhere at all."""
    first_ns = min(piece.start_ns for piece in pieces)
    latest_ns = max(piece.stop_ns for piece in pieces) - 1800 * NS_PER_S
    if record.arrivals and rng.random() < 0.8:
        arrival_ns = int(rng.choice([a.time_ns for a in record.arrivals]))
        latest_ns = arrival_ns - round(MIN_LEAD_S[record.body] * NS_PER_S)
        earliest_ns = max(first_ns, latest_ns - 9000 * NS_PER_S)
    else:
        earliest_ns = first_ns
    start_ns = int(rng.integers(earliest_ns, latest_ns)) if latest_ns > earliest_ns else first_ns
    gain = 10.0 ** rng.uniform(-2.0, 2.0) if rng.random() < 0.5 else None
    cut = [piece.between(start_ns, None) for piece in pieces]
    scaled = [_scaled(piece, gain) for piece in cut if len(piece.samples)]
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, scaled)
    return rows.rows, real_targets(rows, record, recipe.front_end, recipe.sampling_rate_hz)


def _scaled(piece: Piece, gain: float | None) -> Piece:
    """Turn counts into floats of another unit, lost samples into NaN."""
    if gain is None:
        return piece
    samples = piece.samples.astype(np.float64)
    if piece.samples.dtype.kind in "iu":
        samples[piece.samples == -1] = np.nan
    return Piece(piece.source_id, piece.start_ns, piece.sampling_rate_hz, samples * gain, piece.file)


def _visible_excess(rows: Rows, front_end: FrontEndConfig) -> npt.NDArray[np.float64]:
    if front_end.kind == "spectrogram" and front_end.spectrogram is not None:
        edges = np.asarray(front_end.spectrogram.band_edges_hz)
        inside = (edges[:-1] >= 0.35) & (edges[1:] <= 1.5)
        return np.asarray(np.mean(rows.rows[:, 0, :-1][:, inside], axis=1), np.float64)
    power = np.mean(np.square(rows.rows[..., 0], dtype=np.float64), axis=1)
    return np.asarray(np.log10(power + 1e-3), np.float64)


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
