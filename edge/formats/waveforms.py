"""A piece of one channel's record, and the times and names that go with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.errors import DataError

NS_PER_S = 1_000_000_000
LAST_NS = 9_214_560_000 * NS_PER_S  # 2261-12-31; miniSEED readers hold nanoseconds in 64 bits
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Trace:
    """Evenly sampled values of one channel, as they were read.

    Attributes
    ----------
    source_id : FDSN source identifier, for example ``FDSN:XA_S12_00_M_H_Z``.
    start_ns : time of the first sample, nanoseconds since 1970-01-01 UTC.
    sampling_rate_hz : samples a second.
    samples : shape (n_samples,), in the dtype of the record.
    file : name of the file it came from ("-" for a stream).
    file_start_ns : time of that file's first sample; ``time_rel(sec)`` in the catalogue counts from it.
    """

    source_id: str
    start_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    file: str = "-"
    file_start_ns: int | None = None

    @property
    def station_id(self) -> str:
        """Network and station, for example ``XA_S12``."""
        return station_of(self.source_id)

    @property
    def stop_ns(self) -> int:
        """Time one sampling interval after the last sample."""
        return self.start_ns + duration_ns(len(self.samples), self.sampling_rate_hz)

    def between(self, start_ns: int | None, stop_ns: int | None) -> Trace:
        """Return the samples with start <= time < stop, without copying; the result may be empty."""
        first = 0 if start_ns is None else self._index_at(start_ns)
        stop = len(self.samples) if stop_ns is None else self._index_at(stop_ns)
        if first == 0 and stop == len(self.samples):
            return self
        first_ns = self.start_ns + duration_ns(first, self.sampling_rate_hz)
        return replace(self, start_ns=first_ns, samples=self.samples[first : max(first, stop)])

    def _index_at(self, time_ns: int) -> int:
        """Index of the first sample at or after a time, within 0..n_samples."""
        exact = (time_ns - self.start_ns) * self.sampling_rate_hz / NS_PER_S
        # A sample within a thousandth of its interval of the time counts as at it: start times are rounded to
        # microseconds by miniSEED 2, and a bare ceil would then drop or repeat a sample.
        return min(max(int(np.ceil(exact - 1e-3)), 0), len(self.samples))


def duration_ns(n_samples: int, sampling_rate_hz: float) -> int:
    """Return the time that `n_samples` sampling intervals take, to the nanosecond."""
    return round(n_samples * NS_PER_S / sampling_rate_hz)


def station_of(source_id: str) -> str:
    """Return NET_STA of an FDSN source identifier."""
    return "_".join(source_id.removeprefix("FDSN:").split("_")[:2])


def channel_of(source_id: str) -> str:
    """Return the three-letter channel code of an FDSN source identifier, for example ``MHZ``."""
    return "".join(source_id.removeprefix("FDSN:").split("_")[3:6])


def source_id_of(network: str, station: str, location: str, channel: str) -> str:
    """Return the FDSN source identifier of SEED codes; the channel code must have three letters.

    Raises
    ------
    DataError
        A channel code of another length.
    """
    if len(channel) != 3:
        raise DataError(f"channel code '{channel}': expected three letters such as MHZ")
    return f"FDSN:{network}_{station}_{location}_{'_'.join(channel)}".upper()


def parse_time(text: str) -> int:
    """Return nanoseconds since 1970 of an ISO 8601 time (UTC unless it says otherwise).

    Raises
    ------
    DataError
        Not an ISO time, or one that 64-bit nanoseconds cannot hold.
    """
    try:
        # Python 3.10 reads neither a trailing Z nor a fraction of other than 3 or 6 digits.
        head, _, fraction = text.strip().removesuffix("Z").partition(".")
        moment = datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}" if fraction.isdigit() else text.strip())
    except ValueError as problem:
        raise DataError(f"time '{text}': expected ISO 8601 such as 1971-04-13T12:55:00.000000") from problem
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    elapsed = moment - _EPOCH
    time_ns = (elapsed.days * 86_400 + elapsed.seconds) * NS_PER_S + elapsed.microseconds * 1_000
    if abs(time_ns) > LAST_NS:
        raise DataError(f"time '{text}': expected a year from 1678 to 2261")
    return time_ns


def format_time(time_ns: int) -> str:
    """Return a time as ``%Y-%m-%dT%H:%M:%S.%f``, to the nearest microsecond."""
    return (_EPOCH + timedelta(microseconds=round(time_ns / 1_000))).strftime("%Y-%m-%dT%H:%M:%S.%f")
