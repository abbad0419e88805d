"""Sources of a run's samples: batches of traces by station, and how far the input has been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgequake.edge.base.checkpoint import State, Stateful
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.files import InputPlan

if TYPE_CHECKING:
    from edgequake.edge.inputs.hearing import Hearing

# Samples per batch of recorded data: each batch has a fixed cost, and a lander's memory is small. Live traces are
# passed on one by one, as they arrive.
_BATCH_SAMPLES = 1 << 15


@dataclass(frozen=True, slots=True)
class Batch:
    """Traces for one station run, in order of start time."""

    key: str  # of the station run: one detector takes all batches of a key
    station_id: str
    traces: tuple[Trace, ...]
    over: bool  # the last batch of this key
    late: bool = False  # too old for the detector: for the archive and for segments that are still buffered


def is_address(text: str) -> bool:
    """Return whether an input is the address of a live source, rather than a file."""
    return "://" in text


class Source(Stateful, Protocol):
    """A source of batches; its state says that the last batch yielded, and all before it, have been read."""

    replayed: bool  # the same inputs give the same batches again; a live stream does not
    diagnostics: Diagnostics
    hearing: Hearing | None  # of a live source

    def batches(self) -> Iterator[Batch | None]:
        """Yield batches as they come, None where none has come for a while."""

    def flush(self) -> Iterator[Batch]:
        """Yield the traces that still wait to be ordered, at the end of the run."""

    @property
    def size_bytes(self) -> int:
        """Bytes read, or to be read."""

    def close(self) -> None:
        """Delete what the source kept on disk and no longer needs: the run is complete."""

    @property
    def ignored_channels(self) -> set[str]:
        """Source identifiers in the input that the run does not use."""


class FileSource:
    """A source of complete files, one stream after the other."""

    replayed = True
    hearing: Hearing | None = None  # what files cannot be used is known at once, and is refused

    def __init__(
        self,
        plan: InputPlan,
        start_ns: int | None,
        stop_ns: int | None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._plan, self._start_ns, self._stop_ns = plan, start_ns, stop_ns
        self._progress = progress
        self.diagnostics = plan.diagnostics
        self._stream = self._n_records = self._n_samples = 0

    @property
    def size_bytes(self) -> int:
        return self._plan.size_bytes

    @property
    def ignored_channels(self) -> set[str]:
        return self._plan.ignored_channels

    def batches(self) -> Iterator[Batch]:
        while self._stream < len(self._plan.streams):
            yield from self._stream_batches(self._stream)

    def fingerprint(self) -> list[list[object]]:
        """Return what identifies these files."""
        return self._plan.fingerprint()

    def flush(self) -> Iterator[Batch]:
        return iter(())  # files are in order

    def close(self) -> None:
        pass  # it keeps nothing

    def _stream_batches(self, i: int) -> Iterator[Batch]:
        stream = self._plan.streams[i]
        traces: list[Trace] = []
        n_samples = 0
        for n_records, whole in stream.traces_from(self._n_records, self.diagnostics):
            part = whole.between(self._start_ns, self._stop_ns)
            self._n_samples += len(whole.samples)
            n_samples += len(whole.samples)
            if len(part.samples):
                traces.append(part)
            if n_samples >= _BATCH_SAMPLES:
                self._n_records = n_records
                self._report()
                yield Batch(str(i), stream.station_id, tuple(traces), over=False)
                traces, n_samples = [], 0
        self._stream, self._n_records = i + 1, 0
        self._report()
        yield Batch(str(i), stream.station_id, tuple(traces), over=True)

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(min(1.0, self._n_samples / max(1, self._plan.n_samples)))

    def state(self) -> State:
        return {
            "stream": self._stream,
            "n_records": self._n_records,
            "n_samples": self._n_samples,
            "diagnostics": self.diagnostics.state(),
        }

    def restore(self, state: State) -> None:
        self._stream, self._n_records, self._n_samples = state["stream"], state["n_records"], state["n_samples"]
        self.diagnostics.restore(state["diagnostics"])
