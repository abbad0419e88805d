"""Where a run's samples come from: batches of traces, and how far they have been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.files import InputPlan

# A replay takes this many samples at once: each batch has a fixed cost, and a lander's memory is small. Live traces go
# on one by one, as they come.
_BATCH_SAMPLES = 1 << 15


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces for one listener, in the order of their start times."""

    key: str  # of the listener
    station_id: str
    traces: tuple[Trace, ...]
    over: bool  # nothing more will come for this listener


class Source(Protocol):
    """A source of batches."""

    replayed: bool  # the same inputs give the same batches again; a live stream does not
    diagnostics: Diagnostics

    def batches(self) -> Iterator[Batch | None]:
        """Yield batches as they come, None where none has come for a while."""

    def flush(self) -> Iterator[Batch]:
        """Yield what is still waiting for order, as the run comes to its end."""

    def state(self) -> State:
        """Return what `restore` goes on from: everything before the last batch yielded, and that one, has been read."""

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""

    @property
    def size_bytes(self) -> int:
        """Bytes read, or to be read."""

    @property
    def ignored_channels(self) -> set[str]:
        """Source ids that were met and not wanted."""


class FileSource:
    """Files that are all there: one stream after the other."""

    replayed = True

    def __init__(
        self,
        plan: InputPlan,
        start_ns: int | None,
        stop_ns: int | None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._plan, self._start_ns, self._stop_ns = plan, start_ns, stop_ns
        self._progress = progress
        self.diagnostics = plan.note
        self._stream = self._n_records = self._n_samples = 0

    @property
    def size_bytes(self) -> int:
        """Size of the files."""
        return self._plan.size_bytes

    @property
    def ignored_channels(self) -> set[str]:
        """Source ids in the files that were not wanted."""
        return self._plan.ignored_channels

    def batches(self) -> Iterator[Batch]:
        """Yield every stream's traces with start <= time < stop."""
        while self._stream < len(self._plan.streams):
            yield from self._stream_batches(self._stream)

    def fingerprint(self) -> list[list[object]]:
        """What tells these files from others."""
        return self._plan.fingerprint()

    def flush(self) -> Iterator[Batch]:
        """Nothing waits: files are in order."""
        return iter(())

    def _stream_batches(self, i: int) -> Iterator[Batch]:
        stream = self._plan.streams[i]
        traces: list[Trace] = []
        n_samples = 0
        for n_records, whole in stream.traces_from(self._n_records, self.diagnostics):
            trace = whole.between(self._start_ns, self._stop_ns)
            self._n_samples += len(whole.samples)
            n_samples += len(whole.samples)
            if len(trace.samples):
                traces.append(trace)
            if n_samples >= _BATCH_SAMPLES:
                self._n_records = n_records
                self._tell()
                yield Batch(str(i), stream.station_id, tuple(traces), over=False)
                traces, n_samples = [], 0
        self._stream, self._n_records = i + 1, 0
        self._tell()
        yield Batch(str(i), stream.station_id, tuple(traces), over=True)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(min(1.0, self._n_samples / max(1, self._plan.n_samples)))

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "stream": self._stream,
            "n_records": self._n_records,
            "n_samples": self._n_samples,
            "notes": self.diagnostics.state(),
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._stream, self._n_records, self._n_samples = state["stream"], state["n_records"], state["n_samples"]
        self.diagnostics.restore(state["notes"])
