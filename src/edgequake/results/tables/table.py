"""Tables that become HTML or Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under column heads, which may be of several lines; the first cell of a row names it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the table as Markdown, without its title and notes."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        heads = ["<br>".join(map(_escaped, head.split("\n"))) for head in self.columns]
        lines = [heads, ruler, *(map(_escaped, cells) for cells in self.rows)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(cell: str) -> str:
    """Keep a name from breaking the table, or from being read as HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", cell).replace("|", r"\|").replace("\n", " ")
