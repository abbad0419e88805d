"""A finished run together with the records and the model that it names, and the network's probabilities on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.base.errors import DataError, EdgequakeError, ManifestError
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.files import plan_streams
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.summary import Summary, UsedModel
from edgequake.report.recording.probabilities import COMPUTING, Model, ProbabilityTrace, of_plan
from edgequake.report.recording.samples import join_intervals, read_record, record_files
from edgequake.results import finished_run
from edgequake.results.finished_run import RunEvent
from edgequake.results.progress import Progress, silent


@dataclass(frozen=True)
class RecordedRun:
    """A finished run, and what is still available of its records."""

    folder: Path
    summary: Summary
    events: tuple[RunEvent, ...]  # in the order of their onsets
    models: dict[str, Model]  # by name; empty: neither a shipped model nor a named one has the graph of one of them
    traces: tuple[Trace, ...]  # of the records, or of the segments
    from_records: bool  # whether `traces` and the probabilities are of the records that were run
    probabilities: tuple[ProbabilityTrace, ...]  # one for each stream or kept segment; none without models
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
            catalog.csv names a segment that is neither in catalog.check nor in summary.json.
        """
        for segment in self.summary.segments:
            if segment.file == row.segment:
                return segment
        raise DataError(
            f"{self.folder}: catalog.csv names {row.segment}, catalog.check does not: the two are of different runs"
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
        return sum((row.station_id, row.onset_ns) in again for row in self.events)


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
    finished = finished_run.read_run(folder)
    summary = finished.summary
    notes: list[str] = []
    found = _models_of(summary, model, notes)
    wanted = tuple(inputs) or tuple(map(Path, summary.inputs))
    from_records = bool(inputs) or all(path.exists() for path in wanted)  # "-", a live stream, does not exist as a path
    if not from_records:
        gone = ", ".join(summary.inputs)
        notes.append(f"The records that were run ({gone}) are not available; the kept segments stand in for them.")
        kept = (folder / segment.file for segment in summary.segments)
        wanted = tuple(path for path in kept if path.is_file())  # a segment that was sent may have been deleted
    traces: list[Trace] = []
    computed: list[ProbabilityTrace] = []
    if not found:
        traces = [trace for path in record_files(wanted) for trace in read_record(path)]
    elif from_records:
        computed = _computed(summary, found, wanted, traces, folder, progress)
    else:
        for i, path in enumerate(wanted):
            computed += _computed(summary, found, [path], traces)
            progress((i + 1) / len(wanted), COMPUTING)
    return RecordedRun(
        folder, summary, finished.events, found, tuple(traces), from_records, tuple(computed), tuple(notes)
    )


def _computed(
    summary: Summary,
    found: dict[str, Model],
    inputs: Sequence[Path],
    traces: list[Trace],
    out: Path | None = None,
    progress: Progress = silent,
) -> list[ProbabilityTrace]:
    """Return the probabilities on records, each station's with its model; add the records' traces to `traces`."""
    manifests = {one.name: _narrowed(summary, one, found[one.name].manifest) for one in summary.used_models}
    choice = ModelChoice(manifest_of=lambda name: manifests.get(name) or load_manifest(name)[0])
    choice.restore({station_id: one.name for one in summary.models for station_id in one.stations})
    if not summary.models:
        choice = ModelChoice(next(iter(manifests.values())))
    plan = plan_streams(tuple(map(str, inputs)), choice, out)
    chosen = {station_id for one in summary.models for station_id in one.stations}
    plan.streams = [stream for stream in plan.streams if stream.station_id in chosen or not summary.models]

    def model_of(station_id: str) -> tuple[Model, float]:
        used = summary.model_of(station_id)
        return found[used.name], used.onset_threshold

    return of_plan(plan, model_of, traces.append, progress)


def _models_of(summary: Summary, named: str | None, notes: list[str]) -> dict[str, Model]:
    """Return the models with the run's graphs; none and a note where none was named and one is not shipped."""
    try:
        named_model = None if named is None else load_manifest(named)[0].name
        is_only = len(summary.used_models) == 1
        return {
            one.name: _model_of(summary, one, named if named and (is_only or one.name == named_model) else one.name)
            for one in summary.used_models
        }
    except EdgequakeError as problem:
        if named:
            raise
        notes.append(f"No probabilities and no model card: {problem}. Name the run's manifest with --model.")
        return {}


def _model_of(summary: Summary, used: UsedModel, name: str) -> Model:
    """Return a model of the run."""
    manifest, folder = load_manifest(name)
    variant, graph = read_graph(manifest, folder, used.variant)
    if variant.sha256 != used.graph_sha256:
        raise ManifestError(
            f"model '{name}' is not the one that was run: expected a graph with sha256 {used.graph_sha256[:12]}, "
            f"got {variant.sha256[:12]}"
        )
    return Model(manifest, graph, variant, used.variant)


def _narrowed(summary: Summary, used: UsedModel, manifest: Manifest) -> Manifest:
    """Return a manifest that takes the channels that were kept, which the user may have chosen; all without events."""
    kept = {code for row in summary.events if row.station_id in used.stations for code in row.channels}
    return replace(manifest, channels=tuple(sorted(kept))) if kept else manifest
