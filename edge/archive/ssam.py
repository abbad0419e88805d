"""SSAM channels: how loud a signal is in three frequency bands, all the time, at a hundredth of its volume.

Real-time seismic spectral amplitude measurement. A sample is 100 log10(rms), where rms is the root mean square of the
signal in one band, in the record's units, over one frame of UTC time; the sample's time is the start of the frame. SSAM
channels are miniSEED channels of their own, in an SDS folder of their own, and are never evicted.

References
----------
Rogers, J. A. & Stephens, C. D. (1995). SSAM: Real-time seismic spectral amplitude measurement on a PC and its
application to volcano monitoring. Bull. Seismol. Soc. Am. 85(2), 632-639.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.archive import Archive
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.source_ids import MOST_LETTERS, SourceCodes, split_source_id
from edgequake.edge.formats.waveforms import NS_PER_S, SampleBuffer, Trace

Float = npt.NDArray[np.float64]

WINDOW = 256  # samples of one spectrum
HOP = 128
# Edges of the bands in bins, [4, 12), [12, 38), [38, 116): 1/64 to 0.45 of the sampling rate in three equal ratios.
# Below them a Hann window passes slow drift; above them lies what the anti-alias filters of recorders remove.
BAND_EDGES = (4, 12, 38, 116)
N_BANDS = len(BAND_EDGES) - 1
_LEAST_SAMPLES = 790  # of a frame: five windows; with fewer, SSAM would take more than 1 % of the signal's volume
_DAY_S = 86_400
_HANN: Float = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW, dtype=np.float64) / WINDOW)
_SCALE = 2.0 / (WINDOW * float(np.sum(_HANN**2)))  # |bin|² to mean square; twice, for the negative frequencies
STEPS_A_DECADE = 100
_FLOOR = -30 * STEPS_A_DECADE  # of a dead channel: below any level of a working one, in any unit of ground motion
_BLOCK_FRAMES = 48  # computed at once
_WINDOWS_AT_ONCE = 32  # spectra: 64 kB, which stay in the cache, and which the allocator keeps
_BLOCK_VALUES = 768  # of a band that are buffered before they are written: more than a record holds
_MOST_BRIDGED = WINDOW // 16  # samples: with so few lost, a window's level is right to within 0.02 decades
_LATE_NS = 300 * NS_PER_S  # a shorter overlap is cut; older samples are another version, or a clock was set back
_MOST_CHANNELS = 16 * 12
REMEMBERED_DAYS = 40  # more than the downlink ever sends
_LEAST_RECORD_BYTES = 128  # the last record before a gap or midnight; a full one would cost more

# First character of the location code: low, middle and high band of a channel whose own code is empty or begins with 0;
# of locations 10 to 19, 20 to 29 and so on the next three.
_BAND_LETTERS = ("LMH", "ABC", "DEF", "GIJ", "KNO", "PQR", "STU", "VWX", "YZ0", "123")
# Band codes of FDSN source identifiers, for this many samples a second or more.
_RATE_LETTERS = ((10.0, "B"), (1.0, "M"), (0.5, "L"), (0.1, "V"), (0.01, "U"), (0.001, "W"), (0.0001, "R"), (0.0, "P"))


@lru_cache(maxsize=1024)
def band_source_id(source_id: str, band: int, frame_s: int) -> str:
    """Return the identifier of a channel's SSAM channel: ``FDSN:XA_S12_L0_W_H_Z`` for ``FDSN:XA_S12_00_M_H_Z``.

    The channel code keeps instrument and component and gets the band code of its own rate. The location code names the
    frequency band: L (low), M (middle) or H (high) instead of a leading 0. To locations that are not two digits the
    letter is appended; an empty one becomes L, M or H. A band code of other than one capital letter follows the new
    one, so that channels whose band codes differ in it have different SSAM channels.
    """
    codes = split_source_id(source_id)
    location = codes.location + _BAND_LETTERS[0][band]
    if codes.location.isdigit() and len(codes.location) == 2:
        location = _BAND_LETTERS[int(codes.location[0])][band] + codes.location[1]
    rate_letter = next(letter for least_hz, letter in _RATE_LETTERS if 1.0 / frame_s >= least_hz)
    is_seed = len(codes.band) == 1 and codes.band.isupper()
    band_code = rate_letter if is_seed else rate_letter + (codes.band or "-")
    return _short_enough(replace(codes, location=location, band=band_code), source_id)


def band_of(location: str) -> tuple[int, str] | None:
    """Return the band of an SSAM channel's location code, and the location of the channel it is of; None: of none."""
    for tens, letters in enumerate(_BAND_LETTERS):
        if len(location) == 2 and location[1].isdigit() and location[0] in letters:
            return letters.index(location[0]), f"{tens}{location[1]}"
    if location[-1:] and location[-1] in _BAND_LETTERS[0]:
        return _BAND_LETTERS[0].index(location[-1]), location[:-1]
    return None


def _short_enough(codes: SourceCodes, source_id: str) -> str:
    """Return an identifier that libmseed can hold: in one that is too long, a checksum replaces part of a code."""
    values = list(astuple(codes))
    n_excess = len("FDSN:" + "_".join(values)) - MOST_LETTERS
    if n_excess > 0:
        i = max(range(len(values)), key=lambda i: len(values[i]))
        checksum = f"{zlib.crc32(source_id.encode()):08X}"
        values[i] = values[i][: len(values[i]) - n_excess - len(checksum)] + checksum
    return "FDSN:" + "_".join(values)


@lru_cache(maxsize=64)
def frame_s(sampling_rate_hz: float) -> int:
    """Return the length of a frame: the shortest part of a day in whole seconds that has enough samples."""
    least_s = _LEAST_SAMPLES / sampling_rate_hz
    return next((s for s in range(1, _DAY_S) if s >= least_s and _DAY_S % s == 0), _DAY_S)


def band_powers(samples: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> Float:
    """Return the mean square of `samples` in each band, for each window that begins at one of `starts`.

    This is the sum over the band's bins of `scipy.signal.periodogram(..., window="hann", scaling="density")`, times a
    bin's width: steady noise gives its mean square in the band.

    Returns
    -------
    float64, shape (n_starts, 3); not finite where a sample is not.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)
    bands = np.empty((len(starts), N_BANDS), np.float64)
    edges = [2 * (edge - BAND_EDGES[0]) for edge in BAND_EDGES[:-1]]
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(0, len(starts), _WINDOWS_AT_ONCE):
            some = windows[starts[i : i + _WINDOWS_AT_ONCE]] * _HANN  # (n, 256)
            # Real and imaginary parts side by side, so that squares and sums are over contiguous values.
            parts = np.fft.rfft(some, axis=-1).view(np.float64)  # (n, 2 * n_bins)
            parts = parts[:, 2 * BAND_EDGES[0] : 2 * BAND_EDGES[-1]]
            bands[i : i + _WINDOWS_AT_ONCE] = np.add.reduceat(parts * parts, edges, axis=1)
    return bands * _SCALE


class FrameGrid:
    """The frames of one contiguous run of samples: the position of each window of each frame in it."""

    def __init__(self, start_ns: int, sampling_rate_hz: float, n_samples: int) -> None:
        self._start_ns, self._rate_hz, self._n_samples = start_ns, sampling_rate_hz, n_samples
        length_s = frame_s(sampling_rate_hz)
        self.frame_ns = length_s * NS_PER_S
        self.n_windows = max(1, (int(length_s * sampling_rate_hz) - WINDOW) // HOP + 1)  # of a frame
        tolerance_ns = round(1e-3 * NS_PER_S / sampling_rate_hz)
        self.first = (start_ns + tolerance_ns) // self.frame_ns  # frame of the first sample

    def index(self, frame: int) -> int:
        """Return the index of a frame's first sample; negative where the run begins within the frame."""
        exact = (frame * self.frame_ns - self._start_ns) * self._rate_hz / NS_PER_S
        return int(np.ceil(exact - 1e-3))

    def n_whole(self) -> int:
        """Return how many frames, counted from the first, the run covers to their ends."""
        past = (self._start_ns + round((self._n_samples + 1e-3) * NS_PER_S / self._rate_hz)) // self.frame_ns
        return past - self.first

    def window_starts(self, n_frames: int) -> npt.NDArray[np.int64]:
        """Return the index of each window's first sample, shape (n_frames, n_windows)."""
        firsts = np.array([self.index(self.first + i) for i in range(n_frames)], np.int64)
        return firsts[:, None] + HOP * np.arange(self.n_windows, dtype=np.int64)

    def powers(self, samples: npt.NDArray[Any], n_frames: int) -> tuple[Float, npt.NDArray[np.int64]]:
        """Return the mean squares of each frame summed over its usable windows, and how many windows those are.

        Returns
        -------
        float64, shape (n_frames, 3), and int64, shape (n_frames,).
        """
        powers = np.zeros((n_frames, self.n_windows, N_BANDS), np.float64)
        if n_frames == 0 or len(samples) < WINDOW:
            return powers.sum(axis=1), np.zeros(n_frames, np.int64)
        starts = self.window_starts(n_frames)
        usable = (starts >= 0) & (starts + WINDOW <= len(samples))
        powers[usable] = band_powers(samples, starts[usable])
        usable &= np.isfinite(powers).all(axis=2)
        powers[~usable] = 0.0
        return powers.sum(axis=1), usable.sum(axis=1, dtype=np.int64)


@dataclass
class _Frame:
    """A frame that may get more windows."""

    index: int
    powers: Float  # shape (3,), summed over the windows
    n_windows: int


@dataclass
class _SsamRun(SampleBuffer):
    """A contiguous run of one channel's samples, from the first frame that is not written yet."""

    frame: _Frame | None = None  # the first one, if samples before this run belong to it too

    def __post_init__(self) -> None:
        super().__post_init__()
        self.heard = 0  # number of the push that was its last

    def bridge(self, trace: Trace) -> bool:
        """Interpolate the samples missing before a trace if they are few, and adopt the trace's clock."""
        n_missing = round((trace.start_ns - self.stop_ns) * self.rate_hz / NS_PER_S)
        if not 0 <= n_missing <= _MOST_BRIDGED or trace.sampling_rate_hz != self.rate_hz:
            return False
        if trace.samples.dtype != self.parts[0].dtype:
            return False
        if n_missing:
            last = self.parts[-1][-1] if self.n_samples else trace.samples[0]
            line = np.linspace(float(last), float(trace.samples[0]), n_missing + 2)[1:-1]
            self.add((line if trace.samples.dtype.kind == "f" else np.rint(line)).astype(trace.samples.dtype))
        self.origin_ns += trace.start_ns - self.stop_ns
        self.stop_ns = trace.start_ns
        return True


class SsamWriter:
    """Writes the SSAM channels of every channel that it receives."""

    def __init__(
        self,
        folder: Path,
        diagnostics: Diagnostics,
        make_room: Callable[[int], bool] | None = None,
        is_live: bool = False,
    ) -> None:
        """Write to `folder`.

        Parameters
        ----------
        make_room : called when the disk is full; `Archive.make_room` of the raw stream. By default nothing is evicted.
        is_live : whether the samples from before a resume do not come again.
        """
        self.folder = folder
        self._archive = Archive(
            folder,
            None,
            diagnostics,
            _BLOCK_VALUES,
            make_room or (lambda n_bytes: False),
            least_record_bytes=_LEAST_RECORD_BYTES,
            remembered_days=REMEMBERED_DAYS if is_live else None,
            may_drop=is_live,
        )
        self._runs: dict[str, _SsamRun] = {}  # by source id
        self._n_pushed = 0

    @property
    def total_bytes(self) -> int:
        """Size of all its files."""
        return self._archive.total_bytes

    @property
    def problem(self) -> OSError | None:
        """Why nothing can be written at present; None: it can."""
        return self._archive.problem

    def forget(self, source_id: str) -> None:
        """Drop what is buffered of a channel, after a fault that may have left it inconsistent."""
        self._runs.pop(source_id, None)

    def push(self, trace: Trace) -> None:
        """Measure a trace.

        Raises
        ------
        DataError
            A file cannot be written.
        """
        self._n_pushed += 1
        run = self._runs.get(trace.source_id)
        if run is None:
            run = self._begin(trace, None)
        elif not (run.is_followed_by(trace) or run.bridge(trace)):
            if 0 < run.stop_ns - trace.start_ns < _LATE_NS:
                trace = trace.between(run.stop_ns, None)
            if not len(trace.samples):
                return
            if not run.bridge(trace):
                run = self._begin(trace, run)
        run.heard = self._n_pushed
        run.add(trace.samples)
        if run.n_samples >= _block_samples(run.rate_hz):
            self._write_frames(run, at_end=False)

    def sync(self) -> None:
        """Make what was written durable."""
        self._archive.sync()

    def close(self) -> None:
        """Write what is buffered, incomplete frames included. More traces may follow all the same."""
        for run in self._runs.values():
            self._end(run)
        self._runs = {}
        self._archive.close()

    def new_records(self, sent_bytes: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Return the bytes [start, stop) of each file after its first `sent_bytes`: whole records, oldest days first.

        A file is named relative to `folder`. Live, only files of the last `REMEMBERED_DAYS` are looked at.
        """
        sizes_bytes = self._archive.sizes_bytes()
        return [(name, sent_bytes.get(name, 0), stop) for name, stop in sizes_bytes if stop > sent_bytes.get(name, 0)]

    def state(self) -> State:
        runs: State = {}
        for source_id, run in self._runs.items():
            runs[source_id] = {**run.state(), "frame": None if run.frame is None else dict(vars(run.frame))}
        return {"archive": self._archive.state(), "runs": runs}

    def restore(self, state: State, replayed: bool) -> None:
        """Continue from what `state` returned; see `Archive.restore`."""
        self._archive.restore(state["archive"], replayed)
        self._runs = {}
        for source_id, saved in state["runs"].items():
            frame = None if saved["frame"] is None else _Frame(**saved["frame"])
            self._runs[source_id] = _SsamRun(**{**saved, "frame": frame})

    def _begin(self, trace: Trace, before: _SsamRun | None) -> _SsamRun:
        """Begin a run where a trace begins; a frame that both runs share stays open."""
        frame = None
        if before is not None:
            self._write_frames(before, at_end=True)
            frame = before.frame
            grid = FrameGrid(trace.start_ns, trace.sampling_rate_hz, 0)
            if frame is not None and (before.rate_hz, frame.index) != (trace.sampling_rate_hz, grid.first):
                self._end(before)
                frame = None
        self._runs.pop(trace.source_id, None)
        if len(self._runs) >= _MOST_CHANNELS:
            self._end(self._runs.pop(min(self._runs, key=lambda name: self._runs[name].heard)))
        run = self._runs[trace.source_id] = _SsamRun.begin(trace)
        run.frame = frame
        return run

    def _end(self, run: _SsamRun) -> None:
        """Write everything of a run, its last frame included."""
        self._write_frames(run, at_end=True)
        frame, run.frame = run.frame, None
        if frame is not None:
            self._write(run, frame.index, frame.powers[None] / frame.n_windows)

    def _write_frames(self, run: _SsamRun, at_end: bool) -> None:
        """Write the complete frames; at the end of a run, leave the incomplete one as its open frame."""
        trace = run.trace()
        grid = FrameGrid(trace.start_ns, trace.sampling_rate_hz, len(trace.samples))
        n_whole = grid.n_whole()
        powers, n_windows = grid.powers(trace.samples, n_whole + 1 if at_end else n_whole)
        frame = run.frame
        if frame is not None and len(powers):
            powers[0] += frame.powers
            n_windows[0] += frame.n_windows
            run.frame = None
        if at_end and n_windows[-1]:
            run.frame = _Frame(grid.first + n_whole, powers[-1], int(n_windows[-1]))
        usable = np.flatnonzero(n_windows[:n_whole])
        for part in np.split(usable, np.flatnonzero(np.diff(usable) > 1) + 1) if len(usable) else ():
            self._write(run, grid.first + int(part[0]), powers[part] / n_windows[part][:, None])
        run.drop(len(trace.samples) if at_end else max(0, grid.index(grid.first + n_whole)))

    def _write(self, run: _SsamRun, first_frame: int, powers: Float) -> None:
        """Write consecutive frames; mean squares, shape (n_frames, 3)."""
        length_s = frame_s(run.rate_hz)
        levels = (STEPS_A_DECADE / 2) * np.log10(np.maximum(powers, 10.0 ** (2 * _FLOOR / STEPS_A_DECADE)))
        values = np.rint(levels).astype(np.int32)
        for band in range(N_BANDS):
            source_id = band_source_id(run.source_id, band, length_s)
            start_ns = first_frame * length_s * NS_PER_S
            self._archive.push(Trace(source_id, start_ns, 1.0 / length_s, values[:, band].copy()))


@lru_cache(maxsize=64)
def _block_samples(rate_hz: float) -> int:
    return int(_BLOCK_FRAMES * frame_s(rate_hz) * rate_hz)
