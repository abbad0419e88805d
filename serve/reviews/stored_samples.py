"""What a run folder has of a station's samples: of its archive, or of its monitor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.edge.archive.extract import Span, get_run_waveforms
from edgequake.edge.archive.monitor_files import monitor_samples, monitored_channels, monitored_name
from edgequake.edge.base.layout import ARCHIVE
from edgequake.edge.formats.waveforms import Trace

LEAST_COVERED = 0.5  # of a span by the archive or the monitor; else its segments are the records


def stored_samples(run: Path, station_id: str, start_ns: int, stop_ns: int) -> list[Trace]:
    """Return a station's samples of a span: of the archive, or of the monitor where that has more."""
    in_archive = get_run_waveforms(run, Span(start_ns, stop_ns, station_id)) if (run / ARCHIVE).is_dir() else []
    in_archive = _of_one_rate(in_archive)
    if covered_ns(in_archive) >= LEAST_COVERED * (stop_ns - start_ns):
        return in_archive
    live = [
        trace
        for folder in monitored_channels(run)
        if (name := monitored_name(folder)) is not None and name.station_id == station_id
        for trace in monitor_samples(run, folder, start_ns, stop_ns)
    ]
    return max(in_archive, _of_one_rate(live), key=covered_ns)


def _of_one_rate(traces: Sequence[Trace]) -> list[Trace]:
    """Return the traces of the commonest sampling rate: a labelled record has one."""
    n_samples: dict[float, int] = {}
    for trace in traces:
        n_samples[trace.sampling_rate_hz] = n_samples.get(trace.sampling_rate_hz, 0) + len(trace.samples)
    rate_hz = max(n_samples, key=lambda rate: n_samples[rate], default=0.0)
    return [trace for trace in traces if trace.sampling_rate_hz == rate_hz]


def covered_ns(traces: Sequence[Trace]) -> int:
    """Return how much time the best covered channel covers."""
    covered: dict[str, int] = {}
    for trace in traces:
        covered[trace.source_id] = covered.get(trace.source_id, 0) + trace.stop_ns - trace.start_ns
    return max(covered.values(), default=0)
