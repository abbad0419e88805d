"""FDSN source identifiers, ``FDSN:NET_STA_LOC_BAND_SOURCE_SUBSOURCE``: here they are checked, split and made.

Codes may have any number of letters, also none: ``FDSN:XX_LANDER01__B_H_Z`` has an empty location, and
``FDSN:XX_LUN_00_B_HYDRO_`` an empty subsource. Upper and lower case differ.

References
----------
FDSN, "Source Identifiers", version 1.0, https://docs.fdsn.org/projects/source-identifiers
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from edgequake.edge.base.errors import DataError

MOST_LETTERS = 63  # of an identifier, prefix included: libmseed holds it in 64 bytes (LM_SIDLEN), the last of them 0
_PREFIX = "FDSN:"
_FORM = "expected one such as FDSN:XX_LUN_00_M_H_Z, in letters, digits and dashes"
# Five separators or more: a station code of miniSEED 2 may contain an underscore. Anything else, such as a dot, a slash
# or a line break, would split a file name, a path or a line of text.
_VALID = re.compile(r"FDSN:[A-Za-z0-9-]*(?:_[A-Za-z0-9-]*){5,}", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SourceCodes:
    """The codes of a source identifier; each may be empty."""

    network: str
    station: str
    location: str
    band: str
    source: str
    subsource: str

    @property
    def station_id(self) -> str:
        """Network and station, for example ``XA_S12``."""
        return f"{self.network}_{self.station}"

    @property
    def channel(self) -> str:
        """The channel code, different for different codes: ``MHZ``, or ``M_HYDRO_Z`` where they have not one letter."""
        codes = (self.band, self.source, self.subsource)
        joined = "".join(codes)
        # "BH" can only be the band B and the source H; an empty code before another one needs its separator.
        if all(len(code) <= 1 for code in codes) and "".join(codes[: len(joined)]) == joined:
            return joined
        return "_".join(codes)


@lru_cache(maxsize=1024)
def split_source_id(source_id: str) -> SourceCodes:
    """Return the codes of a source identifier; of one that is not valid, as many as can be told apart."""
    network, *station, location, band, source, subsource = _padded(source_id.removeprefix(_PREFIX).split("_"))
    return SourceCodes(network, "_".join(station), location, band, source, subsource)


def _padded(codes: list[str]) -> list[str]:
    return codes + [""] * (6 - len(codes))


@lru_cache(maxsize=1024)
def require_source_id(source_id: str) -> str:
    """Return a source identifier that is valid.

    Raises
    ------
    DataError
        It is not, or it is longer than libmseed can hold.
    """
    if len(source_id) > MOST_LETTERS:
        raise DataError(
            f"source identifier {source_id[:MOST_LETTERS]!a}...: {len(source_id)} letters, expected up to "
            f"{MOST_LETTERS}"
        )
    if not _VALID.fullmatch(source_id):
        raise DataError(f"source identifier {source_id!a}; {_FORM}")
    return source_id


@lru_cache(maxsize=1024)
def usable_source_id(source_id: str) -> str:
    """Return an identifier in letters, digits and dashes: other characters of its codes as a dash and their UTF-8 bytes
    in hexadecimal digits, so that different identifiers stay different.

    For identifiers that a checksum proves to be as they were sent: their samples are someone's records, whatever the
    codes; one that a bit error has changed must not become a station.

    Raises
    ------
    DataError
        It has not the form of an identifier, or is too long in this way.
    """
    if not source_id.startswith(_PREFIX):
        return require_source_id(source_id)
    codes = source_id.removeprefix(_PREFIX)
    return require_source_id(_PREFIX + _OTHER.sub(lambda found: f"-{found[0].encode().hex().upper()}", codes))


def station_of(source_id: str) -> str:
    """Return NET_STA of a source identifier."""
    return split_source_id(source_id).station_id


def channel_of(source_id: str) -> str:
    """Return the channel code of a source identifier, as `SourceCodes.channel`."""
    return split_source_id(source_id).channel


def channel_title(source_id: str) -> str:
    """Return NET_STA_LOC_CHA of a source identifier, for lines of text."""
    codes = split_source_id(source_id)
    return "_".join((codes.network, codes.station, codes.location, codes.channel))


def source_id_of(network: str, station: str, location: str, channel: str) -> str:
    """Return the source identifier of SEED codes.

    channel : up to three letters, as ``MHZ``, or band, source and subsource with separators, as ``M_HYDRO_Z``.

    Raises
    ------
    DataError
        A channel code of another form, another character than letters, digits and dashes, or too many letters.
    """
    codes = channel.split("_") if "_" in channel else list(channel.strip())
    if len(codes) > 3:
        raise DataError(f"channel code {channel!a}: expected up to three letters such as MHZ, or BAND_SOURCE_SUBSOURCE")
    place = [network.strip(), station.strip(), location.strip()]
    if not all(_CODE.fullmatch(code) for code in (place[0], place[2], *codes)):
        raise DataError(f"codes {'.'.join((*place, channel))!a}: expected letters, digits and dashes")
    return require_source_id(_PREFIX + "_".join([*place, *_padded(codes)[:3]]))
