"""Which records a model is tuned on: labelled ones of a split or fold, or a folder that nobody has labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.kept_intervals import SampleSpans
from edgequake.benchmarks.pooling import NS_PER_DAY
from edgequake.benchmarks.replay import StreamTrace, Tracer
from edgequake.dataset import Record, hash_files, load
from edgequake.edge.errors import ConfigError, DataError
from edgequake.edge.piece import NS_PER_S
from edgequake.edge.record_time import RecordTime
from edgequake.edge.sources import plan_inputs
from edgequake.folds import Fold, split_fold

Progress = Callable[[float], None]  # takes the share done, 0..1


@dataclass(frozen=True)
class Selection:
    """Which part of a data folder to use."""

    split: str | None = None  # None: val, or all of a packet, which has no splits
    fold: Fold | None = None  # what this fold holds out, instead of a split
    stations: tuple[str, ...] = ()  # STA or NET_STA; none: all

    def __post_init__(self) -> None:
        if self.split and self.fold:
            raise ConfigError("a split and a fold were named; choose one of --split and --fold")

    def takes(self, station_id: str) -> bool:
        """Tell whether a station is asked for, by its whole name or without the network."""
        return not self.stations or station_id in self.stations or station_id.partition("_")[2] in self.stations

    def words(self, folder: Path) -> str:
        """Return the split or fold in words."""
        if self.fold:
            return f"fold {self.fold.index}/{self.fold.count}"
        return self._split(folder) or "all"

    def records(self, folder: Path, body: str) -> list[Record]:
        """Return the labelled records asked for.

        Raises
        ------
        DataError
            None of this body, split or fold, or station; or tables that cannot be read.
        """
        if self.fold:
            found = split_fold(folder, body, self.fold)[1]
        else:
            found = load(folder, body, self._split(folder))
        return self._of_stations(found, folder)

    def _split(self, folder: Path) -> str | None:
        return self.split or ("val" if (folder / "records.csv").is_file() else None)

    def _of_stations(self, records: list[Record], folder: Path) -> list[Record]:
        kept = [record for record in records if self.takes(record.station_id)]
        if not kept:
            there = sorted({record.station_id for record in records})
            raise DataError(f"{folder} has no record of station {', '.join(self.stations)}; it has {', '.join(there)}")
        return kept


@dataclass(frozen=True)
class Unlabelled:
    """A folder's records as streams, and how much time they cover."""

    streams: tuple[StreamTrace, ...]
    stations: tuple[str, ...]
    recorded_days: float  # tears longer than the front end bridges are not counted
    data_sha256: str
    warnings: tuple[str, ...]  # files that could not be used


def trace_folder(tracer: Tracer, folder: Path, selection: Selection, progress: Progress | None = None) -> Unlabelled:
    """Run a model over all records of a folder, each station's files joined as the runner joins them.

    Raises
    ------
    DataError
        Nothing usable in the folder, no such station, or too little for a single decision.
    """
    plan = plan_inputs((str(folder),), tracer.manifest)
    streams = [stream for stream in plan.streams if selection.takes(stream.station_id)]
    if not streams:
        there = sorted({stream.station_id for stream in plan.streams})
        raise DataError(f"{folder} has no record of station {', '.join(selection.stations)}; it has {', '.join(there)}")
    traces: list[StreamTrace] = []
    for stream in streams:
        traces.append(tracer.stream(stream.pieces(plan.note)))
        if progress is not None:
            progress(len(traces) / len(streams))
    if not any(trace.runs for trace in traces):
        raise DataError(f"{folder}: no record is long enough for the model to decide anything; give longer ones")
    bridge_ns = round(tracer.manifest.front_end.bridge_s * NS_PER_S)
    return Unlabelled(
        streams=tuple(traces),
        stations=tuple(sorted({stream.station_id for stream in streams})),
        recorded_days=sum(_recorded_ns(trace.spans, bridge_ns) for trace in traces) / NS_PER_DAY,
        data_sha256=hash_files(part.path for stream in streams for part in stream.parts),
        warnings=tuple(plan.warnings),
    )


def _recorded_ns(spans: SampleSpans, bridge_ns: int) -> int:
    time = RecordTime(bridge_ns)
    stops_ns = spans.stop_ns
    for i in spans.start_ns.argsort(kind="stable"):
        time.add(int(spans.start_ns[i]), int(stops_ns[i]))
    return time.total_ns
