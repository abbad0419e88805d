"""What a streaming object remembers, as plain values: `state()` gives it, `restore()` goes on from it.

Every streaming class of the runner has the pair. A state holds nothing but None, bool, int, float, str, lists and
dictionaries of these with text keys, and numpy arrays, so that a checkpoint can be written without pickle and read by
anything. It says nothing of the configuration: `restore` is called on an object built from the same manifest. Arrays of
a state are not copied: write it out, or let the object rest, before it goes on.
"""

from __future__ import annotations

from typing import Any, TypeAlias

State: TypeAlias = dict[str, Any]
