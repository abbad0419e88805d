"""An event in the report: its row in the table, its facts and its picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.report.charts.day_plot import Mark
from edgequake.report.charts.event_panels import EventPanel, event_figure
from edgequake.report.charts.images import pixels_of, png_uri
from edgequake.report.charts.sparkline import sparkline
from edgequake.report.charts.spectrogram import DEFAULT_BRIDGE_S, DEFAULT_WINDOW_SAMPLES
from edgequake.report.recording.recorded_run import RecordedRun
from edgequake.report.recording.samples import read_record
from edgequake.results.finished_run import RunEvent
from edgequake.results.words import duration, moment, plural, size, station_name, thousands, time_of_day

EVENT_COLUMNS = ("±", "station", "lasts", "peak probability", "class", "channels", "samples", "size", "sent")


@dataclass(frozen=True)
class EventEntry:
    """The page's entry for one event; facts and picture are of drawn events alone."""

    number: int  # from 1, in the catalogue's order
    onset: str
    station: str
    cells: tuple[str, ...]  # under EVENT_COLUMNS
    sparkline: str | None  # path of its waveform; None where its samples are not available
    page: int = 1  # that its row is on
    is_drawn: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    picture: str | None = None  # data: address; None where its samples are not available
    pixels: tuple[int, int] = (0, 0)  # width and height of the picture
    alt: str = ""


class EventEntries:
    """Makes the entries for the events of a run."""

    def __init__(self, run: RecordedRun, marks: Sequence[Mark]) -> None:
        """`marks` are those of all events of the run, in the catalogue's order."""
        self._run = run
        self._numbers = {id(row): mark.number for row, mark in zip(run.events, marks, strict=True)}
        self._drawn = {id(row) for row in run.drawn}
        self._together: dict[str, list[Mark]] = defaultdict(list)  # by segment
        for row, mark in zip(run.events, marks, strict=True):
            self._together[row.segment].append(mark)

    def entry(self, row: RunEvent, page: int = 1) -> EventEntry:
        """Return an event, with its panel where it is drawn.

        Raises
        ------
        DataError
            The kept segment is damaged, or of another run.
        """
        run, segment = self._run, self._run.segment_of(row)
        number, (traces, source) = self._numbers[id(row)], _samples(run, segment)
        length = duration((row.stop_ns - row.onset_ns) / NS_PER_S)
        line = sparkline(traces, segment.start_ns, segment.stop_ns, run.summary.model_of(row.station_id).name)
        entry = EventEntry(
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
            sparkline=line,
            page=page,
        )
        return self._with_panel(entry, row, segment, traces, source) if id(row) in self._drawn else entry

    def _with_panel(
        self, entry: EventEntry, row: RunEvent, segment: Segment, traces: tuple[Trace, ...], source: str
    ) -> EventEntry:
        together = self._together[row.segment]
        panel = _panel(self._run, row, segment, traces, together)
        shared = f", shared by {plural(len(together), 'event')}" if together[1:] else ""
        length = duration((row.stop_ns - row.onset_ns) / NS_PER_S)
        picture = png_uri(event_figure(panel)) if traces else None
        facts = (
            ("onset", f"{moment(row.onset_ns)} UTC{_uncertainty(row)}"),
            ("lasts", f"{length}, until {moment(row.stop_ns)[11:]}"),
            ("peak probability", f"{row.peak_probability:.4f}"),
            ("in the input", f"{row.filename}, {row.time_rel_s:.1f} s after its first sample"),
            ("kept segment", f"{row.segment}, {size(row.size_bytes)}, {time_of_day(segment.start_ns)} to "
             f"{time_of_day(segment.stop_ns)}{shared}{source}"),
            ("name", row.evid),
        )  # fmt: skip
        return replace(
            entry, is_drawn=True, facts=facts, picture=picture, alt=_alt(panel, entry.number),
            pixels=(0, 0) if picture is None else pixels_of(picture),
        )  # fmt: skip


def _uncertainty(row: CatalogRow) -> str:
    return "" if row.onset_uncertainty_s is None else f" ± {row.onset_uncertainty_s:.3g} s"


def _samples(run: RecordedRun, segment: Segment) -> tuple[tuple[Trace, ...], str]:
    """Return the kept samples; from the records where the segment has been deleted after it was sent."""
    path = run.folder / segment.file
    if path.is_file():
        return tuple(read_record(path)), ""
    traces = tuple(run.day_traces(segment.station_id, segment.start_ns, segment.stop_ns))
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
        model=used.name,
    )


def _alt(panel: EventPanel, number: int) -> str:
    """Describe the picture in words."""
    with_network = " and the network's probabilities" if panel.probabilities else ""
    return (
        f"Event {number}: waveforms of {', '.join(panel.row.channels)}, spectrogram{with_network} from "
        f"{time_of_day(panel.segment.start_ns)} to {time_of_day(panel.segment.stop_ns)} UTC, with the onset at "
        f"{time_of_day(panel.row.onset_ns)}"
    )
