"""Tables that become HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under column heads; the first cell of a row names it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the table as Markdown, without its title and notes."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        return "\n".join(_line(cells) for cells in (self.columns, ruler, *self.rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    """Keep a name from breaking the table, or from being read as HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", cell).replace("|", r"\|").replace("\n", " ")
