"""The detector in C: the same events as `detector.Detector`, from a shared library that `edgequake export-c` builds.

The library is a model's C sources (`export_c/`) compiled for this machine. Its whole state is one block of memory that
belongs to the `CDetector`. What C does not compute is done here: features of channels whose sampling rate needs
interpolation, and event classes.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError, ModelError
from edgequake.edge.detection.c_library import (
    CLOCK,
    FULL,
    LEAD,
    MOST_EVENTS,
    OK,
    RATE,
    TIME,
    CEvent,
    CLibrary,
)
from edgequake.edge.detection.event_class import EventClassifier
from edgequake.edge.detection.trigger import Event
from edgequake.edge.features.conditioning import GapCounts
from edgequake.edge.features.contrast import is_vertical
from edgequake.edge.features.front_end import ChannelFrontEnd, Rows
from edgequake.edge.formats.waveforms import Trace, same_rate
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import SpectrogramConfig, decimation_factor, takes_high_bands

_MOST_ROWS = 512  # that one call logs
_LOWEST = -(1 << 31)
_NO_SAMPLES = np.zeros(0, np.int32)
_INT, _UINT = ctypes.c_int32, ctypes.c_uint32


@dataclass(frozen=True)
class _Channel:
    counts: GapCounts


@dataclass(frozen=True)
class _FrontEnd:
    """What a run asks of a detector's front end."""

    detector: CDetector

    @property
    def channels(self) -> dict[str, _Channel]:
        """The channels so far, by source identifier."""
        return {source_id: _Channel(counts) for source_id, counts in self.detector.counts().items()}

    def next_ns(self) -> int | None:
        """Return a time before which no block can get a row any more."""
        return self.detector.horizon_ns

    def state(self) -> State:
        raise ModelError("a detector in C cannot hand its front end over to another model")

    def restore(self, state: State) -> None:
        raise ModelError("a detector in C cannot take the front end of another model over")


@dataclass(frozen=True)
class _Network:
    runtime: str = "C99"


@dataclass(frozen=True)
class _Blocks:
    """Blocks of features of a channel, in steps of a decade, and how far the channel had come after them."""

    first: npt.NDArray[np.int64]  # (n,), the number of each block
    valid: npt.NDArray[np.uint8]  # (n,)
    steps: npt.NDArray[np.int16]  # (n, n_channel_features)
    next_block: int
    last_ns: int

    def __len__(self) -> int:
        return len(self.first)

    def after(self, n: int) -> _Blocks:
        return _Blocks(self.first[n:], self.valid[n:], self.steps[n:], self.next_block, self.last_ns)


class CDetector:
    """The detector of one station; takes traces in order of start time, as `Detector`, and returns the same events."""

    def __init__(self, library: CLibrary, onset_threshold: float, manifest: Manifest | None = None) -> None:
        """Use a library.

        manifest : of its model: for event classes, and for channels of sampling rates that need interpolation, whose
            features are then computed here. None: without both.
        """
        self._library, self._manifest = library, manifest
        self.on_declared: Callable[[int, float], None] | None = (
            None  # never called: the library tells events at their end
        )
        self._memory = (ctypes.c_uint64 * (-(-int(library.size()) // 8)))()
        self._events = (CEvent * MOST_EVENTS)()
        self._threshold = onset_threshold
        self._channels: dict[str, int] = {}
        self._waiting: list[deque[tuple[Trace, npt.NDArray[Any] | _Blocks]]] = [
            deque() for _ in range(library.n_channels)
        ]
        self._t0_ns: int | None = None
        self._resampled: dict[str, ChannelFrontEnd] = {}  # channels whose features are computed here
        self._classifier: EventClassifier | None = None
        if manifest is not None and manifest.classes is not None:
            self._classifier = EventClassifier(manifest.classes, manifest.front_end, manifest.sampling_rate_hz)
        n_rows = 0 if self._classifier is None else _MOST_ROWS
        self._row_blocks = np.zeros(n_rows, np.int64)
        self._row_features = np.zeros((n_rows, int(library.n_features())), np.float32)
        self._n_rows = _INT(0)
        # Made once: numpy takes longer to name an array's address than C to take a record.
        self._log = (self._row_blocks.ctypes.data, self._row_features.ctypes.data, n_rows, ctypes.byref(self._n_rows))
        self.front_end, self.network = _FrontEnd(self), _Network()
        library.init(self._memory, onset_threshold)

    @property
    def threshold(self) -> float:
        """Onset probability that declares an event; it can be changed at any time."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold = value
        self._library.set_threshold(self._memory, value)

    @property
    def horizon_ns(self) -> int | None:
        """Earliest possible onset of an event that is still to be returned; None before the first trace."""
        return int(self._library.horizon_ns(self._memory)) if self._channels else None

    @property
    def is_between_events(self) -> bool:
        """Whether no event is open, and no rise that may become one."""
        return bool(self._library.is_between_events(self._memory))

    @property
    def restarts(self) -> int:
        """Restarts of the network after gaps."""
        return int(self._library.restarts(self._memory))

    @property
    def n_short_rises(self) -> int:
        """Number of rises of the onset probability that were too short for an event: false triggers."""
        return int(self._library.short_rises(self._memory))

    def counts(self) -> dict[str, GapCounts]:
        """Return gaps and unusable samples so far, by source identifier."""
        found = {}
        for source_id, channel in self._channels.items():
            numbers = (ctypes.c_uint32 * 6)()
            self._library.counts(self._memory, channel, numbers)
            resampled = self._resampled.get(source_id)
            found[source_id] = GapCounts(*numbers) if resampled is None else resampled.counts
        return found

    def state(self) -> State:
        self._add_rows()
        n_bytes = _UINT(0)
        self._library.save(self._memory, None, 0, ctypes.byref(n_bytes))
        saved = ctypes.create_string_buffer(n_bytes.value)
        self._library.save(self._memory, saved, n_bytes.value, ctypes.byref(n_bytes))
        waiting = [
            [[trace.source_id, trace.start_ns, trace.sampling_rate_hz, _plain(payload)] for trace, payload in channel]
            for channel in self._waiting
        ]
        return {
            "core": np.frombuffer(saved.raw, np.uint8),
            "channels": dict(self._channels),
            "waiting": waiting,
            "t0_ns": self._t0_ns,
            "resampled": {source_id: channel.state() for source_id, channel in self._resampled.items()},
            "classifier": None if self._classifier is None else self._classifier.state(),
        }

    def restore(self, state: State) -> None:
        """Take over what `state` returned; the threshold stays this detector's.

        Raises
        ------
        ModelError
            It is damaged, or of another model or export.
        """
        saved = np.ascontiguousarray(state["core"], np.uint8)
        if self._library.restore(self._memory, saved.ctypes.data, len(saved)) != OK:
            raise ModelError("the state of a detector in C is damaged, or of another model or export")
        self._channels = dict(state["channels"])
        self.threshold = self._threshold
        self._waiting = [
            deque(
                (Trace(source_id, start_ns, rate_hz, _NO_SAMPLES), _Blocks(*payload))
                if isinstance(payload, list)
                else (Trace(source_id, start_ns, rate_hz, payload), payload)
                for source_id, start_ns, rate_hz, payload in one
            )
            for one in state["waiting"]
        ]
        self._t0_ns, self._resampled = state["t0_ns"], {}
        for source_id, saved in state["resampled"].items():
            self._resampled[source_id] = self._front_end_of(saved["sampling_rate_hz"], self._t0_ns or 0)
            self._resampled[source_id].restore(saved)
        self._n_rows.value = 0
        if self._classifier is not None:
            self._classifier.restore(state["classifier"])

    def push(self, *traces: Trace) -> list[Event]:
        """Take traces; return the events that they close.

        Raises
        ------
        DataError
            A sampling rate does not fit the model, a clock has drifted off the grid, or there are too many channels.
        """
        events: list[Event] = []
        for trace in traces:
            channel = self._channel(trace.source_id)
            self._t0_ns = trace.start_ns if self._t0_ns is None else self._t0_ns
            self._waiting[channel].append((trace, self._payload(trace)))
            if any(self._waiting[:channel]) or any(self._waiting[channel + 1 :]) or len(self._waiting[channel]) > 1:
                self._advance(trace.start_ns, events)  # lets what waits go on
                self._push_blocked(events)
            else:
                self._push_waiting(channel, events)
        return events

    def finish(self) -> list[Event]:
        """Return the open event, if any: no trace will come for a long time. Traces can still be pushed afterwards."""
        events: list[Event] = []
        n_found, result = _INT(0), LEAD
        while result in (LEAD, FULL):
            self._log_rows()
            result = self._library.finish(self._memory, self._events, MOST_EVENTS, ctypes.byref(n_found))
            events += self._found(n_found.value)
            if result == LEAD:
                self._push_blocked(events)
        return events

    def _payload(self, trace: Trace) -> npt.NDArray[Any] | _Blocks:
        """Return what C takes of a trace: its samples, or their features where it does not take the sampling rate."""
        model = self._manifest
        if trace.source_id not in self._resampled:
            if model is None or decimation_factor(model.front_end, model.sampling_rate_hz, trace.sampling_rate_hz):
                return _samples(trace)
            self._resampled[trace.source_id] = self._front_end_of(trace.sampling_rate_hz, trace.start_ns)
        channel = self._resampled[trace.source_id]
        if not same_rate(channel.sampling_rate_hz, trace.sampling_rate_hz):
            raise _refused(trace, RATE)
        position = channel.clock.place(trace.start_ns, len(trace.samples), trace.sampling_rate_hz)
        channel.push([(position, trace.samples)])
        queue, channel.queue = channel.queue, []
        last, next_block = channel.gaps.last_position, channel.windower.next_block
        last_ns = self._t0_ns if last is None else channel.clock.time_ns(last)
        assert last_ns is not None
        bands = model.front_end.bands if model is not None else None
        assert isinstance(bands, SpectrogramConfig)
        first = [np.arange(one.first_block, one.first_block + len(one.valid), dtype=np.int64) for one in queue]
        steps = [np.rint(one.features[:, 0] * bands.steps_per_decade).astype(np.int16) for one in queue]
        none = np.zeros((0, 0), np.int16)
        return _Blocks(
            np.concatenate([np.zeros(0, np.int64), *first]),
            np.concatenate([np.zeros(0, np.uint8), *(one.valid.astype(np.uint8) for one in queue)]),
            np.ascontiguousarray(np.concatenate(steps) if steps else none),
            next_block,
            last_ns,
        )

    def _front_end_of(self, rate_hz: float, start_ns: int) -> ChannelFrontEnd:
        assert self._manifest is not None and self._t0_ns is not None
        return ChannelFrontEnd(
            self._manifest.front_end, self._manifest.sampling_rate_hz, rate_hz, self._t0_ns, start_ns
        )

    def _advance(self, now_ns: int, events: list[Event]) -> None:
        n_found, result = _INT(0), FULL
        while result == FULL:
            self._log_rows()
            result = self._library.advance(self._memory, now_ns, self._events, MOST_EVENTS, ctypes.byref(n_found))
            events += self._found(n_found.value)

    def _channel(self, source_id: str) -> int:
        channel = self._channels.get(source_id)
        if channel is None:
            channel = len(self._channels)
            if channel == self._library.n_channels:
                raise DataError(f"{source_id}: the detector in C was built for {channel} channels of a station")
            self._channels[source_id] = channel
            self._library.set_vertical(self._memory, channel, is_vertical(source_id))
        return channel

    def _push_blocked(self, events: list[Event]) -> None:
        """Push what waited for other channels, as long as that lets more of it go on."""
        goes_on = any(self._waiting)
        while goes_on:
            goes_on = False
            for channel, waiting in enumerate(self._waiting):
                goes_on = (bool(waiting) and self._push_waiting(channel, events)) or goes_on

    def _push_waiting(self, channel: int, events: list[Event]) -> bool:
        """Push a channel's waiting traces until one must wait; return whether any sample was taken."""
        waiting, has_taken = self._waiting[channel], False
        while waiting:
            trace, payload = waiting[0]
            if isinstance(payload, _Blocks):
                n_taken, result = self._push_blocks(channel, trace, payload, events)
            else:
                n_taken, result = self._push_samples(channel, trace, payload, events)
            has_taken = has_taken or n_taken > 0
            if result == LEAD:
                waiting[0] = (trace, payload.after(n_taken) if isinstance(payload, _Blocks) else payload[n_taken:])
                return has_taken
            waiting.popleft()
            if result != OK:
                raise _refused(trace, result)
            has_taken = True
        return has_taken

    def _push_samples(
        self, channel: int, trace: Trace, samples: npt.NDArray[Any], events: list[Event]
    ) -> tuple[int, int]:
        """Push samples of a trace; return how many were taken, and the result."""
        n_found, n_taken, total = _INT(0), _UINT(0), 0
        kind = 0 if samples.dtype.kind == "i" else 1 if samples.dtype.itemsize == 4 else 2
        address = samples.ctypes.data
        while True:
            self._log_rows()
            result = self._library.push(
                self._memory, channel, trace.start_ns, trace.sampling_rate_hz, kind,
                address + total * samples.itemsize, len(samples) - total,
                self._events, MOST_EVENTS, ctypes.byref(n_found), ctypes.byref(n_taken),
            )  # fmt: skip
            total += n_taken.value
            events += self._found(n_found.value)
            if result != FULL:
                return total, int(result)

    def _push_blocks(self, channel: int, trace: Trace, blocks: _Blocks, events: list[Event]) -> tuple[int, int]:
        """Push blocks of features; return how many were taken, and the result."""
        assert self._manifest is not None
        n_found, n_taken, total, result = _INT(0), _UINT(0), 0, FULL
        rate = int(takes_high_bands(self._manifest.front_end, trace.sampling_rate_hz))
        while result == FULL:
            rest = blocks.after(total)
            self._log_rows()
            result = self._library.push_blocks(
                self._memory, channel, trace.start_ns, rest.last_ns, rest.first.ctypes.data, rest.valid.ctypes.data,
                rest.steps.ctypes.data, len(rest), rest.next_block, self._events, MOST_EVENTS, ctypes.byref(n_found),
                ctypes.byref(n_taken), rate,
            )  # fmt: skip
            total += n_taken.value
            events += self._found(n_found.value)
        return total, int(result)

    def _log_rows(self) -> None:
        """Have the rows of the next call logged, where event classes need them; the library serves other stations."""
        self._library.log_rows(*self._log)

    def _found(self, n: int) -> list[Event]:
        """Return the events that a call has returned."""
        if n or self._n_rows.value > _MOST_ROWS // 2:
            self._add_rows()
        events = [self._event(event) for event in self._events[:n]] if n else []
        if self._classifier is not None and not self._n_rows.value:
            self._classifier.forget_before(self.horizon_ns)
        return events

    def _add_rows(self) -> None:
        """Hand the rows logged so far to the classifier: many at once are cheaper."""
        n_rows = self._n_rows.value
        if self._classifier is None or not n_rows:
            return
        features, self._n_rows.value = self._row_features[:n_rows], 0
        none, valid = np.zeros(n_rows, np.bool_), features[:, -1] == 0.0
        rows = Rows(self._t0_ns or 0, self._row_blocks[:n_rows], features[:, np.newaxis], valid, none)
        self._classifier.add(rows)

    def _event(self, event: CEvent) -> Event:
        mq_type = "" if self._classifier is None else self._classifier.classify(event.trigger_ns, event.stop_ns)
        return Event(event.trigger_ns, event.stop_ns, float(np.float32(event.peak_probability)), mq_type)


def _plain(payload: npt.NDArray[Any] | _Blocks) -> Any:
    return list(vars(payload).values()) if isinstance(payload, _Blocks) else payload


def _samples(trace: Trace) -> npt.NDArray[Any]:
    """Return a trace's samples in a type that C takes."""
    samples = trace.samples
    if samples.dtype.kind in "iu":
        if samples.dtype != np.int32 and len(samples) and (samples.min() < _LOWEST or samples.max() > -_LOWEST - 1):
            raise DataError(f"{trace.source_id}: samples beyond 32 bits, which the detector in C does not take")
        return np.ascontiguousarray(samples, np.int32)
    return np.ascontiguousarray(samples, np.float32 if samples.dtype.itemsize == 4 else np.float64)


def _refused(trace: Trace, result: int) -> DataError:
    reasons = {
        RATE: f"sampling rate {trace.sampling_rate_hz:g} Hz is not one that the detector in C takes, or changes",
        TIME: "its time is before 1824 or after 2115",
        CLOCK: "its clock has drifted off the grid by half a sample, which the detector in C does not follow",
    }
    return DataError(f"{trace.source_id}: {reasons.get(result, f'refused by the detector in C ({result})')}")
