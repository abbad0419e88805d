"""The front end: the traces of one station to rows of features, the same in training and on the lander.

`ChannelFrontEnd` chains gap rule, despiking, resampling, windows and features of one channel; `StationFrontEnd` puts
the channels of a station on one grid of blocks and averages them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.features.conditioning import ContiguousRun, Despike, GapCounts, gap_bridge
from edgequake.edge.features.contrast import Contrast
from edgequake.edge.features.high_bands import HighBands
from edgequake.edge.features.normalization import channel_features
from edgequake.edge.features.resampling import ToModelGrid
from edgequake.edge.features.spectra import WindowBatch, Windower
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, same_rate
from edgequake.edge.manifest.tables import FrontEndConfig, takes_high_bands


@dataclass(frozen=True)
class Rows:
    """Rows of features of one station.

    Attributes
    ----------
    t0_ns : time of grid position 0.
    block : int64, shape (n_blocks,), rising; blocks are missing only where `restart` says so.
    rows : float32, shape (n_blocks, rows_per_block, n_features): means over the valid channels, contrasts and their
        flag (1: only one kind of component), a flag of the high bands (1: no channel has them), the gap flag (1: no
        valid channel).
    valid : shape (n_blocks,), whether any channel is valid.
    restart : shape (n_blocks,), True after a gap that was too long to interpolate: states are reset there.
    """

    t0_ns: int
    block: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    restart: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChannelFeatures:
    """Consecutive blocks of one channel that wait for those of the other channels."""

    first_block: int
    features: npt.NDArray[np.float32]  # (n_blocks, rows_per_block, n_channel_features)
    valid: npt.NDArray[np.bool_]


class ChannelFrontEnd:
    """Gap rule, despiking, resampling, windows and features of one channel."""

    def __init__(
        self, config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float, grid_ns: int, start_ns: int
    ) -> None:
        """Begin at `start_ns`; the model's grid begins at `grid_ns`.

        Raises
        ------
        DataError
            The model does not take the sampling rate.
        """
        self.sampling_rate_hz = sampling_rate_hz
        self.gaps = gap_bridge(config, sampling_rate_hz)
        self._despike = Despike(config.despike_threshold) if config.despike_threshold > 0 else None
        self._to_grid = ToModelGrid(config, model_rate_hz, sampling_rate_hz, grid_ns, start_ns)
        self.clock = self._to_grid.clock
        stuck_blocks = max(1, round(config.stuck_s * model_rate_hz / config.hop_samples))
        self.windower = Windower(config.window_samples, config.hop_samples, config.max_gap_fraction, stuck_blocks)
        self._features = channel_features(config, model_rate_hz)
        self.has_high_bands = takes_high_bands(config, sampling_rate_hz)
        self._n_features = config.n_channel_features
        self._high: HighBands | None = None
        if config.high_bands is not None and self.has_high_bands:
            self._high = HighBands(config, config.high_bands, model_rate_hz, self.clock, grid_ns)
        self.queue: list[ChannelFeatures] = []

    @property
    def counts(self) -> GapCounts:
        """Gaps and unusable samples so far."""
        return self.gaps.counts

    def push(self, parts: Sequence[tuple[int, npt.NDArray[Any]]]) -> None:
        """Take samples of one dtype as parts (position on the channel's grid, samples); queue the blocks completed."""
        integer_samples = parts[0][1].dtype.kind in "iu"
        for run in self.gaps.push(*parts):
            clean: ContiguousRun | None = run if self._despike is None else self._despike.push(run)
            if clean is None:
                continue
            if self._high is not None:
                self._high.push(clean, integer_samples)
            on_grid = self._to_grid.push(clean)
            windows = None if on_grid is None else self.windower.push(on_grid)
            if windows is not None:
                features = self._with_high_bands(self._features(windows, integer_samples), windows)
                self.queue.append(ChannelFeatures(windows.first_block, features, windows.valid))

    def _with_high_bands(self, features: npt.NDArray[np.float32], windows: WindowBatch) -> npt.NDArray[np.float32]:
        if self._high is not None:
            return np.concatenate([features, self._high.take(windows)], axis=2)
        n_missing = self._n_features - features.shape[2]
        return np.pad(features, ((0, 0), (0, 0), (0, n_missing))) if n_missing else features

    def state(self) -> State:
        return {
            "sampling_rate_hz": self.sampling_rate_hz,
            "gaps": self.gaps.state(),
            "despike": None if self._despike is None else self._despike.state(),
            "to_grid": self._to_grid.state(),
            "windower": self.windower.state(),
            "features": self._features.state(),
            "high_bands": None if self._high is None else self._high.state(),
            "queue": [dict(vars(blocks)) for blocks in self.queue],
        }

    def restore(self, state: State) -> None:
        self.gaps.restore(state["gaps"])
        if self._despike is not None:
            self._despike.restore(state["despike"])
        self._to_grid.restore(state["to_grid"])
        self.windower.restore(state["windower"])
        self._features.restore(state["features"])
        if self._high is not None:
            self._high.restore(state["high_bands"])
        self.queue = [ChannelFeatures(**blocks) for blocks in state["queue"]]


@dataclass
class _ChannelRun:
    """Traces of one channel that do not overlap on its grid; there may be gaps between them."""

    channel: ChannelFrontEnd
    stop: int
    parts: list[tuple[int, npt.NDArray[Any]]]  # position, samples


class StationFrontEnd:
    """Streaming front end of one station: takes traces of any of its channels, returns rows of features.

    The channels share one grid of blocks that starts at the first trace. The row of a block is the mean over the
    channels that are valid in it, or with `components` their features side by side. Traces are expected in order of
    start time; a block is returned once no channel can add to it: each has passed it, or has been silent for longer
    than a gap that would be interpolated. So a missing channel delays the rows by at most `bridge_s`, and the rows
    depend only on the records, not on how they are cut.
    """

    def __init__(self, config: FrontEndConfig, sampling_rate_hz: float) -> None:
        self._config = config
        self._rate_hz = sampling_rate_hz
        self._first_high = config.n_own_features
        self._channels: dict[str, ChannelFrontEnd] = {}
        self._t0_ns: int | None = None
        self._watermark_ns = 0
        self._next_block = 0
        self._started = False

    @property
    def channels(self) -> dict[str, ChannelFrontEnd]:
        """The channels so far, by source identifier."""
        return self._channels

    @property
    def is_continuous(self) -> bool:
        """Whether the next block would follow the last one returned; False: states will be reset."""
        return self._started

    def next_ns(self) -> int | None:
        """Return the start of the oldest block that may still get a row, None before the first trace."""
        if self._t0_ns is None:
            return None
        return self._t0_ns + duration_ns(self._next_block * self._config.hop_samples, self._rate_hz)

    def push(self, *traces: Trace) -> Rows:
        """Take traces in order of start time; return the rows that are certain now (perhaps none).

        The rows of a record do not depend on how many traces are passed at once; many are cheaper.

        Raises
        ------
        DataError
            The model does not take the sampling rate, or it changes.
        """
        for run in self._runs(traces):
            run.channel.push(run.parts)
        return self._release(self._final_block())

    def _runs(self, traces: Sequence[Trace]) -> list[_ChannelRun]:
        """Group each channel's traces where they do not overlap."""
        runs: list[_ChannelRun] = []
        last: dict[str, _ChannelRun] = {}
        for trace in traces:
            if self._config.components and component_of(self._config, trace.source_id) is None:
                continue
            if self._t0_ns is None:
                self._t0_ns = self._watermark_ns = trace.start_ns  # before 1970 times are negative
            self._watermark_ns = max(self._watermark_ns, trace.start_ns)
            channel = self._channel(trace)
            position = channel.clock.place(trace.start_ns, len(trace.samples), trace.sampling_rate_hz)
            run = last.get(trace.source_id)
            if run is None or position < run.stop or trace.samples.dtype != run.parts[0][1].dtype:
                run = last[trace.source_id] = _ChannelRun(channel, position, [])
                runs.append(run)
            run.parts.append((position, trace.samples))
            run.stop = position + len(trace.samples)
        return runs

    def _channel(self, trace: Trace) -> ChannelFrontEnd:
        channel = self._channels.get(trace.source_id)
        if channel is None:
            assert self._t0_ns is not None
            channel = self._channels[trace.source_id] = ChannelFrontEnd(
                self._config, self._rate_hz, trace.sampling_rate_hz, self._t0_ns, trace.start_ns
            )
        if not same_rate(channel.sampling_rate_hz, trace.sampling_rate_hz):
            raise DataError(
                f"{trace.source_id}: sampling rate changes from {channel.sampling_rate_hz} to "
                f"{trace.sampling_rate_hz} Hz within one stream; run the parts separately"
            )
        return channel

    def finish(self) -> Rows:
        """Return the remaining rows: no further trace will come."""
        return self._release(max((channel.windower.next_block for channel in self._channels.values()), default=0))

    def state(self) -> State:
        return {
            "t0_ns": self._t0_ns,
            "watermark_ns": self._watermark_ns,
            "next_block": self._next_block,
            "started": self._started,
            "channels": {source_id: channel.state() for source_id, channel in self._channels.items()},
        }

    def restore(self, state: State) -> None:
        self._t0_ns, self._watermark_ns = state["t0_ns"], state["watermark_ns"]
        self._next_block, self._started = state["next_block"], state["started"]
        self._channels = {}
        for source_id, channel in state["channels"].items():
            rate_hz, t0_ns = channel["sampling_rate_hz"], state["t0_ns"]
            self._channels[source_id] = ChannelFrontEnd(self._config, self._rate_hz, rate_hz, t0_ns, t0_ns)
            self._channels[source_id].restore(channel)

    def _final_block(self) -> int:
        """Return the first block that may still change."""
        if self._t0_ns is None:
            return 0
        elapsed_s = (self._watermark_ns - self._t0_ns) / NS_PER_S
        # Later traces start at or after the watermark, so in its block or a later one.
        limit = int(elapsed_s * self._rate_hz) // self._config.hop_samples
        for channel in self._channels.values():
            last = channel.gaps.last_position
            silent_ns = self._watermark_ns - (self._t0_ns if last is None else channel.clock.time_ns(last))
            if (
                silent_ns / NS_PER_S <= self._config.bridge_s + 1.0
            ):  # it may still continue after a gap that is interpolated
                limit = min(limit, channel.windower.next_block)
        return limit

    def _release(self, stop_block: int) -> Rows:
        """Return the rows of the queued blocks before `stop_block`."""
        parts = [self._run_of_blocks(first, stop) for first, stop in self._queued_before(stop_block)]
        if stop_block > self._next_block:
            self._next_block, self._started = stop_block, False
        if len(parts) == 1:
            return parts[0]
        return _concatenated(parts) if parts else self._no_rows()

    def _queued_before(self, stop_block: int) -> list[tuple[int, int]]:
        """Return runs [first, stop) of queued blocks: a gap of years must not take memory for the blocks in it."""
        queued = (part for channel in self._channels.values() for part in channel.queue)
        spans = sorted((part.first_block, part.first_block + len(part.valid)) for part in queued)
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
        config, n = self._config, stop - first
        rows = np.zeros((n, config.rows_per_block, config.n_features), np.float32)
        n_valid = np.zeros((n, max(1, len(config.components))), np.int64)
        n_high, restart = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        contrast = None if config.contrast is None else Contrast(config, config.contrast, n)
        for source_id in sorted(self._channels):
            channel = self._channels[source_id]
            component = (component_of(config, source_id) or 0) if config.components else 0
            own = rows[:, :, component * config.n_channel_features :]
            for low, high, part in _taken(channel, first, n):
                self._add(source_id, low, high, part, own, contrast)
                n_valid[low:high, component] += part.valid
                n_high[low:high] += part.valid & channel.has_high_bands
        self._finish_rows(rows, n_valid, n_high, contrast)
        restart[0] = not (self._started and first == self._next_block)
        self._next_block, self._started = stop, True
        return Rows(self._t0_ns or 0, np.arange(first, stop, dtype=np.int64), rows, np.any(n_valid, axis=1), restart)

    def _add(
        self,
        source_id: str,
        low: int,
        high: int,
        part: ChannelFeatures,
        rows: npt.NDArray[np.float32],
        contrast: Contrast | None,
    ) -> None:
        """Add a channel's blocks to `rows` and `contrast`, where they are [low, high)."""
        n_features = part.features.shape[2]
        rows[low:high, :, :n_features] += np.where(part.valid[:, np.newaxis, np.newaxis], part.features, np.float32(0))
        if contrast is not None:
            present = np.repeat(part.valid[:, np.newaxis], n_features, axis=1)
            present[:, self._first_high :] &= self._channels[source_id].has_high_bands
            contrast.add(source_id, low, high, part.features[:, 0], present)

    def _finish_rows(
        self,
        rows: npt.NDArray[np.float32],
        n_valid: npt.NDArray[np.int64],
        n_high: npt.NDArray[np.int64],
        contrast: Contrast | None,
    ) -> None:
        """Turn sums over channels into means; add what the channels have not of their own. `rows` changes in place.

        n_valid : valid channels of each block, shape (n_blocks, n_components); one column for all channels together.
        """
        config, n_features = self._config, self._config.n_channel_features
        shape = (len(rows), 1, 1)
        for component, count in enumerate(n_valid.T):
            start = component * n_features
            own = rows[..., start : start + self._first_high]
            own /= np.maximum(count, 1).astype(np.float32).reshape(shape)
        if contrast is not None:
            stop = rows.shape[2] - (1 if config.high_bands is None else 2)
            rows[:, 0, n_features:stop] = contrast.features()
        if config.high_bands is not None:
            rows[..., self._first_high : n_features] /= np.maximum(n_high, 1).astype(np.float32).reshape(shape)
            rows[n_high == 0, :, -2] = 1.0
        if config.gap_flag:
            rows[~np.any(n_valid, axis=1), :, -1] = 1.0

    def _no_rows(self) -> Rows:
        rows = np.zeros((0, self._config.rows_per_block, self._config.n_features), np.float32)
        none = np.zeros(0, np.bool_)
        return Rows(self._t0_ns or 0, np.zeros(0, np.int64), rows, none, none)


def component_of(config: FrontEndConfig, source_id: str) -> int | None:
    """Return the place of a channel among `components`; None where it is none of them, or there are none."""
    code = channel_of(source_id)
    return next((i for i, pattern in enumerate(config.components) if fnmatchcase(code, pattern)), None)


def _taken(channel: ChannelFrontEnd, first: int, n: int) -> Iterator[tuple[int, int, ChannelFeatures]]:
    """Take blocks [first, first + n) out of a channel's queue; yield them with their place among these."""
    rest = []
    for queued in channel.queue:
        start, stop = queued.first_block - first, queued.first_block - first + len(queued.valid)
        low, high = max(start, 0), min(stop, n)
        if low < high:
            part = slice(low - start, high - start)
            yield low, high, ChannelFeatures(first + low, queued.features[part], queued.valid[part])
        if stop > n:
            cut = max(n - start, 0)
            rest.append(ChannelFeatures(queued.first_block + cut, queued.features[cut:], queued.valid[cut:]))
    channel.queue = rest


def station_rows(config: FrontEndConfig, sampling_rate_hz: float, traces: Iterable[Trace]) -> Rows:
    """Return all rows of one station's traces, in order of start time; raises as `StationFrontEnd.push`."""
    front_end = StationFrontEnd(config, sampling_rate_hz)
    parts = [front_end.push(trace) for trace in traces]
    parts.append(front_end.finish())
    return _concatenated(parts)


def _concatenated(parts: Sequence[Rows]) -> Rows:
    return Rows(
        parts[-1].t0_ns,
        np.concatenate([part.block for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.valid for part in parts]),
        np.concatenate([part.restart for part in parts]),
    )
