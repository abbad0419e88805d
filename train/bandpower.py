"""Whole lunar days as one number a frame: how the level of real quiet time rises and falls over hours.

`moon_bandpower.npz` holds, for 48 days of station S12, the mean power density between 0.5 and 2 Hz in frames 33.81 s
apart; `moon_bandpower.csv` says which day each one is. No waveform is in them, but they tell what synthetic noise
lacks: slow swells, sunrise and sunset, stretches that fall silent. Quiet parts of days become curves of amplitude
that synthetic noise is multiplied by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import LabelledRecord, parse_time_ns, read_table
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

Float = npt.NDArray[np.float64]

FRAME_S = 224 / 6.625  # from one frame to the next: scipy.signal.spectrogram's hop at the packet's rate
BEFORE_EVENT_S, AFTER_EVENT_S = 600.0, 7200.0  # what is not quiet around a catalogued event
TAPER_S = 1800.0  # the packet files are faded in and out, and their filter rings there
MIN_QUIET_S = 1800.0
# Beyond these a frame is a dead instrument, a staircase that stands still, or a glitch: nothing to scale noise by.
LOW_DECADES, HIGH_DECADES = -2.0, 1.5
# A day is used when both quartiles of its quiet frames lie within this of the median: else it is dead half the time.
MAX_SPREAD_DECADES = 1.0
DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class QuietCurve:
    """A stretch of quiet time of one day.

    Attributes
    ----------
    start_ns : time of the first frame's middle.
    amplitude : square root of power over the day's quiet median, shape (n_frames,), frames `FRAME_S` apart.
    """

    start_ns: int
    amplitude: Float


@dataclass(frozen=True)
class BandPowerDay:
    """One row of the table: a day, named by an arrival in it.

    Attributes
    ----------
    times_s : middle of each frame from the day's start, shape (n_frames,).
    power : power density in any unit, shape (n_frames,).
    """

    start_ns: int
    arrival_ns: int
    times_s: Float
    power: Float


def read_days(folder: Path) -> list[BandPowerDay]:
    """Read every row of the table; some days are in it twice, once for each arrival.

    Raises
    ------
    DataError
        A file is missing or malformed.
    """
    rows = read_table(folder / "moon_bandpower.csv", ("evid", "catalog_time_abs", "trace_start_assumed"))
    arrivals_ns = [parse_time_ns(row["catalog_time_abs"], "moon_bandpower.csv") for row in rows]
    with _opened(folder / "moon_bandpower.npz") as arrays:
        return [
            BandPowerDay(
                _start_ns(arrival_ns, row["trace_start_assumed"]),
                arrival_ns,
                _values(arrays, row["evid"], "t"),
                _values(arrays, row["evid"], "power"),
            )
            for row, arrival_ns in zip(rows, arrivals_ns, strict=True)
        ]


def read_quiet_curves(
    folder: Path, kept_out: Iterable[LabelledRecord], catalogued_ns: Sequence[int]
) -> tuple[QuietCurve, ...]:
    """Read the quiet curves of the days that share no UTC day with a record that is `kept_out`.

    catalogued_ns : times of every known event (Nakamura's catalogue); the days' own arrivals are added to them.

    Raises
    ------
    DataError
        A file is missing or malformed, or no curve is left.
    """
    forbidden = {day for record in kept_out for day in _utc_days(record.start_ns, record.stop_ns)}
    curves: dict[int, list[QuietCurve]] = {}  # by day
    days = read_days(folder)
    events_ns = np.sort(np.asarray([*catalogued_ns, *(day.arrival_ns for day in days)], np.int64))
    for day in days:
        stop_ns = day.start_ns + round(float(day.times_s[-1]) * NS_PER_S)
        utc_day = day.start_ns // DAY_NS
        if utc_day not in curves and not forbidden & set(_utc_days(day.start_ns, stop_ns)):
            curves[utc_day] = quiet_curves(day.times_s, day.power, day.start_ns, events_ns)
    found = tuple(curve for utc_day in sorted(curves) for curve in curves[utc_day])
    if not found:
        raise DataError(
            f"{folder / 'moon_bandpower.csv'} leaves no quiet time to use: expected days away from val and test"
        )
    return found


def quiet_curves(times_s: Float, power: Float, start_ns: int, events_ns: npt.NDArray[np.int64]) -> list[QuietCurve]:
    """Cut one day's quiet stretches.

    Parameters
    ----------
    times_s : middle of each frame from the day's start, shape (n_frames,).
    power : power density in any unit, shape (n_frames,).
    events_ns : known events; [t - BEFORE_EVENT_S, t + AFTER_EVENT_S) of each is left out.
    """
    elapsed_s = (events_ns - start_ns) / NS_PER_S
    quiet = (times_s >= times_s[0] + TAPER_S) & (times_s < times_s[-1] - TAPER_S) & (power > 0.0)
    for event_s in elapsed_s[(elapsed_s > -AFTER_EVENT_S) & (elapsed_s < times_s[-1] + BEFORE_EVENT_S)]:
        quiet &= (times_s < event_s - BEFORE_EVENT_S) | (times_s >= event_s + AFTER_EVENT_S)
    if not quiet.any():
        return []
    decades = np.log10(np.where(quiet, power, 1.0))
    lower, median, upper = np.quantile(decades[quiet], [0.25, 0.5, 0.75])
    if max(median - lower, upper - median) > MAX_SPREAD_DECADES:
        return []
    amplitude = 10.0 ** (0.5 * np.clip(decades - median, LOW_DECADES, HIGH_DECADES))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    stretches = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if (b - a) * FRAME_S >= MIN_QUIET_S]
    return [QuietCurve(start_ns + round(float(times_s[a]) * NS_PER_S), amplitude[a:b]) for a, b in stretches]


def draw_modulation(
    rng: np.random.Generator, curves: Sequence[QuietCurve], n_samples: int, sampling_rate_hz: float
) -> Float:
    """Draw the amplitude of `n_samples` samples, shape (n_samples,), straight between frames.

    A stretch is drawn by its length, begun at a random frame, and run to and fro where it is shorter than asked for.
    """
    lengths = np.asarray([len(curve.amplitude) for curve in curves], np.float64)
    curve = curves[int(rng.choice(len(curves), p=lengths / lengths.sum()))].amplitude
    first = int(rng.integers(0, len(curve)))
    to_and_fro = np.concatenate([curve, curve[::-1]])
    n_frames = int(n_samples / sampling_rate_hz / FRAME_S) + 2
    frames = np.resize(np.roll(to_and_fro, -first), n_frames)
    return np.interp(np.arange(n_samples) / sampling_rate_hz / FRAME_S, np.arange(n_frames), frames)


def _start_ns(arrival_ns: int, start: str) -> int:
    """Return when a day's trace begins: its clock time on the arrival's day."""
    try:
        hours, minutes, seconds = (int(part) for part in start.split(":"))
    except ValueError as problem:
        raise DataError(f"moon_bandpower.csv: expected trace_start_assumed as HH:MM:SS, got '{start}'") from problem
    return arrival_ns // DAY_NS * DAY_NS + (3600 * hours + 60 * minutes + seconds) * NS_PER_S


def _utc_days(start_ns: int, stop_ns: int) -> range:
    return range(start_ns // DAY_NS, (stop_ns - 1) // DAY_NS + 1)


def _opened(path: Path) -> np.lib.npyio.NpzFile:
    try:
        return np.load(path)  # type: ignore[no-any-return]
    except (OSError, ValueError) as problem:
        raise DataError(f"band powers {path} cannot be read: {problem}") from problem


def _values(days: np.lib.npyio.NpzFile, evid: str, what: str) -> Float:
    name = f"{evid}_{what}"
    if name not in days:
        raise DataError(f"moon_bandpower.npz has no array '{name}' that moon_bandpower.csv names")
    return np.asarray(days[name], np.float64)
