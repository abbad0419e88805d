"""A detector of another model that is fed beside the present one, until it may take over.

How long it is fed:

- Where only trigger, onset or thresholds differ, it takes over the whole state of the present detector: not at all.
- Where front end and sampling rate are the same, it takes over the state of the front end, and only its network has to
  forget that it began with zeros: `NETWORK_ROWS` rows of features, in windowed mode one window.
- Otherwise its background has to settle too: until the steps by which it moves have come down to those of the long run,
  `start_frames * step_start / step` frames, and for three times the memory of the rule that catches up.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.edge.base.checkpoint import restored_state
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest

# Of 84 starts in twelve real records of all three bodies, the probabilities of the shipped networks came to within
# 1.5/256 of those of a network that had run from the record's beginning, and stayed there, after 145 rows in the middle
# and after 1420 at most. 1500 rows: Moon 4 h, Mars 80 min, Earth 10 min.
NETWORK_ROWS = 1500
_CATCH_UP_MEMORIES = 3
_MOST_EVENTS = 16  # at the switch, those count that the present detector has not reached


def settling_s(old: Manifest, new: Manifest, has_same_graph: bool) -> float:
    """Return for how many seconds of record a model is fed before it may take over from another one."""
    # An event right after the switch needs the new model's pre-roll, of which the buffer has only the old one's.
    longer_s = max(0.0, new.trigger.pre_roll_s - old.trigger.pre_roll_s)
    if _shares_all_state(old, new, has_same_graph):
        return longer_s
    front_end, network = new.front_end, new.network
    block_s = front_end.hop_samples / new.sampling_rate_hz
    n_rows = NETWORK_ROWS if network.mode == "continuous" else int(network.window_rows or 0)
    network_s = n_rows * block_s / front_end.rows_per_block
    if _shares_front_end(old, new):
        return max(network_s, longer_s)
    background = front_end.background
    n_frames = background.start_frames * background.step_start / background.step
    if background.catch_up is not None:
        n_frames = max(n_frames, _CATCH_UP_MEMORIES * background.catch_up.memory_frames)
    window_s = front_end.window_samples / new.sampling_rate_hz
    return max(network_s, n_frames * block_s, longer_s) + window_s


def _shares_front_end(old: Manifest, new: Manifest) -> bool:
    return (old.front_end, old.sampling_rate_hz) == (new.front_end, new.sampling_rate_hz)


def _shares_all_state(old: Manifest, new: Manifest, has_same_graph: bool) -> bool:
    has_rows = (old.classes is None) == (new.classes is None)  # which events need for their class
    return has_same_graph and old.network == new.network and has_rows and _shares_front_end(old, new)


class Follower:
    """The detector of a model that may follow, while it is fed the samples of a stream."""

    def __init__(
        self, present: Detector, old: Manifest, detector: Detector, new: Manifest, has_same_graph: bool, is_begun: bool
    ) -> None:
        """Begin with as much of the present detector's state as both models share.

        Parameters
        ----------
        present, old : the detector at work, and its manifest.
        detector, new : a new detector, and its manifest.
        has_same_graph : both run the same graph.
        is_begun : the stream has begun before; otherwise both begin with it, and there is nothing to wait for.
        """
        self.manifest, self.detector = new, detector
        self.events: list[Event] = []  # that it has found
        self.problem: str | None = None  # why it cannot follow
        self._needed_ns = round(settling_s(old, new, has_same_graph) * NS_PER_S) if is_begun else 0
        if is_begun and _shares_all_state(old, new, has_same_graph):
            detector.restore(restored_state(present.state()))
        elif is_begun and _shares_front_end(old, new):
            detector.front_end.restore(restored_state(present.front_end.state()))
        self._first_ns = detector.front_end.next_ns()
        self._pre_ns = round(new.trigger.pre_roll_s * NS_PER_S)

    def push(self, traces: Sequence[Trace]) -> None:
        """Take the traces that the present detector has taken; whatever fails is this model's alone."""
        if self.problem is not None:
            return
        try:
            self.events = [*self.events, *self.detector.push(*traces)][-_MOST_EVENTS:]
        except Exception as problem:
            self.problem = f"it cannot process the samples: {' '.join(f'{type(problem).__name__}: {problem}'.split())}"
        if self._first_ns is None:
            self._first_ns = self.detector.front_end.next_ns()

    @property
    def keep_from_ns(self) -> int | None:
        """Time from which on an event of this model may need samples."""
        horizon_ns = self.detector.horizon_ns
        return None if horizon_ns is None else horizon_ns - self._pre_ns

    @property
    def left_s(self) -> float:
        """Seconds of record that it has still to be fed."""
        next_ns = self.detector.front_end.next_ns()
        fed_ns = 0 if next_ns is None or self._first_ns is None else next_ns - self._first_ns
        return max(0, self._needed_ns - fed_ns) / NS_PER_S
