"""SeedLink to the runner: obspy's client takes records from a server and pipes them into `edgequake-edge run -`.

The runner is a process of its own, as it is on a lander: what it hears, writes and costs does not depend on obspy.
"""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any
from urllib.parse import urlsplit

from edgequake.edge.base.errors import ConfigError, DataError

SCHEME = "seedlink://"
RECONNECT_S = 10.0
SILENCE_S = 300.0  # after which a connection is taken for dead; a slow channel fills a record in a minute or two

_DEFAULT_PORT = 18_000
_MOST_SAYINGS = 50
_FORM = (
    "expected seedlink://HOST[:PORT]/NET_STA[_LOC_CHA],..., as seedlink://rtserve.iris.washington.edu/IU_ANMO_00_BH?"
)
_STREAM = re.compile(r"([A-Z0-9?*]{1,2})_([A-Z0-9?*]{1,5})(?:_([A-Z0-9?]{2})?_([A-Z0-9?]{3}))?\Z")


@dataclass(frozen=True)
class SeedLinkAddress:
    """A server, and what is wanted of it."""

    host: str
    port: int
    streams: tuple[tuple[str, str, str], ...]  # network, station, selector as 00BH?.D or BH?.D


def parse_seedlink(text: str) -> SeedLinkAddress:
    """Read an address.

    Raises
    ------
    ConfigError
        Not an address of a SeedLink server with the stations that are wanted.
    """
    try:
        parts = urlsplit(text.replace("?", "%3F"))
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
    except ValueError as problem:
        raise ConfigError(f"'{text}': {problem}; {_FORM}") from problem
    if not host or ":" in host:
        raise ConfigError(f"'{text}': the host must be a name or an IPv4 address; {_FORM}")
    names = parts.path.strip("/").replace("%3F", "?").upper().split(",")
    streams = []
    for name in names:
        found = _STREAM.match(name.strip())
        if found is None:
            raise ConfigError(f"'{text}': '{name}' is no station; {_FORM}")
        network, station, location, channel = found.groups()
        streams.append((network, station, f"{location or ''}{channel or '???'}.D"))
    return SeedLinkAddress(host, port, tuple(streams))


def run_seedlink(arguments: Sequence[str], tell: Callable[[str], None], reconnect_s: float = RECONNECT_S) -> int:
    """Run the runner on what a SeedLink server sends; return the runner's exit code.

    A connection that is lost is made anew, and goes on after the last record where the server still holds what came
    meanwhile. Signals are handed on to the runner.

    Parameters
    ----------
    arguments : of `edgequake run`, a SeedLink address among them.
    tell : takes one line for people.
    reconnect_s : between attempts to connect.

    Raises
    ------
    ConfigError
        The address is none, or not the only one.
    DataError
        The client fails in a way that another attempt does not mend.
    """
    addresses = [text for text in arguments if text.startswith(SCHEME)]
    if len(addresses) != 1:
        raise ConfigError(f"one SeedLink address at a time, with commas between stations; got {' '.join(addresses)}")
    address = parse_seedlink(addresses[0])
    say = _Sayings(tell)
    connection = _connection(address, reconnect_s, say)
    command = [sys.executable, "-m", "edgequake.edge", "run"]
    command += ["-" if text == addresses[0] else text for text in arguments]
    # In a session of its own, so that Ctrl-C reaches it once, through us.
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True) as runner:
        assert runner.stdin is not None
        client = _Client(connection, address, runner.stdin, say, reconnect_s)
        with _handing_on_signals(runner):
            client.start()
            code = runner.wait()
    if client.failure is not None:
        raise DataError(f"the SeedLink client failed: {client.failure!r}") from client.failure
    return code if code >= 0 else 128 - code


class _Client(threading.Thread):
    """Takes records and writes them to the runner, for as long as that listens."""

    def __init__(
        self, connection: Any, address: SeedLinkAddress, sink: IO[bytes], say: _Sayings, reconnect_s: float
    ) -> None:
        super().__init__(name="seedlink", daemon=True)
        self._connection, self._sink, self._say, self._reconnect_s = connection, sink, say, reconnect_s
        self._server = f"{address.host}:{address.port}"
        self.failure: Exception | None = None

    def run(self) -> None:
        """Take records and write them, until the runner has ended."""
        try:
            while True:
                record = self._next_record()
                if record is None:
                    time.sleep(self._reconnect_s)
                elif not self._write(record):
                    return
                else:
                    self._say.forget()
        except Exception as failure:  # whatever it is, the runner must not wait for what never comes
            self.failure = failure
            self._sink.close()

    def _write(self, record: bytes) -> bool:
        try:
            self._sink.write(record)
        except (OSError, ValueError):  # it listens no more
            return False
        return True

    def _next_record(self) -> bytes | None:
        """Return the next record; None where the connection is lost and may be tried again after a while."""
        from obspy.clients.seedlink.seedlinkexception import SeedLinkException
        from obspy.clients.seedlink.slpacket import SLPacket

        try:
            while isinstance(packet := self._connection.collect(), SLPacket):
                if packet.get_type() not in (SLPacket.TYPE_SLINF, SLPacket.TYPE_SLINFT):
                    return bytes(packet.msrecord)
            self._say(f"{self._server}: the connection is over; connecting anew")
        except (SeedLinkException, OSError) as problem:
            self._say(
                f"{self._server}: {getattr(problem, 'value', problem)}; trying again every {self._reconnect_s:g} s"
            )
            self._connection.disconnect()
        return None


def _connection(address: SeedLinkAddress, reconnect_s: float, say: _Sayings) -> Any:
    """Return obspy's connection to a server; it connects when it is first asked for a record."""
    from obspy.clients.seedlink.client.seedlinkconnection import SeedLinkConnection, logger

    class Connection(SeedLinkConnection):  # type: ignore[misc]
        """One that notices when the server closes: obspy's waits for data until its time limit."""

        def receive_data(self, maxbytes: int, code: str) -> bytes:
            """Read bytes from the server."""
            data: bytes = super().receive_data(maxbytes, code)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            return data

    connection = Connection(timeout=SILENCE_S)
    connection.set_net_timeout(SILENCE_S)
    connection.set_net_delay(reconnect_s)
    connection.set_sl_address(f"{address.host}:{address.port}")
    for network, station, selector in address.streams:
        connection.add_stream(network, station, selector, -1, None)
    logger.handlers = [say]
    logger.propagate = False
    return connection


class _Sayings(logging.Handler):
    """Says things to people, and what obspy's client logs; each once until records come: a server may be away long."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell
        self._said: set[str] = set()

    def __call__(self, text: str) -> None:
        """Say it."""
        if text not in self._said and len(self._said) < _MOST_SAYINGS:
            self._said.add(text)
            self._tell(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Say what is logged."""
        self(f"seedlink: {record.getMessage()}")

    def forget(self) -> None:
        """All is well: what goes wrong from now on is news."""
        self._said.clear()


@contextmanager
def _handing_on_signals(runner: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand SIGINT, SIGTERM and SIGHUP on to a process; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: FrameType | None) -> None:
        runner.send_signal(number)

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
