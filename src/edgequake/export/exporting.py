"""Export the events or the segments of a run for other seismological software: QuakeML, CSV, Snuffler markers, SAC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.data.tables import table_bytes
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.export.stations import Place, read_places
from edgequake.results.finished_run import FinishedRun, RunEvent, read_run
from edgequake.results.progress import Progress, silent
from edgequake.scan.storage.scan_folder import is_scan

# The default file or folder of each format, in the run's folder.
DEFAULT_NAMES = {"quakeml": "events.xml", "csv": "events.csv", "snuffler": "events.markers", "sac": "sac"}
CSV_COLUMNS = (
    "time", "network", "station", "location", "channels", "stop", "uncertainty_s", "probability", "class", "segment",
    "evid",
)  # fmt: skip
_TITLES = {"quakeml": "QuakeML", "csv": "CSV", "snuffler": "Snuffler markers"}


@dataclass(frozen=True)
class Exported:
    """The files that were written, and notes on them."""

    form: str
    files: tuple[Path, ...]
    n_events: int
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the result as lines of text."""
        if self.form == "sac":
            result = f"{len(self.files)} SAC file(s): {self.files[0].parent}"
        else:
            result = f"{self.n_events} event(s) as {_TITLES[self.form]}: {self.files[0]}"
        return "\n".join([f"exported {result}", *(f"note: {note}" for note in self.notes)])


def export_run(
    run_dir: Path,
    forms: Sequence[str],
    out: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
    stations: Path | None = None,
) -> list[Exported]:
    """Write a run's events, or for `sac` its segments, in formats that other programs read.

    Parameters
    ----------
    run_dir : output folder of `edgequake run`, or of `edgequake scan`.
    forms : one or several of "quakeml", "csv", "snuffler" and "sac".
    out : the file of a single format, for `sac` the folder; of several formats the folder that gets each under its
        default name. By default in `run_dir`, see `DEFAULT_NAMES`.
    force : replace existing files.
    progress : called with the share done, 0..1, and a description.
    stations : an inventory; events in QuakeML get an origin at their station.

    Raises
    ------
    ConfigError
        An unknown format, an output that exists, or `stations` without QuakeML: nothing is written.
    DataError
        No finished run; a station that the inventory lacks; a missing segment; samples that the format cannot hold; a
        file that cannot be written.
    """
    for form in forms:
        if form not in DEFAULT_NAMES:
            raise ConfigError(f"unknown format '{form}': expected one of {', '.join(DEFAULT_NAMES)}")
    if stations is not None and "quakeml" not in forms:
        raise ConfigError("--stations gives QuakeML events an origin; add --quakeml, or leave it out")
    run = _read(run_dir, forms)
    if len(forms) == 1:
        targets = {forms[0]: out or run_dir / DEFAULT_NAMES[forms[0]]}
    else:
        folder = out or run_dir
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; name a folder for {len(forms)} formats with --out")
        targets = {form: folder / DEFAULT_NAMES[form] for form in forms}
        folder.mkdir(parents=True, exist_ok=True)
    places = None if stations is None else _places(stations, run)
    for form, target in targets.items():
        if form != "sac":
            _require_new_file(target, force)
    # SAC first: what may be refused for its samples leaves no other file behind.
    in_order = sorted(targets, key=lambda form: form != "sac")
    results = {form: _export(run, form, targets[form], force, progress, places) for form in in_order}
    return [results[form] for form in forms]


def _export(
    run: FinishedRun,
    form: str,
    target: Path,
    force: bool,
    progress: Progress,
    places: Mapping[str, Place] | None,
) -> Exported:
    if form == "sac":
        from edgequake.export.sac import write_sac

        files, notes = write_sac(run, target, force, progress)
        return Exported(form, files, len(run.events), notes)
    if form == "quakeml":
        from edgequake.export.quakeml import quakeml

        content = quakeml(run, places)
    else:
        content = to_csv(run.events) if form == "csv" else to_snuffler(run.events)
    write_bytes_atomically(target, content)
    return Exported(form, (target,), len(run.events))


def _require_new_file(target: Path, force: bool) -> None:
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; name a file with --out")
    if target.exists() and not force:
        raise ConfigError(f"{target} exists; name another file with --out, or replace it with --force")
    if not target.parent.is_dir():
        raise DataError(f"folder {target.parent} does not exist; make it, or name another with --out")


def _places(stations: Path, run: FinishedRun) -> dict[str, Place]:
    """Return where the stations of a run's events are."""
    places = read_places(stations)
    missing = sorted({event.station_id for event in run.events} - places.keys())
    if missing:
        raise DataError(f"{stations} has no station {', '.join(missing)}: it has {', '.join(sorted(places)[:5])}")
    return places


def _read(folder: Path, forms: Sequence[str]) -> FinishedRun:
    """Return a run, or a scan as one."""
    if not is_scan(folder):
        return read_run(folder)
    if "sac" in forms:
        raise ConfigError(f"{folder} is a scan, whose kept samples are an SDS archive: read them from its segments/")
    from edgequake.scan.finished_scan import read_scan

    return read_scan(folder)


def to_csv(events: Iterable[RunEvent]) -> bytes:
    """Return a table of events: times in ISO 8601 with Z, empty cells where the catalogue has no value."""
    return table_bytes(CSV_COLUMNS, (dict(zip(CSV_COLUMNS, _csv_cells(event), strict=True)) for event in events))


def _csv_cells(event: RunEvent) -> tuple[str, ...]:
    return (
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


def to_snuffler(events: Iterable[RunEvent]) -> bytes:
    """Return a marker file of Pyrocko's Snuffler: a pick at the onset of each event, and a span from onset to stop.

    A pick with an uncertainty u spans onset - u to onset + u, as in Snuffler's own files.

    References
    ----------
    Pyrocko manual, "Basic event and marker files", version 0.2 of the format.
    """
    lines = ["# Snuffler Markers File Version 0.2"]
    for event in events:
        half_ns = round((event.onset_uncertainty_s or 0.0) * NS_PER_S)
        onset = _snuffler_span(event.onset_ns - half_ns, event.onset_ns + half_ns)
        span = _snuffler_span(event.onset_ns, event.stop_ns)
        # Event hash, day, time, phase and polarity are unknown; the last field marks the pick as automatic.
        lines.append(f"phase: {onset} 0 {_nslc(event, event.pick_channel)} None None None onset None True")
        lines.append(f"{span} 1 {','.join(_nslc(event, channel) for channel in event.channels) or 'None'}")
    return ("\n".join(lines) + "\n").encode()


def _snuffler_span(start_ns: int, stop_ns: int) -> str:
    start, stop = (format_time(time_ns).replace("T", " ") for time_ns in (start_ns, stop_ns))
    return start if start_ns == stop_ns else f"{start} {stop} {(stop_ns - start_ns) / NS_PER_S:.6f}"


def _nslc(event: RunEvent, channel: str) -> str:
    # A space or a comma would end the field.
    return re.sub(r"[ ,]", "-", one_line(".".join((event.network, event.station, event.location or "", channel))))
