"""A small FDSN web service for tests: dataselect and station, as of a data centre, and with its failures."""

from __future__ import annotations

import gzip
import io
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import obspy

_PARAMETERS = {
    "dataselect": "starttime endtime network station location channel quality minimumlength longestonly format",
    "station": "starttime endtime network station location channel minlatitude maxlatitude minlongitude maxlongitude "
    "level format",
}
HTML_PAGE = b"<html>please log in<br></html>" * 40
_TIMES = ("starttime", "endtime")


@dataclass
class FdsnService:
    """The service's data, its faults, and the requests that it received.

    `faults` maps a day, as 1971-04-17, to what happens to the requests for it, one after another: a status such as
    "500", or "cut" (the connection breaks within the announced bytes), "short" (a complete response without its last
    bytes), "html" (no miniSEED), "wide" (records that extend beyond the day), "empty", "bomb" (a few hundred kilobytes
    that unpack to more than any answer has), "packed" (what is right, by gzip). No fault once exhausted.
    """

    stream: obspy.Stream
    stations: dict[str, tuple[str, ...]]  # network -> station codes
    offered: tuple[str, ...] = ("dataselect", "station")
    html_only: bool = False  # every response is an HTML page, as behind the login page of a hotel network
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)  # to dataselect
    url: str = ""

    @property
    def days_requested(self) -> list[str]:
        """The first day of each request for samples."""
        return [query["starttime"][:10] for query in self.requests]

    @contextmanager
    def served(self) -> Iterator[FdsnService]:
        """Serve on a free local port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": self}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def records(self, query: dict[str, str], wide: bool) -> bytes:
        """Return the data that a query selects, as miniSEED."""
        start, stop = obspy.UTCDateTime(query["starttime"]), obspy.UTCDateTime(query["endtime"])
        found = obspy.Stream([trace for trace in self.stream if _matches(trace, query)])
        if wide:  # like a service that does not cut records
            start, stop = start - 300, stop + 300
        found = found.slice(start, stop)
        buffer = io.BytesIO()
        if found:
            found.write(buffer, format="MSEED", encoding="STEIM2", reclen=512)
        return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: FdsnService

    def do_GET(self) -> None:
        parts = urlparse(self.path)
        _, _, name, _, resource = parts.path.split("/")
        if self.service.html_only:
            self._answer(200, HTML_PAGE)
        elif name not in self.service.offered:
            self._answer(404)
        elif resource == "application.wadl":
            self._answer(200, _wadl(name).encode())
        elif resource == "version":
            self._answer(200, b"1.1.0")
        else:
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            self._station(query) if name == "station" else self._dataselect(query)

    def _station(self, query: dict[str, str]) -> None:
        codes = [
            code for code in self.service.stations.get(query["network"], ()) if fnmatchcase(code, query["station"])
        ]
        lines = [
            f"{query['network']}|{code}|-3.0|-23.4|0.0|Site|1969-11-19T00:00:00|1977-09-30T00:00:00" for code in codes
        ]
        head = "#Network | Station | Latitude | Longitude | Elevation | SiteName | StartTime | EndTime"
        self._answer(200 if codes else 204, "\n".join([head, *lines, ""]).encode() if codes else b"")

    def _dataselect(self, query: dict[str, str]) -> None:
        self.service.requests.append(query)
        faults = self.service.faults.get(query["starttime"][:10], [])
        fault = faults.pop(0) if faults else ""
        content = self.service.records(query, wide=fault == "wide")
        if fault.isdigit():
            self._answer(int(fault), b"the data centre fails\nwith a long explanation")
        elif fault == "html":
            self._answer(200, HTML_PAGE)
        elif fault == "empty" or not content:
            self._answer(200 if fault == "empty" else 204)
        elif fault == "short":
            self._answer(200, content[:-100])
        elif fault == "bomb":
            self._answer(200, bomb(), is_packed=True)
        elif fault == "packed":
            self._answer(200, gzip.compress(content), is_packed=True)
        elif fault == "cut":
            self._answer(200, content[: len(content) // 2], announced=len(content))
        else:
            self._answer(200, content)

    def _answer(self, status: int, content: bytes = b"", announced: int | None = None, is_packed: bool = False) -> None:
        self.send_response(status)
        if is_packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content) if announced is None else announced))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def bomb(n_bytes: int = 300 << 20) -> bytes:
    """Return zeros, packed by gzip to a thousandth."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(n_bytes >> 20)), packer.flush()])


def _matches(trace: obspy.Trace, query: dict[str, str]) -> bool:
    return all(
        fnmatchcase(trace.stats[name], query.get(name, "*").replace("--", ""))
        for name in ("network", "station", "location", "channel")
    )


def _wadl(service: str) -> str:
    parameters = "".join(
        f'<param name="{name}" style="query" type="xs:{"dateTime" if name in _TIMES else "string"}"/>'
        for name in _PARAMETERS[service].split()
    )
    return (
        '<?xml version="1.0"?><application xmlns="http://wadl.dev.java.net/2009/02" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        f'<resources base="http://localhost/fdsnws/{service}/1/"><resource path="query">'
        f'<method name="GET" id="query"><request>{parameters}</request></method></resource></resources></application>'
    )
