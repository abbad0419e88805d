"""A channel's samples of the last hours by a few check values, whatever the records in which they came.

A link that sends hours again may cut their records elsewhere, and its clock jitters. So the check values are those of
short runs of samples that their own values select (content-defined chunking), kept with the second in which they lie.

References
----------
Manber, U. (1994), Finding similar files in a large file system, Proc. USENIX Winter Technical Conference, 1-10.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

_RUN = 8  # samples
_LIMIT = np.uint64(1 << 56)  # hashes below it select one run in 256: at 100 Hz one every 2.6 s
_MOST = 1 << 13  # check values: 32 kB, nearly six hours at 100 Hz
_FLAT_NS = 60 * NS_PER_S  # of a dead channel no run is like no other: one check value a minute
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)
_NEIGHBOURS = np.array([0, 1, -1], np.int64)  # seconds: of the same sample they differ by rounding and by jitter

_Keys = npt.NDArray[np.uint32]
_Hashes = npt.NDArray[np.uint64]


class SampleMemory:
    """Remembers the newest samples of a channel, and tells whether a trace has some of them at their times."""

    def __init__(self) -> None:
        self._keys: _Keys = np.zeros(_MOST, np.uint32)
        self._n = 0  # check values so far; the newest overwrite the oldest

    def add(self, trace: Trace) -> None:
        """Remember a trace."""
        hashes, units = _selected(trace)
        keys = _keyed(hashes, units)[-_MOST:]
        self._keys[(self._n + np.arange(len(keys))) % _MOST] = keys
        self._n += len(keys)

    def knows(self, trace: Trace) -> bool | None:
        """Return whether samples of a trace have come before; None: it is too short to tell."""
        hashes, units = _selected(trace)
        if len(hashes) == 0:
            return None
        known = self._keys[: self._n]
        return bool(np.isin(_keyed(hashes, units + _NEIGHBOURS[:, np.newaxis]), known).any())

    def state(self) -> State:
        return {"keys": self._keys[: self._n].copy(), "n": self._n}

    def restore(self, state: State) -> None:
        self._n = state["n"]
        self._keys[: len(state["keys"])] = state["keys"]


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
