"""Datagrams received on UDP sockets, and the addresses they are sent to: udp://0.0.0.0:9000, shake://:8888/AM_R0E05."""

from __future__ import annotations

import math
import re
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import SplitResult, parse_qsl, urlsplit

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.station_places import StationPlaces
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.datagrams import DatagramDecoder, ShakeDecoder
from edgequake.edge.inputs.live import POLL_S
from edgequake.edge.inputs.source import is_address

_LOOPBACK = "127.0.0.1"
_SHAKE_PORT = 8888  # default of a Raspberry Shake's datacast page
_SHAKE_RATE_HZ = 100.0
_EXPECTED = "udp://HOST:PORT or shake://HOST:PORT/NET_STA"
_STATION = re.compile(r"[A-Z0-9]{1,8}_[A-Z0-9-]{1,8}(_[A-Z0-9-]{0,8})?\Z")
_LONGEST_BYTES = 1 << 16
_MOST_AT_ONCE = 256  # datagrams of one socket before it is another's turn
_INBOX_BYTES = 1 << 22  # of datagrams that wait for the run, as are asked for each socket
_BUFFER_BYTES = 1 << 22  # asked for each socket, so that a pause (a slow disk) loses nothing; the system may give less
_SO_RXQ_OVFL = 40  # Linux: each datagram comes with the number of those lost for want of buffer space


@dataclass(frozen=True)
class Address:
    """Address of a live source.

    Attributes
    ----------
    text : as given by the user.
    scheme : "udp" or "shake".
    host, port : what the socket is bound to, on this machine.
    station : NET_STA_LOC of a Shake; its datagrams name only the channel.
    sampling_rate_hz : of a Shake; it is not in its datagrams.
    """

    text: str
    scheme: str
    host: str
    port: int
    station: str = ""
    sampling_rate_hz: float = _SHAKE_RATE_HZ


def parse_address(text: str) -> Address:
    """Read an address; the default host is 127.0.0.1: other machines are heard only if the user asks for it.

    Raises
    ------
    ConfigError
        The text is not an address of a live input.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or _LOOPBACK, parts.port
    except ValueError as problem:
        raise ConfigError(f"'{text}': {problem}; expected {_EXPECTED}") from problem
    if parts.scheme == "seedlink":
        raise ConfigError(
            f"'{text}': SeedLink needs obspy, so it is for 'edgequake run', and alone; elsewhere pipe records in: "
            f"slinktool -o - ... | edgequake-edge run - ..."
        )
    if parts.scheme not in ("udp", "shake"):
        raise ConfigError(f"'{text}': expected a file, a folder, -, or {_EXPECTED}")
    if port is None and parts.scheme == "shake":
        port = _SHAKE_PORT
    if not port:
        raise ConfigError(f"'{text}' names no port; expected {_EXPECTED}")
    if parts.scheme == "shake":
        return Address(text, "shake", host, port, _station(text, parts), _rate(text, parts))
    if parts.path not in ("", "/") or parts.query:
        raise ConfigError(f"'{text}': nothing may follow the port; expected udp://HOST:PORT")
    return Address(text, "udp", host, port)


def _station(text: str, parts: SplitResult) -> str:
    name = parts.path.strip("/").upper()
    if not _STATION.match(name):
        raise ConfigError(f"'{text}' names no station; expected NET_STA or NET_STA_LOC, as shake://:8888/AM_R0E05")
    return name if name.count("_") == 2 else f"{name}_00"  # Shakes call their only location 00


def _rate(text: str, parts: SplitResult) -> float:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        rate_hz = float(options.pop("rate", _SHAKE_RATE_HZ))
    except ValueError:
        rate_hz = math.nan
    if options or not 0 < rate_hz < 1e6:
        raise ConfigError(f"'{text}': expected nothing after the station but ?rate=HZ, as ?rate=50")
    return rate_hz


class _Inbox(threading.Thread):
    """Empties the sockets into memory, without what no decoder need see.

    The system's own buffer may hold some hundred datagrams: less than a flood of forged stations brings while the run
    waits for its disk, or for its network.
    """

    def __init__(self, sockets: Sequence[socket.socket], decoders: Sequence[DatagramDecoder]) -> None:
        super().__init__(daemon=True)
        self._sockets, self._decoders = sockets, decoders
        self._n_overflows = [0] * len(sockets)  # the system's count for each socket, modulo 2**32
        self._waiting: SimpleQueue[tuple[int, bytes]] = SimpleQueue()  # number of the socket, and datagram
        self._taken_bytes = 0  # of them, by the run
        self._put_bytes = 0
        self.received_bytes = self.n_lost = self.n_turned_away = 0
        self.turned_away = ""  # the latest station
        self.stopped = False

    def run(self) -> None:
        buffer = bytearray(_LONGEST_BYTES)
        while not self.stopped:
            ready, _, _ = select.select(self._sockets, [], [], POLL_S)
            for one in ready:
                i = self._sockets.index(one)
                n_left = _MOST_AT_ONCE
                while n_left and self._receive(i, buffer):
                    n_left -= 1

    def take(self) -> tuple[int, bytes] | None:
        """Return the number of a socket and its next datagram; None where none comes for a while."""
        try:
            i, datagram = self._waiting.get(timeout=POLL_S)
        except Empty:
            return None
        self._taken_bytes += len(datagram)
        return i, datagram

    def _receive(self, i: int, buffer: bytearray) -> bool:
        """Receive a datagram; return whether there was one."""
        try:
            if sys.platform == "linux":
                size, extras, _, _ = self._sockets[i].recvmsg_into([buffer], socket.CMSG_SPACE(4))
                self._count_lost(i, extras)
            else:
                size = self._sockets[i].recv_into(buffer)
        except OSError:  # nothing is left, or a datagram had a wrong checksum and is not delivered
            return False
        datagram = bytes(memoryview(buffer)[:size])
        self.received_bytes += size
        station_id = self._decoders[i].is_for_others(datagram)
        if station_id is not None:
            self.turned_away = station_id
            self.n_turned_away += 1
        elif self._put_bytes - self._taken_bytes > _INBOX_BYTES:
            self.n_lost += 1
        else:
            self._put_bytes += size
            self._waiting.put((i, datagram))
        return True

    def _count_lost(self, i: int, extras: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                n_overflows = int.from_bytes(value[:4], sys.byteorder)
                self.n_lost += (n_overflows - self._n_overflows[i]) % (1 << 32)
                self._n_overflows[i] = n_overflows


class UdpReceiver:
    """Receives from one or several UDP sockets."""

    def __init__(self, diagnostics: Diagnostics, places: StationPlaces | None = None) -> None:
        """`places` are told which stations are left out before they are decoded."""
        self._diagnostics, self._places = diagnostics, places
        self._sockets: list[socket.socket] = []
        self._decoders: list[DatagramDecoder] = []
        self.size_bytes = 0

    def listen(self, address: Address, decoder: DatagramDecoder) -> None:
        """Listen to one more address.

        Raises
        ------
        DataError
            The socket cannot be opened.
        """
        self._sockets.append(_bound(address))
        self._decoders.append(decoder)

    def arrivals(self) -> Iterator[list[Trace] | None]:
        """Yield the traces of each datagram, None where it has none or nothing has come for a while; without end."""
        inbox = _Inbox(self._sockets, self._decoders)
        inbox.start()
        n_lost = n_turned_away = 0
        try:
            while True:
                arrived = inbox.take()
                if arrived is None and not inbox.is_alive():
                    raise DataError("the thread that receives datagrams has ended; start the run again with --resume")
                self.size_bytes = inbox.received_bytes
                if inbox.n_lost > n_lost:
                    n_new, n_lost = inbox.n_lost - n_lost, inbox.n_lost
                    self._diagnostics.count("datagram(s) lost here: they came faster than they were processed", n_new)
                if self._places is not None and inbox.n_turned_away > n_turned_away:
                    n_new, n_turned_away = inbox.n_turned_away - n_turned_away, inbox.n_turned_away
                    self._places.leave_out(inbox.turned_away, n_new)
                yield None if arrived is None else self._decoders[arrived[0]].traces(arrived[1]) or None
        finally:
            inbox.stopped = True
            inbox.join()
            for one in self._sockets:
                one.close()

    def rest(self) -> tuple[Trace, ...]:
        return ()  # datagrams are complete


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise DataError(f"cannot listen to {address.text}: {problem.strerror or problem}") from problem
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if sys.platform == "linux":
            with suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        bound.setblocking(False)
        bound.bind(where)
    except OSError as problem:
        bound.close()
        raise DataError(
            f"cannot listen to {address.text}: {problem.strerror or problem}; expected an address of this machine and "
            f"a port that nothing else has"
        ) from problem
    return bound


def open_sockets(
    inputs: tuple[str, ...],
    diagnostics: Diagnostics,
    log: Callable[[str], None],
    places: StationPlaces | None = None,
) -> UdpReceiver:
    """Return the receiver of live addresses.

    log : takes lines for people: the addresses listened to, and the first datagram dropped at each.
    places : those of the stations, see `DatagramDecoder`.

    Raises
    ------
    ConfigError
        An input is not an address, or not a valid one.
    DataError
        An address cannot be listened to.
    """
    others = [text for text in inputs if not is_address(text)]
    if others:
        raise ConfigError(f"addresses and other inputs do not go together: {', '.join(others)} beside an address")
    receiver = UdpReceiver(diagnostics, places)
    for address in [parse_address(text) for text in inputs]:
        decoder = DatagramDecoder(address.text, diagnostics, log, places)
        if address.scheme == "shake":
            decoder = ShakeDecoder(address.text, diagnostics, log, address.station, address.sampling_rate_hz)
        receiver.listen(address, decoder)
        log(f"listening to {_described(address)}")
    return receiver


def _described(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    alone = " (this machine only; name a host, as 0.0.0.0, to hear others)" if address.host == _LOOPBACK else ""
    station = f" for {address.station}" if address.station else ""
    return f"{address.scheme}://{host}:{address.port}{station}{alone}"
