"""A channel's samples of the last hours by a few check values, whatever the records in which they came.

A link that sends hours again may cut their records elsewhere, and its clock jitters. So the check values are those of
short runs of samples that their own values select (content-defined chunking), kept with the second in which they lie;
and those of whole traces with their times, for records that come again just as they were, however short or flat.

References
----------
Manber, U. (1994), Finding similar files in a large file system, Proc. USENIX Winter Technical Conference, 1-10.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

_RUN = 8  # samples
_LIMIT = np.uint64(1 << 56)  # hashes below it select one run in 256: at 100 Hz one every 2.6 s
_MOST = 1 << 13  # check values of runs: 32 kB, nearly six hours at 100 Hz
_MOST_TRACES = 1 << 13  # nine hours of records of 400 samples at 100 Hz: 32 kB
_FLAT_NS = 60 * NS_PER_S  # of a dead channel no run is like no other: one check value a minute
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)
_NEIGHBOURS = np.array([0, 1, -1], np.int64)  # seconds: of the same sample they differ by rounding and by jitter

_Keys = npt.NDArray[np.uint32]
_Hashes = npt.NDArray[np.uint64]


class _Ring:
    """The newest check values; they overwrite the oldest."""

    def __init__(self, most: int) -> None:
        self._values: _Keys = np.zeros(most, np.uint32)
        self._n = 0  # so far

    @property
    def values(self) -> _Keys:
        """Those that are remembered, in no order."""
        return self._values[: self._n]

    def add(self, values: _Keys) -> None:
        """Remember some more."""
        values = values[-len(self._values) :]
        self._values[(self._n + np.arange(len(values))) % len(self._values)] = values
        self._n += len(values)

    def state(self) -> State:
        return {"keys": self.values.copy(), "n": self._n}

    def restore(self, state: State) -> None:
        self._n = state["n"]
        self._values[: len(state["keys"])] = state["keys"]


class SampleMemory:
    """Remembers the newest samples of a channel, and tells whether a trace has some of them at their times."""

    def __init__(self) -> None:
        self._runs, self._traces = _Ring(_MOST), _Ring(_MOST_TRACES)

    def add(self, trace: Trace) -> None:
        """Remember a trace."""
        self._runs.add(_keyed(*_selected(trace)))
        self._traces.add(np.array([_check_value(trace)], np.uint32))

    def has(self, trace: Trace) -> bool:
        """Whether this very trace has come before, at the same time."""
        return bool((self._traces.values == _check_value(trace)).any())

    def knows(self, trace: Trace) -> bool | None:
        """Return whether samples of a trace have come before; None: it is too short to tell."""
        hashes, units = _selected(trace)
        if len(hashes) == 0:
            return None
        return bool(np.isin(_keyed(hashes, units + _NEIGHBOURS[:, np.newaxis]), self._runs.values).any())

    def state(self) -> State:
        return {**self._runs.state(), "traces": self._traces.state()}

    def restore(self, state: State) -> None:
        self._runs.restore(state)
        self._traces.restore(state["traces"])


def _check_value(trace: Trace) -> int:
    return crc32(trace.samples.tobytes(), trace.start_ns & 0xFFFF_FFFF)


def _selected(trace: Trace) -> tuple[_Hashes, npt.NDArray[np.int64]]:
    """Return hashes of the selected runs of a trace, and the second, or of a flat one the minute, of each."""
    samples = trace.samples
    wide = samples.astype(np.int64) if samples.dtype.kind in "iu" else samples.astype(np.float64)
    bits, n = wide.view(np.uint64), len(wide) - _RUN + 1
    if n < 1:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    if bits.min() == bits.max():
        first, last = (trace.start_ns // _FLAT_NS, (trace.stop_ns - 1) // _FLAT_NS)
        minutes = np.arange(first + 1, last + 1, dtype=np.int64)
        return np.full(len(minutes), bits[0], np.uint64), minutes
    hashes = bits[:n].copy()
    for i in range(1, _RUN):
        hashes *= _ODD
        hashes += bits[i : i + n]
    hashes = _mixed(hashes)
    chosen = np.flatnonzero(hashes < _LIMIT)
    runs = bits[chosen[:, np.newaxis] + np.arange(_RUN)]
    chosen = chosen[(runs != runs[:, :1]).any(axis=1)]
    times_ns = trace.start_ns + np.rint(chosen * (NS_PER_S / trace.sampling_rate_hz)).astype(np.int64)
    return hashes[chosen], times_ns // NS_PER_S


def _mixed(hashes: _Hashes) -> _Hashes:
    mixed: _Hashes = (hashes ^ (hashes >> np.uint64(32))) * _ODD
    return mixed


def _keyed(hashes: _Hashes, seconds: npt.NDArray[np.int64]) -> _Keys:
    keys: _Keys = (_mixed(hashes + seconds.view(np.uint64) * _ODD) >> np.uint64(32)).astype(np.uint32)
    return keys
