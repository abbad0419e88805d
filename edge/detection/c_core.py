"""The detector in C: the same events as `detector.Detector`, from a shared library that `edgequake export-c` builds.

The library is a model's C sources (`export_c/`) compiled for this machine. Its whole state is one block of memory that
belongs to the `CDetector`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError, ModelError
from edgequake.edge.detection.trigger import Event
from edgequake.edge.features.conditioning import GapCounts
from edgequake.edge.features.contrast import is_vertical
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, Variant

OK, MORE, FULL, LEAD, RATE, CHANNEL, TIME, CLOCK, STATE, SIZE = range(10)  # eq_result of eq_api.h
_MOST_EVENTS = 64  # that one call returns
_POINTER, _INT, _LONG, _FLOAT, _UINT = (
    ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_uint32
)  # fmt: skip
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "size": (_UINT, ()),
    "event_size": (_UINT, ()),
    "channels": (_INT, ()),
    "model": (ctypes.c_char_p, ()),
    "init": (None, (_POINTER, _FLOAT)),
    "set_threshold": (None, (_POINTER, _FLOAT)),
    "set_vertical": (None, (_POINTER, _INT, _INT)),
    "push": (
        _INT,
        (_POINTER, _INT, _LONG, _FLOAT, _INT, _POINTER, _UINT, _POINTER, _INT, _POINTER, _POINTER),
    ),
    "advance": (_INT, (_POINTER, _LONG, _POINTER, _INT, _POINTER)),
    "finish": (_INT, (_POINTER, _POINTER, _INT, _POINTER)),
    "horizon_ns": (_LONG, (_POINTER,)),
    "counts": (None, (_POINTER, _INT, _POINTER)),
    "save": (_INT, (_POINTER, _POINTER, _UINT, _POINTER)),
    "restore": (_INT, (_POINTER, _POINTER, _UINT)),
    "restarts": (_UINT, (_POINTER,)),
    "short_rises": (_UINT, (_POINTER,)),
    "is_between_events": (_INT, (_POINTER,)),
}


def model_hash(manifest: Manifest, variant: Variant) -> str:
    """Return a hash of everything in a model that a detector depends on, but for its thresholds."""
    values = dataclasses.asdict(manifest)
    del values["training"], values["variants"], values["onset"], values["trigger"]["onset_thresholds"]
    return hashlib.sha256(json.dumps([variant.sha256, values], sort_keys=True).encode()).hexdigest()


def library_of(folder: Path, manifest: Manifest, variant: Variant) -> CLibrary:
    """Return the library of a model, libeq_NAME.so, from a folder.

    Raises
    ------
    ModelError
        There is none, or it is another model's.
    """
    name = re.sub(r"\W", "_", manifest.name, flags=re.ASCII)
    path = folder / f"libeq_{name}.so"
    if not path.is_file():
        raise ModelError(f"{folder} holds no library of model '{manifest.name}': make it with export-c --build")
    library = CLibrary(path)
    if library.model() != model_hash(manifest, variant).encode():
        raise ModelError(f"{path} is of another model than '{manifest.name}' as it is now: make it again")
    return library


class _Event(ctypes.Structure):
    _fields_ = (
        ("onset_ns", ctypes.c_int64),
        ("stop_ns", ctypes.c_int64),
        ("trigger_ns", ctypes.c_int64),
        ("peak_probability", ctypes.c_float),
        ("sigma_ms", ctypes.c_int32),
        ("class_index", ctypes.c_int16),
        ("reserved", ctypes.c_int16),
    )


class CLibrary:
    """A model's library, with the types of its functions.

    Raises
    ------
    ModelError
        The file is no such library.
    """

    def __init__(self, path: Path) -> None:
        try:
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, f"eq_host_{name}")
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as problem:
            reason = f"{path} is no library of a model in C ({problem})"
            raise ModelError(f"{reason}: build it with export-c --build") from problem
        if self.event_size() != ctypes.sizeof(_Event):
            raise ModelError(f"{path} is of another release; build it again with export-c --build")
        self.n_channels = int(self.channels())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # functions are set one by one


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


class CDetector:
    """The detector of one station; takes traces in order of start time, as `Detector`, and returns the same events."""

    def __init__(self, library: CLibrary, onset_threshold: float) -> None:
        self._library = library
        self._memory = (ctypes.c_uint64 * (-(-int(library.size()) // 8)))()
        self._events = (_Event * _MOST_EVENTS)()
        self._threshold = onset_threshold
        self._channels: dict[str, int] = {}
        self._waiting: list[deque[tuple[Trace, npt.NDArray[Any]]]] = [deque() for _ in range(library.n_channels)]
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
            found[source_id] = GapCounts(*numbers)
        return found

    def state(self) -> State:
        n_bytes = _UINT(0)
        self._library.save(self._memory, None, 0, ctypes.byref(n_bytes))
        saved = ctypes.create_string_buffer(n_bytes.value)
        self._library.save(self._memory, saved, n_bytes.value, ctypes.byref(n_bytes))
        waiting = [
            [[trace.source_id, trace.start_ns, trace.sampling_rate_hz, samples] for trace, samples in channel]
            for channel in self._waiting
        ]
        return {
            "core": np.frombuffer(saved.raw, np.uint8),
            "channels": dict(self._channels),
            "waiting": waiting,
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
                (Trace(source_id, start_ns, rate_hz, samples), samples) for source_id, start_ns, rate_hz, samples in one
            )
            for one in state["waiting"]
        ]

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
            self._waiting[channel].append((trace, _samples(trace)))
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
            result = self._library.finish(self._memory, self._events, _MOST_EVENTS, ctypes.byref(n_found))
            events += self._found(n_found.value)
            if result == LEAD:
                self._push_blocked(events)
        return events

    def _advance(self, now_ns: int, events: list[Event]) -> None:
        n_found, result = _INT(0), FULL
        while result == FULL:
            result = self._library.advance(self._memory, now_ns, self._events, _MOST_EVENTS, ctypes.byref(n_found))
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
            trace, samples = waiting[0]
            n_taken, result = self._push_samples(channel, trace, samples, events)
            has_taken = has_taken or n_taken > 0
            if result == LEAD:
                waiting[0] = (trace, samples[n_taken:])
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
        while True:
            rest = samples[total:]
            result = self._library.push(
                self._memory, channel, trace.start_ns, trace.sampling_rate_hz, kind, rest.ctypes.data, len(rest),
                self._events, _MOST_EVENTS, ctypes.byref(n_found), ctypes.byref(n_taken),
            )  # fmt: skip
            total += n_taken.value
            events += self._found(n_found.value)
            if result != FULL:
                return total, int(result)

    def _found(self, n: int) -> list[Event]:
        return [
            Event(event.trigger_ns, event.stop_ns, float(np.float32(event.peak_probability)))
            for event in self._events[:n]
        ]


def _samples(trace: Trace) -> npt.NDArray[Any]:
    """Return a trace's samples in a type that C takes."""
    samples = trace.samples
    if samples.dtype.kind in "iu":
        return np.ascontiguousarray(samples, np.int32)
    return np.ascontiguousarray(samples, np.float32 if samples.dtype.itemsize == 4 else np.float64)


def _refused(trace: Trace, result: int) -> DataError:
    reasons = {
        RATE: f"sampling rate {trace.sampling_rate_hz:g} Hz is not one that the detector in C takes, or changes",
        TIME: "its time is before 1824 or after 2115",
        CLOCK: "its clock has drifted off the grid by half a sample, which the detector in C does not follow",
    }
    return DataError(f"{trace.source_id}: {reasons.get(result, f'refused by the detector in C ({result})')}")
