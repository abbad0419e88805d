"""The trigger: probabilities to events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import TriggerConfig

_CONSTANTS = ("_config", "_threshold", "_lag_ns")


@dataclass(frozen=True)
class Decision:
    """What the network says of one short interval [start_ns, stop_ns)."""

    start_ns: int
    stop_ns: int
    onset: float  # probability that an event begins about now
    event: float  # probability that an event is in progress
    onset_ns: int | None = None  # when the event began, of a network that says so; else `start_ns` serves


@dataclass(frozen=True)
class Event:
    """A detected event, [onset_ns, stop_ns)."""

    onset_ns: int
    stop_ns: int
    peak_probability: float  # largest onset probability
    mq_type: str = ""  # class, as the NASA packet names it; blank where none is told


def decision_of(
    outputs: tuple[str, ...], values: Sequence[float], start_ns: int, stop_ns: int, window_ns: int
) -> Decision:
    """Return the decision on [start_ns, stop_ns) from a network's outputs, which are named as in the manifest.

    window_ns : duration of the window that ends at `stop_ns`; the output "start" is a share of it.
    """
    if outputs[-1] == "start":
        onset_ns = stop_ns - window_ns + round(values[1] * window_ns)
        return Decision(start_ns, stop_ns, values[0], values[0], onset_ns)
    return Decision(start_ns, stop_ns, values[0], values[-1])


class Trigger:
    """A small state machine over decisions in time order.

    - An event is declared when the onset probability has stayed at or above the threshold for `min_duration_s`. Its
      onset is the start of that rise, or what the rise's first decision says of it, less `onset_lag_s`.
    - The next one can be declared only after the onset probability has been under ``rearm_ratio * threshold``
      (hysteresis). One whose rise starts less than `merge_s` after the open event's rise belongs to it; a later one
      closes the open event where it begins.
    - The event goes on while the event probability is at or above `event_threshold` or the onset probability is at or
      above its threshold. It closes once both have been low for `hold_s`, at the moment they fell, or at
      `max_event_s`.
    """

    def __init__(self, config: TriggerConfig, onset_threshold: float) -> None:
        self._config = config
        self._threshold = onset_threshold
        self._lag_ns = _ns(config.onset_lag_s)
        self.n_let_go = 0  # rises that were over before they were long enough for an event
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at the start of a record; an open event is lost, so `close` it first."""
        self._armed = True
        self._rise_ns: int | None = None
        self._rise_onset_ns = 0  # of the event that a rise may become
        self._rise_peak = 0.0
        self._open_rise_ns: int | None = None
        self._open_onset_ns = 0
        self._active_until_ns = 0
        self._peak = 0.0

    @property
    def threshold(self) -> float:
        """Onset probability that declares an event; it may be changed at any time."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold = value

    def state(self) -> State:
        """Return what `restore` goes on from: everything but the constants."""
        return {name: value for name, value in vars(self).items() if name not in _CONSTANTS}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def earliest_onset_ns(self) -> int | None:
        """No event that is reported later can begin before this; None when only the future can bring one."""
        open_ns = None if self._open_rise_ns is None else self._open_onset_ns
        rise_ns = None if self._rise_ns is None else self._rise_onset_ns
        known = [onset_ns for onset_ns in (open_ns, rise_ns) if onset_ns is not None]
        return min(known) - self._lag_ns if known else None

    def push(self, decision: Decision) -> Event | None:
        """Take the next decision; return the event that it closes, if any."""
        closed = self._declare(decision)
        if self._open_rise_ns is None:
            return closed
        if decision.event >= self._config.event_threshold or decision.onset >= self._threshold:
            self._active_until_ns = decision.stop_ns
            if self._rise_ns is None or self._is_same_event(self._rise_ns):
                self._peak = max(self._peak, decision.onset)
        too_long = decision.stop_ns - self._open_rise_ns >= _ns(self._config.max_event_s)
        if too_long or decision.stop_ns - self._active_until_ns >= _ns(self._config.hold_s):
            # An event cannot close in the decision that declares it, so `closed` is None here.
            return self._close(self._active_until_ns)
        return closed

    def close(self) -> Event | None:
        """The record stops, or is torn: return the open event, if any."""
        return None if self._open_rise_ns is None else self._close(self._active_until_ns)

    def _declare(self, decision: Decision) -> Event | None:
        """Follow the onset probability; open an event when it has been up for long enough."""
        if decision.onset < self._threshold:
            self.n_let_go += self._rise_ns is not None and self._armed
            self._rise_ns = None
            self._armed = self._armed or decision.onset < self._config.rearm_ratio * self._threshold
            return None
        if self._rise_ns is None:
            self._rise_ns, self._rise_peak = decision.start_ns, 0.0
            self._rise_onset_ns = decision.start_ns if decision.onset_ns is None else decision.onset_ns
        self._rise_peak = max(self._rise_peak, decision.onset)
        if not self._armed or decision.stop_ns - self._rise_ns < _ns(self._config.min_duration_s):
            return None
        self._armed = False
        return self._open(self._rise_ns)

    def _open(self, rise_ns: int) -> Event | None:
        if self._is_same_event(rise_ns):
            return None
        previous = None if self._open_rise_ns is None else self._close(min(self._active_until_ns, rise_ns))
        self._open_rise_ns, self._active_until_ns, self._peak = rise_ns, rise_ns, self._rise_peak
        self._open_onset_ns = self._rise_onset_ns
        return previous

    def _is_same_event(self, rise_ns: int) -> bool:
        return self._open_rise_ns is not None and rise_ns - self._open_rise_ns < _ns(self._config.merge_s)

    def _close(self, stop_ns: int) -> Event:
        assert self._open_rise_ns is not None
        event = Event(self._open_onset_ns - self._lag_ns, stop_ns, self._peak)
        self._open_rise_ns = None
        return event


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
