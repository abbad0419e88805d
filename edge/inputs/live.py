"""Live input: traces from any receiver, as batches by station, and the watch for a stalled input."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgequake.edge.base.checkpoint import State, Stateful
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.durations import duration
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.hearing import Hearing
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.inputs.source import Batch

POLL_S = 0.25  # a signal, or a stalled input, is noticed after this time at most
_MOST_CHANNELS = 256  # whose first times are remembered


@dataclass
class StallMonitor:
    """Reports a stalled input, and ends the run when the input has been silent for long enough."""

    stall_after_s: float | None  # report after this time
    idle_stop_s: float | None  # end the run after this time
    control: Control
    diagnostics: Diagnostics
    hearing: Hearing | None = None  # reports what cannot be used
    _latest_s: float = field(default_factory=time.monotonic)
    _stalled: bool = False

    def data_arrived(self) -> None:
        """Note that data have arrived, and those before them have been routed."""
        self._check_hearing()
        self._latest_s = time.monotonic()
        if self._stalled:
            self._stalled = False
            self.control.log("the input continues")

    def is_over(self) -> bool:
        """Report a stall when it is time; return whether to stop waiting for data."""
        self._check_hearing()
        silent_s = time.monotonic() - self._latest_s
        if self.stall_after_s is not None and silent_s >= self.stall_after_s and not self._stalled:
            self._stalled = True
            self.diagnostics.count("time(s) the input stalled")
            self.control.log(f"no input for {duration(silent_s)}: check its source")
        return self.idle_stop_s is not None and silent_s >= self.idle_stop_s

    def _check_hearing(self) -> None:
        if self.hearing is not None:
            self.hearing.check()


class Backlog(Stateful, Protocol):
    """Traces from before the live input begins, on disk."""

    size_bytes: int

    def traces(self) -> Iterator[Trace]:
        """Yield the traces in order of time, except those that have been used."""

    def end(self) -> None:
        """Delete the traces if all of them have been used and a checkpoint says so; called often."""


class Receiver(Protocol):
    """What receives live data: standard input, or sockets."""

    size_bytes: int  # received so far, usable or not

    def arrivals(self) -> Iterator[Iterable[Trace] | None]:
        """Yield the traces received, None where nothing usable has come for `POLL_S`, until the input ends."""

    def rest(self) -> Iterable[Trace]:
        """Return the traces in incomplete data, at the end of the input."""


class RoutedSource:
    """Base of the live sources (see `Source`): their traces go through a channel router."""

    replayed = False

    def __init__(self, router: ChannelRouter, diagnostics: Diagnostics, monitor: StallMonitor) -> None:
        self._router, self._monitor = router, monitor
        self.diagnostics = diagnostics
        self.hearing: Hearing | None = router.hearing
        monitor.hearing = router.hearing

    @property
    def ignored_channels(self) -> set[str]:
        return self._router.ignored_channels

    def flush(self) -> Iterator[Batch]:
        yield from self._router.flush()

    def close(self) -> None:
        pass  # it keeps nothing

    def state(self) -> State:
        return {"diagnostics": self.diagnostics.state(), "router": self._router.state()}

    def restore(self, state: State) -> None:
        self.diagnostics.restore(state["diagnostics"])
        self._router.restore(state["router"])


class LiveSource(RoutedSource):
    """Traces of any station, as a receiver gets them."""

    def __init__(
        self,
        receiver: Receiver,
        router: ChannelRouter,
        diagnostics: Diagnostics,
        monitor: StallMonitor,
        backlog: Backlog | None = None,
    ) -> None:
        super().__init__(router, diagnostics, monitor)
        self._receiver, self._backlog = receiver, backlog
        self._earlier_bytes = 0 if backlog is None else backlog.size_bytes
        self._first_ns: dict[str, int] = {}

    @property
    def size_bytes(self) -> int:
        return self._earlier_bytes + self._receiver.size_bytes

    def batches(self) -> Iterator[Batch | None]:
        yield from self._backlog_batches()
        for traces in self._receiver.arrivals():
            self._router.hearing.bytes_came(self._receiver.size_bytes)
            if self._backlog is not None:
                self._backlog.end()
            if traces is None:
                if self._monitor.is_over():
                    break
                yield None
                continue
            self._monitor.data_arrived()
            for trace in traces:
                yield from self._routed(trace)
            yield None  # junk may come for a long time, and the run must be able to stop
        for trace in self._receiver.rest():
            yield from self._routed(trace)

    def state(self) -> State:
        backlog = None if self._backlog is None else self._backlog.state()
        return {**super().state(), "size_bytes": self.size_bytes, "first_ns": self._first_ns, "backlog": backlog}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._earlier_bytes, self._first_ns = state["size_bytes"], state["first_ns"]
        if self._backlog is not None and state.get("backlog") is not None:
            self._backlog.restore(state["backlog"])

    def close(self) -> None:
        if self._backlog is not None:
            self._backlog.end()

    def _backlog_batches(self) -> Iterator[Batch | None]:
        if self._backlog is not None:
            for trace in self._backlog.traces():
                yield from self._routed(trace)
                yield None  # the run must be able to stop
            self._monitor.data_arrived()

    def _routed(self, trace: Trace) -> Iterator[Batch]:
        first_ns = self._first_ns.pop(trace.source_id, trace.start_ns)
        yield from self._router.push(replace(trace, file_start_ns=first_ns))
        if self._router.places.has(trace.station_id):
            self._first_ns[trace.source_id] = first_ns  # at the end: heard last
            if len(self._first_ns) > _MOST_CHANNELS:
                self._first_ns.pop(next(iter(self._first_ns)))
