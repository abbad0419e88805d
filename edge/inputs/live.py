"""Pieces that come in live, whatever brings them, as batches for the listeners."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.inputs.source import Batch

POLL_S = 0.25  # how long a signal, or a stalled input, may wait until it is noticed
_MOST_NAMES = 256
_UNHEEDED = 100  # traces that come, and none is wanted, before it is said


@dataclass
class StallMonitor:
    """Notices that nothing comes any more."""

    stall_after_s: float | None  # say so after so long
    idle_stop_s: float | None  # come to an end after so long
    control: Control
    diagnostics: Diagnostics
    _heard_s: float = field(default_factory=time.monotonic)
    _stalled: bool = False

    def heard(self) -> None:
        """Something has come."""
        self._heard_s = time.monotonic()
        if self._stalled:
            self._stalled = False
            self.control.tell("the input goes on")

    def is_over(self) -> bool:
        """Nothing has come: say so when it is time; return whether to stop waiting."""
        silent_s = time.monotonic() - self._heard_s
        if self.stall_after_s is not None and silent_s >= self.stall_after_s and not self._stalled:
            self._stalled = True
            self.diagnostics.count("time(s) the input stalled")
            self.control.tell(f"no input for {silent_s:.0f} s: look after what feeds it")
        return self.idle_stop_s is not None and silent_s >= self.idle_stop_s


class Receiver(Protocol):
    """Where traces come in."""

    size_bytes: int  # that have come in so far, usable or not

    def arrivals(self) -> Iterator[Iterable[Trace] | None]:
        """Yield the pieces of what has come, None where nothing of use has come for `POLL_S`; until the input ends."""

    def rest(self) -> Iterable[Trace]:
        """Return the pieces of what was still waiting for more: nothing more will come."""


class LiveSource:
    """Pieces of any station as they come in at a port."""

    replayed = False

    def __init__(self, port: Receiver, router: ChannelRouter, diagnostics: Diagnostics, watch: StallMonitor) -> None:
        self._port, self._router, self._watch = port, router, watch
        self.diagnostics = diagnostics
        self._earlier_bytes = 0
        self._first_ns: dict[str, int] = {}
        self._n_unheeded: int | None = 0  # traces until one was wanted; None once one was, or once this has been said

    @property
    def size_bytes(self) -> int:
        """Bytes that have come in."""
        return self._earlier_bytes + self._port.size_bytes

    @property
    def ignored_channels(self) -> set[str]:
        """Source ids that came and were not wanted."""
        return self._router.ignored_channels

    def batches(self) -> Iterator[Batch | None]:
        """Yield the wanted traces as they come, None where none has come for a while."""
        for traces in self._port.arrivals():
            if traces is None:
                if self._watch.is_over():
                    break
                yield None
                continue
            self._watch.heard()
            for trace in traces:
                yield from self._routed(trace)
            yield None  # junk may come for long: whoever runs this must get a chance to stop
        for trace in self._port.rest():
            yield from self._routed(trace)

    def flush(self) -> Iterator[Batch]:
        """Yield what is still waiting for order."""
        yield from self._router.flush()

    def state(self) -> State:
        """Return what `restore` goes on from; what comes next is another matter."""
        return {
            "notes": self.diagnostics.state(),
            "router": self._router.state(),
            "size_bytes": self.size_bytes,
            "first_ns": self._first_ns,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.diagnostics.restore(state["notes"])
        self._router.restore(state["router"])
        self._earlier_bytes, self._first_ns = state["size_bytes"], state["first_ns"]

    def _routed(self, trace: Trace) -> Iterator[Batch]:
        for batch in self._router.push(replace(trace, file_start_ns=self._first(trace))):
            self._n_unheeded = None
            yield batch
        if self._n_unheeded is not None:
            self._n_unheeded += 1
            if self._n_unheeded == _UNHEEDED:
                self._n_unheeded = None
                self._watch.control.tell(
                    f"samples come in, but none that the model takes; the last: {trace.source_id} at "
                    f"{trace.sampling_rate_hz:g} Hz; see to --model and --channels"
                )

    def _first(self, trace: Trace) -> int:
        """Time of a channel's first sample."""
        if len(self._first_ns) >= _MOST_NAMES and trace.source_id not in self._first_ns:
            self._first_ns.pop(next(iter(self._first_ns)))
        return self._first_ns.setdefault(trace.source_id, trace.start_ns)
