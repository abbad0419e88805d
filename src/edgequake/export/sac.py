"""Write a run's segments as SAC files: one per channel and contiguous run, with the onsets in the headers.

SAC holds 32-bit floats. They represent integers up to 2^24 exactly; larger ones are refused. 64-bit floats are rounded
to 24 binary digits, with a note.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, merge_contiguous
from edgequake.results.finished_run import FinishedRun, RunEvent
from edgequake.results.progress import Progress, silent

MAX_EXACT_INTEGER = 2**24
_MORE_ONSETS = 10  # beside the marker A, SAC has T0 to T9
_MOST_LETTERS = 8  # of a code in a SAC header


def write_sac(
    run: FinishedRun, folder: Path, force: bool, progress: Progress = silent
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write the segments of a run into a folder; return the files and the notes on them.

    Raises
    ------
    ConfigError
        The folder holds SAC files and `force` is not set.
    DataError
        The run has no segments, a segment is missing or cannot be read, or samples do not fit 32-bit floats; no file is
        written.
    """
    if not run.segments:
        raise DataError(f"{run.folder} has no segments, so there are no samples to export")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder for SAC files with --out")
    if any(folder.glob("*.SAC")) and not force:
        raise ConfigError(f"{folder} holds SAC files; name another folder with --out, or replace them with --force")
    for name in run.segments:  # all are read before the first is written, so that an error leaves no files behind
        for trace in _runs(run.folder / name):
            _require_exact(trace)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}  # by name in small letters
    rounded = is_cut = False
    for number, segment in enumerate(run.segments, start=1):
        events = [event for event in run.events if event.segment == segment]
        for trace in _runs(run.folder / segment):
            within = [event for event in events if trace.start_ns <= event.onset_ns < trace.stop_ns]
            name = _free_name(trace, files)
            path = files[name.lower()] = folder / name
            write_bytes_atomically(path, _encode(trace, within))
            rounded |= trace.samples.dtype == np.float64
            is_cut |= any(len(code) > _MOST_LETTERS for code in _codes(trace))
        progress(number / len(run.segments), "exporting")
    notes = {
        "64-bit samples were rounded to SAC's 32-bit floats; the miniSEED segments are exact": rounded,
        f"SAC headers hold the first {_MOST_LETTERS} letters of a code; the file names hold all": is_cut,
    }
    return tuple(files.values()), tuple(note for note, applies in notes.items() if applies)


def _runs(path: Path) -> Iterator[Trace]:
    """Yield the contiguous runs of each channel of a segment."""
    if not path.is_file():
        raise DataError(f"segment {path} does not exist: export the run where its segments are")
    index = index_file(path)
    for source_id in sorted({header.source_id for header in index.headers}):
        headers = [header for header in index.headers if header.source_id == source_id]
        yield from merge_contiguous(read_indexed(index, headers))


def _require_exact(trace: Trace) -> None:
    samples = trace.samples
    largest = float(np.max(np.abs(samples.astype(np.float64)), initial=0.0, where=np.isfinite(samples)))
    if samples.dtype.kind in "iu" and largest > MAX_EXACT_INTEGER:
        raise DataError(
            f"{trace.file}: {trace.source_id} reaches {largest:.0f}, and SAC's 32-bit floats hold integers exactly "
            f"only up to {MAX_EXACT_INTEGER}; use the miniSEED segments, which are exact"
        )
    if largest > float(np.finfo(np.float32).max):
        raise DataError(
            f"{trace.file}: {trace.source_id} reaches {largest:g}, more than SAC's 32-bit floats can hold; use the "
            f"miniSEED segments"
        )


def _encode(trace: Trace, events: list[RunEvent]) -> bytes:
    """Return a SAC file; its reference time is that of the first sample, truncated to a millisecond as SAC requires."""
    from obspy.io.sac import SACTrace

    reference_ns = trace.start_ns // 1_000_000 * 1_000_000
    time = _datetime_of(reference_ns)
    codes = split_source_id(trace.source_id)
    obspy_trace = SACTrace(
        data=trace.samples.astype(np.float32),
        delta=1.0 / trace.sampling_rate_hz,
        b=(trace.start_ns - reference_ns) / NS_PER_S,
        nzyear=time.year,
        nzjday=time.timetuple().tm_yday,
        nzhour=time.hour,
        nzmin=time.minute,
        nzsec=time.second,
        nzmsec=time.microsecond // 1000,
        iztype="iunkn",
        knetwk=codes.network[:_MOST_LETTERS],
        kstnm=codes.station[:_MOST_LETTERS],
        khole=codes.location[:_MOST_LETTERS],
        kcmpnm=codes.channel[:_MOST_LETTERS],
        **_markers(events, reference_ns),
    )
    buffer = io.BytesIO()
    obspy_trace.write(buffer)
    return buffer.getvalue()


def _markers(events: list[RunEvent], reference_ns: int) -> dict[str, Any]:
    """Return the header's markers: A and F are the onset and stop of the first event, T0 to T9 the following onsets."""
    markers: dict[str, Any] = {}
    for number, event in enumerate(sorted(events, key=lambda event: event.onset_ns)[: 1 + _MORE_ONSETS]):
        name = "a" if number == 0 else f"t{number - 1}"
        markers |= {name: (event.onset_ns - reference_ns) / NS_PER_S, f"k{name}": "A"}
        if number == 0:
            markers |= {"f": (event.stop_ns - reference_ns) / NS_PER_S, "kf": "F"}
    return markers


def _codes(trace: Trace) -> tuple[str, str, str, str]:
    codes = split_source_id(trace.source_id)
    return codes.network, codes.station, codes.location, codes.channel


def _free_name(trace: Trace, taken: dict[str, Path]) -> str:
    """Return NET.STA.LOC.CHA.YEAR.DAY.HHMMSS.mmm.SAC, numbered where two streams recorded the same times."""
    codes = _codes(trace)
    time = _datetime_of(trace.start_ns)
    clock = f"{time:%Y.%j.%H%M%S}.{time.microsecond // 1000:03d}"
    stem = ".".join((*(re.sub(r"[^A-Za-z0-9_-]", "-", code) for code in codes), clock))
    stem = f"-{stem}" if stem.startswith(".") else stem  # without a network code; such files would be hidden
    name, number = f"{stem}.SAC", 2
    while name.lower() in taken:  # codes may differ in their case alone, which not every file system tells apart
        name, number = f"{stem}_{number}.SAC", number + 1
    return name


def _datetime_of(time_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=time_ns // 1000)
