"""The trigger: turns probabilities into events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import SureEventConfig, TriggerConfig

_CONSTANTS = ("_config", "threshold", "_lag_ns", "on_declared")


@dataclass(frozen=True)
class Decision:
    """Output of the network for one short interval [start_ns, stop_ns)."""

    start_ns: int
    stop_ns: int
    onset: float  # probability that an event begins in it
    event: float  # probability that an event is in progress
    onset_ns: int | None = None  # onset of the event, from networks that give one; None: `start_ns`


@dataclass(frozen=True)
class Event:
    """A detected event, [onset_ns, stop_ns)."""

    onset_ns: int
    stop_ns: int
    peak_probability: float  # largest onset probability
    mq_type: str = ""  # class, as the NASA packet names it; blank: none


def decision_of(
    outputs: tuple[str, ...],
    values: Sequence[float],
    start_ns: int,
    stop_ns: int,
    window_ns: int,
    event_classes: tuple[str, ...] = (),
) -> Decision:
    """Return the decision on [start_ns, stop_ns) from a network's output values, named as in the manifest.

    window_ns : duration of the window that stops at `stop_ns`; the output "start" is a share of it.
    event_classes : of the outputs, those whose sum is the probability of an event.
    """
    if event_classes:
        event = min(1.0, sum(values[outputs.index(name)] for name in event_classes))
    else:
        event = values[outputs.index("event")]
    onset = values[outputs.index("onset")] if "onset" in outputs else event
    if "start" in outputs:
        onset_ns = stop_ns - window_ns + round(values[outputs.index("start")] * window_ns)
        return Decision(start_ns, stop_ns, onset, event, onset_ns)
    return Decision(start_ns, stop_ns, onset, event)


class Trigger:
    """A state machine over decisions in time order.

    - An event is declared when the onset probability has stayed at or above the threshold for `min_duration_s`. Its
      onset is the start of that rise, or the onset in the rise's first decision, minus `onset_lag_s`. With
      `longest_rise_s` it is where the probability last rose above ``rearm_ratio * threshold``, at most so much earlier:
      a high threshold is often reached seconds after the first motion. A beginning less than `merge_s` after the open
      event's rise is that event's, and the onset is the start of the rise after all.
    - With a table `sure_event`, one is declared too when the event probability has stayed at or above its threshold,
      or that of the onsets if it is higher, for its `duration_s`; unless an event has been declared since the event
      probability last was below `event_threshold`. Its onset is where it last rose above that, at most `longest_rise_s`
      earlier.
    - The next event can be declared only after the onset probability has been below ``rearm_ratio * threshold``
      (hysteresis). A rise that starts less than `merge_s` after the open event's rise belongs to that event; a later
      one closes the open event where it begins.
    - The event continues while the event probability is at or above `event_threshold` or the onset probability is at
      or above its threshold. It closes once both have been low for `hold_s`, at the time when they fell, or after
      `max_event_s`.
    """

    def __init__(self, config: TriggerConfig, onset_threshold: float) -> None:
        self._config = config
        self.threshold = onset_threshold  # onset probability that declares an event; it can be changed at any time
        self._lag_ns = _ns(config.onset_lag_s)
        # called with the onset (ns) and the probability of each event that is declared, before it is over
        self.on_declared: Callable[[int, float], None] | None = None
        self.n_short_rises = 0  # rises that ended before `min_duration_s`
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at the start of a record; `close` an open event first, or it is lost."""
        self._armed = True
        self._rise_ns: int | None = None
        self._rise_onset_ns = 0  # onset of the event that the rise may become
        self._rise_peak = 0.0
        self._beginning_ns: int | None = None  # since when the onset probability has not been low
        self._open_rise_ns: int | None = None
        self._open_onset_ns = 0
        self._active_until_ns = 0
        self._peak = 0.0
        self._course_ns: int | None = None  # since when the event probability has been high
        self._sure_ns: int | None = None  # since when it has been sure
        self._is_told = False  # whether an event has been declared in this course

    def state(self) -> State:
        return {name: value for name, value in vars(self).items() if name not in _CONSTANTS}

    def restore(self, state: State) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def open_rise_ns(self) -> int | None:
        """Start of the rise that opened the open event, None without an open event."""
        return self._open_rise_ns

    @property
    def earliest_onset_ns(self) -> int | None:
        """Earliest onset of an event that is still to be returned, None without an open event or rise."""
        open_ns = None if self._open_rise_ns is None else self._open_onset_ns
        rise_ns = None if self._rise_ns is None else self._rise_onset_ns
        course_ns = None if self._is_told else self._course_ns
        beginning_ns = self._beginning_ns if self._armed else None
        known = [onset_ns for onset_ns in (open_ns, rise_ns, course_ns, beginning_ns) if onset_ns is not None]
        return min(known) - self._lag_ns if known else None

    def push(self, decision: Decision) -> Event | None:
        """Take the next decision; return the event that it closes, or None."""
        closed = self._declare(decision)
        if self._config.sure_event is not None:
            # Both cannot close an event in one decision: what the first opens is told of to the second.
            closed = self._declare_sure(decision, self._config.sure_event) or closed
        if self._open_rise_ns is None:
            return closed
        if decision.event >= self._config.event_threshold or decision.onset >= self.threshold:
            self._active_until_ns = decision.stop_ns
            if self._rise_ns is None or self._is_same_event(self._rise_ns):
                self._peak = max(self._peak, decision.onset)
        too_long = decision.stop_ns - self._open_rise_ns >= _ns(self._config.max_event_s)
        if too_long or decision.stop_ns - self._active_until_ns >= _ns(self._config.hold_s):
            # An event cannot close in the decision that declares it, so `closed` is None here.
            return self._close(self._active_until_ns)
        return closed

    def close(self) -> Event | None:
        """Return the open event, if any, where the record stops or has a long gap."""
        return None if self._open_rise_ns is None else self._close(self._active_until_ns)

    def _declare(self, decision: Decision) -> Event | None:
        """Follow the onset probability; open an event when it has been high for long enough."""
        self._follow_beginning(decision)
        if decision.onset < self.threshold:
            self.n_short_rises += self._rise_ns is not None and self._armed
            self._rise_ns = None
            self._armed = self._armed or decision.onset < self._config.rearm_ratio * self.threshold
            return None
        if self._rise_ns is None:
            self._rise_ns, self._rise_peak = decision.start_ns, 0.0
            self._rise_onset_ns = self._onset_of_rise(decision)
        self._rise_peak = max(self._rise_peak, decision.onset)
        if not self._armed or decision.stop_ns - self._rise_ns < _ns(self._config.min_duration_s):
            return None
        self._armed = False
        return self._open(self._rise_ns)

    def _follow_beginning(self, decision: Decision) -> None:
        longest_ns = _ns(self._config.longest_rise_s)
        if not longest_ns or decision.onset < self._config.rearm_ratio * self.threshold:
            self._beginning_ns = None
            return
        beginning_ns = decision.start_ns if self._beginning_ns is None else self._beginning_ns
        self._beginning_ns = max(beginning_ns, decision.stop_ns - longest_ns)

    def _onset_of_rise(self, decision: Decision) -> int:
        """Return the onset of the event that the rise beginning with a decision may become."""
        onset_ns = decision.start_ns if decision.onset_ns is None else decision.onset_ns
        if self._beginning_ns is None or self._is_same_event(self._beginning_ns):
            return onset_ns
        return min(self._beginning_ns, onset_ns)

    def _declare_sure(self, decision: Decision, sure: SureEventConfig) -> Event | None:
        """Follow the event probability; open an event when it has been sure for long enough and none is open."""
        if decision.event < self._config.event_threshold:
            self._course_ns, self._sure_ns, self._is_told = None, None, False
            return None
        if self._course_ns is None:
            self._course_ns = decision.start_ns
        self._course_ns = max(self._course_ns, decision.stop_ns - _ns(sure.longest_rise_s))
        self._is_told = self._is_told or self._open_rise_ns is not None
        if decision.event < max(sure.threshold, self.threshold):
            self._sure_ns = None
            return None
        if self._sure_ns is None:
            self._sure_ns = decision.start_ns
        if self._is_told or decision.stop_ns - self._sure_ns < _ns(sure.duration_s):
            return None
        self._is_told = True
        self._rise_onset_ns, self._rise_peak = self._course_ns, max(self._rise_peak, decision.event)
        return self._open(self._course_ns)

    def _open(self, rise_ns: int) -> Event | None:
        if self._is_same_event(rise_ns):
            return None
        begins_ns = rise_ns if self._beginning_ns is None else min(rise_ns, self._rise_onset_ns)
        previous = None if self._open_rise_ns is None else self._close(min(self._active_until_ns, begins_ns))
        self._open_rise_ns, self._active_until_ns, self._peak = rise_ns, rise_ns, self._rise_peak
        self._open_onset_ns = self._rise_onset_ns
        if self.on_declared is not None:
            self.on_declared(self._open_onset_ns - self._lag_ns, self._peak)
        return previous

    def _is_same_event(self, rise_ns: int) -> bool:
        return self._open_rise_ns is not None and rise_ns - self._open_rise_ns < _ns(self._config.merge_s)

    def _close(self, stop_ns: int) -> Event:
        assert self._open_rise_ns is not None
        event = Event(self._open_onset_ns - self._lag_ns, stop_ns, self._peak)
        self._open_rise_ns = None
        if self._beginning_ns is not None:  # what comes next begins after this event
            self._beginning_ns = max(self._beginning_ns, stop_ns)
            self._rise_onset_ns = max(self._rise_onset_ns, stop_ns)
        return event


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
