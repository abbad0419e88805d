"""A small SeedLink 3 server for tests: stations in multi-station mode, packets with sequence numbers, and failures."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass
class SeedLinkServer:
    """The server's data, its faults, and the requests that it received.

    `cuts` says after how many bytes of packets each connection breaks, one after another; an exhausted list: never.
    A connection that is asked for no more than the server holds stays open, as a real one does while it waits for data.
    """

    records: dict[str, list[bytes]]  # NET_STA -> records of 512 bytes
    cuts: list[int] = field(default_factory=list)
    greeting: bytes = b"SeedLink v3.1 (2020.075)\r\na test\r\n"
    asked: list[str] = field(default_factory=list)
    address: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def served(self) -> Iterator[SeedLinkServer]:
        """Serve on a free local port."""
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"held": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class _Wish:
    name: str
    selectors: list[str] = field(default_factory=list)
    first: int = 0  # sequence number


class _Handler(socketserver.StreamRequestHandler):
    held: SeedLinkServer

    def handle(self) -> None:
        wishes: list[_Wish] = []
        buffer = b""
        while True:
            data = self.request.recv(4096)
            if not data:
                return
            buffer += data
            while found := re.match(rb"([^\r\n]*)[\r\n]+", buffer):
                buffer = buffer[found.end() :]
                words = found.group(1).decode("ascii").split()
                self.held.asked.append(" ".join(words))
                if words == ["END"]:
                    self._send_packets(wishes)
                    return
                self.request.sendall(self._answer(words, wishes))

    def _answer(self, words: list[str], wishes: list[_Wish]) -> bytes:
        match words:
            case ["HELLO"]:
                return self.held.greeting
            case ["STATION", station, network] if f"{network}_{station}" in self.held.records:
                wishes.append(_Wish(f"{network}_{station}"))
                return b"OK\r\n"
            case ["SELECT", selector] if wishes and re.fullmatch(r"([A-Z0-9?]{2})?[A-Z0-9?]{3}(\.D)?", selector):
                wishes[-1].selectors.append(selector)
                return b"OK\r\n"
            case ["DATA"] if wishes:
                return b"OK\r\n"
            case ["DATA", number] if wishes:
                wishes[-1].first = int(number, 16)
                return b"OK\r\n"
        return b"ERROR\r\n"

    def _send_packets(self, wishes: list[_Wish]) -> None:
        packets = [b"SL%06X" % number + record for wish in wishes for number, record in self._wanted(wish)]
        packets.sort(key=lambda packet: packet[2:8])
        data = b"".join(packets)
        with suppress(OSError):  # the client has gone
            if self.held.cuts:
                self.request.sendall(data[: self.held.cuts.pop(0)])
                return
            self.request.sendall(data)
            self.held.over.wait(60)

    def _wanted(self, wish: _Wish) -> Iterator[tuple[int, bytes]]:
        for number, record in enumerate(self.held.records[wish.name]):
            code = record[13:18].decode("ascii")  # location and channel
            patterns = [selector.removesuffix(".D").rjust(5, "?") for selector in wish.selectors]
            if number >= wish.first and any(fnmatchcase(code, pattern) for pattern in patterns):
                yield number, record
