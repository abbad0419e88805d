"""docs/conversion-survey.md from the measured rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

RUNTIMES = ("tflite-runtime", "ai-edge-litert")


def line(row: dict[str, Any]) -> str:
    """Return a network's row of the table."""
    return str(row)


def page(rows: Iterable[dict[str, Any]], versions: str) -> str:
    return ""


def faults(row: dict[str, Any]) -> list[str]:
    return []
