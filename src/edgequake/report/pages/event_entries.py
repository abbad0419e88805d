"""An event in the report: its row in the table, its facts and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.report.charts.day_plot import Mark
from edgequake.report.charts.event_panels import EventPanel, event_figure
from edgequake.report.charts.images import png_uri
from edgequake.report.charts.spectrogram import DEFAULT_BRIDGE_S, DEFAULT_WINDOW_SAMPLES
from edgequake.report.recording.recorded_run import RecordedRun
from edgequake.report.recording.samples import read_record
from edgequake.results.finished_run import RunEvent
from edgequake.results.words import duration, moment, plural, size, station_name, thousands, time_of_day

EVENT_COLUMNS = ("±", "station", "lasts", "peak probability", "class", "channels", "samples", "size", "sent")


@dataclass(frozen=True)
class EventEntry:
    """The page's entry for one event."""

    number: int  # from 1, in the catalogue's order
    onset: str
    station: str
    cells: tuple[str, ...]  # under EVENT_COLUMNS
    facts: tuple[tuple[str, str], ...]
    picture: str | None  # data: address; None where its samples are not available
    alt: str


def event_entry(run: RecordedRun, row: RunEvent, marks: Sequence[Mark]) -> EventEntry:
    """Return an event with its panel drawn; `marks` are those of all events of the run, in the catalogue's order.

    Raises
    ------
    DataError
        The kept segment is damaged, or of another run.
    """
    segment = run.segment_of(row)
    together = [mark for other, mark in zip(run.events, marks, strict=True) if other.segment == row.segment]
    number = next(mark.number for other, mark in zip(run.events, marks, strict=True) if other is row)
    traces, source = _samples(run, segment)
    panel = _panel(run, row, segment, traces, together)
    length = duration((row.stop_ns - row.onset_ns) / NS_PER_S)
    shared = f", shared by {plural(len(together), 'event')}" if together[1:] else ""
    return EventEntry(
        number=number,
        onset=moment(row.onset_ns),
        station=station_name(row.station_id),
        cells=(
            _uncertainty(row).removeprefix(" ± ") or "–",
            station_name(row.station_id),
            length,
            f"{row.peak_probability:.3f}",
            row.mq_type or "–",
            " ".join(row.channels),
            thousands(row.n_samples),
            size(row.size_bytes),
            "yes" if row.sent else "no",
        ),
        facts=(
            ("onset", f"{moment(row.onset_ns)} UTC{_uncertainty(row)}"),
            ("lasts", f"{length}, until {moment(row.stop_ns)[11:]}"),
            ("peak probability", f"{row.peak_probability:.4f}"),
            ("in the input", f"{row.filename}, {row.time_rel_s:.1f} s after its first sample"),
            ("kept segment", f"{row.segment}, {size(row.size_bytes)}, {time_of_day(segment.start_ns)} to "
             f"{time_of_day(segment.stop_ns)}{shared}{source}"),
            ("name", row.evid),
        ),
        picture=png_uri(event_figure(panel)) if traces else None,
        alt=_alt(panel, number),
    )  # fmt: skip


def _uncertainty(row: CatalogRow) -> str:
    return "" if row.onset_uncertainty_s is None else f" ± {row.onset_uncertainty_s:.3g} s"


def _samples(run: RecordedRun, segment: Segment) -> tuple[tuple[Trace, ...], str]:
    """Return the kept samples; from the records where the segment has been deleted after it was sent."""
    path = run.folder / segment.file
    if path.is_file():
        return tuple(read_record(path)), ""
    own = (trace for trace in run.traces if run.from_records and trace.station_id == segment.station_id)
    cut = (trace.between(segment.start_ns, segment.stop_ns) for trace in own)
    traces = tuple(trace for trace in cut if len(trace.samples))
    return traces, "; no longer in the run's folder" + (": drawn from the records" if traces else "")


def _panel(
    run: RecordedRun, row: CatalogRow, segment: Segment, traces: tuple[Trace, ...], together: Sequence[Mark]
) -> EventPanel:
    used = run.summary.model_of(row.station_id)
    manifest = run.models[used.name].manifest if run.models else None
    spectral = manifest is not None and manifest.front_end.kind != "waveform"
    return EventPanel(
        row=row,
        segment=segment,
        traces=traces,
        probabilities=run.probabilities_of(row),
        marks=tuple(together),
        onset_threshold=used.onset_threshold,
        event_threshold=manifest.trigger.event_threshold if manifest else None,
        window_samples=manifest.front_end.window_samples if manifest and spectral else DEFAULT_WINDOW_SAMPLES,
        bridge_s=manifest.front_end.bridge_s if manifest else DEFAULT_BRIDGE_S,
    )


def _alt(panel: EventPanel, number: int) -> str:
    """Describe the picture in words."""
    with_network = " and the network's probabilities" if panel.probabilities else ""
    return (
        f"Event {number}: waveforms of {', '.join(panel.row.channels)}, spectrogram{with_network} from "
        f"{time_of_day(panel.segment.start_ns)} to {time_of_day(panel.segment.stop_ns)} UTC, with the onset at "
        f"{time_of_day(panel.row.onset_ns)}"
    )
