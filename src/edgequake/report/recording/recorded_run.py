"""A finished run together with the records and the model that it names, and the network's probabilities on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgequake.edge.archive.sds import DAY_NS as NS_PER_DAY
from edgequake.edge.archive.sds import day_files
from edgequake.edge.base.errors import DataError, EdgequakeError, ManifestError
from edgequake.edge.base.layout import ARCHIVE
from edgequake.edge.formats.waveforms import Trace, format_time
from edgequake.edge.inputs.files import plan_streams
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.edge.results.catalog import CatalogRow, Segment, in_catalog_order
from edgequake.edge.results.summary import Summary, UsedModel
from edgequake.report.recording.probabilities import COMPUTING, Model, ProbabilityTrace, of_plan
from edgequake.report.recording.record_index import RecordIndex, files_of
from edgequake.report.recording.samples import join_intervals, read_record, record_files
from edgequake.results import finished_run
from edgequake.results.finished_run import RunEvent
from edgequake.results.progress import Progress, silent

MOST_DRAWN = 30  # events: a picture takes some 0.4 s and 70 kB
MOST_SAMPLES = 20_000_000  # of a run whose records are read whole: some 15 s


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
    drawn: tuple[RunEvent, ...] = ()  # those of the events that are drawn: of a long run the ones of highest priority
    index: RecordIndex | None = None  # of records, or segments, that are too many for `traces`
    is_over: bool = True  # whether the run has ended
    since_ns: int | None = None  # nothing earlier is shown

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
        if row.segment in self._segments:
            return self._segments[row.segment]
        raise DataError(
            f"{self.folder}: catalog.csv names {row.segment}, catalog.check does not: the two are of different runs"
        )

    @cached_property
    def _segments(self) -> dict[str, Segment]:
        return {segment.file: segment for segment in self.summary.segments}

    def day_traces(self, station_id: str, start_ns: int, stop_ns: int) -> list[Trace]:
        """Return the samples of a station in [start_ns, stop_ns)."""
        if self.index is not None:
            return self.index.traces(station_id, start_ns, stop_ns)
        cut = (one.between(start_ns, stop_ns) for one in self.traces if one.station_id == station_id)
        return [trace for trace in cut if len(trace.samples)]

    def probabilities_of(self, row: CatalogRow) -> ProbabilityTrace | None:
        """Return the probabilities that led to an event, or else those of its station at that time."""
        own = [trace for trace in self.probabilities if trace.station_id == row.station_id]
        exact = [trace for trace in own if row.onset_ns in _to_microseconds(trace.onsets_ns)]
        covering = [trace for trace in own if len(trace.between(row.onset_ns, row.stop_ns).onset)]
        return next(iter(exact + covering), None)

    @property
    def n_events_found_again(self) -> int:
        """Drawn events to which the probabilities computed again lead, at the same microsecond."""
        again = {(one.station_id, onset) for one in self.probabilities for onset in _to_microseconds(one.onsets_ns)}
        return sum((row.station_id, row.onset_ns) in again for row in self.drawn)


def _to_microseconds(times_ns: Iterable[int]) -> set[int]:
    """Round as the catalogue does, which holds microseconds."""
    return {round(time_ns / 1_000) * 1_000 for time_ns in times_ns}


def read_run(
    folder: Path,
    inputs: Sequence[Path] = (),
    model: str | None = None,
    progress: Progress = silent,
    since_ns: int | None = None,
    limit: int = MOST_DRAWN,
) -> RecordedRun:
    """Read a run's folder, and compute its probabilities again.

    Of a long run only what is drawn is read, and the probabilities are those on the segments of the drawn events.

    Parameters
    ----------
    folder : what `edgequake run` wrote; of a live run that goes on too.
    inputs : the records that were run; by default those that summary.json names, where they still exist, and of a live
        run its archive.
    model : a shipped model's name or a manifest; by default the shipped model with the run's name and graph.
    since_ns : leave out earlier events.
    limit : draw at most so many events, those of highest priority.

    Raises
    ------
    DataError
        No run there, or records named that cannot be used.
    ManifestError
        A model named that is not the run's.
    """
    so_far = finished_run.summary_so_far(folder)
    finished = finished_run.read_run(folder, so_far)
    summary, notes = finished.summary, list[str]()
    events = tuple(one for one in finished.events if since_ns is None or one.onset_ns >= since_ns)
    if since_ns is not None and len(events) < len(finished.events):
        notes.append(
            f"Left out: {len(finished.events) - len(events)} event(s) before {format_time(since_ns)[:19]} UTC."
        )
    drawn = tuple(in_catalog_order(sorted(events, key=lambda one: -one.priority)[:limit]))
    found = _models_of(summary, model, notes)
    wanted, from_records = _records(folder, summary, inputs, notes)
    is_long = from_records and summary.samples_in > MOST_SAMPLES
    run = RecordedRun(
        folder,
        summary,
        events,
        found,
        (),
        from_records and not is_long,
        (),
        tuple(notes),
        drawn,
        None,
        so_far is None,
        since_ns,
    )
    if is_long:
        days = {(one.station_id, one.onset_ns // NS_PER_DAY + by) for one in events for by in (0, 1)}
        index = RecordIndex(_files_of_days(wanted, folder, days), skip_others=True, progress=progress)
        note = "The record is long: days with most events are drawn, and probabilities on the segments of drawn events."
        return replace(run, index=index, probabilities=_on_segments(run, progress), notes=(*notes, note))
    traces: list[Trace] = []
    if not from_records:
        index = RecordIndex(wanted, progress=progress)
        return replace(run, index=index, probabilities=_on_segments(run, progress))
    if not found:
        traces = [trace for path in record_files(wanted) for trace in read_record(path)]
        return replace(run, traces=tuple(traces))
    computed = _computed(summary, found, wanted, traces, None if wanted == (folder / ARCHIVE,) else folder, progress)
    return replace(run, traces=tuple(traces), probabilities=tuple(computed))


def _records(folder: Path, summary: Summary, inputs: Sequence[Path], notes: list[str]) -> tuple[tuple[Path, ...], bool]:
    """Return the records of a run, and whether they are all that it was given; else they are the kept segments."""
    named = tuple(inputs) or tuple(map(Path, summary.inputs))
    if inputs or (named and all(path.exists() for path in named)):  # "-", a live stream, does not exist as a path
        return named, True
    if next(day_files(folder / ARCHIVE), None) is not None:
        notes.append("The records are those of the run's archive.")
        return (folder / ARCHIVE,), True
    gone = ", ".join(summary.inputs) or "a live input"
    notes.append(f"The records that were run ({gone}) are not available; the kept segments stand in for them.")
    kept = (folder / segment.file for segment in summary.segments)
    return tuple(path for path in kept if path.is_file()), False  # one that was sent may have been deleted


def _files_of_days(wanted: Sequence[Path], folder: Path, days: set[tuple[str, int]]) -> list[Path]:
    """Return the files of long records that may have to do with stations on days."""
    if tuple(wanted) == (folder / ARCHIVE,):
        return [path for _, name, path in day_files(folder / ARCHIVE) if (name.station_id, name.day) in days]
    return files_of(wanted, folder)


def _on_segments(run: RecordedRun, progress: Progress) -> tuple[ProbabilityTrace, ...]:
    """Return the probabilities on the segments of the drawn events, each for itself."""
    files = dict.fromkeys(run.folder / row.segment for row in run.drawn) if run.models else {}
    computed: list[ProbabilityTrace] = []
    for i, path in enumerate(path for path in files if path.is_file()):
        computed += _computed(run.summary, run.models, [path], [])
        progress((i + 1) / len(files), COMPUTING)
    return tuple(computed)


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
    variant, graph = read_graph(manifest, folder, used.variant or None)
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
