"""The report of a run: its figures, days and events, gaps and faults in the records, and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.summary import Summary
from edgequake.report.charts.day_plot import Mark, StationDay, day_figure, station_days
from edgequake.report.charts.images import plain_png_uri
from edgequake.report.pages.event_entries import EVENT_COLUMNS, EventEntry, event_entry
from edgequake.report.pages.model_card import model_card
from edgequake.report.pages.page import render
from edgequake.report.recording.recorded_run import RecordedRun, read_run
from edgequake.results.progress import Progress, silent
from edgequake.results.tables.table import Table
from edgequake.results.words import duration, percent, plural, size, station_name, thousands, time_of_day


@dataclass(frozen=True)
class DayPicture:
    """A drawn day."""

    title: str
    picture: str  # data: address
    alt: str


@dataclass(frozen=True)
class RunReport:
    """The page, and notes on what is missing in it."""

    html: str
    notes: tuple[str, ...]


def run_report(
    folder: Path, inputs: Sequence[Path] = (), model: str | None = None, progress: Progress = silent
) -> RunReport:
    """Return the report of a run as one HTML page.

    Raises
    ------
    DataError, ManifestError
        As `edgequake.report.recording.recorded_run.read_run`; or a kept segment that is damaged.
    """
    run = read_run(folder, inputs, model, progress)
    marks = [Mark(row.onset_ns, i + 1) for i, row in enumerate(run.events)]
    days = _days(run, marks)
    events: list[EventEntry] = []
    for row in run.events:
        progress(len(events) / len(marks), "drawing the events")
        events.append(event_entry(run, row, marks))
    html = render(
        "run.html.j2",
        title=f"edgequake: {plural(len(events), 'event')} at {_stations(run.summary)}",
        facts=_rows(run.summary),
        notes=[*run.notes, *run.summary.warnings],
        days=days,
        days_of_segments=not run.from_records,
        events=events,
        event_columns=EVENT_COLUMNS,
        probabilities=_where_from(run),
        counters=_counters(run.summary),
        card=_cards(run),
    )
    return RunReport(html, run.notes)


def _rows(summary: Summary) -> list[tuple[str, str]]:
    saved_bytes = summary.bytes_in - summary.bytes_kept
    share_saved = saved_bytes / summary.bytes_in if summary.bytes_in else None
    return [
        ("events", str(len(summary.events))),
        ("stations", _stations(summary)),
        ("record", f"{summary.record_s / 3600:.2f} h, {thousands(summary.samples_in)} samples"),
        ("kept", f"{summary.kept_s / 3600:.2f} h = {percent(summary.kept_fraction)} of the time; "
         f"{thousands(summary.samples_kept)} samples = {percent(summary.samples_kept / max(1, summary.samples_in))}"),
        ("downlink saved", f"{thousands(saved_bytes)} bytes = {percent(share_saved)}: segments of "
         f"{size(summary.bytes_kept)} are sent instead of inputs of {size(summary.bytes_in)}"),
        *_model_rows(summary),
        ("runtime", f"{summary.runtime}, edgequake {summary.edgequake_version}"),
        ("cost", f"{summary.wall_s:.2f} s, of these {summary.cpu_s:.2f} s on the processor; at most "
         f"{size(summary.peak_memory_bytes)} of memory"),
        ("inputs", ", ".join(summary.inputs)),
    ]  # fmt: skip


def _model_rows(summary: Summary) -> list[tuple[str, str]]:
    rows = []
    for one in summary.used_models:
        stations = f", for {', '.join(map(station_name, one.stations))}" if len(summary.used_models) > 1 else ""
        text = f"{one.name}, variant {one.variant}, onset threshold {one.onset_threshold:g}{stations}"
        rows += [("model", text), ("graph's sha256", one.graph_sha256)]
    return rows


def _cards(run: RecordedRun) -> list[Table]:
    if len(run.models) == 1:
        return [table for model in run.models.values() for table in model_card(model)]
    cards = [(name, table) for name, model in run.models.items() for table in model_card(model)]
    return [replace(table, title=f"{name}: {table.title}") for name, table in cards]


def _days(run: RecordedRun, marks: Sequence[Mark]) -> list[DayPicture]:
    days = []
    for station_id in run.summary.stations:
        own = [trace for trace in run.traces if trace.station_id == station_id]
        numbered = zip(run.events, marks, strict=True)
        onsets = [mark for row, mark in numbered if row.station_id == station_id]
        for day in station_days(station_id, own, run.kept_ns(station_id), onsets):
            title = f"{station_name(station_id)}, {day.date}"
            days.append(DayPicture(title, plain_png_uri(day_figure(day)), _alt(day)))
    return days


def _alt(day: StationDay) -> str:
    """Describe the picture of a day in words."""
    kept_s = sum(stop - start for start, stop in day.kept_ns) / NS_PER_S
    onsets = "".join(f", {mark.number} at {time_of_day(mark.time_ns)}" for mark in day.marks)
    return (
        f"Ground motion of {station_name(day.station_id)} on {day.date}, one line an hour, {duration(kept_s)} kept and "
        f"shaded; {plural(len(day.marks), 'onset')} marked{onsets}"
    )


def _where_from(run: RecordedRun) -> str:
    """State what the probabilities were computed from, and whether they lead to the events of the catalogue."""
    if not run.models:
        return "The network's probabilities are not shown: its manifest and graph are not available."
    again = (
        f"they lead to {run.n_events_found_again} of the {plural(len(run.events), 'event')} of the catalogue, "
        "to the microsecond."
    )
    if run.from_records:
        return f"The network's probabilities were computed again from the records that were run; {again}"
    return (
        "The network's probabilities were computed again from each kept segment alone, as the records are not "
        "available. The network starts without state there, so they differ from those of the run at first; "
        f"{again}"
    )


def _counters(summary: Summary) -> Table:
    rows = [
        ("gaps interpolated", thousands(summary.tears_bridged), "short gaps, interpolated and flagged"),
        ("samples interpolated", thousands(summary.samples_bridged), "missing in those gaps"),
        ("restarts", thousands(summary.restarts), "after longer gaps, which reset the front end and the network"),
        ("fill values", thousands(summary.fill_samples), "values of the record that mark lost samples"),
        ("not finite", thousands(summary.not_finite_samples), "samples that are NaN or infinite"),
        ("overlapping", thousands(summary.overlap_samples), "duplicate samples, used once"),
        ("unreadable bytes", thousands(summary.unreadable_bytes), "of the inputs, not part of a readable record"),
        ("channels ignored", ", ".join(summary.ignored_channels) or "none", "in the inputs but not in the model"),
    ]
    return Table("Gaps and faults in the records", ("counter", "value", "what it counts"), tuple(rows))


def _stations(summary: Summary) -> str:
    return ", ".join(map(station_name, summary.stations)) or "no station"
