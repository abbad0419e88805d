"""The archive of the raw stream: every sample received, as miniSEED records in an SDS folder of limited size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.day_files import DayFiles
from edgequake.edge.archive.day_records import RECORD_BYTES, n_samples_of
from edgequake.edge.archive.duplicates import DuplicateFilter
from edgequake.edge.archive.sds import DAY_NS, day_name, day_of, parse_day_name
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import NS_PER_S, SampleBuffer, Trace, duration_ns

# Of miniSEED 3, whose header holds the source identifier; of version 2 it is 128 bytes, and identifiers are shorter.
_HEADER_AND_FRAME_BYTES = 40 + 64
LEAST_CAP_BYTES = 32 * RECORD_BYTES
# Samples of a channel that are buffered before they are written; a record holds at most 721, of a dead channel. A live
# run writes soon; a replay writes more at once, because each write has a fixed cost.
LIVE_BLOCK_SAMPLES, REPLAY_BLOCK_SAMPLES = 1 << 10, 1 << 14
_MOST_CHANNELS = 16 * 12  # as many as a live run receives at once


@dataclass
class _BufferedRun(SampleBuffer):
    """A contiguous run of samples within one UTC day, not written yet."""

    day: int = 0
    room: int = 0  # samples until midnight

    @classmethod
    def of_day(cls, trace: Trace) -> _BufferedRun:
        """Begin where a trace begins; its samples are still to be added."""
        run = cls.begin(trace)
        run.day = day_of(trace.start_ns, trace.sampling_rate_hz)
        until_midnight = ((run.day + 1) * DAY_NS - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S
        run.room = int(np.ceil(until_midnight - 1e-3))  # as Trace.between counts
        return run

    def accepts(self, trace: Trace) -> bool:
        """Whether a trace continues this run within the day."""
        return len(trace.samples) <= self.room and self.is_followed_by(trace)


@dataclass
class _ArchivedChannel:
    stop_ns: int  # nothing at or after this time has been archived
    run: _BufferedRun | None = None
    heard: int = 0  # number of the push that was its last


class Archive:
    """Writes traces to day files in whole records and evicts the oldest files when a size limit is reached.

    Duplicate samples are stored once: what arrives again with the same values is dropped. Samples that differ from
    those stored for the same time are stored beside them. So a link that repeats itself costs nothing, and a clock
    that was set back, or a second version of the same hours, loses nothing.
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
        may_drop: bool = False,
    ) -> None:
        """Archive in `folder`, which may contain an archive already.

        Parameters
        ----------
        cap_bytes : the largest total size; None for no limit.
        block_samples : a channel's samples are written at least so many at a time; what does not fill a record waits.
        make_room : called when the disk is full; by default this archive evicts its own oldest files.
        least_record_bytes : a record that cannot be filled may be as short as this.
        remembered_days, may_drop : see `DayFiles`.

        Raises
        ------
        ConfigError
            As `require_cap`.
        """
        require_cap(cap_bytes)
        self.folder = folder
        self._files = DayFiles(folder, cap_bytes, diagnostics, make_room, remembered_days, may_drop)
        self._duplicates = DuplicateFilter(self._files)
        self._block_samples, self._least_record_bytes = block_samples, least_record_bytes
        self._channels: dict[str, _ArchivedChannel] = {}
        self._n_pushed = 0

    @property
    def total_bytes(self) -> int:
        """Size of all its files."""
        return self._files.total_bytes

    @property
    def problem(self) -> OSError | None:
        """Why nothing can be written at present; None: it can."""
        return self._files.problem

    def forget(self, source_id: str) -> None:
        """Drop what is buffered of a channel, after a fault that may have left it inconsistent."""
        self._channels.pop(source_id, None)

    def push(self, trace: Trace) -> None:
        """Archive a trace.

        Raises
        ------
        DataError
            A file cannot be written, for another reason than a full disk, and the archive may not drop samples.
        """
        self._n_pushed += 1
        channel = self._channels.get(trace.source_id)
        if channel is not None:
            channel.heard = self._n_pushed
        run = None if channel is None else channel.run
        if channel is None or run is None or run.stop_ns < channel.stop_ns or not run.accepts(trace):
            self._push_parts(trace)
        else:
            self._add(channel, run, trace.samples)

    def sync(self) -> None:
        """Make what was written durable; the buffered rest is in `state`.

        Raises
        ------
        DataError
            The disk fails.
        """
        self._files.sync()

    def close(self) -> None:
        """Write what is buffered, in records that may be short. More traces may follow all the same.

        Raises
        ------
        DataError
            As `push`.
        """
        self._files.try_now()
        for channel in self._channels.values():
            self._end_run(channel)
        self._files.sync()

    def make_room(self, n_bytes: int) -> bool:
        """Evict the oldest files so that a full disk has room again; return whether there were any."""
        return self._files.make_room(n_bytes)

    def sizes_bytes(self) -> list[tuple[str, int]]:
        """Return name and size of every file, the oldest days first."""
        days = {name: parsed.day for name in self._files.names() if (parsed := parse_day_name(name)) is not None}
        return [(name, self._files.size_bytes(name)) for name in sorted(days, key=lambda name: (days[name], name))]

    def unwritten(self) -> list[Trace]:
        """Return the samples that are not on disk yet."""
        return [channel.run.trace() for channel in self._channels.values() if channel.run is not None]

    def state(self) -> State:
        channels: State = {}
        for source_id, channel in self._channels.items():
            channels[source_id] = [channel.stop_ns, None if channel.run is None else channel.run.state()]
        return {"files": self._files.state(), "channels": channels}

    def restore(self, state: State, replayed: bool) -> None:
        """Continue from what `state` returned; the traces since then come again (`replayed`), or they do not (live).

        Replayed, the archive is put back to what it was, so that it ends as that of an undisturbed run. Live, what was
        written since stays, and of what was buffered then only what is not on disk is used.
        """
        self._files.restore(state["files"], replayed)
        self._channels = {}
        for source_id, (stop_ns, saved) in state["channels"].items():
            run = None if saved is None else _BufferedRun(**saved)
            if replayed:
                self._channels[source_id] = _ArchivedChannel(stop_ns, run)
            elif run is not None:
                self._push_parts(run.trace())

    def _push_parts(self, trace: Trace) -> None:
        """Archive a trace by days, without what is stored already."""
        channel = self._channel(trace.source_id)
        for part in _days(trace):
            is_new = part.start_ns >= channel.stop_ns - duration_ns(1, part.sampling_rate_hz) // 100
            for new in [part] if is_new else self._duplicates.new_parts(part, channel.run):
                run = channel.run
                if run is None or not run.accepts(new):
                    self._end_run(channel)
                    run = channel.run = _BufferedRun.of_day(new)
                self._add(channel, run, new.samples)

    def _add(self, channel: _ArchivedChannel, run: _BufferedRun, samples: npt.NDArray[Any]) -> None:
        run.add(samples)
        run.room -= len(samples)
        channel.stop_ns = max(channel.stop_ns, run.stop_ns)
        if run.room == 0:
            self._end_run(channel)
        elif run.n_samples >= self._block_samples:
            self._write(run, whole=False)

    def _end_run(self, channel: _ArchivedChannel) -> None:
        """Write all that is buffered of a channel, because what follows is not contiguous with it."""
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
        """Return the last samples of a trace as one record that is as short as possible."""
        start_ns = trace.stop_ns - duration_ns(n_samples, trace.sampling_rate_hz)
        last = replace(trace, start_ns=start_ns, samples=trace.samples[len(trace.samples) - n_samples :])
        size_bytes = self._least_record_bytes
        while size_bytes < _HEADER_AND_FRAME_BYTES + len(trace.source_id):
            size_bytes *= 2
        while len(records := records_of(last, size_bytes)) > 1:
            size_bytes *= 2
        return records

    def _channel(self, source_id: str) -> _ArchivedChannel:
        if source_id not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                silent = min(self._channels, key=lambda name: self._channels[name].heard)
                self._end_run(self._channels.pop(silent))
            self._channels[source_id] = _ArchivedChannel(self._duplicates.stop_ns(source_id), heard=self._n_pushed)
        return self._channels[source_id]


def require_cap(cap_bytes: int | None) -> None:
    """Refuse a size limit that is too small for an archive.

    Raises
    ------
    ConfigError
        It is below `LEAST_CAP_BYTES`.
    """
    if cap_bytes is not None and cap_bytes < LEAST_CAP_BYTES:
        raise ConfigError(
            f"an archive of {cap_bytes} bytes is too small; expected {LEAST_CAP_BYTES} or more, best the volume of two "
            f"days or more"
        )


def _days(trace: Trace) -> Iterator[Trace]:
    """Cut a trace at UTC midnights."""
    while len(trace.samples):
        midnight_ns = (day_of(trace.start_ns, trace.sampling_rate_hz) + 1) * DAY_NS
        yield trace.between(None, midnight_ns)
        trace = trace.between(midnight_ns, None)
