"""The files of a run's monitor ring, DIR/monitor, and how to read them while the runner writes them.

    samples/NET.STA.LOC.CHA/YYYYMMDDTHH.mseed      miniSEED records of one channel, appended as the samples come
    probability/NET_STA/YYYYMMDDTHH.frames         one `FRAME` for each decision of the station's network

Each file is of the hour, UTC, in which its first sample lies, or in which its frames end. A file may end within a
record or a frame, and samples or frames may come twice after a restart: readers here take whole ones, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.extract import Span, traces_of_files
from edgequake.edge.archive.sds import DayName, parse_day_name, station_name
from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import MONITOR
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time, parse_time

HOUR_NS = 3600 * NS_PER_S
SAMPLES, FRAMES = "samples", "probability"
SAMPLES_SUFFIX, FRAMES_SUFFIX = ".mseed", ".frames"
# A decision of the network, 16 bytes, little-endian: the end of the interval that it is on (ns since 1970 UTC), the
# probabilities that an event begins in it, and that one is in progress, 0..1.
FRAME = np.dtype([("stop_ns", "<i8"), ("onset", "<f4"), ("event", "<f4")])
MOST_FILE_BYTES = 64 << 20  # an hour of 32-bit samples at 4000 Hz: more is no hour of a seismometer


def hour_name(time_ns: int) -> str:
    """Return the name of the hour that a time lies in, as ``20220102T05``."""
    return format_time(time_ns - time_ns % HOUR_NS)[:13].replace("-", "")


def hour_of(name: str) -> int | None:
    """Return when the hour of a file's name begins, ns since 1970; None where it is no such name."""
    stem = name.partition(".")[0]
    if len(stem) != 11 or not stem.replace("T", "", 1).isascii() or not stem.replace("T", "", 1).isdigit():
        return None
    try:
        return parse_time(f"{stem[:4]}-{stem[4:6]}-{stem[6:8]}T{stem[9:]}:00:00")
    except DataError:
        return None


def monitored_channels(out: Path) -> list[str]:
    """Return the channels in the ring of a run folder, as NET.STA.LOC.CHA, sorted."""
    return sorted(path.name for path in (out / MONITOR / SAMPLES).glob("*") if path.is_dir())


def monitored_name(channel: str) -> DayName | None:
    """Return what a channel's folder in the ring is called after: as a day file, without its day."""
    return parse_day_name(f"{channel}.D.1970.001")


def monitored_stations(out: Path) -> list[str]:
    """Return the stations with probabilities in the ring of a run folder, as NET_STA, sorted."""
    return sorted(path.name for path in (out / MONITOR / FRAMES).glob("*") if path.is_dir())


def monitor_samples(out: Path, channel: str, start_ns: int, stop_ns: int) -> list[Trace]:
    """Return the samples of a channel with start <= time < stop, as traces in order of time; empty without any.

    channel : one of `monitored_channels`; no other name is looked up.
    """
    if channel not in monitored_channels(out):
        return []
    folder = out / MONITOR / SAMPLES / channel
    paths = list(_files_of(folder, SAMPLES_SUFFIX, start_ns, stop_ns))
    return traces_of_files(paths, Span(start_ns, stop_ns))


def monitor_frames(out: Path, station_id: str, start_ns: int, stop_ns: int) -> npt.NDArray[Any]:
    """Return the probabilities of a station with start < stop_ns of the frame <= stop, in order of time.

    Returns
    -------
    `FRAME`, shape (n_frames,).
    """
    folder = out / MONITOR / FRAMES / station_name(station_id)
    parts = [np.zeros(0, FRAME)]
    for path in _files_of(folder, FRAMES_SUFFIX, start_ns, stop_ns):
        try:
            data = read_whole(path, MOST_FILE_BYTES)
        except OSError:  # the ring has just dropped it
            continue
        parts.append(np.frombuffer(data[: len(data) - len(data) % FRAME.itemsize], FRAME))
    frames = np.concatenate(parts)
    frames = frames[(frames["stop_ns"] > start_ns) & (frames["stop_ns"] <= stop_ns)]
    last = len(frames) - 1 - np.unique(frames["stop_ns"][::-1], return_index=True)[1]  # of a time: what came last
    return np.asarray(frames[last])


def _files_of(folder: Path, suffix: str, start_ns: int, stop_ns: int) -> Iterator[Path]:
    """Yield the files that may hold samples of a span: a record that an hour begins with may reach into the next."""
    found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
    for path in found:
        hour_ns = hour_of(path.name)
        if hour_ns is not None and start_ns - 2 * HOUR_NS < hour_ns <= stop_ns:
            yield path
