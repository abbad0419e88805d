"""File names of an SDS archive: YEAR/NET/STA/CHA.D/NET.STA.LOC.CHA.D.YEAR.DOY, one file per channel and UTC day.

The convention is SeisComP's (https://www.seiscomp.de/seiscomp3/doc/applications/slarchive/SDS.html); obspy's SDS
client, ringserver and slarchive read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.formats.waveforms import NS_PER_S, duration_ns

DAY_NS = 86_400 * NS_PER_S
_EPOCH = date(1970, 1, 1)
# Codes come from outside: none may leave the archive's folder or split a file name.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]")
_QUOTED = re.compile(rb"%([0-9A-F]{2})")
_NAME = re.compile(r"([^.]*)\.([^.]*)\.([^.]*)\.([^.]*)\.D\.(\d{4})\.(\d{3})")


@dataclass(frozen=True, order=True, slots=True)
class DayName:
    """The codes and the day in the name of a day file."""

    network: str
    station: str
    location: str
    channel: str  # MHZ, or M_HH_Z, see `SourceCodes.channel`
    day: int = 0  # days since 1970-01-01

    @property
    def station_id(self) -> str:
        """Network and station, as ``XA_S12``."""
        return f"{self.network}_{self.station}"

    def matches(self, station: str | None, channels: tuple[str, ...] | None) -> bool:
        """Whether a station (S12 or XA_S12) and one of the channel codes fit; patterns allowed, None: any."""
        mine = station is None or any(fnmatchcase(name, station) for name in (self.station_id, self.station))
        return mine and (channels is None or any(fnmatchcase(self.channel, pattern) for pattern in channels))


def day_of(time_ns: int, sampling_rate_hz: float) -> int:
    """Return the UTC day of a sample; one within a thousandth of its interval of midnight counts as after it."""
    return (time_ns + duration_ns(1, sampling_rate_hz) // 1000) // DAY_NS


@lru_cache(maxsize=1024)
def name_of(source_id: str) -> DayName:
    """Return the codes of an FDSN source identifier, without a day."""
    codes = split_source_id(source_id)
    return DayName(codes.network, codes.station, codes.location, codes.channel)


@lru_cache(maxsize=1024)
def day_name(source_id: str, day: int) -> str:
    """Return the file name of a channel's day, relative to the archive's folder."""
    codes = _plain_codes(source_id)
    network, station, _, channel = (code or "-" for code in codes)
    date_of_day = _EPOCH + timedelta(days=day)
    year, day_of_year = f"{date_of_day.year:04d}", f"{date_of_day.timetuple().tm_yday:03d}"
    return f"{year}/{network}/{station}/{channel}.D/{'.'.join(codes)}.D.{year}.{day_of_year}"


def channel_name(source_id: str) -> str:
    """Return NET.STA.LOC.CHA of a channel, as the files of its days begin."""
    return ".".join(_plain_codes(source_id))


def station_name(station_id: str) -> str:
    """Return NET_STA as the name of a file or folder, whatever characters the codes have."""
    return _quoted(station_id)


def _plain_codes(source_id: str) -> list[str]:
    name = name_of(source_id)
    return [_quoted(code) for code in (name.network, name.station, name.location, name.channel)]


def parse_day_name(name: str) -> DayName | None:
    """Return the codes and the day in a file name; None where it is not the name of a day file."""
    found = _NAME.fullmatch(name.rpartition("/")[2])
    if found is None:
        return None
    network, station, location, channel = (_unquoted(code) for code in found.groups()[:4])
    new_year = (date(max(1, int(found[5])), 1, 1) - _EPOCH).days
    return DayName(network, station, location, channel, new_year + int(found[6]) - 1)


def day_of_name(name: str) -> int:
    """Return the day in a name that `day_name` has made, days since 1970-01-01."""
    parsed = parse_day_name(name)
    assert parsed is not None
    return parsed.day


def day_files(folder: Path) -> Iterator[tuple[str, DayName, Path]]:
    """Yield the name relative to `folder`, the parsed name and the path of every day file, in no order."""
    for path in folder.glob("[0-9]*/*/*/*.D/*"):
        parsed = parse_day_name(path.name)
        if parsed is not None:
            yield path.relative_to(folder).as_posix(), parsed, path


def _quoted(code: str) -> str:
    return _NOT_PLAIN.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), code)


def _unquoted(code: str) -> str:
    data = _QUOTED.sub(lambda found: bytes([int(found[1], 16)]), code.encode())
    return data.decode(errors="replace")
