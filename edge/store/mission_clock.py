"""Mission time: that of the newest sample heard; and the passes of the downlink that fall due as it goes on."""

from __future__ import annotations

from edgequake.edge.feed import Batch
from edgequake.edge.piece import NS_PER_S
from edgequake.edge.state import State


class MissionClock:
    """Follows the samples.

    It goes on only, but for a live station whose clock was set back: then it is that of the stations that are heard.
    One that was ahead by mistake must not keep the radio silent until the mistake has come true. Over files, where one
    stream comes after the other, time stands still until a stream goes beyond those before it.

    Passes are due at multiples of `pass_s`. The hours of a tear are gone, nothing could be handed over in them: none is
    due there.
    """

    def __init__(self, pass_s: float, replayed: bool) -> None:
        self._pass_s, self._replayed = pass_s, replayed
        self._newest_ns: dict[str, int] = {}  # by live listener
        self.now_ns: int | None = None
        self._due_ns: list[int] = []

    def hear(self, batch: Batch) -> None:
        """Take samples into account."""
        for piece in batch.pieces:
            self._hear(batch.key, piece.start_ns, piece.stop_ns)
        if batch.over and self._newest_ns.pop(batch.key, None) is not None and self._newest_ns:
            self.now_ns = max(self._newest_ns.values())

    def take_due(self) -> list[int]:
        """Return the times of the passes that have fallen due since the last call."""
        due, self._due_ns = self._due_ns, []
        return due

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"now_ns": self.now_ns, "newest_ns": dict(self._newest_ns)}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.now_ns, self._newest_ns = state["now_ns"], dict(state["newest_ns"])

    def _hear(self, key: str, start_ns: int, stop_ns: int) -> None:
        before_ns = self.now_ns
        if self._replayed:
            self.now_ns = stop_ns if before_ns is None else max(before_ns, stop_ns)
        else:
            self._newest_ns[key] = max(stop_ns, self._newest_ns.get(key, stop_ns))
            self.now_ns = max(self._newest_ns.values())
        if before_ns is None or start_ns - before_ns > self._pass_s * NS_PER_S:
            before_ns = start_ns
        self._due_ns += pass_times(before_ns, self.now_ns, self._pass_s)


def pass_times(after_ns: int, until_ns: int, pass_s: float) -> list[int]:
    """Return the multiples of `pass_s` in (after, until]."""
    pass_ns = round(pass_s * NS_PER_S)
    return [i * pass_ns for i in range(after_ns // pass_ns + 1, until_ns // pass_ns + 1)]
