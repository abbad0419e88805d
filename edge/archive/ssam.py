"""The names of the summary channels.

How loud a signal is: its rms in three bands, frame by frame of UTC time.

The summary channel: how loud the signal is in three bands, all the time, at a hundredth of its volume.

A sample of it is 100 log10(rms), the rms in the record's units, over one frame of UTC time that begins at the sample's
time. Its channels are miniSEED of their own, in an SDS folder of their own, and are never let go of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.archive import Archive, SampleBuffer
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

# First character of the location code: low, middle and high band of a channel whose own code is empty or begins with 0;
# of locations 10 to 19, 20 to 29 and so on the next three.
_BAND_LETTERS = ("LMH", "ABC", "DEF", "GIJ", "KNO", "PQR", "STU", "VWX", "YZ0", "123")
# Band codes of the FDSN's source identifiers, for as many samples a second and more.
_RATE_LETTERS = ((10.0, "B"), (1.0, "M"), (0.5, "L"), (0.1, "V"), (0.01, "U"), (0.001, "W"), (0.0001, "R"), (0.0, "P"))


@lru_cache(maxsize=1024)
def band_source_id(source_id: str, band: int, frame_s: int) -> str:
    """Return the identifier of a channel's summary in one band: ``FDSN:XA_S12_L0_W_H_Z`` of ``FDSN:XA_S12_00_M_H_Z``.

    The channel code keeps instrument and component, with the band code of its own rate; the location code names the
    band: L (low), M (middle) or H (high) instead of a leading 0. Locations that are not two digits get the letter
    behind: L of an empty one.
    """
    codes = (source_id.removeprefix("FDSN:") + "_____").split("_")[:6]
    location = codes[2]
    if location.isdigit() and len(location) == 2:
        codes[2] = _BAND_LETTERS[int(location[0])][band] + location[1]
    else:
        codes[2] = location + _BAND_LETTERS[0][band]
    codes[3] = next(letter for least_hz, letter in _RATE_LETTERS if 1.0 / frame_s >= least_hz)
    return "FDSN:" + "_".join(codes)


Float = npt.NDArray[np.float64]

WINDOW = 256  # samples of one spectrum
HOP = 128
# Edges of the bands in bins, [4, 12), [12, 38), [38, 116): 1/64 to 0.45 of the sampling rate in three equal ratios.
# Below, a Hann window lets slow drift through; above is what recorders' anti-alias filters cut.
BAND_EDGES = (4, 12, 38, 116)
N_BANDS = len(BAND_EDGES) - 1
_LEAST_SAMPLES = 790  # of a frame: five windows; with fewer, values would take more than 1 % of what they describe
_DAY_S = 86_400
_HANN: Float = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW, dtype=np.float64) / WINDOW)
_SCALE = 2.0 / (WINDOW * float(np.sum(_HANN**2)))  # |bin|² to mean square; twice, for the negative frequencies


@lru_cache(maxsize=64)
def frame_s(sampling_rate_hz: float) -> int:
    """Return the length of a frame: the shortest part of a day in whole seconds that holds enough samples."""
    least_s = _LEAST_SAMPLES / sampling_rate_hz
    return next((s for s in range(1, _DAY_S) if s >= least_s and _DAY_S % s == 0), _DAY_S)


def band_powers(samples: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> Float:
    """Return the mean square of `samples` in each band, for each window that begins at one of `starts`.

    This is the sum over the band's bins of `scipy.signal.periodogram(..., window="hann", scaling="density")`, times a
    bin's width: steady noise gives its mean square in the band.

    Returns
    -------
    float64, shape (n_starts, 3), not finite where a sample is not.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[starts]  # (n_starts, 256)
    with np.errstate(invalid="ignore", over="ignore"):  # samples that are not finite make powers that are not
        return _band_sums(windows)


def _band_sums(windows: npt.NDArray[Any]) -> Float:
    # Real and imaginary parts side by side, so that squares and sums are over contiguous values.
    parts = np.fft.rfft(windows * _HANN, axis=-1).view(np.float64)  # (n_starts, 2 * n_bins)
    parts = parts[:, 2 * BAND_EDGES[0] : 2 * BAND_EDGES[-1]]
    edges = [2 * (edge - BAND_EDGES[0]) for edge in BAND_EDGES[:-1]]
    bands: Float = np.add.reduceat(parts * parts, edges, axis=1) * _SCALE  # (n_starts, 3)
    return bands


class FrameGrid:
    """The frames of one stretch of samples: which windows of which frame lie where in it."""

    def __init__(self, start_ns: int, sampling_rate_hz: float, n_samples: int) -> None:
        self._start_ns, self._rate_hz, self._n_samples = start_ns, sampling_rate_hz, n_samples
        self._frame_s = frame_s(sampling_rate_hz)
        self.frame_ns = self._frame_s * NS_PER_S
        self.n_windows = max(1, (int(self._frame_s * sampling_rate_hz) - WINDOW) // HOP + 1)  # of a frame
        self.first = (
            start_ns + round(1e-3 * NS_PER_S / sampling_rate_hz)
        ) // self.frame_ns  # frame of the first sample

    def index(self, frame: int) -> int:
        """Return the index of a frame's first sample; negative where the stretch begins within the frame."""
        exact = (frame * self.frame_ns - self._start_ns) * self._rate_hz / NS_PER_S
        return int(np.ceil(exact - 1e-3))

    def n_whole(self) -> int:
        """Return how many frames, counted from the first, the stretch reaches to the end of."""
        past = (self._start_ns + round((self._n_samples + 1e-3) * NS_PER_S / self._rate_hz)) // self.frame_ns
        return past - self.first

    def window_starts(self, n_frames: int) -> npt.NDArray[np.int64]:
        """Return the index of each window's first sample, shape (n_frames, n_windows)."""
        firsts = np.array([self.index(self.first + i) for i in range(n_frames)], np.int64)
        return firsts[:, None] + HOP * np.arange(self.n_windows, dtype=np.int64)


STEPS_A_DECADE = 100
_FLOOR = -30 * STEPS_A_DECADE  # of a dead channel: no unit of ground motion makes a living one so quiet
_BLOCK_FRAMES = 48  # are worked out at once
_BLOCK_VALUES = 768  # of a band wait until they are written: more than a record holds
_MOST_BRIDGED = WINDOW // 16  # samples: a window that lost so few has its level to within 0.02 decades
_LATE_NS = 300 * NS_PER_S  # what overlaps by less is cut, what is older is another version or a clock set back
_MOST_CHANNELS = 16 * 12
REMEMBERED_DAYS = 40  # more than the downlink ever sends of
_LEAST_RECORD_BYTES = 128  # the last one before a tear or midnight is as short as that, or a full one would cost more


@dataclass
class _Frame:
    """A frame of which more may come."""

    index: int
    powers: npt.NDArray[np.float64]  # shape (3,), summed over the windows
    n_windows: int


@dataclass
class _Stretch(SampleBuffer):
    """Samples of one channel that follow one another, from the first frame on that is not done."""

    frame: _Frame | None = None  # the first one, if samples before this stretch belong to it too

    def bridge(self, trace: Trace) -> bool:
        """Draw a line over the samples missing before a trace, if they are few; the clock is then the trace's."""
        n_missing = round((trace.start_ns - self.stop_ns) * self.rate_hz / NS_PER_S)
        if not 0 <= n_missing <= _MOST_BRIDGED or trace.sampling_rate_hz != self.rate_hz:
            return False
        if trace.samples.dtype != self.parts[0].dtype:
            return False
        if n_missing:
            last = self.parts[-1][-1] if self.n_samples else trace.samples[0]
            line = np.linspace(float(last), float(trace.samples[0]), n_missing + 2)[1:-1]
            self.add(
                (line if line.dtype.kind == self.parts[0].dtype.kind else np.rint(line)).astype(trace.samples.dtype)
            )
        self.origin_ns += trace.start_ns - self.stop_ns
        self.stop_ns = trace.start_ns
        return True


@dataclass(frozen=True)
class SsamRecords:
    """Bytes [start_byte, stop_byte) of a file of the summary channel: whole records."""

    file: str  # below the summary channel's folder
    start_byte: int
    stop_byte: int


class SsamChannel:
    """Writes the summary channels of every channel that it hears."""

    def __init__(
        self,
        folder: Path,
        diagnostics: Diagnostics,
        make_room: Callable[[int], bool] | None = None,
        is_live: bool = False,
    ) -> None:
        """Write to `folder`; `make_room` is asked when the disk is full: `Archive.make_room` of the raw stream.

        is_live : the samples of before a resume do not come again.
        """
        self._archive = Archive(
            folder,
            None,
            diagnostics,
            _BLOCK_VALUES,
            make_room or self.make_room,
            least_record_bytes=_LEAST_RECORD_BYTES,
            remembered_days=REMEMBERED_DAYS if is_live else None,
        )
        self._stretches: dict[str, _Stretch] = {}

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._archive.folder

    @property
    def total_bytes(self) -> int:
        """Size of all its files."""
        return self._archive.total_bytes

    def take(self, trace: Trace) -> None:
        """Take a trace into account.

        Raises
        ------
        DataError
            A file cannot be written.
        """
        stretch = self._stretches.get(trace.source_id)
        if stretch is None:
            stretch = self._begin(trace, None)
        elif not (stretch.is_followed_by(trace) or stretch.bridge(trace)):
            trace = _without_overlap(trace, stretch)
            if not len(trace.samples):
                return
            if not stretch.bridge(trace):
                stretch = self._begin(trace, stretch)
        stretch.add(trace.samples)
        if stretch.n_samples >= _block_samples(stretch.rate_hz):
            self._give_out(stretch, is_over=False)

    def sync(self) -> None:
        """Make what was written durable."""
        self._archive.sync()

    def close(self) -> None:
        """Write what waits, frames that are not over included. More traces may come all the same."""
        for stretch in self._stretches.values():
            self._finish(stretch)
        self._stretches = {}
        self._archive.close()

    def make_room(self, n_bytes: int) -> bool:
        """Let go of nothing: the summary channel is always kept."""
        return False

    def new_records(self, taken_bytes: Mapping[str, int]) -> list[SsamRecords]:
        """Return the complete records of each file after the first `taken_bytes`, oldest days first.

        Live, of the last `REMEMBERED_DAYS` only.
        """
        return [
            SsamRecords(name, taken_bytes.get(name, 0), size_bytes)
            for name, size_bytes in self._archive.sizes_bytes()
            if size_bytes > taken_bytes.get(name, 0)
        ]

    def state(self) -> State:
        """Return what `restore` goes on from."""
        stretches: State = {}
        for source_id, stretch in self._stretches.items():
            frame = None if stretch.frame is None else dict(vars(stretch.frame))
            stretches[source_id] = {**stretch.state(), "frame": frame}
        return {"archive": self._archive.state(), "stretches": stretches}

    def restore(self, state: State, replayed: bool) -> None:
        """Go on from what `state` returned; see `Archive.restore`."""
        self._archive.restore(state["archive"], replayed)
        self._stretches = {}
        for source_id, saved in state["stretches"].items():
            frame = None if saved["frame"] is None else _Frame(**saved["frame"])
            self._stretches[source_id] = _Stretch(**{**saved, "frame": frame})

    def _begin(self, trace: Trace, before: _Stretch | None) -> _Stretch:
        """Begin a stretch where a trace begins; a frame that it has a share in stays open."""
        frame = None
        if before is not None:
            self._give_out(before, is_over=True)
            frame = before.frame
            grid = FrameGrid(trace.start_ns, trace.sampling_rate_hz, 0)
            if frame is not None and (before.rate_hz, frame.index) != (trace.sampling_rate_hz, grid.first):
                self._finish(before)
                frame = None
        self._stretches.pop(trace.source_id, None)
        if len(self._stretches) >= _MOST_CHANNELS:
            self._finish(self._stretches.pop(next(iter(self._stretches))))
        stretch = self._stretches[trace.source_id] = _Stretch.begin(trace)
        stretch.frame = frame
        return stretch

    def _finish(self, stretch: _Stretch) -> None:
        """Give out all that a stretch holds."""
        self._give_out(stretch, is_over=True)
        frame, stretch.frame = stretch.frame, None
        if frame is not None:
            self._write(stretch, frame.index, frame.powers[None] / frame.n_windows)

    def _give_out(self, stretch: _Stretch, is_over: bool) -> None:
        """Write the frames that are whole; where the stretch is over, leave the one that is not as its open one."""
        trace = stretch.trace()
        grid = FrameGrid(trace.start_ns, trace.sampling_rate_hz, len(trace.samples))
        n_whole = grid.n_whole()
        powers, n_windows = _frame_powers(trace.samples, grid, n_whole + 1 if is_over else n_whole)
        frame = stretch.frame
        if frame is not None and len(powers):
            powers[0] += frame.powers
            n_windows[0] += frame.n_windows
            stretch.frame = None
        if is_over and n_windows[-1]:
            stretch.frame = _Frame(grid.first + n_whole, powers[-1], int(n_windows[-1]))
        heard = np.flatnonzero(n_windows[:n_whole])
        for run in np.split(heard, np.flatnonzero(np.diff(heard) > 1) + 1) if len(heard) else ():
            self._write(stretch, grid.first + int(run[0]), powers[run] / n_windows[run][:, None])
        stretch.drop(len(trace.samples) if is_over else max(0, grid.index(grid.first + n_whole)))

    def _write(self, stretch: _Stretch, first_frame: int, powers: npt.NDArray[np.float64]) -> None:
        """Write frames that follow one another; mean squares, shape (n_frames, 3)."""
        length_s = frame_s(stretch.rate_hz)
        levels = (STEPS_A_DECADE / 2) * np.log10(np.maximum(powers, 10.0 ** (2 * _FLOOR / STEPS_A_DECADE)))
        values = np.rint(levels).astype(np.int32)
        for band in range(N_BANDS):
            source_id = band_source_id(stretch.source_id, band, length_s)
            start_ns = first_frame * length_s * NS_PER_S
            self._archive.take(Trace(source_id, start_ns, 1.0 / length_s, values[:, band].copy()))


@lru_cache(maxsize=64)
def _block_samples(rate_hz: float) -> int:
    return int(_BLOCK_FRAMES * frame_s(rate_hz) * rate_hz)


def _without_overlap(trace: Trace, stretch: _Stretch) -> Trace:
    """Return what of a trace comes after a stretch; a trace that is a good deal older is none of it and stays whole."""
    late_ns = stretch.stop_ns - trace.start_ns
    return trace.between(stretch.stop_ns, None) if 0 < late_ns < _LATE_NS else trace


def _frame_powers(
    samples: npt.NDArray[Any], grid: FrameGrid, n_frames: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return each frame's mean squares summed over its windows, shape (n_frames, 3), and how many windows those are."""
    powers = np.zeros((n_frames, grid.n_windows, N_BANDS), np.float64)
    if n_frames == 0 or len(samples) < WINDOW:
        return powers.sum(axis=1), np.zeros(n_frames, np.int64)
    starts = grid.window_starts(n_frames)
    whole = (starts >= 0) & (starts + WINDOW <= len(samples))
    powers[whole] = band_powers(samples, starts[whole])
    whole &= np.isfinite(powers).all(axis=2)
    powers[~whole] = 0.0
    return powers.sum(axis=1), whole.sum(axis=1, dtype=np.int64)
