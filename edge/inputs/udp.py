"""Datagrams that come in on UDP sockets.

Which port a live input is: standard input, or addresses to listen to.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.addresses import LOOPBACK, Address, is_address, parse_address
from edgequake.edge.inputs.live import POLL_S, Receiver

_LONGEST_BYTES = 1 << 16
_BUFFER_BYTES = (
    1 << 22
)  # asked of the system for a socket, so that a pause (a slow disk) loses nothing; it may give less
_SO_RXQ_OVFL = 40  # Linux: each datagram comes with how many were lost for want of room


class PacketDecoder(Protocol):
    """What datagrams mean."""

    def traces(self, datagram: bytes) -> list[Trace]:
        """Return what a datagram holds; nothing where it is not of the form."""


class _Listening:
    """One bound socket and the form of what comes there."""

    def __init__(self, address: Address, form: PacketDecoder, diagnostics: Diagnostics) -> None:
        self._form, self._diagnostics = form, diagnostics
        self.socket = _bound(address)
        self._n_lost: int | None = None  # as the system counts; it goes on from 0 after 2**32

    def fileno(self) -> int:
        """Return what `select` waits for."""
        return self.socket.fileno()

    def receive(self, buffer: bytearray) -> tuple[int, list[Trace]]:
        """Take one datagram; return its length and what it holds."""
        try:
            if sys.platform == "linux":
                size, extras, _, _ = self.socket.recvmsg_into([buffer], socket.CMSG_SPACE(4))
                self._count_lost(extras)
            else:
                size = self.socket.recv_into(buffer)
        except (BlockingIOError, InterruptedError):  # one whose checksum is wrong wakes us and is not given out
            return 0, []
        return size, self._form.traces(bytes(memoryview(buffer)[:size]))

    def _count_lost(self, extras: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                n_lost = int.from_bytes(value[:4], sys.byteorder)
                if n_lost != (self._n_lost or 0):
                    n_new = (n_lost - (self._n_lost or 0)) % (1 << 32)
                    self._diagnostics.count("datagram(s) lost here: they came faster than they were taken", n_new)
                self._n_lost = n_lost


class UdpReceiver:
    """One or several UDP sockets."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._sockets: list[_Listening] = []
        self.size_bytes = 0

    def listen(self, address: Address, form: PacketDecoder) -> None:
        """Listen to one more address.

        Raises
        ------
        DataError
            It cannot be listened to.
        """
        self._sockets.append(_Listening(address, form, self._diagnostics))

    def arrivals(self) -> Iterator[list[Trace] | None]:
        """Yield the pieces of each datagram that holds any, None where none has come for a while; without an end."""
        buffer = bytearray(_LONGEST_BYTES)
        try:
            while True:
                ready, _, _ = select.select(self._sockets, [], [], POLL_S)
                for one in ready:
                    size, traces = one.receive(buffer)
                    self.size_bytes += size
                    yield traces or None
                if not ready:
                    yield None
        finally:
            for one in self._sockets:
                one.socket.close()

    def rest(self) -> tuple[Trace, ...]:
        """Nothing waits: a datagram is whole."""
        return ()


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


def open_receiver(
    inputs: tuple[str, ...], raw: str | None, diagnostics: Diagnostics, tell: Callable[[str], None]
) -> Receiver:
    """Return the port of live inputs.

    inputs : "-" alone, or addresses.
    raw : what raw samples on standard input are; None: records.
    tell : says a line to people: what is listened to, and what is first dropped there.

    Raises
    ------
    ConfigError
        Inputs that do not go together, or are no addresses.
    DataError
        There is no standard input, or an address cannot be listened to.
    """
    if any(map(is_address, inputs)):
        return _sockets(inputs, diagnostics, tell)
    from edgequake.edge.inputs.stdin import RawDecoder, RawFormat, RecordDecoder, StdinReceiver

    stream = sys.stdin.buffer if sys.stdin else None
    return StdinReceiver(
        stream, RecordDecoder(diagnostics) if raw is None else RawDecoder(diagnostics, RawFormat.parse(raw))
    )


def _sockets(inputs: tuple[str, ...], diagnostics: Diagnostics, tell: Callable[[str], None]) -> Receiver:
    from edgequake.edge.inputs.datagrams import DatagramDecoder, ShakeDecoder

    others = [text for text in inputs if not is_address(text)]
    if others:
        raise ConfigError(f"addresses and other inputs do not go together: {', '.join(others)} beside an address")
    addresses = [parse_address(text) for text in inputs]
    port = UdpReceiver(diagnostics)
    for address in addresses:
        if address.scheme == "shake":
            form: DatagramDecoder = ShakeDecoder(
                address.text, diagnostics, tell, address.station, address.sampling_rate_hz
            )
        else:
            form = DatagramDecoder(address.text, diagnostics, tell)
        port.listen(address, form)
        tell(f"listening to {_place(address)}")
    return port


def _place(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    alone = " (this machine only; name a host, as 0.0.0.0, to hear others)" if address.host == LOOPBACK else ""
    station = f" for {address.station}" if address.station else ""
    return f"{address.scheme}://{host}:{address.port}{station}{alone}"
