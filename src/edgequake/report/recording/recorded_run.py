"""A finished run together with the records and the model that it names, and the network's probabilities on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError, EdgequakeError, ManifestError
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.summary import Summary
from edgequake.report.recording.probabilities import COMPUTING, Model, ProbabilityTrace, of_inputs
from edgequake.report.recording.samples import join_intervals, read_record, record_files
from edgequake.results import finished_run
from edgequake.results.progress import Progress, silent


@dataclass(frozen=True)
class RecordedRun:
    """A finished run, and what is still available of its records."""

    folder: Path
    summary: Summary
    model: Model | None  # None: neither a shipped model nor a named one has this graph
    traces: tuple[Trace, ...]  # of the records, or of the segments
    from_records: bool  # whether `traces` and the probabilities are of the records that were run
    probabilities: tuple[ProbabilityTrace, ...]  # one for each stream or kept segment; none without a model
    notes: tuple[str, ...]  # what is missing

    def kept_ns(self, station_id: str) -> list[tuple[int, int]]:
        """Return the kept intervals of a station, disjoint and rising."""
        own = (segment for segment in self.summary.segments if segment.station_id == station_id)
        return join_intervals((segment.start_ns, segment.stop_ns) for segment in own)

    def segment_of(self, row: CatalogRow) -> Segment:
        """Return the segment that holds an event.

        Raises
        ------
        DataError
            catalog.csv names a segment that summary.json does not.
        """
        for segment in self.summary.segments:
            if segment.file == row.segment:
                return segment
        raise DataError(
            f"{self.folder}: catalog.csv names {row.segment}, summary.json does not: the two are of different runs"
        )

    def probabilities_of(self, row: CatalogRow) -> ProbabilityTrace | None:
        """Return the probabilities that led to an event, or else those of its station at that time."""
        own = [trace for trace in self.probabilities if trace.station_id == row.station_id]
        exact = [trace for trace in own if row.onset_ns in _to_microseconds(trace.onsets_ns)]
        covering = [trace for trace in own if len(trace.between(row.onset_ns, row.stop_ns).onset)]
        return next(iter(exact + covering), None)

    @property
    def n_events_found_again(self) -> int:
        """Events of the catalogue to which the probabilities computed again lead, at the same microsecond."""
        again = {(one.station_id, onset) for one in self.probabilities for onset in _to_microseconds(one.onsets_ns)}
        return sum((row.station_id, row.onset_ns) in again for row in self.summary.events)


def _to_microseconds(times_ns: Iterable[int]) -> set[int]:
    """Round as the catalogue does, which holds microseconds."""
    return {round(time_ns / 1_000) * 1_000 for time_ns in times_ns}


def read_run(
    folder: Path, inputs: Sequence[Path] = (), model: str | None = None, progress: Progress = silent
) -> RecordedRun:
    """Read a run's folder, and compute its probabilities again.

    Parameters
    ----------
    folder : what `edgequake run` wrote.
    inputs : the records that were run; by default those that summary.json names, where they still exist.
    model : a shipped model's name or a manifest; by default the shipped model with the run's name and graph.

    Raises
    ------
    DataError
        No finished run there, or records named that cannot be used.
    ManifestError
        A model named that is not the run's.
    """
    summary = finished_run.read_run(folder).summary
    notes: list[str] = []
    found = _model_of(summary, model, notes)
    wanted = tuple(inputs) or tuple(map(Path, summary.inputs))
    from_records = bool(inputs) or all(path.exists() for path in wanted)  # "-", a live stream, does not exist as a path
    if not from_records:
        gone = ", ".join(summary.inputs)
        notes.append(f"The records that were run ({gone}) are not available; the kept segments stand in for them.")
        kept = (folder / segment.file for segment in summary.segments)
        wanted = tuple(path for path in kept if path.is_file())  # a segment that was sent may have been deleted
    traces: list[Trace] = []
    computed: list[ProbabilityTrace] = []
    threshold, channels = summary.onset_threshold, _channels(summary)
    if found is None:
        traces = [trace for path in record_files(wanted) for trace in read_record(path)]
    elif from_records:
        computed = of_inputs(found, threshold, wanted, channels, traces.append, folder, progress)
    else:
        for i, path in enumerate(wanted):
            computed += of_inputs(found, threshold, [path], channels, traces.append)
            progress((i + 1) / len(wanted), COMPUTING)
    return RecordedRun(folder, summary, found, tuple(traces), from_records, tuple(computed), tuple(notes))


def _model_of(summary: Summary, named: str | None, notes: list[str]) -> Model | None:
    """Return the model with the run's graph; None and a note where none was named and none is shipped."""
    try:
        manifest, folder = load_manifest(named or summary.model)
        variant, graph = read_graph(manifest, folder, summary.variant)
        if variant.sha256 != summary.graph_sha256:
            raise ManifestError(
                f"model '{named or summary.model}' is not the one that was run: expected a graph with sha256 "
                f"{summary.graph_sha256[:12]}, got {variant.sha256[:12]}"
            )
    except EdgequakeError as problem:
        if named:
            raise
        notes.append(f"No probabilities and no model card: {problem}. Name the run's manifest with --model.")
        return None
    return Model(manifest, graph, variant, summary.variant)


def _channels(summary: Summary) -> tuple[str, ...] | None:
    """Return the channels that were kept, which the user may have chosen; None where there was no event."""
    return tuple(sorted({channel for row in summary.events for channel in row.channels})) or None
