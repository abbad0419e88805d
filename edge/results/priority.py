"""The priority of an event for the downlink: a number between 0 and 1 from what is known on board.

    priority = peak * class * (0.4 + 0.3 * clarity + 0.15 * length + 0.15 * novelty)

- peak: the largest onset probability.
- class: 1 for a shallow quake (28 in eight years of Apollo), 0.9 for an impact, 0.85 where the model gives no class,
  0.7 for a deep moonquake, of which there are thousands alike.
- clarity: log10 of the signal-to-noise ratio, over 2, within 0..1: beyond a hundred times the noise nothing is gained.
- length: the duration over the longest that the trigger allows.
- novelty: 1 - exp(-days since the last event of the same station and class); 1 for the first one.

The weights are our choice, made so that no single term decides; they are not measured. `--priority MODULE:FUNCTION`, or
`RunConfig.priority`, replaces the formula by another function of `EventFacts` that returns a number.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S, Trace

CLASS_WEIGHTS = {"shallow_mq": 1.0, "impact_mq": 0.9, "": 0.85, "deep_mq": 0.7}
_OTHER_CLASS = 0.85
_CLEAREST_DECADES = 2.0
_DAY_S = 86_400.0
_NEAREST_SHARE = 0.9
_FEWEST_SAMPLES = 8  # on either side of an onset; fewer give no meaningful ratio
_LONGEST_WARNING = 200  # characters
_MOST_KINDS = 1024  # stations times classes whose latest onset is kept


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What a priority is computed from."""

    station_id: str
    onset_ns: int
    duration_s: float
    longest_s: float  # duration that the trigger allows
    peak_probability: float
    signal_to_noise: float | None  # of amplitudes; None where no noise precedes the onset
    mq_type: str  # blank where the model gives no class
    since_last_s: float | None  # onset to onset, same station and class; None for the first


PriorityFunction: TypeAlias = Callable[[EventFacts], float]


def priority(facts: EventFacts) -> float:
    """Return the priority of an event, 0 to 1, by the formula of this module."""
    ratio = facts.signal_to_noise
    clarity = 0.0 if ratio is None or ratio <= 1.0 else min(1.0, math.log10(ratio) / _CLEAREST_DECADES)
    length = min(1.0, max(0.0, facts.duration_s / facts.longest_s))
    since_s = facts.since_last_s
    novelty = 1.0 if since_s is None else 1.0 - math.exp(-max(0.0, since_s) / _DAY_S)
    weight = CLASS_WEIGHTS.get(facts.mq_type, _OTHER_CLASS)
    return facts.peak_probability * weight * (0.4 + 0.3 * clarity + 0.15 * length + 0.15 * novelty)


def signal_to_noise(traces: Iterable[Trace], onset_ns: int, stop_ns: int, window_ns: int) -> float | None:
    """Return the ratio of amplitudes after and before an onset: the median over the channels.

    Both amplitudes are root mean squares about the median, over up to `window_ns` on either side of the onset, of the
    nine tenths of the samples nearest to the median: neither spikes nor lost samples contribute. The variance of
    rounding is added, so that a digitiser step never counts as silence. None where no channel that is alive has enough
    samples.
    """
    ratios = []
    by_channel: dict[str, list[Trace]] = {}
    for trace in traces:
        by_channel.setdefault(trace.source_id, []).append(trace)
    for channel in by_channel.values():
        before = _samples(channel, onset_ns - window_ns, onset_ns)
        after = _samples(channel, onset_ns, min(stop_ns, onset_ns + window_ns))
        steps = np.abs(np.diff(np.concatenate([before, after])))
        steps = steps[steps > 0.0]
        if min(len(before), len(after)) >= _FEWEST_SAMPLES and len(steps):
            rounding = float(np.min(steps)) ** 2 / 12.0
            ratios.append(float(np.sqrt((_power(after) + rounding) / (_power(before) + rounding))))
    return float(np.median(ratios)) if ratios else None


def _samples(traces: Iterable[Trace], start_ns: int, stop_ns: int) -> npt.NDArray[np.float64]:
    parts = [trace.between(start_ns, stop_ns).samples.astype(np.float64) for trace in traces]
    samples = np.concatenate(parts)
    return np.asarray(samples[np.isfinite(samples)], np.float64)


def _power(samples: npt.NDArray[np.float64]) -> float:
    nearest = np.sort(np.abs(samples - np.median(samples)))[: int(np.ceil(_NEAREST_SHARE * len(samples)))]
    return float(np.mean(nearest**2))


class Priorities:
    """Assigns priorities to events in the order in which they are detected."""

    def __init__(self, longest_s: float, function: PriorityFunction = priority) -> None:
        """Assign priorities with `function` to events that last at most `longest_s`."""
        self._longest_s, self._function = longest_s, function
        self._last_ns: dict[str, int] = {}  # latest onset, by station and class

    def sharing(self, longest_s: float) -> Priorities:
        """Return priorities for the events of another model, with the same memory of events."""
        other = Priorities(longest_s, self._function)
        other._last_ns = self._last_ns
        return other

    def assign(
        self,
        station_id: str,
        onset_ns: int,
        stop_ns: int,
        peak_probability: float,
        mq_type: str,
        ratio: float | None,
    ) -> float:
        """Return an event's priority to four decimals, as in the catalogue, and remember the event."""
        last_ns = self._last_ns.get(_kind(station_id, mq_type))
        facts = EventFacts(
            station_id=station_id,
            onset_ns=onset_ns,
            duration_s=(stop_ns - onset_ns) / NS_PER_S,
            longest_s=self._longest_s,
            peak_probability=peak_probability,
            signal_to_noise=ratio,
            mq_type=mq_type,
            since_last_s=None if last_ns is None else (_microseconds(onset_ns) - last_ns) / NS_PER_S,
        )
        self.remember(station_id, onset_ns, mq_type)
        return round(float(self._function(facts)), 4)

    def remember(self, station_id: str, onset_ns: int, mq_type: str) -> None:
        """Count an event, whose priority may have been assigned by an earlier process, for the novelty of the next."""
        kind, onset_ns = _kind(station_id, mq_type), _microseconds(onset_ns)
        if len(self._last_ns) >= _MOST_KINDS and kind not in self._last_ns:
            self._last_ns.pop(next(iter(self._last_ns)))
        self._last_ns[kind] = max(onset_ns, self._last_ns.get(kind, onset_ns))

    def state(self) -> State:
        return {"last_ns": self._last_ns}

    def restore(self, state: State) -> None:
        self._last_ns.clear()  # in place: it may be shared
        self._last_ns.update(state["last_ns"])


def priority_name(wanted: str | PriorityFunction | None) -> str | None:
    """Return the name of a priority function in a checkpoint: a resumed run must use the same one."""
    if wanted is None or isinstance(wanted, str):
        return wanted
    return f"{wanted.__module__}:{getattr(wanted, '__qualname__', type(wanted).__name__)}"


def priority_function(wanted: str | PriorityFunction | None, diagnostics: Diagnostics) -> PriorityFunction:
    """Return the function that `wanted` names as MODULE:FUNCTION or is; None: the formula of this module.

    A function from outside is guarded: where it raises, or returns anything but a finite number, the event gets its
    priority by our formula and a warning is counted. It cannot stop a detector on a lander.

    Raises
    ------
    ConfigError
        There is no such function.
    """
    if wanted is None:
        return priority
    function = _load(wanted) if isinstance(wanted, str) else wanted
    name = priority_name(wanted)

    def guarded(facts: EventFacts) -> float:
        try:
            value = float(function(facts))
            if math.isfinite(value):
                return value
            problem = f"it returned {value}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        diagnostics.count(f"event(s) ranked by our formula, because {name} failed: {problem}"[:_LONGEST_WARNING])
        return priority(facts)

    return guarded


def _load(text: str) -> PriorityFunction:
    """Return the function that MODULE:FUNCTION names; modules are looked up in the working folder too."""
    module_name, _, name = text.partition(":")
    expected = "expected MODULE:FUNCTION, as mission:priority, of a module that Python finds"
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function: PriorityFunction = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise ConfigError(f"--priority {text}: {problem}; {expected}") from problem
    if not callable(function):
        raise ConfigError(f"--priority {text}: '{name}' cannot be called; {expected}")
    return function


def _kind(station_id: str, mq_type: str) -> str:
    return f"{station_id} {mq_type}"


def _microseconds(time_ns: int) -> int:
    """Round to the catalogue's resolution: a resumed run, which reads times from there, must get the same priority."""
    return round(time_ns / 1000) * 1000
