"""An FDSN data centre, asked through obspy's client: does a station exist, and what did it record on a day?"""

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

RETRY_WAITS_S = (2.0, 10.0)  # before the second and the third attempt at one request
TIMEOUT_S = 120.0  # to the first byte of an answer
# What obspy raises on an answer in another form than asked for, such as the login page of a network (lxml's errors are
# SyntaxErrors).
_NOT_UNDERSTOOD = (ValueError, TypeError, LookupError, NotImplementedError, SyntaxError)
_Answer = TypeVar("_Answer")


class TransferError(DataError):
    """An answer that did not come, or not whole; asking again may help."""


class DataCentre:
    """The `station` and `dataselect` services below one base URL."""

    def __init__(self, base_url: str) -> None:
        """Find out what the data centre offers.

        Raises
        ------
        ConfigError
            No URL of that form.
        DataError
            Nobody answers there, or not with both services.
        """
        from obspy.clients.fdsn import Client
        from obspy.clients.fdsn.header import FDSNException

        self.base_url = base_url
        try:
            self._client = Client(base_url, timeout=TIMEOUT_S, service_mappings={"event": None})
        except (FDSNException, HTTPException, OSError, *_NOT_UNDERSTOOD) as problem:
            if re.search("not a valid URL|is unknown", str(problem)):
                raise ConfigError(
                    f"--base-url {base_url}: expected a URL such as https://service.earthscope.org"
                ) from problem
            raise DataError(
                f"no FDSN service answers at {base_url} ({_first_line(problem)}): check the network, or name another "
                f"with --base-url"
            ) from problem
        missing = {"dataselect", "station"} - set(self._client.services)
        if missing:
            raise DataError(
                f"{base_url} does not offer the FDSN service {' and '.join(sorted(missing))}: try again later, or name "
                f"another with --base-url"
            )

    def stations(self, network: str, station: str, start_ns: int, stop_ns: int) -> list[str]:
        """Return the codes of the stations of these names that recorded in [start, stop).

        Raises
        ------
        DataError
            The service fails three times.
        """
        inventory = self._ask(
            self._client.get_stations, network=network, station=station, level="station", format="text",
            starttime=_time(start_ns), endtime=_time(stop_ns),
        )  # fmt: skip
        return [] if inventory is None else sorted({entry.code for part in inventory for entry in part})

    def records(
        self, codes: tuple[str, str, str, str], start_ns: int, stop_ns: int, check: Callable[[bytes], _Answer]
    ) -> _Answer | None:
        """Return what `check` makes of the miniSEED records that meet [start, stop), None where there are none.

        Parameters
        ----------
        codes : network, station, location and channel; the last three may be patterns.
        check : reads the records; where it raises `TransferError` they are asked for again.

        Raises
        ------
        DataError
            The service fails, or the transfer does, three times.
        """

        def request() -> _Answer | None:
            buffer = io.BytesIO()
            # The last microsecond: a service counts a sample at its endtime in.
            stop_us_ns = stop_ns - 1000
            self._client.get_waveforms(*codes, _time(start_ns), _time(stop_us_ns), filename=buffer)
            return check(buffer.getvalue()) if buffer.tell() else None

        return self._ask(request)

    def _ask(self, request: Callable[..., _Answer | None], **parameters: Any) -> _Answer | None:
        """Ask up to three times; None where the service says that it has nothing."""
        from obspy.clients.fdsn import header

        refusals = (
            header.FDSNBadRequestException, header.FDSNUnauthorizedException, header.FDSNForbiddenException,
            header.FDSNRequestTooLargeException, header.FDSNNotImplementedException,
        )  # fmt: skip
        failures = (header.FDSNException, HTTPException, OSError, EOFError, zlib.error, TransferError, *_NOT_UNDERSTOOD)
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                return request(**parameters)
            except header.FDSNNoDataException:
                return None
            except refusals as problem:
                raise DataError(f"{self.base_url} refuses the request: {_first_line(problem)}") from problem
            except failures as problem:
                if wait_s is None:
                    attempts = 1 + len(RETRY_WAITS_S)
                    raise DataError(f"{self.base_url} failed {attempts} times: {_first_line(problem)}") from problem
                time.sleep(wait_s)
        return None


def _time(time_ns: int) -> Any:
    from obspy import UTCDateTime

    return UTCDateTime(format_time(time_ns))


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0].rstrip(" .:") if lines else type(problem).__name__
