"""One station's channels to rows of features: what training learns from and what the lander computes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.blocks import Blocks
from edgequake.edge.errors import DataError
from edgequake.edge.filters import Decimate, Despike
from edgequake.edge.gaps import GapBridge, GapCounts, Stretch
from edgequake.edge.manifest import FrontEndConfig
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.spectrogram import SpectrogramFeatures
from edgequake.edge.waveform import WaveformFeatures


@dataclass(frozen=True)
class Rows:
    """Rows of features of one station.

    Attributes
    ----------
    t0_ns : time of grid position 0.
    block : int64, shape (n_blocks,), rising; holes only where `restart` says so.
    rows : float32, shape (n_blocks, rows_per_block, n_features); the last feature is the gap flag (1: no live channel).
    live : shape (n_blocks,), whether any channel is live.
    restart : shape (n_blocks,), True where the station came back after a long tear: states start anew.
    """

    t0_ns: int
    block: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    live: npt.NDArray[np.bool_]
    restart: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _ChannelBlocks:
    first_block: int
    features: npt.NDArray[np.float32]  # (n_blocks, rows_per_block, n_features - 1)
    live: npt.NDArray[np.bool_]


class ChannelFrontEnd:
    """Gap rule, despiking, decimation, windows and features of one channel."""

    def __init__(self, config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> None:
        factor = decimation_factor(config, model_rate_hz, sampling_rate_hz)
        self.sampling_rate_hz = sampling_rate_hz
        bridge_samples = round(config.bridge_s * sampling_rate_hz)
        self._gaps = GapBridge(bridge_samples, config.fill_values, config.fill_min_jump)
        self._despike = Despike(config.despike_threshold)
        self._decimate = Decimate(factor, config.decimators[str(factor)]) if factor > 1 else None
        window = config.spectrogram.window_samples if config.spectrogram and config.kind == "spectrogram" else None
        stuck_blocks = max(1, round(config.stuck_s * model_rate_hz / config.hop_samples))
        self._blocks = Blocks(window or config.hop_samples, config.hop_samples, config.max_gap_fraction, stuck_blocks)
        self._features = _features(config, model_rate_hz)
        self.queue: list[_ChannelBlocks] = []

    @property
    def counts(self) -> GapCounts:
        """What the gap rule met so far."""
        return self._gaps.counts

    @property
    def next_block(self) -> int:
        """Blocks before this one will not come any more."""
        return self._blocks.next_block

    @property
    def last_position(self) -> int | None:
        """Position of the last true sample on the grid of the channel's own rate."""
        return self._gaps.last_position

    def push(self, position: int, piece: Piece) -> None:
        """Take a piece whose first sample lies at `position` of the channel's own grid; queue what it completes."""
        integer_samples = piece.samples.dtype.kind in "iu"
        for stretch in self._gaps.push(position, piece.samples):
            clean: Stretch | None = self._despike.push(stretch)
            if clean is not None and self._decimate is not None:
                clean = self._decimate.push(clean)
            windows = None if clean is None else self._blocks.push(clean)
            if windows is not None:
                features = self._features(windows, integer_samples)
                self.queue.append(_ChannelBlocks(windows.first_block, features, windows.live))


class StationFrontEnd:
    """Streaming front end of one station: pieces of any of its channels in, rows of features out.

    The channels share one grid of blocks that starts at the first piece. A block's row is the mean over the channels
    that are live in it. Pieces are expected in the order of their start times; a block is given out once no channel
    can add to it: each has passed it, or has been silent for longer than a tear that would be bridged. So a missing
    channel delays the rows by at most `bridge_s`, and the rows depend on the records alone, not on how they were cut.
    """

    def __init__(self, config: FrontEndConfig, sampling_rate_hz: float) -> None:
        self._config = config
        self._rate_hz = sampling_rate_hz
        self._channels: dict[str, ChannelFrontEnd] = {}
        self._t0_ns: int | None = None
        self._watermark_ns = 0
        self._next_block = 0
        self._started = False

    @property
    def channels(self) -> dict[str, ChannelFrontEnd]:
        """The channels met so far, by source id."""
        return self._channels

    def push(self, piece: Piece) -> Rows:
        """Take a piece, return the rows that are certain now (maybe none).

        Raises
        ------
        DataError
            The piece's sampling rate is neither the model's nor an exact multiple with a decimator, or changes.
        """
        if self._t0_ns is None:
            self._t0_ns = self._watermark_ns = piece.start_ns  # before 1970 times are negative
        channel = self._channels.get(piece.source_id)
        if channel is None:
            channel = ChannelFrontEnd(self._config, self._rate_hz, piece.sampling_rate_hz)
            self._channels[piece.source_id] = channel
        if abs(channel.sampling_rate_hz / piece.sampling_rate_hz - 1.0) > 1e-3:
            raise DataError(
                f"{piece.source_id}: sampling rate changes from {channel.sampling_rate_hz} to "
                f"{piece.sampling_rate_hz} Hz within one stream; run the parts separately"
            )
        elapsed_s = (piece.start_ns - self._t0_ns) / NS_PER_S
        channel.push(round(elapsed_s * channel.sampling_rate_hz), piece)
        self._watermark_ns = max(self._watermark_ns, piece.start_ns)
        return self._give(self._final_block())

    def finish(self) -> Rows:
        """Return the rows still held: no further piece will come."""
        return self._give(max((channel.next_block for channel in self._channels.values()), default=0))

    def _final_block(self) -> int:
        """Blocks before this one cannot change any more."""
        assert self._t0_ns is not None
        elapsed_s = (self._watermark_ns - self._t0_ns) / NS_PER_S
        # Whatever comes later starts at or after the watermark, so in a block that starts there or later.
        limit = int(elapsed_s * self._rate_hz) // self._config.hop_samples
        for channel in self._channels.values():
            last = channel.last_position
            silent_s = elapsed_s if last is None else elapsed_s - last / channel.sampling_rate_hz
            if silent_s <= self._config.bridge_s + 1.0:  # it may still come back and be bridged
                limit = min(limit, channel.next_block)
        return limit

    def _give(self, stop_block: int) -> Rows:
        stop_block = max(stop_block, self._next_block)
        first, stop = self._occupied(stop_block)
        n = stop - first
        self._started = self._started and first == self._next_block
        shape = (n, self._config.rows_per_block, self._config.n_features)
        rows, n_live, present = np.zeros(shape, np.float32), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for source_id in sorted(self._channels):
            self._add(self._channels[source_id], first, n, rows, n_live, present)
        rows[..., :-1] /= np.maximum(n_live, 1).astype(np.float32)[:, np.newaxis, np.newaxis]
        rows[n_live == 0, :, -1] = 1.0
        self._next_block = stop_block
        follows = np.concatenate([[self._started], present[:-1]]) if n else present
        if n:
            self._started = bool(present[-1]) and stop == stop_block
        blocks = np.arange(first, first + n, dtype=np.int64)
        t0_ns = self._t0_ns if self._t0_ns is not None else 0
        restart = present & ~follows
        return Rows(t0_ns, blocks[present], rows[present], n_live[present] > 0, restart[present])

    def _occupied(self, stop_block: int) -> tuple[int, int]:
        """Range of the queued blocks before `stop_block`: a tear of years must not take memory for its blocks."""
        queued = [part for channel in self._channels.values() for part in channel.queue]
        due = [part for part in queued if part.first_block < stop_block]
        first = max(self._next_block, min((part.first_block for part in due), default=stop_block))
        stop = min(stop_block, max((part.first_block + len(part.live) for part in due), default=stop_block))
        return first, max(first, stop)

    @staticmethod
    def _add(
        channel: ChannelFrontEnd,
        first: int,
        n: int,
        rows: npt.NDArray[np.float32],
        n_live: npt.NDArray[np.int64],
        present: npt.NDArray[np.bool_],
    ) -> None:
        """Add what a channel has queued for blocks [first, first + n); keep the rest queued."""
        rest = []
        for queued in channel.queue:
            start, stop = queued.first_block - first, queued.first_block - first + len(queued.live)
            low, high = max(start, 0), min(stop, n)
            if low < high:
                live = queued.live[low - start : high - start]
                present[low:high] = True
                n_live[low:high] += live
                rows[low:high, :, :-1] += np.where(
                    live[:, np.newaxis, np.newaxis], queued.features[low - start : high - start], np.float32(0)
                )
            if stop > n:
                cut = max(n - start, 0)
                rest.append(_ChannelBlocks(queued.first_block + cut, queued.features[cut:], queued.live[cut:]))
        channel.queue = rest


def decimation_factor(config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> int:
    """Return the whole factor from a channel's rate to the model's.

    Raises
    ------
    DataError
        The rate is neither the model's nor a multiple the manifest has a decimator for (0.1 % tolerance).
    """
    for factor in (1, *sorted(int(name) for name in config.decimators)):
        if abs(sampling_rate_hz / (model_rate_hz * factor) - 1.0) < 1e-3:
            return factor
    accepted = [model_rate_hz, *(model_rate_hz * int(name) for name in config.decimators)]
    raise DataError(
        f"sampling rate {sampling_rate_hz:g} Hz: this model takes {', '.join(f'{rate:g}' for rate in accepted)} Hz; "
        f"choose channels of such a rate, or another model"
    )


def station_rows(config: FrontEndConfig, sampling_rate_hz: float, pieces: Iterable[Piece]) -> Rows:
    """Return all rows of one station's pieces, which come in the order of their start times.

    Raises
    ------
    DataError
        As `StationFrontEnd.push`.
    """
    front_end = StationFrontEnd(config, sampling_rate_hz)
    parts = [front_end.push(piece) for piece in pieces]
    parts.append(front_end.finish())
    return Rows(
        parts[-1].t0_ns,
        np.concatenate([part.block for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.live for part in parts]),
        np.concatenate([part.restart for part in parts]),
    )


def _features(config: FrontEndConfig, model_rate_hz: float) -> SpectrogramFeatures | WaveformFeatures:
    if config.kind == "spectrogram":
        assert config.spectrogram is not None
        return SpectrogramFeatures(config.spectrogram, config.background, model_rate_hz)
    assert config.waveform is not None
    return WaveformFeatures(config.waveform, config.background, model_rate_hz)
