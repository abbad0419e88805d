"""One live station's pieces in order: small disorder is sorted out, a lone impossible time is dropped."""

from __future__ import annotations

from edgequake.edge.piece import NS_PER_S, Piece, duration_ns
from edgequake.edge.state import State

LATE_NS = 300 * NS_PER_S  # in a live stream no channel lags behind another by more, and no record is older
_FAR_NS = 3600 * NS_PER_S  # a record this far ahead of its station needs another that agrees
_LONGEST_WAIT_NS = 60 * NS_PER_S
_AGREE = 3  # records that must follow one another before a clock is believed to have been set back
_MOST_WAITING = 500


class Sequencer:
    """Puts a station's pieces in an order that the front end takes, for as little delay as can be.

    - A piece that goes on where its channel stops, or overlaps that by less than `LATE_NS`, is given at once.
    - After a hole short enough to be bridged a piece waits: the missing one may still come. It waits until the station
      is twice the piece's length further, at most a minute; and never so long that the front end would give up the
      channel, so that the rows are those of the records in order.
    - A piece an hour or more ahead of its station may have a damaged header. It waits for another that agrees: the next
      of its channel, or one of another channel.
    - Older pieces are late and are dropped, unless `_AGREE` follow one another: then the clock was set back.
    """

    def __init__(self, bridge_ns: int) -> None:
        self._bridge_ns = bridge_ns
        self.newest_ns: int | None = None  # start of the newest piece given
        self._stops_ns: dict[str, int] = {}  # by channel, of the newest piece given
        self._early: list[Piece] = []
        self._far: list[Piece] = []
        self._late: dict[str, list[Piece]] = {}
        self.n_dropped = 0  # since somebody last looked

    @property
    def channels(self) -> dict[str, int]:
        """The channels heard so far, and where each stops."""
        return self._stops_ns

    def push(self, piece: Piece) -> tuple[list[Piece], bool]:
        """Take a piece; return the pieces that come next, and whether the clock was set back before them."""
        if self.newest_ns is not None and piece.start_ns > self.newest_ns + _FAR_NS:
            return self._agreed(piece), False
        stop_ns = self._stops_ns.get(piece.source_id)
        if stop_ns is None:
            return self._given([*self._due(piece.start_ns), piece]), False
        if piece.stop_ns < stop_ns - LATE_NS:
            return self._set_back(piece)
        self._late.pop(piece.source_id, None)
        lead_ns = piece.start_ns - stop_ns
        if duration_ns(1, piece.sampling_rate_hz) < lead_ns <= self._bridge_ns - _wait_ns(piece):
            given = self._due(piece.start_ns)
            self._early = sorted([*self._early, piece], key=lambda early: early.start_ns)
            if len(self._early) > _MOST_WAITING:
                given.append(self._early.pop(0))
            return self._given(given), False
        return self._given([*self._due(piece.start_ns), piece, *self._following(piece)]), False

    def flush(self) -> list[Piece]:
        """Return what is still waiting: nothing more will come."""
        waiting, self._early, self._far = [*self._early, *self._far], [], []
        return self._given(sorted(waiting, key=lambda piece: piece.start_ns))

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "newest_ns": self.newest_ns,
            "stops_ns": self._stops_ns,
            "early": [vars(piece) for piece in self._early],
            "far": [vars(piece) for piece in self._far],
            "late": {name: [vars(piece) for piece in pieces] for name, pieces in self._late.items()},
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.newest_ns, self._stops_ns = state["newest_ns"], state["stops_ns"]
        self._early, self._far = [Piece(**p) for p in state["early"]], [Piece(**p) for p in state["far"]]
        self._late = {name: [Piece(**p) for p in pieces] for name, pieces in state["late"].items()}

    def _agreed(self, piece: Piece) -> list[Piece]:
        """Return the pieces far ahead once two agree on the time."""
        agreed = [other for other in self._far if -LATE_NS <= piece.start_ns - other.stop_ns <= LATE_NS
                  or abs(piece.start_ns - other.start_ns) <= LATE_NS]  # fmt: skip
        if not agreed:
            self._far.append(piece)
            if len(self._far) > _AGREE:
                self._far.pop(0)
                self.n_dropped += 1
            return []
        self.n_dropped += len(self._far) - len(agreed)
        early, self._early, self._far = self._early, [], []
        return self._given([*early, *sorted([*agreed, piece], key=lambda one: one.start_ns)])

    def _set_back(self, piece: Piece) -> tuple[list[Piece], bool]:
        late = self._late.setdefault(piece.source_id, [])
        if late and abs(piece.start_ns - late[-1].stop_ns) > duration_ns(1, piece.sampling_rate_hz):
            late.clear()
        late.append(piece)
        self.n_dropped += 1
        if len(late) < _AGREE:
            return [], False
        # Other channels whose clock was set back with it have pieces waiting for the same proof.
        late_pieces = [one for pieces in self._late.values() for one in pieces]
        agreeing = [one for one in late_pieces if one.start_ns >= late[0].start_ns - LATE_NS]
        self.n_dropped -= len(agreeing)
        self._early, self._far, self._late = [], [], {}
        self.newest_ns, self._stops_ns = None, {}
        return self._given(sorted(agreeing, key=lambda one: one.start_ns)), True

    def _due(self, now_ns: int) -> list[Piece]:
        """Take out the waiting pieces that have waited for long enough when the station is at `now_ns`."""
        due = [piece for piece in self._early if piece.start_ns + _wait_ns(piece) < now_ns]
        if due:
            self._early = [piece for piece in self._early if piece.start_ns + _wait_ns(piece) >= now_ns]
        return due

    def _following(self, piece: Piece) -> list[Piece]:
        """Take out the waiting pieces that go on where a piece stops, one after the other."""
        following: list[Piece] = []
        stop_ns, slack_ns = piece.stop_ns, duration_ns(1, piece.sampling_rate_hz)
        for early in [early for early in self._early if early.source_id == piece.source_id]:
            if early.start_ns - stop_ns > slack_ns:
                break
            following.append(early)
            stop_ns = max(stop_ns, early.stop_ns)
        if following:
            self._early = [early for early in self._early if not any(early is one for one in following)]
        return following

    def _given(self, pieces: list[Piece]) -> list[Piece]:
        for piece in pieces:
            stop_ns = self._stops_ns.get(piece.source_id, piece.stop_ns)
            self._stops_ns[piece.source_id] = max(stop_ns, piece.stop_ns)
            self.newest_ns = piece.start_ns if self.newest_ns is None else max(self.newest_ns, piece.start_ns)
        return pieces


def _wait_ns(piece: Piece) -> int:
    return min(_LONGEST_WAIT_NS, 2 * duration_ns(len(piece.samples), piece.sampling_rate_hz))
