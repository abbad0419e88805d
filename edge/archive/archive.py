"""Samples of one channel that follow one another and wait to be dealt with.

The archive of the raw stream: every sample that is heard, as miniSEED records in an SDS folder under a size cap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.day_files import RECORD_BYTES, DayFiles, n_samples_of
from edgequake.edge.archive.duplicates import DuplicateFilter
from edgequake.edge.archive.sds import DAY_NS, day_name, day_of, parse_day_name
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns

_Buffer = TypeVar("_Buffer", bound="SampleBuffer")


@dataclass
class SampleBuffer:
    """Grows at its back as traces come, shrinks at its front; times count from the first sample that ever came.

    Each trace's own time is believed to a hundredth of a sampling interval: a clock that has drifted away by more is a
    tear of the buffer, so that no sample is ever dated wrong by more than that.
    """

    source_id: str
    origin_ns: int  # time of the first sample
    rate_hz: float
    n_done: int  # samples since then that are not held any more
    n_samples: int  # held
    parts: list[npt.NDArray[Any]]  # their arrays; at least one, which tells the dtype

    @classmethod
    def begin(cls: type[_Buffer], trace: Trace) -> _Buffer:
        """Begin where a trace begins; its samples are yet to be added."""
        return cls(trace.source_id, trace.start_ns, trace.sampling_rate_hz, 0, 0, [trace.samples[:0]])

    def __post_init__(self) -> None:
        self._dtype = self.parts[0].dtype
        self._tolerance_ns = duration_ns(1, self.rate_hz) // 100
        self.stop_ns = self._time_ns(self.n_done + self.n_samples)

    def is_followed_by(self, trace: Trace) -> bool:
        """Whether a piece of the channel goes on where this buffer stops."""
        return (
            -self._tolerance_ns <= trace.start_ns - self.stop_ns <= self._tolerance_ns
            and trace.sampling_rate_hz == self.rate_hz
            and trace.samples.dtype == self._dtype
        )

    def add(self, samples: npt.NDArray[Any]) -> None:
        """Append samples."""
        self.parts.append(samples)
        self.n_samples += len(samples)
        self.stop_ns = self._time_ns(self.n_done + self.n_samples)

    def trace(self) -> Trace:
        """Return what is held."""
        self.parts = [np.concatenate(self.parts)]
        return Trace(self.source_id, self._time_ns(self.n_done), self.rate_hz, self.parts[0])

    def drop(self, n_samples: int) -> None:
        """Let go of the first samples."""
        self.parts = [np.concatenate(self.parts)[n_samples:].copy()]  # a view would keep all of them
        self.n_done += n_samples
        self.n_samples -= n_samples

    def state(self) -> State:
        """Return what `SampleBuffer(**state)` goes on from."""
        self.trace()
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _time_ns(self, n_samples: int) -> int:
        return self.origin_ns + duration_ns(n_samples, self.rate_hz)  # from the first one on: rounding never adds up


def joined(traces: Iterable[Trace]) -> list[Trace]:
    """Return traces with those that follow one another made one, per channel, in the order in which these begin.

    A replay's batch has hundreds, each with a fixed cost to everything that takes them. Clocks are believed as in
    `SampleBuffer`, so a buffer that takes joined traces dates a sample to a fiftieth of its interval.
    """
    buffers: dict[str, SampleBuffer] = {}
    runs: list[SampleBuffer] = []
    for trace in traces:
        buffer = buffers.get(trace.source_id)
        if buffer is None or not buffer.is_followed_by(trace):
            buffer = buffers[trace.source_id] = SampleBuffer.begin(trace)
            runs.append(buffer)
        buffer.add(trace.samples)
    return [buffer.trace() for buffer in runs]


LEAST_CAP_BYTES = 32 * RECORD_BYTES
# So many samples of a channel wait until they are written; a record holds at most 721, of a dead channel. Live they
# are on disk soon; a replay writes more at once, as each write has a fixed cost.
LIVE_BLOCK_SAMPLES, REPLAY_BLOCK_SAMPLES = 1 << 10, 1 << 14
_MOST_CHANNELS = 16 * 12  # as many as a live run hears at once


@dataclass
class _Channel:
    until_ns: int  # nothing at or after this time has been archived
    run: _BufferedRun | None = None


@dataclass
class _BufferedRun(SampleBuffer):
    """Samples that follow one another within a UTC day."""

    day: int = 0
    room: int = 0  # samples until midnight

    @classmethod
    def of_day(cls, trace: Trace) -> _BufferedRun:
        """Begin where a trace begins; its samples are yet to be added."""
        run = cls.begin(trace)
        run.day = day_of(trace.start_ns, trace.sampling_rate_hz)
        until_midnight = ((run.day + 1) * DAY_NS - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S
        run.room = int(np.ceil(until_midnight - 1e-3))  # as Trace.between counts
        return run

    def takes(self, trace: Trace) -> bool:
        """Whether a trace goes on where this run stops, within the day."""
        return len(trace.samples) <= self.room and self.is_followed_by(trace)


class Archive:
    """Writes traces to day files, in whole records, and lets go of the oldest where a cap is reached.

    A sample is archived once for a time: what comes again with the same values is dropped, and what differs from what
    is held at its time is kept beside it. So a link that repeats itself costs nothing, and a clock that was set back,
    or a second version of the same hours, loses nothing.
    """

    def __init__(
        self,
        folder: Path,
        cap_bytes: int | None,
        diagnostics: Diagnostics,
        block_samples: int = LIVE_BLOCK_SAMPLES,
        make_room: Callable[[int], bool] | None = None,
        least_record_bytes: int = RECORD_BYTES,
        remembered_days: int | None = None,
    ) -> None:
        """Archive in `folder`, which may hold an archive already, at most `cap_bytes` (None: without limit).

        A channel's samples are written `block_samples` at a time, or more, the rest waits for its record to be full.
        `make_room` is asked when the disk is full; by default this archive lets go of its own oldest files. A record
        that cannot be filled may be shorter than others, down to `least_record_bytes`. `remembered_days`: see
        `DayFiles`.

        Raises
        ------
        ConfigError
            A cap that not even some records fit into.
        """
        require_cap(cap_bytes)
        self.folder = folder
        self._files = DayFiles(folder, cap_bytes, diagnostics, make_room, remembered_days)
        self._repeats = DuplicateFilter(self._files)
        self._block_samples, self._least_record_bytes = block_samples, least_record_bytes
        self._channels: dict[str, _Channel] = {}

    @property
    def total_bytes(self) -> int:
        """Size of all its files."""
        return self._files.total_bytes

    def take(self, trace: Trace) -> None:
        """Archive a trace.

        Raises
        ------
        DataError
            A file cannot be written, for another reason than a full disk.
        """
        channel = self._channels.get(trace.source_id)
        run = None if channel is None else channel.run
        if channel is None or run is None or run.stop_ns < channel.until_ns or not run.takes(trace):
            self._take_in_parts(trace)
        else:
            self._add(channel, run, trace.samples)

    def sync(self) -> None:
        """Make what was written durable; what waits is in `state`.

        Raises
        ------
        DataError
            The disk fails.
        """
        self._files.sync()

    def close(self) -> None:
        """Write what waits, in records that may be short. More traces may come all the same.

        Raises
        ------
        DataError
            As `take`.
        """
        for channel in self._channels.values():
            self._finish(channel)
        self._files.sync()

    def make_room(self, n_bytes: int) -> bool:
        """Let go of the oldest files so that a full disk has room again; return whether there were any."""
        return self._files.make_room(n_bytes)

    def sizes_bytes(self) -> list[tuple[str, int]]:
        """Return name and size of every file, the oldest days first."""
        days = {name: parsed.day for name in self._files.names() if (parsed := parse_day_name(name)) is not None}
        return [(name, self._files.size_bytes(name)) for name in sorted(days, key=lambda name: (days[name], name))]

    def waiting(self) -> list[Trace]:
        """Return the samples that are not on disk yet."""
        return [channel.run.trace() for channel in self._channels.values() if channel.run is not None]

    def state(self) -> State:
        """Return what `restore` goes on from."""
        channels: State = {}
        for source_id, channel in self._channels.items():
            channels[source_id] = [channel.until_ns, None if channel.run is None else channel.run.state()]
        return {"files": self._files.state(), "channels": channels}

    def restore(self, state: State, replayed: bool) -> None:
        """Go on from what `state` returned; the same traces come again from there (`replayed`), or they do not (live).

        Replayed, the archive becomes what it was then, so that the result is that of an undisturbed run. Live, what was
        written since stays, and of what waited then only that is taken which is not on disk.
        """
        self._files.restore(state["files"], replayed)
        self._channels = {}
        for source_id, (until_ns, saved) in state["channels"].items():
            run = None if saved is None else _BufferedRun(**saved)
            if replayed:
                self._channels[source_id] = _Channel(until_ns, run)
            elif run is not None:
                self._take_in_parts(run.trace())

    def _take_in_parts(self, trace: Trace) -> None:
        channel = self._channel(trace.source_id)
        for part in _days(trace):
            is_new = part.start_ns >= channel.until_ns - duration_ns(1, part.sampling_rate_hz) // 100
            for new in [part] if is_new else self._not_held(part, channel.run):
                run = channel.run
                if run is None or not run.takes(new):
                    self._finish(channel)
                    run = channel.run = _BufferedRun.of_day(new)
                self._add(channel, run, new.samples)

    def _not_held(self, trace: Trace, run: _BufferedRun | None) -> list[Trace]:
        return self._repeats.left_out(trace, None if run is None else run.trace())

    def _add(self, channel: _Channel, run: _BufferedRun, samples: npt.NDArray[Any]) -> None:
        run.add(samples)
        run.room -= len(samples)
        channel.until_ns = max(channel.until_ns, run.stop_ns)
        if run.room == 0:
            self._finish(channel)
        elif run.n_samples >= self._block_samples:
            self._write(run, whole=False)

    def _finish(self, channel: _Channel) -> None:
        """A channel's samples do not go on: write what waits."""
        run, channel.run = channel.run, None
        if run is not None and run.n_samples:
            self._write(run, whole=True)

    def _write(self, run: _BufferedRun, whole: bool) -> None:
        trace = run.trace()
        records = records_of(trace)
        n_left = 0
        if not whole:
            n_left = n_samples_of(records.pop())
        elif self._least_record_bytes < RECORD_BYTES:
            records[-1:] = self._shortest(trace, n_samples_of(records[-1]))
        self._files.append(day_name(run.source_id, run.day), records)
        run.drop(run.n_samples - n_left)

    def _shortest(self, trace: Trace, n_samples: int) -> list[bytes]:
        """Return the last samples of a trace as one record that is as short as can be."""
        start_ns = trace.stop_ns - duration_ns(n_samples, trace.sampling_rate_hz)
        last = replace(trace, start_ns=start_ns, samples=trace.samples[len(trace.samples) - n_samples :])
        size_bytes = self._least_record_bytes
        while len(records := records_of(last, size_bytes)) > 1:
            size_bytes *= 2
        return records

    def _channel(self, source_id: str) -> _Channel:
        if source_id not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                self._finish(self._channels.pop(next(iter(self._channels))))
            self._channels[source_id] = _Channel(self._repeats.until_ns(source_id))
        return self._channels[source_id]


def require_cap(cap_bytes: int | None) -> None:
    """Refuse a cap that not even some records fit into.

    Raises
    ------
    ConfigError
        It is such a one.
    """
    if cap_bytes is not None and cap_bytes < LEAST_CAP_BYTES:
        raise ConfigError(
            f"an archive of {cap_bytes} bytes holds next to nothing; expected {LEAST_CAP_BYTES} or more, best the "
            f"volume of two days or more"
        )


def _days(trace: Trace) -> Iterator[Trace]:
    """Cut a trace at UTC midnights."""
    while len(trace.samples):
        midnight_ns = (day_of(trace.start_ns, trace.sampling_rate_hz) + 1) * DAY_NS
        yield trace.between(None, midnight_ns)
        trace = trace.between(midnight_ns, None)
