"""What the site's pages of the Python API need of the docstrings: descriptions below the names of parameters.

In this project a docstring says `name : what it is`; numpydoc's parser would take these words for a type.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

_ENTRY = re.compile(r"^(\w+(?:, \w+)*) : (.+)$", re.MULTILINE)


def numpydoc(text: str) -> str:
    """Return a docstring with the words after `name : ` on a line of their own."""
    return _ENTRY.sub(r"\1\n    \2", text)


class DescriptionsOnTheirOwnLine(Extension):
    """Applies `numpydoc` to every docstring that is read."""

    def on_object(self, *, obj: Any, **options: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = numpydoc(obj.docstring.value)
