"""A run's kept samples as SAC files: one per channel and unbroken stretch, with the onsets in their headers.

SAC holds 32-bit floats. Integers up to 2^24 pass through them unchanged; larger ones are refused. 64-bit floats are
rounded to 24 binary digits, which is noted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, channel_of, duration_ns
from edgequake.results.finished_run import FinishedRun, RunEvent

MAX_EXACT_INTEGER = 2**24
_MORE_ONSETS = 10  # SAC has the markers A and T0 to T9


@dataclass(frozen=True)
class _SacFile:
    name: str
    content: bytes
    rounded: bool


def write_sac(
    run: FinishedRun, folder: Path, force: bool, progress: Callable[[float], None] | None = None
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write every kept segment of a run into a folder; return the files and what to know about them.

    Raises
    ------
    ConfigError
        The folder holds SAC files and `force` is not set.
    DataError
        Nothing was kept, a segment has gone or cannot be read, or samples do not fit 32-bit floats: nothing is written
        then.
    """
    if not run.segments:
        raise DataError(f"{run.folder} kept no segment, so there are no samples to export")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder for SAC files with --out")
    if any(folder.glob("*.SAC")) and not force:
        raise ConfigError(f"{folder} holds SAC files already; name another with --out, or replace them with --force")
    for name in run.segments:  # all are read before the first is written: a refusal leaves nothing behind
        for trace in _stretches(run.folder / name):
            _require_exact(trace)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    rounded = False
    for number, name in enumerate(run.segments, start=1):
        for file in _sac_files(run, name, files):
            files[file.name] = folder / file.name
            write_bytes_atomically(files[file.name], file.content)
            rounded |= file.rounded
        if progress:
            progress(number / len(run.segments))
    notes = ("64-bit samples were rounded to SAC's 32-bit floats; the miniSEED segments are exact",) if rounded else ()
    return tuple(files.values()), notes


def _sac_files(run: FinishedRun, segment: str, taken: dict[str, Path]) -> Iterator[_SacFile]:
    events = [event for event in run.events if event.segment == segment]
    for trace in _stretches(run.folder / segment):
        within = [event for event in events if trace.start_ns <= event.onset_ns < trace.stop_ns]
        yield _SacFile(_free_name(trace, taken), _encode(trace, within), trace.samples.dtype == np.float64)


def _stretches(path: Path) -> Iterator[Trace]:
    """Yield a segment's channels, each joined where its samples follow one another to a hundredth of a sample."""
    if not path.is_file():
        raise DataError(f"segment {path} has gone: export the run where its segments are")
    index = index_file(path)
    for source_id in sorted({header.source_id for header in index.headers}):
        headers = [header for header in index.headers if header.source_id == source_id]
        yield from _joined(read_indexed(index, headers))


def _joined(traces: Iterable[Trace]) -> Iterator[Trace]:
    held: list[Trace] = []
    stop_ns = 0
    for trace in traces:
        if held and not _follows(trace, held[0], stop_ns):
            yield _concatenated(held)
            held = []
        held.append(trace)
        # Counted from the first sample, so that small deviations cannot add up.
        stop_ns = held[0].start_ns + duration_ns(sum(len(part.samples) for part in held), held[0].sampling_rate_hz)
    if held:
        yield _concatenated(held)


def _follows(trace: Trace, first: Trace, stop_ns: int) -> bool:
    tolerance_ns = duration_ns(1, first.sampling_rate_hz) // 100
    alike = trace.samples.dtype == first.samples.dtype and trace.sampling_rate_hz == first.sampling_rate_hz
    return alike and abs(trace.start_ns - stop_ns) <= tolerance_ns


def _concatenated(traces: list[Trace]) -> Trace:
    return replace(traces[0], samples=np.concatenate([trace.samples for trace in traces]))


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
    """Return a SAC file whose reference time is the first sample's, cut to the millisecond that the header holds."""
    from obspy.io.sac import SACTrace

    reference_ns = trace.start_ns // 1_000_000 * 1_000_000
    moment = _moment(reference_ns)
    network, station, location, *_ = (*trace.source_id.removeprefix("FDSN:").split("_"), "", "", "")
    obspy_trace = SACTrace(
        data=trace.samples.astype(np.float32),
        delta=1.0 / trace.sampling_rate_hz,
        b=(trace.start_ns - reference_ns) / NS_PER_S,
        nzyear=moment.year,
        nzjday=moment.timetuple().tm_yday,
        nzhour=moment.hour,
        nzmin=moment.minute,
        nzsec=moment.second,
        nzmsec=moment.microsecond // 1000,
        iztype="iunkn",
        knetwk=network,
        kstnm=station,
        khole=location,
        kcmpnm=channel_of(trace.source_id),
        **_marks(events, reference_ns),
    )
    buffer = io.BytesIO()
    obspy_trace.write(buffer)
    return buffer.getvalue()


def _marks(events: list[RunEvent], reference_ns: int) -> dict[str, Any]:
    """The first onset is A, and its event's stop F; onsets that share the segment with it are T0 to T9."""
    marks: dict[str, Any] = {}
    for number, event in enumerate(sorted(events, key=lambda event: event.onset_ns)[: 1 + _MORE_ONSETS]):
        name = "a" if number == 0 else f"t{number - 1}"
        marks |= {name: (event.onset_ns - reference_ns) / NS_PER_S, f"k{name}": "A"}
        if number == 0:
            marks |= {"f": (event.stop_ns - reference_ns) / NS_PER_S, "kf": "F"}
    return marks


def _free_name(trace: Trace, taken: dict[str, Path]) -> str:
    """NET.STA.LOC.CHA.YEAR.DAY.HHMMSS.mmm.SAC, numbered where two streams of the same hours kept the same samples."""
    codes = (*trace.source_id.removeprefix("FDSN:").split("_")[:3], channel_of(trace.source_id))
    moment = _moment(trace.start_ns)
    clock = f"{moment:%Y.%j.%H%M%S}.{moment.microsecond // 1000:03d}"
    stem = ".".join((*(re.sub(r"[^A-Za-z0-9-]", "-", code) for code in codes), clock))
    name, number = f"{stem}.SAC", 2
    while name in taken:
        name, number = f"{stem}_{number}.SAC", number + 1
    return name


def _moment(time_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=time_ns // 1000)
