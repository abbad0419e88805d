"""Constants as C source: numbers that read back as the same bits, and arrays of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_WIDTH = 116


def double(value: float) -> str:
    """Return a double; Python's shortest form reads back as the same bits."""
    return repr(float(value))


def single(value: float) -> str:
    """Return a float."""
    return f"{float(np.float32(value))!r}f"


def array(ctype: str, name: str, values: Iterable[object]) -> str:
    """Return the definition of a constant array, lines filled."""
    lines, line = [], "   "
    for text in (f"{value}," for value in values):
        if len(line) + 1 + len(text) > _WIDTH:
            lines.append(line)
            line = "   "
        line += " " + text
    lines.append(line.rstrip(","))
    return f"static const {ctype} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def define(name: str, value: object) -> str:
    """Return the definition of a macro; numbers below 0 in parentheses."""
    text = str(value)
    return f"#define EQ_{name} {f'({text})' if text.startswith('-') else text}\n"


def int64(value: int) -> str:
    """Return a 64-bit integer."""
    return f"INT64_C({value})"
