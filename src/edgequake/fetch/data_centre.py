"""Requests to an FDSN data centre through obspy's client, repeated when they fail: stations, and miniSEED records."""

from __future__ import annotations

import io
import re
import time
import zlib
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, TypeVar

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.fetch.bounded_answers import BoundedOpener

RETRY_WAITS_S = (2.0, 10.0)  # before the second and the third attempt at one request
TIMEOUT_S = 120.0  # until the first byte of an answer
# What obspy raises when the answer has another form than expected, such as the login page of a network (lxml's errors
# are SyntaxErrors).
_MALFORMED = (ValueError, TypeError, LookupError, NotImplementedError, SyntaxError)
_Answer = TypeVar("_Answer")


class TransferError(DataError):
    """An answer is missing or incomplete; another attempt may succeed."""


class DataCentre:
    """The `station` and `dataselect` services under one base URL.

    Raises
    ------
    ConfigError
        The URL has no valid form.
    DataError
        No answer, or one of the two services is not offered.
    """

    def __init__(self, base_url: str) -> None:
        from obspy.clients.fdsn.header import FDSNException

        self.base_url = base_url
        try:
            self._client = _bounded_client(base_url, timeout=TIMEOUT_S, service_mappings={"event": None})
        except (FDSNException, HTTPException, OSError, *_MALFORMED) as problem:
            if re.search("not a valid URL|is unknown", str(problem)):
                example = "https://service.earthscope.org"
                raise ConfigError(f"--base-url {base_url}: expected a URL such as {example}") from problem
            reason = _first_line(problem)
            remedy = "check the network, or name another with --base-url"
            raise DataError(f"no FDSN service answers at {base_url} ({reason}): {remedy}") from problem
        self._require_bounded()
        missing = {"dataselect", "station"} - set(self._client.services)
        if missing:
            raise DataError(
                f"{base_url} does not offer the FDSN service {' and '.join(sorted(missing))}: try again later, or name "
                f"another with --base-url"
            )

    def stations(self, network: str, station: str, start_ns: int, stop_ns: int) -> list[str]:
        """Return the codes of the stations that match a pattern and were in operation in [start, stop).

        Raises
        ------
        DataError
            The service refuses the request, or fails three times.
        """
        inventory = self._ask(
            self._client.get_stations, network=network, station=station, level="station", format="text",
            starttime=_time(start_ns), endtime=_time(stop_ns),
        )  # fmt: skip
        return [] if inventory is None else sorted({entry.code for part in inventory for entry in part})

    def records(
        self, codes: tuple[str, str, str, str], start_ns: int, stop_ns: int, parse: Callable[[bytes], _Answer]
    ) -> _Answer | None:
        """Return what `parse` returns for the miniSEED records in [start, stop); None where there are none.

        Parameters
        ----------
        codes : network, station, location and channel; the last three may be patterns.
        parse : reads the records; when it raises `TransferError`, the request is repeated.

        Raises
        ------
        DataError
            The service refuses the request, or the service or the transfer fails three times.
        """

        def request() -> _Answer | None:
            buffer = io.BytesIO()
            last_ns = stop_ns - 1000  # a service includes a sample at the end time; times are in microseconds
            self._client.get_waveforms(*codes, _time(start_ns), _time(last_ns), filename=buffer)
            return parse(buffer.getvalue()) if buffer.tell() else None

        return self._ask(request)

    def _require_bounded(self) -> None:
        """Refuse an answer that was too large: the next one would be as well."""
        if (oversize := self._client.bounded_opener.oversize) is not None:
            raise DataError(f"{self.base_url} sends {oversize}") from oversize

    def _ask(self, request: Callable[..., _Answer | None], **parameters: Any) -> _Answer | None:
        """Send a request up to three times; return None where the service has no data."""
        from obspy.clients.fdsn import header

        refusals = (
            header.FDSNBadRequestException, header.FDSNUnauthorizedException, header.FDSNForbiddenException,
            header.FDSNRequestTooLargeException, header.FDSNNotImplementedException,
        )  # fmt: skip
        failures = (header.FDSNException, HTTPException, OSError, EOFError, zlib.error, TransferError, *_MALFORMED)
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                return request(**parameters)
            except header.FDSNNoDataException:
                return None
            except refusals as problem:
                raise DataError(f"{self.base_url} refuses the request: {_first_line(problem)}") from problem
            except failures as problem:
                self._require_bounded()
                if wait_s is None:
                    attempts = 1 + len(RETRY_WAITS_S)
                    raise DataError(f"{self.base_url} failed {attempts} times: {_first_line(problem)}") from problem
                time.sleep(wait_s)
        return None


def _bounded_client(base_url: str, **options: Any) -> Any:
    """Return obspy's client, which bounds no answer by itself, with bounded answers."""
    from obspy.clients.fdsn import Client

    class BoundedClient(Client):  # type: ignore[misc]
        """A client whose answers are bounded from the first request on, which its constructor makes."""

        _url_opener: Any

        def _set_opener(self, user: str | None, password: str | None) -> None:
            super()._set_opener(user, password)
            self._url_opener = self.bounded_opener = BoundedOpener(self._url_opener)

    return BoundedClient(base_url, **options)


def _time(time_ns: int) -> Any:
    from obspy import UTCDateTime

    return UTCDateTime(format_time(time_ns))


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0].rstrip(" .:") if lines else type(problem).__name__
