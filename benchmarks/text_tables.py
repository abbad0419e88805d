"""Cells of text, and rows of them as columns."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.benchmarks.scoring.pooling import Spread

NONE = "-"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def percent(share: float | None) -> str:
    """Return a share as a cell."""
    return NONE if share is None else f"{100 * share:.1f} %"


def seconds(value: float | None) -> str:
    """Return a length of time as a cell."""
    return NONE if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def count(mean: float) -> str:
    """Return a count, or the mean of several, as a cell."""
    return f"{mean:g}" if mean == round(mean) else f"{mean:.1f}"


def spread_cell(spread: Spread | None, several: bool, digits: int = 2) -> str:
    """Return a mean as a cell, with the deviation behind it where there are several starts."""
    if spread is None:
        return NONE
    text = f"{spread.mean:.{digits}f}"
    return f"{text} ± {spread.deviation:.{digits}f}" if several else text
