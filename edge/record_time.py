"""How much time a station's record covers."""

from __future__ import annotations

from edgequake.edge.state import State


class RecordTime:
    """Time covered by pieces that come in the order of their start times.

    A tear that the front end would bridge counts as covered, a longer one does not: files of a folder may lie years
    apart, and a share of those years would say nothing.
    """

    def __init__(self, bridge_ns: int) -> None:
        self._bridge_ns = bridge_ns
        self._start_ns: int | None = None
        self._stop_ns = 0
        self._torn_ns = 0  # in all long tears
        self._tears: list[tuple[int, int]] = []  # the long ones, [start, stop)

    def add(self, start_ns: int, stop_ns: int) -> None:
        """Count a piece [start, stop)."""
        if self._start_ns is None:
            self._start_ns, self._stop_ns = start_ns, stop_ns
        if start_ns - self._stop_ns > self._bridge_ns:
            self._tears.append((self._stop_ns, start_ns))
            self._torn_ns += start_ns - self._stop_ns
        self._stop_ns = max(self._stop_ns, stop_ns)

    @property
    def total_ns(self) -> int:
        """Time covered so far."""
        return 0 if self._start_ns is None else self._stop_ns - self._start_ns - self._torn_ns

    def within(self, start_ns: int, stop_ns: int) -> int:
        """Time covered in [start, stop), which lies between the first start and the last stop."""
        torn_ns = sum(max(0, min(stop_ns, b) - max(start_ns, a)) for a, b in self._tears)
        return stop_ns - start_ns - torn_ns

    def forget_before(self, time_ns: int) -> None:
        """`within` will not be asked of anything before this time."""
        self._tears = [tear for tear in self._tears if tear[1] > time_ns]

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {name: value for name, value in vars(self).items() if name != "_bridge_ns"}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
        self._tears = [(start_ns, stop_ns) for start_ns, stop_ns in self._tears]
