"""Run a model over a folder of records without labels: its decisions, and how much time the records cover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.detectors.replay import DecisionTracer, SampleSpans, StreamDecisionTrace
from edgequake.benchmarks.scoring.pooling import NS_PER_DAY
from edgequake.data.dataset import hash_files
from edgequake.data.selection import Selection
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.results.summary import RecordTime
from edgequake.results.progress import Progress, silent


@dataclass(frozen=True)
class UnlabelledRecords:
    """A folder's records as streams, and the time that they cover."""

    streams: tuple[StreamDecisionTrace, ...]
    stations: tuple[str, ...]
    recorded_days: float  # without gaps longer than those that the front end interpolates
    data_sha256: str
    warnings: tuple[str, ...]  # files that could not be used


def trace_folder(
    tracer: DecisionTracer, folder: Path, selection: Selection, progress: Progress = silent
) -> UnlabelledRecords:
    """Run a model over all records of a folder, each station's files joined as the runner joins them.

    Raises
    ------
    DataError
        Nothing usable in the folder, no such station, or too little for a single decision.
    """
    plan = plan_inputs((str(folder),), tracer.manifest)
    streams = [stream for stream in plan.streams if selection.includes(stream.station_id)]
    if not streams:
        there = sorted({stream.station_id for stream in plan.streams})
        raise DataError(f"{folder} has no record of station {', '.join(selection.stations)}; it has {', '.join(there)}")
    traces: list[StreamDecisionTrace] = []
    for stream in streams:
        traces.append(tracer.stream(stream.traces(plan.diagnostics)))
        progress(len(traces) / len(streams), "network")
    if not any(trace.runs for trace in traces):
        raise DataError(f"{folder}: no record is long enough for a single decision of the model; give longer ones")
    bridge_ns = round(tracer.manifest.front_end.bridge_s * NS_PER_S)
    return UnlabelledRecords(
        streams=tuple(traces),
        stations=tuple(sorted({stream.station_id for stream in streams})),
        recorded_days=sum(_recorded_ns(trace.spans, bridge_ns) for trace in traces) / NS_PER_DAY,
        data_sha256=hash_files(part.path for stream in streams for part in stream.parts),
        warnings=tuple(plan.diagnostics.texts()),
    )


def _recorded_ns(spans: SampleSpans, bridge_ns: int) -> int:
    time = RecordTime(bridge_ns)
    stops_ns = spans.stop_ns
    for i in spans.start_ns.argsort(kind="stable"):
        time.add(int(spans.start_ns[i]), int(stops_ns[i]))
    return time.total_ns
