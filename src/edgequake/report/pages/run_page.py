"""The report of a run: its figures, days and events, gaps and faults in the records, and the model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.summary import Summary
from edgequake.report.charts.day_plot import NS_PER_DAY, Mark, StationDay, day_figure, station_days
from edgequake.report.charts.images import pixels_of, plain_png_uri
from edgequake.report.pages.event_entries import EVENT_COLUMNS, EventEntries, EventEntry
from edgequake.report.pages.model_card import model_card
from edgequake.report.pages.page import render
from edgequake.report.recording.recorded_run import MOST_DRAWN, MOST_SAMPLES, RecordedRun, read_run
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.tables.table import Table
from edgequake.results.words import duration, percent, plural, size, station_name, thousands, time_of_day

ROWS_A_PAGE = 250
MOST_WARNINGS = 10
MOST_DAYS = 8  # station-days that are drawn: a picture takes some 0.8 s and 70 kB


@dataclass(frozen=True)
class DayPicture:
    """A drawn day."""

    title: str
    picture: str  # data: address
    pixels: tuple[int, int]
    alt: str


@dataclass(frozen=True)
class RunReport:
    """The pages, the first one with all but the later rows of the table, and notes on what is missing in them."""

    html: str
    more: tuple[str, ...]  # further pages, from the second
    notes: tuple[str, ...]


def run_report(
    folder: Path,
    inputs: Sequence[Path] = (),
    model: str | None = None,
    progress: Progress = silent,
    since_ns: int | None = None,
    limit: int = MOST_DRAWN,
    name: str = "report.html",
) -> RunReport:
    """Return the report of a run as HTML: one page, and further ones where the table of events is long.

    Parameters
    ----------
    since_ns, limit : as `edgequake.report.recording.recorded_run.read_run`.
    name : of the first page's file, to which the others refer; they have its name with -2, -3, ...

    Raises
    ------
    DataError, ManifestError
        As `edgequake.report.recording.recorded_run.read_run`; or a kept segment that is damaged.
    """
    run = read_run(folder, inputs, model, part_of(progress, 0.0, _READ), since_ns, limit)
    marks = [Mark(row.onset_ns, i + 1) for i, row in enumerate(run.events)]
    days, n_days = _days(run, marks, part_of(progress, _READ, _DRAWN))
    maker, events = EventEntries(run, marks), list[EventEntry]()
    for row in run.events:
        done = len(events) / len(marks)
        progress(_DRAWN + (1.0 - _DRAWN) * done, "drawing the events")
        events.append(maker.entry(row, 1 + len(events) // ROWS_A_PAGE))
    parts = [events[first : first + ROWS_A_PAGE] for first in range(0, len(events), ROWS_A_PAGE)] or [[]]
    names = [page_name(name, number) for number in range(1, len(parts) + 1)]
    title = f"edgequake: {plural(len(events), 'event')} at {_stations(run.summary, 5)}"
    common = {"title": title, "event_columns": EVENT_COLUMNS, "pages": names}
    html = render(
        "run.html.j2",
        **common,
        facts=_rows(run),
        notes=_notes(run),
        days=days,
        n_days=n_days,
        days_of_segments=not run.from_records and run.index is not None and not run.summary.samples_in > MOST_SAMPLES,
        events=parts[0],
        n_events=len(events),
        since=run.since_ns is not None,
        drawn=[event for event in events if event.is_drawn],
        probabilities=_where_from(run),
        counters=_counters(run.summary) if run.is_over else None,
        card=_cards(run),
    )
    more = tuple(render("run_more.html.j2", **common, events=part, page=i) for i, part in enumerate(parts[1:], start=2))
    return RunReport(html, more, run.notes)


_READ, _DRAWN = 0.3, 0.5  # share of the time until the records are read, and until the days are drawn


def page_name(name: str, number: int) -> str:
    """Return the file name of a page of a report whose first page is `name`."""
    stem, dot, suffix = name.rpartition(".")
    return name if number == 1 else f"{stem or suffix}-{number}{dot}{suffix if stem else ''}"


def _rows(run: RecordedRun) -> list[tuple[str, str]]:
    """Return the facts of a run; of one that goes on, what is known of it."""
    if run.is_over:
        return _rows_at_the_end(run.summary, len(run.events))
    summary = run.summary
    return [
        ("events", f"{len(run.events)}; the run goes on"),
        ("stations", _stations(summary)),
        ("record", f"{thousands(summary.samples_in)} samples so far"),
        (
            "kept",
            f"{duration(summary.kept_s)}, {thousands(summary.samples_kept)} samples, {size(summary.bytes_kept)}",
        ),
        *_model_rows(summary),
        ("version", f"edgequake {summary.edgequake_version}"),
    ]


def _rows_at_the_end(summary: Summary, n_events: int) -> list[tuple[str, str]]:
    saved_bytes = summary.bytes_in - summary.bytes_kept
    share_saved = saved_bytes / summary.bytes_in if summary.bytes_in else None
    return [
        ("events", str(n_events)),
        ("stations", _stations(summary)),
        ("record", f"{duration(summary.record_s)}, {thousands(summary.samples_in)} samples"),
        ("kept", f"{duration(summary.kept_s)} = {percent(summary.kept_fraction)} of the time; "
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
        variant = f", variant {one.variant}" if one.variant else ""
        text = f"{one.name}{variant}, onset threshold {one.onset_threshold:g}{stations}"
        rows += [("model", text), ("graph's sha256", one.graph_sha256)]
    return rows


def _cards(run: RecordedRun) -> list[Table]:
    if len(run.models) == 1:
        return [table for model in run.models.values() for table in model_card(model)]
    cards = [(name, table) for name, model in run.models.items() for table in model_card(model)]
    return [replace(table, title=f"{name}: {table.title}") for name, table in cards]


def _days(run: RecordedRun, marks: Sequence[Mark], progress: Progress) -> tuple[list[DayPicture], int]:
    """Return the days that are drawn, of many those with most events, and how many days there are."""
    numbered = list(zip(run.events, marks, strict=True))
    counts = Counter((row.station_id, row.onset_ns // NS_PER_DAY) for row in run.events)
    counts.update((row.station_id, row.onset_ns // NS_PER_DAY) for row in run.drawn for _ in range(100))
    found = {(one.station_id, day): 0 for one in run.traces for day in _days_of(one.start_ns, one.stop_ns)}
    for station_id in {row.station_id for row in run.events}:
        found |= {(station_id, day): 0 for span in run.kept_ns(station_id) for day in _days_of(*span)}
    keys = [key for key in found if run.since_ns is None or (key[1] + 1) * NS_PER_DAY > run.since_ns]
    chosen = sorted(sorted(keys, key=lambda key: (-counts[key], key))[:MOST_DAYS])
    days = []
    for i, (station_id, day) in enumerate(chosen):
        progress(i / len(chosen), "drawing the days")
        start_ns, stop_ns = day * NS_PER_DAY, (day + 1) * NS_PER_DAY
        own = run.day_traces(station_id, start_ns, stop_ns)
        onsets = [mark for row, mark in numbered if row.station_id == station_id]
        kept = [span for span in run.kept_ns(station_id) if span[0] < stop_ns and span[1] > start_ns]
        for drawn in station_days(station_id, own, [(max(a, start_ns), min(b, stop_ns)) for a, b in kept], onsets):
            title = f"{station_name(station_id)}, {drawn.date}"
            model = run.summary.model_of(station_id).name if run.events else ""
            picture = plain_png_uri(day_figure(replace(drawn, model=model)))
            days.append(DayPicture(title, picture, pixels_of(picture), _alt(drawn)))
    return days, len(keys)


def _days_of(start_ns: int, stop_ns: int) -> range:
    return range(start_ns // NS_PER_DAY, -(-stop_ns // NS_PER_DAY))


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
        f"they lead to {run.n_events_found_again} of the {plural(len(run.drawn), 'event')} "
        f"{'of the catalogue' if len(run.drawn) == len(run.events) else 'that are drawn'}, to the microsecond."
    )
    if run.from_records:
        return f"The network's probabilities were computed again from the records that were run; {again}"
    why = "the record is long" if run.summary.samples_in > MOST_SAMPLES else "the records are not available"
    return (
        f"The network's probabilities were computed again from each kept segment alone, as {why}. The network starts "
        f"without state there, so they differ from those of the run at first; {again}"
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


def _notes(run: RecordedRun) -> list[str]:
    """Return what is missing, and the first warnings of the run."""
    warnings = run.summary.warnings
    more = [f"and {len(warnings) - MOST_WARNINGS} more, in summary.json"]
    return [*run.notes, *warnings[:MOST_WARNINGS], *(more if len(warnings) > MOST_WARNINGS else [])]


def _stations(summary: Summary, most: int = 40) -> str:
    """Return the names of the stations, of many the first ones."""
    names = list(map(station_name, summary.stations))
    if len(names) > most:
        names[most:] = [f"and {len(names) - most} more"]
    return ", ".join(names) or "no station"
