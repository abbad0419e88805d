"""Real records through both detectors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import RecordFile, index_file
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.tables import decimation_factor

from .exports import Exported
from .onsets import refined_by_c, refined_by_python
from .scenes import facts, found_by_python


@dataclass
class Compared:
    """Runs that were compared."""

    n_runs: int = 0
    n_events: int = 0
    n_samples: int = 0
    n_skipped: int = 0  # streams of rates that C does not take
    n_refined: int = 0  # events whose refined onsets were compared
    differences: list[str] = field(default_factory=list)

    def add(self, other: Compared) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def streams_of(model: Exported, file: Path) -> dict[tuple[str, int | None], list[Trace]]:
    """Return a file's traces by station and decimation factor, in order of start time."""
    headers = sorted(index_file(file).headers, key=lambda header: header.start_ns)
    streams: dict[tuple[str, int | None], list[Trace]] = defaultdict(list)
    records = RecordFile(file, headers[0].start_ns)
    for header in headers:
        trace = records.trace(header, Diagnostics())
        if trace is not None:
            config, rate_hz = model.manifest.front_end, model.manifest.sampling_rate_hz
            streams[trace.station_id, decimation_factor(config, rate_hz, trace.sampling_rate_hz)].append(trace)
    records.close()
    return streams


def compared(model: Exported, file: Path, threshold: float) -> Compared:
    """Run a file's streams through both detectors."""
    total = Compared()
    try:
        streams = streams_of(model, file)
    except DataError:
        return Compared(n_skipped=1)
    for (station_id, factor), records in streams.items():
        if factor is None:
            total.n_skipped += 1
            continue
        python, c = model.detector(threshold), model.c_detector(threshold)
        expected = found_by_python(python, records)
        found = [*c.push(*records), *c.finish()]
        counts = {source_id: channel.counts for source_id, channel in python.front_end.channels.items()}
        is_same = facts(found) == facts(expected) and c.counts() == counts and c.restarts == python.restarts
        total.n_runs += 1
        total.n_events += len(expected)
        total.n_samples += sum(len(trace.samples) for trace in records)
        if factor in model.refined_factors:
            onsets = refined_by_python(model.manifest, expected, records)
            refined = refined_by_c(model.refining, threshold, records)
            total.n_refined += len(onsets)
            total.differences += [
                f"{file.name} {station_id} at {threshold:g}: {one} and {other}"
                for one, other in zip(onsets, refined, strict=True)
                if one != other
            ]
        if not is_same:
            total.differences.append(
                f"{file.name} {station_id} at {threshold:g}: {len(expected)} and {len(found)} events"
            )
    return total
