"""One channel's samples to blocks of features: gap rule, despiking, decimation, windows, features.

One station's channels to rows of features: what training learns from and what the lander computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.features.conditioning import ContiguousRun, Decimate, Despike, GapBridge, GapCounts
from edgequake.edge.features.normalization import PowerFeatures, WaveformFeatures
from edgequake.edge.features.spectra import BandPower, WaveletPower
from edgequake.edge.features.windows import Windower
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.front_end_config import FrontEndConfig, decimation_factor


@dataclass(frozen=True)
class ChannelFeatures:
    """Consecutive blocks of one channel that wait for those of the others."""

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
        self._despike = Despike(config.despike_threshold) if config.despike_threshold > 0 else None
        self._decimate = Decimate(factor, config.decimators[str(factor)]) if factor > 1 else None
        stuck_blocks = max(1, round(config.stuck_s * model_rate_hz / config.hop_samples))
        self._blocks = Windower(config.window_samples, config.hop_samples, config.max_gap_fraction, stuck_blocks)
        self._features = _features(config, model_rate_hz)
        self.queue: list[ChannelFeatures] = []

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

    def push(self, parts: Sequence[tuple[int, npt.NDArray[Any]]]) -> None:
        """Take samples of one dtype in parts (position on the channel's grid, samples); queue what they complete."""
        integer_samples = parts[0][1].dtype.kind in "iu"
        for stretch in self._gaps.push_parts(parts):
            clean: ContiguousRun | None = stretch if self._despike is None else self._despike.push(stretch)
            if clean is not None and self._decimate is not None:
                clean = self._decimate.push(clean)
            windows = None if clean is None else self._blocks.push(clean)
            if windows is not None:
                features = self._features(windows, integer_samples)
                self.queue.append(ChannelFeatures(windows.first_block, features, windows.live))

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "sampling_rate_hz": self.sampling_rate_hz,
            "gaps": self._gaps.state(),
            "despike": None if self._despike is None else self._despike.state(),
            "decimate": None if self._decimate is None else self._decimate.state(),
            "blocks": self._blocks.state(),
            "features": self._features.state(),
            "queue": [dict(vars(blocks)) for blocks in self.queue],
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._gaps.restore(state["gaps"])
        if self._despike is not None:
            self._despike.restore(state["despike"])
        if self._decimate is not None:
            self._decimate.restore(state["decimate"])
        self._blocks.restore(state["blocks"])
        self._features.restore(state["features"])
        self.queue = [ChannelFeatures(**blocks) for blocks in state["queue"]]


def _features(config: FrontEndConfig, rate_hz: float) -> PowerFeatures | WaveformFeatures:
    if config.kind == "spectrogram":
        assert config.spectrogram is not None
        power = BandPower(config.spectrogram, rate_hz)
        return PowerFeatures(power, config.spectrogram, config.background, rate_hz)
    if config.kind == "scalogram":
        assert config.scalogram is not None
        wavelets = WaveletPower(config.scalogram, config.hop_samples, rate_hz)
        return PowerFeatures(wavelets, config.scalogram, config.background, rate_hz)
    assert config.waveform is not None
    return WaveformFeatures(config.waveform, config.background, rate_hz)


__all__ = ["ChannelFrontEnd", "Rows", "StationFrontEnd", "station_rows"]


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


@dataclass
class _GridRun:
    """Pieces of one channel that follow one another on its grid, tears between them or not."""

    channel: ChannelFrontEnd
    stop: int
    parts: list[tuple[int, npt.NDArray[Any]]]  # position, samples


class StationFrontEnd:
    """Streaming front end of one station: pieces of any of its channels in, rows of features out.

    The channels share one grid of blocks that starts at the first trace. A block's row is the mean over the channels
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

    @property
    def goes_on(self) -> bool:
        """Whether a row of the next block would follow the last one given out; False: states will start anew."""
        return self._started

    def next_ns(self) -> int | None:
        """Start of the oldest block that may still get a row, None before the first trace."""
        if self._t0_ns is None:
            return None
        return self._t0_ns + duration_ns(self._next_block * self._config.hop_samples, self._rate_hz)

    def push(self, trace: Trace) -> Rows:
        """Take a trace, return the rows that are certain now (maybe none).

        Raises
        ------
        DataError
            The trace's sampling rate is neither the model's nor an exact multiple with a decimator, or changes.
        """
        return self.push_all((trace,))

    def push_all(self, traces: Sequence[Trace]) -> Rows:
        """Take traces in the order of their start times, return the rows that are certain now.

        The rows of a record are the same however its traces are given; many at once are cheaper.

        Raises
        ------
        DataError
            As `push`.
        """
        for run in self._runs(traces):
            run.channel.push(run.parts)
        return self._give(self._final_block())

    def _runs(self, traces: Sequence[Trace]) -> list[_GridRun]:
        """Join each channel's traces, where they do not overlap."""
        runs: list[_GridRun] = []
        last: dict[str, _GridRun] = {}
        for trace in traces:
            if self._t0_ns is None:
                self._t0_ns = self._watermark_ns = trace.start_ns  # before 1970 times are negative
            self._watermark_ns = max(self._watermark_ns, trace.start_ns)
            channel = self._channel(trace)
            elapsed_s = (trace.start_ns - self._t0_ns) / NS_PER_S
            position = round(elapsed_s * channel.sampling_rate_hz)
            run = last.get(trace.source_id)
            if run is None or position < run.stop or trace.samples.dtype != run.parts[0][1].dtype:
                run = last[trace.source_id] = _GridRun(channel, position, [])
                runs.append(run)
            run.parts.append((position, trace.samples))
            run.stop = position + len(trace.samples)
        return runs

    def _channel(self, trace: Trace) -> ChannelFrontEnd:
        channel = self._channels.get(trace.source_id)
        if channel is None:
            channel = ChannelFrontEnd(self._config, self._rate_hz, trace.sampling_rate_hz)
            self._channels[trace.source_id] = channel
        if abs(channel.sampling_rate_hz / trace.sampling_rate_hz - 1.0) > 1e-3:
            raise DataError(
                f"{trace.source_id}: sampling rate changes from {channel.sampling_rate_hz} to "
                f"{trace.sampling_rate_hz} Hz within one stream; run the parts separately"
            )
        return channel

    def finish(self) -> Rows:
        """Return the rows still held: no further trace will come."""
        return self._give(max((channel.next_block for channel in self._channels.values()), default=0))

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "t0_ns": self._t0_ns,
            "watermark_ns": self._watermark_ns,
            "next_block": self._next_block,
            "started": self._started,
            "channels": {source_id: channel.state() for source_id, channel in self._channels.items()},
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._t0_ns, self._watermark_ns = state["t0_ns"], state["watermark_ns"]
        self._next_block, self._started = state["next_block"], state["started"]
        self._channels = {}
        for source_id, channel in state["channels"].items():
            self._channels[source_id] = ChannelFrontEnd(self._config, self._rate_hz, channel["sampling_rate_hz"])
            self._channels[source_id].restore(channel)

    def _final_block(self) -> int:
        """Blocks before this one cannot change any more."""
        if self._t0_ns is None:
            return 0
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
        """Return the rows of the queued blocks before `stop_block`, one run of blocks after the other."""
        parts = [self._run_of_blocks(first, stop) for first, stop in self._queued_before(stop_block)]
        if stop_block > self._next_block:
            self._next_block, self._started = stop_block, False
        if len(parts) == 1:
            return parts[0]
        return _concatenated(parts) if parts else self._no_rows()

    def _queued_before(self, stop_block: int) -> list[tuple[int, int]]:
        """Runs [first, stop) of queued blocks: a tear of years between two must not take memory for its blocks."""
        queued = (part for channel in self._channels.values() for part in channel.queue)
        spans = sorted((part.first_block, part.first_block + len(part.live)) for part in queued)
        runs: list[tuple[int, int]] = []
        for first, stop in spans:
            first, stop = max(first, self._next_block), min(stop, stop_block)
            if first >= stop:
                continue
            if runs and first <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
            else:
                runs.append((first, stop))
        return runs

    def _run_of_blocks(self, first: int, stop: int) -> Rows:
        n = stop - first
        rows = np.zeros((n, self._config.rows_per_block, self._config.n_features), np.float32)
        n_live, restart = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for source_id in sorted(self._channels):
            self._add(self._channels[source_id], first, rows, n_live)
        rows[..., :-1] /= np.maximum(n_live, 1).astype(np.float32)[:, np.newaxis, np.newaxis]
        rows[n_live == 0, :, -1] = 1.0
        restart[0] = not (self._started and first == self._next_block)
        self._next_block, self._started = stop, True
        return Rows(self._t0_ns or 0, np.arange(first, stop, dtype=np.int64), rows, n_live > 0, restart)

    def _no_rows(self) -> Rows:
        rows = np.zeros((0, self._config.rows_per_block, self._config.n_features), np.float32)
        none = np.zeros(0, np.bool_)
        return Rows(self._t0_ns or 0, np.zeros(0, np.int64), rows, none, none)

    @staticmethod
    def _add(
        channel: ChannelFrontEnd, first: int, rows: npt.NDArray[np.float32], n_live: npt.NDArray[np.int64]
    ) -> None:
        """Add what a channel has queued for the blocks from `first` on that `rows` is for; keep later ones queued."""
        n, rest = len(rows), []
        for queued in channel.queue:
            start, stop = queued.first_block - first, queued.first_block - first + len(queued.live)
            low, high = max(start, 0), min(stop, n)
            if low < high:
                live = queued.live[low - start : high - start]
                n_live[low:high] += live
                rows[low:high, :, :-1] += np.where(
                    live[:, np.newaxis, np.newaxis], queued.features[low - start : high - start], np.float32(0)
                )
            if stop > n:
                cut = max(n - start, 0)
                rest.append(ChannelFeatures(queued.first_block + cut, queued.features[cut:], queued.live[cut:]))
        channel.queue = rest


def station_rows(config: FrontEndConfig, sampling_rate_hz: float, traces: Iterable[Trace]) -> Rows:
    """Return all rows of one station's traces, which come in the order of their start times.

    Raises
    ------
    DataError
        As `StationFrontEnd.push`.
    """
    front_end = StationFrontEnd(config, sampling_rate_hz)
    parts = [front_end.push(trace) for trace in traces]
    parts.append(front_end.finish())
    return _concatenated(parts)


def _concatenated(parts: Sequence[Rows]) -> Rows:
    return Rows(
        parts[-1].t0_ns,
        np.concatenate([part.block for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.live for part in parts]),
        np.concatenate([part.restart for part in parts]),
    )
