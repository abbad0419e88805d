"""SeedLink input: obspy's client receives records from a server and pipes them into `edgequake-edge run -`.

The runner is a separate process, as on a lander: its results and its cost do not depend on obspy.
"""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any
from urllib.parse import urlsplit

from edgequake.edge.base.errors import ConfigError, DataError

SCHEME = "seedlink://"
RECONNECT_S = 10.0
SILENCE_S = 300.0  # a connection silent for so long is closed; a slow channel fills a record in a minute or two

_DEFAULT_PORT = 18_000
_MAX_MESSAGES = 50
_FORM = (
    "expected seedlink://HOST[:PORT]/NET_STA[_LOC_CHA],..., as seedlink://rtserve.iris.washington.edu/IU_ANMO_00_BH?"
)
_STREAM = re.compile(r"([A-Z0-9?*]{1,2})_([A-Z0-9?*]{1,5})(?:_([A-Z0-9?]{2})?_([A-Z0-9?]{3}))?\Z")


@dataclass(frozen=True)
class SeedLinkAddress:
    """A server, and the streams to request from it."""

    host: str
    port: int
    streams: tuple[tuple[str, str, str], ...]  # network, station, selector as 00BH?.D or BH?.D


def parse_seedlink(text: str) -> SeedLinkAddress:
    """Read an address.

    Raises
    ------
    ConfigError
        Not the address of a SeedLink server with a list of stations.
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
            raise ConfigError(f"'{text}': '{name}' is not a station; {_FORM}")
        network, station, location, channel = found.groups()
        streams.append((network, station, f"{location or ''}{channel or '???'}.D"))
    return SeedLinkAddress(host, port, tuple(streams))


def run_seedlink(arguments: Sequence[str], log: Callable[[str], None], reconnect_s: float = RECONNECT_S) -> int:
    """Run the runner on the records of a SeedLink server; return the runner's exit code.

    After a lost connection the client reconnects and continues after the last record, as far as the server still holds
    the records since then. Signals are forwarded to the runner.

    Parameters
    ----------
    arguments : those of `edgequake run`, with a SeedLink address among them.
    log : called with each message for the user.
    reconnect_s : time between attempts to connect.

    Raises
    ------
    ConfigError
        The address is malformed, or there is more than one.
    DataError
        The client fails in a way that reconnecting cannot repair.
    """
    addresses = [text for text in arguments if text.startswith(SCHEME)]
    if len(addresses) != 1:
        raise ConfigError(f"one SeedLink address at a time, with commas between stations; got {' '.join(addresses)}")
    address = parse_seedlink(addresses[0])
    messages = _Messages(log)
    connection = _connection(address, reconnect_s, messages)
    # What a server sends is in order of time, even where it is old; an option that the user gives comes later.
    command = [sys.executable, "-m", "edgequake.edge", "run", "--spool-bytes", "0"]
    command += ["-" if text == addresses[0] else text for text in arguments]
    # In a session of its own, so that Ctrl-C reaches it only once, forwarded by this process.
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True) as runner:
        assert runner.stdin is not None
        client = _Client(connection, address, runner.stdin, messages, reconnect_s)
        with _signals_forwarded(runner):
            client.start()
            code = runner.wait()
            client.end()
    if client.failure is not None:
        raise DataError(f"the SeedLink client failed: {client.failure!r}") from client.failure
    return code if code >= 0 else 128 - code


class _Client(threading.Thread):
    """Receives records and writes them to the runner, until the runner ends."""

    def __init__(
        self, connection: Any, address: SeedLinkAddress, sink: IO[bytes], messages: _Messages, reconnect_s: float
    ) -> None:
        super().__init__(name="seedlink", daemon=True)
        self._connection, self._sink, self._messages, self._reconnect_s = connection, sink, messages, reconnect_s
        self._server = f"{address.host}:{address.port}"
        self._is_over = threading.Event()
        self.failure: Exception | None = None

    def end(self) -> None:
        """Try and say no more: the runner has ended, which a client without records would not notice."""
        self._messages.end()
        self._is_over.set()

    def run(self) -> None:
        """Receive records and write them, until the runner has ended."""
        try:
            while not self._is_over.is_set():
                record = self._next_record()
                if record is None:
                    self._is_over.wait(self._reconnect_s)
                    continue
                try:
                    self._sink.write(record)
                except (OSError, ValueError):  # the runner has closed its input
                    return
                self._messages.repeat_all()
        except Exception as failure:  # whatever it is, the runner must not wait for more input
            self.failure = failure
            self._sink.close()

    def _next_record(self) -> bytes | None:
        """Return the next record; None where the connection is lost and another attempt may succeed."""
        from obspy.clients.seedlink.seedlinkexception import SeedLinkException
        from obspy.clients.seedlink.slpacket import SLPacket

        try:
            while isinstance(packet := self._connection.collect(), SLPacket):
                if packet.get_type() not in (SLPacket.TYPE_SLINF, SLPacket.TYPE_SLINFT):
                    return bytes(packet.msrecord)
            self._messages.log(f"{self._server}: the connection has ended; reconnecting")
        except (SeedLinkException, OSError) as problem:
            reason = getattr(problem, "value", problem)
            self._messages.log(f"{self._server}: {reason}; trying again every {self._reconnect_s:g} s")
            self._connection.disconnect()
        return None


def _connection(address: SeedLinkAddress, reconnect_s: float, messages: _Messages) -> Any:
    """Return obspy's connection to a server; it connects when the first record is requested."""
    from obspy.clients.seedlink.client.seedlinkconnection import SeedLinkConnection, logger

    class Connection(SeedLinkConnection):  # type: ignore[misc]
        """A connection that notices when the server closes it; obspy's waits until its time limit."""

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
    logger.handlers = [messages]
    logger.propagate = False
    return connection


class _Messages(logging.Handler):
    """Logs messages, obspy's among them, each only once until records arrive: a server may be unreachable for long."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._log = log
        self._logged: set[str] = set()

    def log(self, text: str) -> None:
        """Log a message that has not been logged yet."""
        if text not in self._logged and len(self._logged) < _MAX_MESSAGES:
            self._logged.add(text)
            self._log(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a message of obspy's."""
        self.log(f"seedlink: {record.getMessage()}")

    def end(self) -> None:
        """Log nothing any more."""
        self._log = lambda text: None

    def repeat_all(self) -> None:
        """Log every message again when it recurs."""
        self._logged.clear()


@contextmanager
def _signals_forwarded(runner: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward SIGINT, SIGTERM and SIGHUP to a process; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:
        runner.send_signal(number)

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
