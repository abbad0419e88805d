"""The UDP datacast of a Raspberry Shake: one channel's samples a datagram, as text.

    {'EHZ', 1582315130.292, 14168, 14927, 16112, ...}

The channel, the time of the first sample in seconds since 1970, and the samples in counts: a quarter of a second, 25 at
100 Hz. Neither network, station nor sampling rate are told; they come with the address.

References
----------
Raspberry Shake, "UDP data output", https://manual.raspberryshake.org/udp.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from edgequake.edge.datagrams import DatagramForm
from edgequake.edge.errors import DataError
from edgequake.edge.notes import Notes
from edgequake.edge.piece import LAST_NS, NS_PER_S, Piece

# No two ways to match the same text, so the time to find that it does not match grows with its length only.
_DATAGRAM = re.compile(
    rb"\{ ?'([A-Z]{2}[A-Z0-9])', ?([0-9]{1,10})(?:\.([0-9]{1,9}))?, ?(-?[0-9]{1,10}(?:, ?-?[0-9]{1,10})*) ?\}\s?\s?\Z"
)
_MOST_SAMPLES = 4096
_MOST_CHANNELS = 16  # a Shake has four
_IN_A_ROW = 20  # datagrams that do not follow one another at the stated rate
_SHOWN_BYTES = 40


class ShakeForm(DatagramForm):
    """Takes the datagrams of a Raspberry Shake."""

    def __init__(
        self, name: str, notes: Notes, tell: Callable[[str], None], station: str, sampling_rate_hz: float
    ) -> None:
        """Take datagrams of `station`, NET_STA_LOC."""
        super().__init__(name, notes, tell)
        self._station, self._rate_hz = station, sampling_rate_hz
        self._latest: dict[str, Piece] = {}
        self._n_apart: Counter[str] = Counter()  # datagrams in a row
        self._said_rate = False

    def _pieces(self, datagram: bytes) -> list[Piece]:
        came = parse_shake(datagram, self._station, self._rate_hz)
        placed = self._placed(came)
        self._check_rate(came)
        return [placed]

    def _check_rate(self, came: Piece) -> None:
        """Say so once when a channel's datagrams hold more or fewer samples than the stated rate has between them."""
        before = self._latest.get(came.source_id)
        if before is None and len(self._latest) >= _MOST_CHANNELS:
            return
        self._latest[came.source_id] = came
        if before is None or self._said_rate:
            return
        elapsed_ns = came.start_ns - before.start_ns
        if abs(came.start_ns - before.stop_ns) * self._rate_hz <= NS_PER_S:
            self._n_apart[came.source_id] = 0
            return
        self._n_apart[came.source_id] += 1
        if self._n_apart[came.source_id] >= _IN_A_ROW and elapsed_ns > 0:
            self._said_rate = True
            apparent_hz = len(before.samples) * NS_PER_S / elapsed_ns
            text = (
                f"{came.source_id} comes as if sampled at about {apparent_hz:.3g} Hz, not {self._rate_hz:g}; "
                f"if that is so, add ?rate= to the address"
            )
            self._notes(text)
            self._tell(text)


def parse_shake(datagram: bytes, station: str, sampling_rate_hz: float) -> Piece:
    """Read a datagram of a Raspberry Shake.

    station : NET_STA_LOC that its samples go by.

    Raises
    ------
    DataError
        Not of the form.
    """
    found = _DATAGRAM.match(datagram)
    if found is None:
        shown = datagram[:_SHOWN_BYTES].decode("ascii", "replace")
        raise DataError(f"{len(datagram)} bytes, '{shown}'; expected {{'EHZ', 1582315130.292, 14168, 14927, ...}}")
    channel, seconds, fraction, values = found.groups()
    counts = [int(value) for value in values.split(b",")]
    start_ns = int(seconds) * NS_PER_S + int((fraction or b"0").ljust(9, b"0"))
    if len(counts) > _MOST_SAMPLES or start_ns > LAST_NS - 3600 * NS_PER_S:
        raise DataError(f"{len(counts)} samples from {int(seconds)} s on; expected up to {_MOST_SAMPLES}, before 2261")
    if max(counts) >= 1 << 31 or min(counts) < -(1 << 31):
        raise DataError("a sample of more than 32 bits")
    network, code, location = station.split("_")
    source_id = f"FDSN:{network}_{code}_{location}_{'_'.join(channel.decode())}"
    return Piece(source_id, start_ns, sampling_rate_hz, np.array(counts, np.int32))
