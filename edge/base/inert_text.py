r"""Text from inputs - names of files, station codes, notes - made inert for whoever reads an output.

Control characters, line breaks, and the characters that turn the direction of writing or that nobody sees, could move a
terminal's cursor, forge a line of a log, or make a document that no parser takes: they are written as escapes such as
``\x1b`` or ``\u202e``. A cell of a table that begins like a formula gets an apostrophe before it, as OWASP advises, and
loses it again when the table is read.

References
----------
OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
The Unicode Consortium, "Unicode Security Considerations", UTR #36, section 2.10.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

# A number, and dashes alone ("-" is a stream, "--" an empty location), are no formulas. A tab or a carriage return,
# with which a formula may begin as well, has become an escape before this is asked.
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-+", re.ASCII)
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_APOSTROPHE = "'"
_SPACES = frozenset("\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")


def one_line(text: str) -> str:
    r"""Return a text as one line that a terminal, a log, XML and HTML can show: what is not printable as an escape.

    Text that is inert already comes back as it is, backslashes included; so nothing is escaped twice.
    """
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(c: str) -> str:
    return c if c.isprintable() or c in _SPACES else c.encode("unicode_escape").decode("ascii")


def lines(text: str) -> str:
    """Return a text of several lines with each of them inert."""
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def cell(text: str) -> str:
    """Return the text of a table's cell as it is written: inert, and no formula for a spreadsheet."""
    inert = one_line(text)
    return _APOSTROPHE + inert if _FORMULA.match(inert) and not _NUMBER.fullmatch(inert) else inert


def text_of(cell: str) -> str:
    """Return the text of a cell that `cell` made, without the apostrophe; escapes stay."""
    return cell[1:] if cell.startswith(_APOSTROPHE) and _FORMULA.match(cell) else cell


def csv_line(cells: Iterable[str]) -> str:
    """Return cells as a line of a CSV table, made inert by `cell` and quoted where needed, with its newline."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([cell(text) for text in cells])
    return buffer.getvalue()
