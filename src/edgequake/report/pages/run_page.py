"""The report of a run: its facts, its days, its events, what went wrong in the records, and the model's card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.summary import Summary
from edgequake.report.charts.day_plot import Mark, StationDay, day_figure, station_days
from edgequake.report.charts.images import plain_png_uri
from edgequake.report.pages.event_entries import EVENT_COLUMNS, EventEntry, event_entry
from edgequake.report.pages.model_card import model_card
from edgequake.report.pages.page import render
from edgequake.report.recording.recorded_run import Progress, RecordedRun, read_run
from edgequake.results.tables.table import Table
from edgequake.results.tables.words import duration, percent, plural, size, station_name, thousands, time_of_day


@dataclass(frozen=True)
class DayPicture:
    """A drawn day."""

    title: str
    picture: str  # data: address
    alt: str


@dataclass(frozen=True)
class RunReport:
    """The page, and what people should know of how it came about."""

    html: str
    notes: tuple[str, ...]


def run_report(
    folder: Path, inputs: Sequence[Path] = (), model: str | None = None, progress: Progress | None = None
) -> RunReport:
    """Return the report of a run as one HTML page.

    Raises
    ------
    DataError, ManifestError
        As `edgequake.report.recording.recorded_run.read_run`; or a kept segment that is damaged.
    """
    run = read_run(folder, inputs, model, progress)
    marks = [Mark(row.onset_ns, i + 1) for i, row in enumerate(run.facts.events)]
    days = _days(run, marks)
    events: list[EventEntry] = []
    for row in run.facts.events:
        if progress is not None:
            progress("drawing the events", len(events) / len(marks))
        events.append(event_entry(run, row, marks))
    html = render(
        "run.html.j2",
        title=f"edgequake: {plural(len(events), 'event')} at {_stations(run.facts)}",
        facts=_rows(run.facts),
        notes=[*run.notes, *run.facts.warnings],
        days=days,
        days_of_segments=not run.from_records,
        events=events,
        event_columns=EVENT_COLUMNS,
        probabilities=_where_from(run),
        counters=_counters(run.facts),
        card=model_card(run.model) if run.model else [],
    )
    return RunReport(html, run.notes)


def _rows(facts: Summary) -> list[tuple[str, str]]:
    saved_bytes = facts.bytes_in - facts.bytes_kept
    share_saved = saved_bytes / facts.bytes_in if facts.bytes_in else None
    return [
        ("events", str(len(facts.events))),
        ("stations", _stations(facts)),
        ("record", f"{facts.record_s / 3600:.2f} h, {thousands(facts.samples_in)} samples"),
        ("kept", f"{facts.kept_s / 3600:.2f} h = {percent(facts.kept_fraction)} of the time; "
         f"{thousands(facts.samples_kept)} samples = {percent(facts.samples_kept / max(1, facts.samples_in))}"),
        ("downlink saved", f"{thousands(saved_bytes)} bytes = {percent(share_saved)}: segments of "
         f"{size(facts.bytes_kept)} are sent instead of inputs of {size(facts.bytes_in)}"),
        ("model", f"{facts.model}, variant {facts.variant}, onset threshold {facts.onset_threshold:g}"),
        ("graph's sha256", facts.graph_sha256),
        ("runtime", f"{facts.runtime}, edgequake {facts.edgequake_version}"),
        ("cost", f"{facts.wall_s:.2f} s, of these {facts.cpu_s:.2f} s on the processor; at most "
         f"{size(facts.peak_memory_bytes)} of memory"),
        ("inputs", ", ".join(facts.inputs)),
    ]  # fmt: skip


def _days(run: RecordedRun, marks: Sequence[Mark]) -> list[DayPicture]:
    days = []
    for station_id in run.facts.stations:
        own = [trace for trace in run.heard if trace.station_id == station_id]
        numbered = zip(run.facts.events, marks, strict=True)
        onsets = [mark for row, mark in numbered if row.station_id == station_id]
        for day in station_days(station_id, own, run.kept_ns(station_id), onsets):
            title = f"{station_name(station_id)}, {day.date}"
            days.append(DayPicture(title, plain_png_uri(day_figure(day)), _alt(day)))
    return days


def _alt(day: StationDay) -> str:
    """Say in words what the picture of a day shows."""
    kept_s = sum(stop - start for start, stop in day.kept_ns) / NS_PER_S
    onsets = "".join(f", {mark.number} at {time_of_day(mark.time_ns)}" for mark in day.marks)
    return (
        f"Ground motion of {station_name(day.station_id)} on {day.date}, one line an hour, {duration(kept_s)} kept and "
        f"shaded; {plural(len(day.marks), 'onset')} marked{onsets}"
    )


def _where_from(run: RecordedRun) -> str:
    """Say what the probabilities were computed from, and whether they lead to the events of the catalogue."""
    if run.model is None:
        return "The network's probabilities are not shown: its manifest and graph are not at hand."
    again = (
        f"they lead to {run.n_events_found_again} of the {plural(len(run.facts.events), 'event')} of the catalogue, "
        "to the microsecond."
    )
    if run.from_records:
        return f"The network's probabilities were computed again from the records that were run; {again}"
    return (
        "The network's probabilities were computed again from each kept segment alone, as the records are not at hand. "
        f"The network starts cold there, so they differ from those of the run at first; {again}"
    )


def _counters(facts: Summary) -> Table:
    rows = [
        ("tears bridged", thousands(facts.tears_bridged), "short gaps filled by straight lines and flagged"),
        ("samples bridged", thousands(facts.samples_bridged), "that were missing in those"),
        ("restarts", thousands(facts.restarts), "longer gaps, after which the network starts anew"),
        ("lost samples marked", thousands(facts.fill_samples), "values of the record that mean: no sample"),
        ("not finite", thousands(facts.not_finite_samples), "samples that are NaN or infinite"),
        ("overlapping", thousands(facts.overlap_samples), "samples that came twice, used once"),
        ("unreadable bytes", thousands(facts.unreadable_bytes), "in the inputs, of no readable record"),
        ("channels left out", ", ".join(facts.ignored_channels) or "none", "in the inputs, and not the model's"),
    ]
    return Table("What was wrong with the records", ("counter", "value", "what it counts"), tuple(rows))


def _stations(facts: Summary) -> str:
    return ", ".join(map(station_name, facts.stations)) or "no station"
