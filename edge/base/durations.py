"""Lengths of time as text for people: hours, minutes or seconds, as fits."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a length of time, as "24 h 00 min", "6 min 30 s" or "45.0 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
