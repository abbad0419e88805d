"""Which port a live input is: standard input, or addresses to listen to."""

from __future__ import annotations

import sys
from collections.abc import Callable

from edgequake.edge.addresses import LOOPBACK, Address, is_address, parse_address
from edgequake.edge.errors import ConfigError
from edgequake.edge.live_feed import Port
from edgequake.edge.notes import Notes


def open_port(inputs: tuple[str, ...], raw: str | None, notes: Notes, tell: Callable[[str], None]) -> Port:
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
        return _sockets(inputs, notes, tell)
    from edgequake.edge.stream_port import RawFormat, RawSamples, Records, StreamPort

    stream = sys.stdin.buffer if sys.stdin else None
    return StreamPort(stream, Records(notes) if raw is None else RawSamples(notes, RawFormat.parse(raw)))


def _sockets(inputs: tuple[str, ...], notes: Notes, tell: Callable[[str], None]) -> Port:
    from edgequake.edge.datagrams import DatagramForm
    from edgequake.edge.shake import ShakeForm
    from edgequake.edge.socket_port import SocketPort

    others = [text for text in inputs if not is_address(text)]
    if others:
        raise ConfigError(f"addresses and other inputs do not go together: {', '.join(others)} beside an address")
    addresses = [parse_address(text) for text in inputs]
    port = SocketPort(notes)
    for address in addresses:
        if address.scheme == "shake":
            form: DatagramForm = ShakeForm(address.text, notes, tell, address.station, address.sampling_rate_hz)
        else:
            form = DatagramForm(address.text, notes, tell)
        port.listen(address, form)
        tell(f"listening to {_place(address)}")
    return port


def _place(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    alone = " (this machine only; name a host, as 0.0.0.0, to hear others)" if address.host == LOOPBACK else ""
    station = f" for {address.station}" if address.station else ""
    return f"{address.scheme}://{host}:{address.port}{station}{alone}"
