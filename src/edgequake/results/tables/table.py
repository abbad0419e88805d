"""A table of text that renders as aligned plain text and as Markdown; templates render it as HTML."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from edgequake.edge.base.inert_text import one_line

_FIGURE = re.compile(r"[-–\d<]|$")  # how a cell with a figure begins, or an empty one

N_LETTERS = 8  # of a column's head on one line at least


@dataclass(frozen=True)
class Table:
    """Rows of text under column heads, which may have several lines; the first cell of a row names it."""

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

    def text(self) -> str:
        """Return title, columns and notes as plain text; columns of figures are aligned to the right."""
        rows = tuple(tuple(map(one_line, cells)) for cells in self.rows)
        lines = _aligned(self.columns, rows) if rows else []
        return "\n".join([*([self.title] if self.title else []), *lines, *self.notes])


def _aligned(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the lines of heads and rows; a head wider than the cells below it takes several lines."""
    cells = list(zip(*rows, strict=True))
    widths = [
        max(min(len(head), N_LETTERS), *map(len, [*column, *head.split()]))
        for head, column in zip(columns, cells, strict=True)
    ]
    right = [i > 0 and all(map(_FIGURE.match, column)) for i, column in enumerate(cells)]
    wrapped = [textwrap.wrap(head, width) if head else [] for head, width in zip(columns, widths, strict=True)]
    n_lines = max(map(len, wrapped))
    heads = zip(*([""] * (n_lines - len(head)) + head for head in wrapped), strict=True)
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [*heads, *rows]
    ]


def _escaped(cell: str) -> str:
    """Keep a name from breaking the table, or from being read as HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", one_line(cell.replace("\n", " "))).replace("|", r"\|")
