"""Datagrams of samples to traces: raw samples behind a small header, miniSEED records, or a Raspberry Shake's datacast.

The header of raw samples, little-endian: 4 bytes EQS1; the sample type in 1 byte (1 int16, 2 int32, 3 float32); the
length of the source identifier in 1 byte; the number of samples in 2; the time of the first sample in 8, signed,
nanoseconds since 1970 UTC; the sampling rate in 8, a double, Hz; the source identifier, such as FDSN:XX_LUN_00_M_H_Z;
then the samples, to the last byte of the datagram.

A Shake sends one channel per datagram, as text::

    {'EHZ', 1582315130.292, 14168, 14927, 16112, ...}

These are the channel, the time of the first sample in seconds since 1970, and the samples in counts: a quarter of a
second, 25 at 100 Hz. Network, station and sampling rate are not sent; they are part of the address.

References
----------
Raspberry Shake, "UDP data output", https://manual.raspberryshake.org/udp.html
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.station_places import StationPlaces, is_named
from edgequake.edge.formats.record_scanner import RECORD_START, RecordScanner
from edgequake.edge.formats.source_ids import require_source_id, source_id_of, station_of
from edgequake.edge.formats.waveforms import LAST_NS, NS_PER_S, Trace, duration_ns

_DRIFT_GAIN = 1.0 / 16.0  # share of a time error that counts as drift of the clock
_MOST_DRIFT = 0.5  # samples of drift at which the grid follows the clock
_LATE_S = 60.0  # a datagram older than the latest by more is not late: it has another clock
_MOST_GRIDS = 256  # channels; more than those of all stations that a run takes

_MAGIC = b"EQS1"
_HEADER = struct.Struct("<4sBBHqd")
_HEADER_3 = struct.Struct("<33xBHI")  # of miniSEED 3: lengths of identifier, extra headers and data
# In a header of version 2, either byte order: the first blockette begins at byte 48, and is number 1000.
_BLOCKETTE_1000 = (b"\x00\x30\x03\xe8", b"\x30\x00\xe8\x03")
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<i2"), 2: np.dtype("<i4"), 3: np.dtype("<f4")}
_RATES_HZ = (1e-3, 1e5)

# There are no two ways to match the same text, so the time to reject one grows only with its length.
_SHAKE_DATAGRAM = re.compile(
    rb"\{ ?'([A-Z]{2}[A-Z0-9])', ?([0-9]{1,10})(?:\.([0-9]{1,9}))?, ?(-?[0-9]{1,10}(?:, ?-?[0-9]{1,10})*) ?\}\s?\s?\Z"
)
_MOST_SHAKE_SAMPLES = 4096
_MOST_SHAKE_CHANNELS = 16  # a Shake has four
_N_NOT_CONTIGUOUS = 20  # consecutive datagrams that show that the stated rate is wrong
_SHOWN_BYTES = 40


class TimestampRegulariser:
    """Puts a channel's traces with jittering start times on an even grid, so that contiguous traces are so exactly.

    The time of a datagram is rounded to milliseconds, or read from a clock when the datagram is assembled: it is early
    or late by a fraction of a sample, which would otherwise look like gaps and overlaps. A trace that starts within a
    sample of the latest one's stop continues there; any other begins at the grid position nearest to its time. Where
    the clock drifts, times jump by half a sample each time it has drifted by that much.
    """

    def __init__(self, sampling_rate_hz: float) -> None:
        self.sampling_rate_hz = sampling_rate_hz
        self._anchor_ns: int | None = None  # time of position 0
        self._next = 0  # position where the latest trace stops
        self._drift = 0.0  # samples by which the times are later than the grid, averaged over the jitter

    def place(self, start_ns: int, n_samples: int) -> tuple[int, int]:
        """Return a trace's start time on the grid, and the number of samples missing before it.

        Less than 0: the trace is late, or a duplicate.
        """
        if self._anchor_ns is None:
            self._anchor_ns = start_ns
        position = (start_ns - self._anchor_ns) * self.sampling_rate_hz / NS_PER_S
        nearest = round(position - self._drift)
        is_next = abs(position - self._drift - self._next) < 1.0
        start, ahead = (self._next, 0) if is_next else (nearest, nearest - self._next)
        self._drift += _DRIFT_GAIN * (position - start - self._drift)
        if abs(self._drift) > _MOST_DRIFT:
            self._anchor_ns += round(self._drift * NS_PER_S / self.sampling_rate_hz)
            self._drift = 0.0
        is_late = -_LATE_S * self.sampling_rate_hz < ahead < 0
        self._next = max(self._next, start + n_samples) if is_late else start + n_samples
        return self._anchor_ns + duration_ns(start, self.sampling_rate_hz), ahead


class DatagramDecoder:
    """Decodes datagrams of raw samples or miniSEED records; malformed ones are dropped and counted."""

    def __init__(
        self,
        name: str,
        diagnostics: Diagnostics,
        log: Callable[[str], None],
        places: StationPlaces | None = None,
    ) -> None:
        """Decode what is received at `name`; `log` takes a line for people when the first datagram is dropped.

        places : those of the stations: datagrams of one that is turned away are not decoded; None: all are.
        """
        self._name, self._diagnostics, self._log = name, diagnostics, log
        self._places = places
        self._grids: dict[str, TimestampRegulariser] = {}

    def is_for_others(self, datagram: bytes) -> str | None:
        """Return the station of a datagram if --station does not name it; asked from another thread."""
        if self._places is None or self._places.names is None:
            return None
        station_id = station_of_datagram(datagram)
        return None if station_id is None or is_named(station_id, self._places.names) else station_id

    def traces(self, datagram: bytes) -> list[Trace]:
        """Return the traces in a datagram, none if it is malformed or its station is turned away."""
        if self._places is not None:
            station_id = station_of_datagram(datagram)
            if station_id is not None and self._places.turns_away(station_id):
                return []
        try:
            return self._traces(datagram)
        except DataError as problem:
            if self._diagnostics.drop_datagram(self._name, str(problem), len(datagram)):
                self._log(f"a datagram is dropped: {problem}; further ones are counted")
            return []

    def _traces(self, datagram: bytes) -> list[Trace]:
        if datagram.startswith(_MAGIC):
            return [self._on_grid(parse_raw(datagram))]
        if RECORD_START.match(datagram) is None:
            raise DataError(f"{len(datagram)} bytes, neither a miniSEED record nor beginning with {_MAGIC.decode()}")
        return list(self._records(datagram))

    def _records(self, datagram: bytes) -> Iterator[Trace]:
        # A new scanner each time: no record continues in the next datagram.
        for record in RecordScanner(self._name, self._diagnostics, decode=True).feed(datagram, at_end=True):
            yield record.trace()

    def _on_grid(self, trace: Trace) -> Trace:
        """Return a trace on its channel's grid; count it if it is late, a duplicate or after a gap."""
        grid = self._grids.get(trace.source_id)
        if grid is None or grid.sampling_rate_hz != trace.sampling_rate_hz:
            if grid is None and len(self._grids) >= _MOST_GRIDS:
                self._grids.pop(next(iter(self._grids)))  # the channel that was heard least recently
            grid = TimestampRegulariser(trace.sampling_rate_hz)
        self._grids.pop(trace.source_id, None)
        self._grids[trace.source_id] = grid
        start_ns, ahead = grid.place(trace.start_ns, len(trace.samples))
        if ahead < 0:
            self._diagnostics.count("datagram(s) came late or twice")
        elif ahead > 0:
            self._diagnostics.count("datagram(s) came after a gap")
        return Trace(trace.source_id, start_ns, trace.sampling_rate_hz, trace.samples)


def station_of_datagram(datagram: bytes) -> str | None:
    """Return NET_STA of a datagram that holds raw samples or a single miniSEED record, from a few of its bytes.

    None: it is of another form; nothing says yet that it is valid.
    """
    if datagram.startswith(_MAGIC) and len(datagram) > _HEADER.size:
        return station_of(datagram[_HEADER.size : _HEADER.size + datagram[5]].decode("latin-1"))
    if datagram.startswith(b"MS\x03") and len(datagram) > _HEADER_3.size:
        id_bytes, extra_bytes, data_bytes = _HEADER_3.unpack_from(datagram)
        if len(datagram) != _HEADER_3.size + id_bytes + extra_bytes + data_bytes:
            return None
        return station_of(datagram[_HEADER_3.size : _HEADER_3.size + id_bytes].decode("latin-1"))
    if len(datagram) > 54 and datagram[46:50] in _BLOCKETTE_1000 and len(datagram) == 1 << (datagram[54] & 31):
        # As libmseed reads them: codes of version 2 are padded with spaces.
        network, station = datagram[18:20].decode("latin-1"), datagram[8:13].decode("latin-1")
        return f"{network.strip()}_{station.strip()}"
    return None


def parse_raw(datagram: bytes) -> Trace:
    """Read a datagram of raw samples.

    Raises
    ------
    DataError
        The datagram is malformed.
    """
    if len(datagram) < _HEADER.size:
        raise DataError(f"{len(datagram)} bytes; expected a header of {_HEADER.size}")
    _, code, id_bytes, n_samples, start_ns, rate_hz = _HEADER.unpack_from(datagram)
    dtype = _DTYPES.get(code)
    if dtype is None:
        raise DataError(f"samples of type {code}; expected 1 (int16), 2 (int32) or 3 (float32)")
    expected = _HEADER.size + id_bytes + n_samples * dtype.itemsize
    if n_samples == 0 or len(datagram) != expected:
        raise DataError(
            f"{len(datagram)} bytes for {n_samples} samples; expected 1 sample or more, and {expected} bytes"
        )
    source_id = require_source_id(datagram[_HEADER.size : _HEADER.size + id_bytes].decode("latin-1"))
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1] or abs(start_ns) > LAST_NS:
        raise DataError(f"start {start_ns} ns at {rate_hz:g} Hz; expected a year from 1678 to 2261, and a rate")
    if start_ns + duration_ns(n_samples, rate_hz) > LAST_NS:
        raise DataError(f"{n_samples} samples at {rate_hz:g} Hz reach beyond the year 2261")
    samples = np.frombuffer(datagram, dtype, n_samples, _HEADER.size + id_bytes).astype(dtype.newbyteorder("="))
    return Trace(source_id, start_ns, rate_hz, samples)


def raw_datagram(source_id: str, start_ns: int, sampling_rate_hz: float, samples: npt.NDArray[Any]) -> bytes:
    """Return raw samples as a datagram.

    samples : int16, int32 or float32, shape (n_samples,); about 300 of them fit a link's packets of 1400 bytes.

    Raises
    ------
    DataError
        Samples of another type, or too many for a datagram; an identifier that is not valid.
    """
    codes = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
    code, name = codes.get(samples.dtype), require_source_id(source_id).encode("ascii")
    if code is None or not 0 < len(samples) < 1 << 16:
        raise DataError(
            f"{len(samples)} samples of type {samples.dtype}; expected 1 to 65535 of int16, int32 or float32"
        )
    header = _HEADER.pack(_MAGIC, code, len(name), len(samples), start_ns, sampling_rate_hz)
    body: bytes = samples.astype(_DTYPES[code]).tobytes()
    return header + name + body


class ShakeDecoder(DatagramDecoder):
    """Decodes the datagrams of a Raspberry Shake."""

    def __init__(
        self, name: str, diagnostics: Diagnostics, log: Callable[[str], None], station: str, sampling_rate_hz: float
    ) -> None:
        """Decode datagrams of `station`, NET_STA_LOC; they do not name it, so that none is turned away."""
        super().__init__(name, diagnostics, log)
        self._station, self._rate_hz = station, sampling_rate_hz
        self._latest: dict[str, Trace] = {}
        self._n_not_contiguous: Counter[str] = Counter()  # consecutive datagrams, by channel
        self._rate_reported = False

    def _traces(self, datagram: bytes) -> list[Trace]:
        trace = parse_shake(datagram, self._station, self._rate_hz)
        on_grid = self._on_grid(trace)
        self._check_rate(trace)
        return [on_grid]

    def _check_rate(self, trace: Trace) -> None:
        """Report once that a channel's datagrams hold more or fewer samples than the stated rate implies."""
        before = self._latest.get(trace.source_id)
        if before is None and len(self._latest) >= _MOST_SHAKE_CHANNELS:
            return
        self._latest[trace.source_id] = trace
        if before is None or self._rate_reported:
            return
        elapsed_ns = trace.start_ns - before.start_ns
        if abs(trace.start_ns - before.stop_ns) * self._rate_hz <= NS_PER_S:
            self._n_not_contiguous[trace.source_id] = 0
            return
        self._n_not_contiguous[trace.source_id] += 1
        if self._n_not_contiguous[trace.source_id] >= _N_NOT_CONTIGUOUS and elapsed_ns > 0:
            self._rate_reported = True
            apparent_hz = len(before.samples) * NS_PER_S / elapsed_ns
            text = (
                f"{trace.source_id} seems to be sampled at about {apparent_hz:.3g} Hz, not {self._rate_hz:g}; "
                f"if so, add ?rate= to the address"
            )
            self._diagnostics.warn(text)
            self._log(text)


def parse_shake(datagram: bytes, station: str, sampling_rate_hz: float) -> Trace:
    """Read a datagram of a Raspberry Shake.

    station : its NET_STA_LOC.

    Raises
    ------
    DataError
        The datagram is malformed.
    """
    found = _SHAKE_DATAGRAM.match(datagram)
    if found is None:
        shown = datagram[:_SHOWN_BYTES].decode("ascii", "replace")
        raise DataError(f"{len(datagram)} bytes, {shown!a}; expected {{'EHZ', 1582315130.292, 14168, 14927, ...}}")
    channel, seconds, fraction, values = found.groups()
    counts = [int(value) for value in values.split(b",")]
    start_ns = int(seconds) * NS_PER_S + int((fraction or b"0").ljust(9, b"0"))
    if len(counts) > _MOST_SHAKE_SAMPLES or start_ns > LAST_NS - 3600 * NS_PER_S:
        raise DataError(
            f"{len(counts)} samples from {int(seconds)} s on; expected up to {_MOST_SHAKE_SAMPLES}, before 2261"
        )
    if max(counts) >= 1 << 31 or min(counts) < -(1 << 31):
        raise DataError("a sample of more than 32 bits")
    network, code, location = station.split("_")
    source_id = source_id_of(network, code, location, channel.decode())
    return Trace(source_id, start_ns, sampling_rate_hz, np.array(counts, np.int32))
