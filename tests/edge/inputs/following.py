"""A followed folder without a detector: what is read of it, and what the log says."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.inputs.folder import FolderSource
from edgequake.edge.inputs.live import StallMonitor
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import load_manifest, shipped_models

RATE_HZ = 100.0  # 10 ms are exact in the header of a record
START_NS = 1_900_000_000 * NS_PER_S
Z, N, E = (f"FDSN:XX_LUN_00_M_H_{code}" for code in "ZNE")
Samples = Counter[tuple[str, int, float]]  # channel, time, value


def rows(n_samples: int, seed: int = 0) -> np.ndarray:
    """Return noise in counts."""
    return np.random.default_rng(seed).integers(-3000, 3000, n_samples).astype(np.int32)


def packed(
    samples: np.ndarray, first: int = 0, source_id: str = Z, record_bytes: int = 512, flush: int | None = None
) -> bytes:
    """Return samples as records, `first` the index of the first one; `flush`: every so many begin a new record."""
    step = flush or len(samples)
    parts = range(0, len(samples), step)
    traces = (Trace(source_id, time_ns(first + at), RATE_HZ, samples[at : at + step]) for at in parts)
    return b"".join(record for trace in traces for record in records_of(trace, record_bytes))


def time_ns(i: int) -> int:
    return START_NS + i * round(NS_PER_S / RATE_HZ)


def samples_of(traces: list[Trace]) -> Samples:
    return Counter(
        (trace.source_id, trace.start_ns + i * round(NS_PER_S / RATE_HZ), float(value))
        for trace in traces
        for i, value in enumerate(trace.samples)
    )


def plain_samples(*inputs: Path) -> Samples:
    """Return what a plain run reads of files and folders."""
    manifest, _ = load_manifest(shipped_models()["earth"])
    plan = plan_inputs(tuple(map(str, inputs)), manifest, ("*",))
    return samples_of([trace for stream in plan.streams for trace in stream.traces(plan.diagnostics)])


class Listener:
    """In place of the router: every trace is a batch."""

    ignored_channels: set[str] = set()  # noqa: RUF012
    hearing = None

    def push(self, trace: Trace) -> Iterator[Batch]:
        yield Batch("all", trace.station_id, (trace,), over=False)

    def flush(self) -> Iterator[Batch]:
        return iter(())

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


class Follower:
    """Follows folders and files, one look at a time."""

    def __init__(self, *inputs: Path, state: dict[str, Any] | None = None, out: Path = Path("none")) -> None:
        self.log: list[str] = []
        self.diagnostics = Diagnostics()
        self.control = Control(log=self.log.append)
        self.traces: list[Trace] = []
        monitor = StallMonitor(None, None, self.control, self.diagnostics)
        self.source = FolderSource(inputs, out, Listener(), self.diagnostics, monitor, 1e-4)  # type: ignore[arg-type]
        if state is not None:
            self.source.restore(state)
        self._batches = self.source.batches()

    def look(self, n: int = 1) -> int:
        """Look so many times; return the number of samples read."""
        before = len(self.traces)
        for _ in range(n):
            for batch in self._batches:
                if batch is None:
                    break
                self.traces += batch.traces
        return sum(len(trace.samples) for trace in self.traces[before:])

    def settle(self) -> int:
        """Look until nothing more can come; return the number of samples read."""
        return self.look(6)

    def next_trace(self) -> None:
        """Read one trace of a round that is interrupted then."""
        batch = next(self._batches)
        assert batch is not None
        self.traces += batch.traces

    def finish(self) -> None:
        self.traces += [trace for batch in self.source.flush() for trace in batch.traces]

    @property
    def samples(self) -> Samples:
        return samples_of(self.traces)


def write_in_place(path: Path, data: bytes, at: int = 0) -> None:
    """Write into a file without truncating it; its modification time changes for certain."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    renew_time(path)


def renew_time(path: Path) -> None:
    """Make sure that the modification time differs: the clock of a file system ticks every few milliseconds."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def replace_file(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.rename(path)


@contextlib.contextmanager
def failing(monkeypatch: Any, path: Path, make: Callable[[], OSError]) -> Iterator[None]:
    """Have a file raise an error when it is opened (root may open everything)."""
    real_open = Path.open

    def open_or_fail(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path and args == ("rb",):
            raise make()
        return real_open(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_or_fail)
        yield
