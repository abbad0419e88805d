"""What the log and the warnings say of followed files that cannot be read yet."""

from __future__ import annotations

from collections.abc import Callable

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.inputs.followed_file import HOLE, INCOMPLETE

_MOST_NAMED = 1000  # files; further ones wait unnamed

_LOG = {
    HOLE: "space that has been allocated and not written yet: it is read when it is written",
    INCOMPLETE: "an incomplete record: it is read when it is complete",
}
_COUNT = {
    HOLE: "file(s) hold space that has been allocated and not written",
    INCOMPLETE: "file(s) hold an incomplete record",
}


class WaitingLog:
    """Says once what is waited for, and counts it."""

    def __init__(self, log: Callable[[str], None], diagnostics: Diagnostics) -> None:
        self._log, self._diagnostics = log, diagnostics
        self._hidden: dict[str, None] = {}  # paths that cannot be read
        self._waiting: dict[str, str] = {}  # by path: what the file holds that cannot be read yet

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of files that hold something that cannot be read yet."""
        return tuple(self._waiting)

    def what(self, path: str) -> str | None:
        """Return what a file is known to hold that cannot be read yet."""
        return self._waiting.get(path)

    def note_access(self, path: str, problem: OSError | None) -> None:
        """Say once that a file or folder cannot be read, or that it can be read again."""
        if problem is None:
            if path in self._hidden:
                del self._hidden[path]
                self._log(f"{path} can be read again")
        elif path not in self._hidden and len(self._hidden) < _MOST_NAMED:
            self._hidden[path] = None
            self._log(f"{path} cannot be read ({problem.strerror or problem}): it is tried again")
            self._diagnostics.count("time(s) a followed file or folder could not be read and was tried again")

    def wait_for(self, path: str, what: str | None) -> None:
        """Say once what a file holds that cannot be read yet, and count such files; None: there is nothing more."""
        before = self._waiting.get(path)
        if what == before or (before is None and len(self._waiting) >= _MOST_NAMED):
            return
        if before is not None:
            del self._waiting[path]
            self._diagnostics.count(_COUNT[before], -1)
        if what is not None:
            self._waiting[path] = what
            self._log(f"{path} holds {_LOG[what]}")
            self._diagnostics.count(_COUNT[what])

    def forget(self, path: str) -> None:
        """Note that a file has been deleted."""
        self._hidden.pop(path, None)
        self.wait_for(path, None)

    def state(self) -> State:
        return dict(self._waiting)

    def restore(self, state: State) -> None:
        self._waiting = dict(state)
