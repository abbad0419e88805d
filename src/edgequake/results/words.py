"""Figures as text: sizes, shares, times, durations, counts."""

from __future__ import annotations

from edgequake.edge.base.durations import duration as duration
from edgequake.edge.formats.waveforms import NS_PER_S, format_time

NONE = "–"  # where there is no figure
_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def size(n_bytes: float) -> str:
    """Return a size in bytes, with a decimal prefix."""
    for unit, factor in _UNITS:
        if abs(n_bytes) >= factor:
            amount = n_bytes / factor
            return f"{amount:.0f} {unit}" if abs(amount) >= 99.95 else f"{amount:.3g} {unit}"
    return f"{n_bytes:g} bytes"


def percent(share: float | None) -> str:
    """Return a share, 0..1, as per cent."""
    return NONE if share is None else f"{100 * share:.1f} %"


def rate(value: float | None) -> str:
    """Return a rate such as recall, to two places."""
    return NONE if value is None else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """Return a time error in seconds."""
    return NONE if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def moment(time_ns: int) -> str:
    """Return a time (UTC) to the tenth of a second."""
    tenth_ns = NS_PER_S // 10
    return format_time(round(time_ns / tenth_ns) * tenth_ns)[:21].replace("T", " ")


def time_of_day(time_ns: int) -> str:
    """Return the hours, minutes and seconds (UTC) of a time."""
    return moment(time_ns)[11:19]


def thousands(number: int) -> str:
    """Return a count with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def number(value: float) -> str:
    """Return a positive number to about three significant digits, never with an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def plural(n: int, word: str) -> str:
    """Return a count and its noun."""
    return f"{thousands(n)} {word}" if n == 1 else f"{thousands(n)} {word}s"


def station_name(station_id: str) -> str:
    """Return NET STA of NET_STA."""
    return station_id.replace("_", " ")
