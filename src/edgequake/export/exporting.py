"""Export a run's results for the tools of the field: QuakeML, CSV, Snuffler markers, SAC."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.results.finished_run import FinishedRun, RunEvent, read_run

# What each form is written to, under the run's folder, where nothing else is asked for.
DEFAULT_NAMES = {"quakeml": "events.xml", "csv": "events.csv", "snuffler": "events.markers", "sac": "sac"}
CSV_COLUMNS = (
    "time", "network", "station", "location", "channels", "stop", "uncertainty_s", "probability", "class", "segment",
    "evid",
)  # fmt: skip
_WORDS = {"quakeml": "QuakeML", "csv": "CSV", "snuffler": "Snuffler markers"}
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Exported:
    """What was written, and what to know about it."""

    form: str
    files: tuple[Path, ...]
    n_events: int
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the same in words."""
        what = (
            f"{len(self.files)} SAC file(s)"
            if self.form == "sac"
            else f"{self.n_events} event(s) as {_WORDS[self.form]}"
        )
        where = self.files[0].parent if self.form == "sac" else self.files[0]
        return "\n".join([f"exported {what}: {where}", *(f"note: {note}" for note in self.notes)])


def export_run(
    run_dir: Path, form: str, out: Path | None = None, force: bool = False, progress: Progress | None = None
) -> Exported:
    """Write a run's events, or for `sac` its kept samples, in a form that other programs read.

    Parameters
    ----------
    run_dir : what `edgequake run` wrote.
    form : "quakeml", "csv", "snuffler" or "sac".
    out : the file, for `sac` the folder; by default under `run_dir`, as in `DEFAULT_NAMES`.
    force : replace files that are there already.
    progress : called with the share done, 0..1.

    Raises
    ------
    ConfigError
        An unknown form, or the output is there already.
    DataError
        No finished run, a segment that has gone, samples that the form cannot hold, or the disk refuses.
    """
    if form not in DEFAULT_NAMES:
        raise ConfigError(f"unknown form '{form}': expected one of {', '.join(DEFAULT_NAMES)}")
    run = read_run(run_dir)
    target = out or run_dir / DEFAULT_NAMES[form]
    if form == "sac":
        from edgequake.export.sac import write_sac

        files, notes = write_sac(run, target, force, progress)
        return Exported(form, files, len(run.events), notes)
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; name a file with --out")
    if target.exists() and not force:
        raise ConfigError(f"{target} is there already; name another with --out, or replace it with --force")
    if not target.parent.is_dir():
        raise DataError(f"folder {target.parent} does not exist; make it, or name another with --out")
    write_bytes_atomically(target, _encode(run, form))
    return Exported(form, (target,), len(run.events))


def _encode(run: FinishedRun, form: str) -> bytes:
    if form == "quakeml":
        from edgequake.export.quakeml import quakeml

        return quakeml(run)
    return (to_csv(run.events) if form == "csv" else to_snuffler(run.events)).encode()


def to_csv(events: Iterable[RunEvent]) -> str:
    """Return a table of events: times in ISO 8601 with Z, blank cells where nothing is told."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for event in events:
        writer.writerow(
            (
                format_time(event.onset_ns) + "Z",
                event.network,
                event.station,
                event.location or "",
                " ".join(event.channels),
                format_time(event.stop_ns) + "Z",
                "" if event.onset_uncertainty_s is None else f"{event.onset_uncertainty_s:g}",
                f"{event.peak_probability:.4f}",
                event.mq_type,
                event.segment,
                event.name,
            )
        )
    return buffer.getvalue()


def to_snuffler(events: Iterable[RunEvent]) -> str:
    """Return a marker file of Pyrocko's Snuffler: for each event a pick at its onset and a span over it.

    A pick with an uncertainty is drawn as wide as that, onset - u to onset + u, as Snuffler does it.

    References
    ----------
    Pyrocko manual, "Basic event and marker files", version 0.2 of the format.
    """
    lines = ["# Snuffler Markers File Version 0.2"]
    for event in events:
        half_ns = round((event.onset_uncertainty_s or 0.0) * NS_PER_S)
        onset = _snuffler_span(event.onset_ns - half_ns, event.onset_ns + half_ns)
        span = _snuffler_span(event.onset_ns, event.stop_ns)
        # Event hash, day, time, phase and polarity are not known; the last word says that no person picked it.
        lines.append(f"phase: {onset} 0 {_nslc(event, event.pick_channel)} None None None onset None True")
        lines.append(f"{span} 1 {','.join(_nslc(event, channel) for channel in event.channels) or 'None'}")
    return "\n".join(lines) + "\n"


def _snuffler_span(start_ns: int, stop_ns: int) -> str:
    start, stop = (format_time(time_ns).replace("T", " ") for time_ns in (start_ns, stop_ns))
    return start if start_ns == stop_ns else f"{start} {stop} {(stop_ns - start_ns) / NS_PER_S:.6f}"


def _nslc(event: RunEvent, channel: str) -> str:
    return ".".join((event.network, event.station, event.location or "", channel))
