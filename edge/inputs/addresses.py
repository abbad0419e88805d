"""Addresses of live inputs, as udp://0.0.0.0:9000 and shake://:8888/AM_R0E05."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from edgequake.edge.base.errors import ConfigError

LOOPBACK = "127.0.0.1"
_SHAKE_PORT = 8888  # what the datacast's page of a Raspberry Shake offers
_SHAKE_RATE_HZ = 100.0
_FORMS = "udp://HOST:PORT or shake://HOST:PORT/NET_STA"
_STATION = re.compile(r"[A-Z0-9]{1,2}_[A-Z0-9]{1,5}(_[A-Z0-9]{0,2})?\Z")


@dataclass(frozen=True)
class Address:
    """Where to listen, and for what.

    Attributes
    ----------
    text : as it was given.
    scheme : "udp" or "shake".
    host, port : address of this machine that the socket is bound to.
    station : NET_STA_LOC that a Shake's samples go by; a datacast names the channel only.
    sampling_rate_hz : of a Shake; a datacast does not tell it.
    """

    text: str
    scheme: str
    host: str
    port: int
    station: str = ""
    sampling_rate_hz: float = _SHAKE_RATE_HZ


def is_address(text: str) -> bool:
    """Whether an input is an address rather than a file."""
    return "://" in text


def parse_address(text: str) -> Address:
    """Read an address; without a host it is 127.0.0.1: nobody else is listened to unless that is asked for.

    Raises
    ------
    ConfigError
        Not an address of a live input.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or LOOPBACK, parts.port
    except ValueError as problem:
        raise ConfigError(f"'{text}': {problem}; expected {_FORMS}") from problem
    if parts.scheme == "seedlink":
        raise ConfigError(
            f"'{text}': SeedLink needs obspy, so it is for 'edgequake run', and alone; elsewhere pipe records in: "
            f"slinktool -o - ... | edgequake-edge run - ..."
        )
    if parts.scheme not in ("udp", "shake"):
        raise ConfigError(f"'{text}': expected a file, a folder, -, or {_FORMS}")
    if port is None and parts.scheme == "shake":
        port = _SHAKE_PORT
    if not port:
        raise ConfigError(f"'{text}' names no port; expected {_FORMS}")
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
