"""What a run left behind, read together with the records and the model that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError, EdgequakeError, ManifestError
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.summary import Summary
from edgequake.report.charts.picture import join_intervals, read_record, record_files
from edgequake.report.recording.probabilities import Model, ProbabilityTrace, of_inputs
from edgequake.report.recording.run_facts import read_facts

Progress = Callable[[str, float | None], None]  # what is being done, and the share done, 0..1, where it is known


@dataclass(frozen=True)
class RecordedRun:
    """A finished run, and what could still be had of what it read."""

    folder: Path
    facts: Summary
    model: Model | None  # None: neither a shipped model nor a named one has this graph
    heard: tuple[Trace, ...]  # of the records, or of the segments
    from_records: bool  # whether `heard` and the probabilities are of the records that were run
    traces: tuple[ProbabilityTrace, ...]  # one a stream, or one a kept segment; none without a model
    notes: tuple[str, ...]  # what could not be had, for people

    def kept_ns(self, station_id: str) -> list[tuple[int, int]]:
        """Return the kept intervals of a station, disjoint and rising."""
        own = (segment for segment in self.facts.segments if segment.station_id == station_id)
        return join_intervals((segment.start_ns, segment.stop_ns) for segment in own)

    def segment_of(self, row: CatalogRow) -> Segment:
        """Return the segment that holds an event.

        Raises
        ------
        DataError
            catalog.csv names a segment that summary.json does not.
        """
        for segment in self.facts.segments:
            if segment.file == row.segment:
                return segment
        raise DataError(
            f"{self.folder}: catalog.csv names {row.segment}, summary.json does not: the two are of different runs"
        )

    def trace_of(self, row: CatalogRow) -> ProbabilityTrace | None:
        """Return the probabilities that made an event, or else those of its station at that time."""
        own = [trace for trace in self.traces if trace.station_id == row.station_id]
        exact = [trace for trace in own if row.onset_ns in _to_microseconds(trace.onsets_ns)]
        covering = [trace for trace in own if len(trace.between(row.onset_ns, row.stop_ns).onset)]
        return next(iter(exact + covering), None)

    @property
    def n_events_found_again(self) -> int:
        """Events of the catalogue that the probabilities computed again lead to, at the same microsecond."""
        again = {(trace.station_id, onset) for trace in self.traces for onset in _to_microseconds(trace.onsets_ns)}
        return sum((row.station_id, row.onset_ns) in again for row in self.facts.events)


def _to_microseconds(times_ns: Sequence[int]) -> set[int]:
    """Round as the catalogue does, which writes microseconds."""
    return {round(time_ns / 1_000) * 1_000 for time_ns in times_ns}


def read_run(
    folder: Path, inputs: Sequence[Path] = (), model: str | None = None, progress: Progress | None = None
) -> RecordedRun:
    """Read a run's folder, and compute its probabilities again.

    Parameters
    ----------
    folder : what `edgequake run` wrote.
    inputs : the records that were run; by default those that summary.json names, where they are still there.
    model : a shipped model's name or a manifest; by default the shipped model of the run's name and graph.

    Raises
    ------
    DataError
        No finished run there, or records named that cannot be used.
    ManifestError
        A model named that is not the run's.
    """
    facts = read_facts(folder)
    notes: list[str] = []
    found = _model_of(facts, model, notes)
    wanted, given = tuple(inputs), bool(inputs)
    if not given:
        wanted = tuple(Path(name) for name in facts.inputs)
    from_records = given or all(path.exists() for path in wanted)  # "-", a live stream, is no path that exists
    if not from_records:
        gone = ", ".join(facts.inputs)
        notes.append(f"The records that were run ({gone}) are not to be had; the kept segments stand in for them.")
        kept = (folder / segment.file for segment in facts.segments)
        wanted = tuple(path for path in kept if path.is_file())  # what was sent may have been cleared away
    heard: list[Trace] = []
    tell = None if progress is None else lambda share: progress("computing the probabilities again", share)
    traces: list[ProbabilityTrace] = []
    if found is None:
        heard = [trace for path in record_files(wanted) for trace in read_record(path)]
    elif from_records:
        traces = of_inputs(found, facts.onset_threshold, wanted, _channels(facts), heard.append, folder, tell)
    else:
        for i, path in enumerate(wanted):
            traces += of_inputs(found, facts.onset_threshold, [path], _channels(facts), heard.append)
            if tell is not None:
                tell((i + 1) / len(wanted))
    return RecordedRun(folder, facts, found, tuple(heard), from_records, tuple(traces), tuple(notes))


def _model_of(facts: Summary, named: str | None, notes: list[str]) -> Model | None:
    """Return the model of the run's graph; where none was named and none is shipped, a note says what is missing."""
    try:
        manifest, folder = load_manifest(named or facts.model)
        variant, graph = read_graph(manifest, folder, facts.variant)
        if variant.sha256 != facts.graph_sha256:
            raise ManifestError(
                f"model '{named or facts.model}' is not the one that was run: expected a graph with sha256 "
                f"{facts.graph_sha256[:12]}, got {variant.sha256[:12]}"
            )
    except EdgequakeError as problem:
        if named:
            raise
        notes.append(f"No probabilities and no model card: {problem}. Name the run's manifest with --model.")
        return None
    return Model(manifest, graph, variant, facts.variant)


def _channels(facts: Summary) -> tuple[str, ...] | None:
    """Return the channels that were kept, which the run may have been told; None where there was no event."""
    return tuple(sorted({channel for row in facts.events for channel in row.channels})) or None
