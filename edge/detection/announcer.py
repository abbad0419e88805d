"""Events for people with an acquisition loop of their own: each is announced when it begins, and when it is final.

A run writes an event once, when its segment is complete. Whoever raises an alarm cannot wait for that: `EventNotice`
comes with the phase "onset" as soon as the trigger declares the event, and with "final" once the event has ended and
all samples are there from which its onset is refined. What a final notice says is what the run's catalogue says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgequake.edge.base.checkpoint import State
from edgequake.edge.detection.onset import refiner
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, RawHistory, Trace, format_time
from edgequake.edge.manifest.manifest import Manifest


@dataclass(frozen=True)
class EventNotice:
    """What is known of an event.

    Attributes
    ----------
    phase : "onset" (it has begun) or "final" (it has ended, and nothing of it will change).
    number : of the event, from 0: the onset and the final notice of an event have the same.
    station_id : NET_STA.
    channels : codes of the channels with samples at the onset.
    onset_ns : nanoseconds since 1970 UTC; the trigger's at first, the refined one when it is final.
    onset_uncertainty_s : about two thirds of all onsets lie within this of the true onset; None where unknown.
    stop_ns : end of the event; None while it lasts.
    probability : largest onset probability so far.
    mq_type : class, as the NASA packet names it; blank at first, and where the model gives none.
    """

    phase: str
    number: int
    station_id: str
    channels: tuple[str, ...]
    onset_ns: int
    onset_uncertainty_s: float | None
    stop_ns: int | None
    probability: float
    mq_type: str = ""

    @property
    def onset(self) -> str:
        """The onset as text, to the microsecond, UTC."""
        return format_time(self.onset_ns)


class Announcer:
    """Turns the events of a detector into notices; it buffers the samples that refine the onsets."""

    def __init__(self, manifest: Manifest) -> None:
        self._refine, self._history = refiner(manifest), RawHistory()
        self._coarse_s = None if manifest.onset is None else manifest.onset.coarse_sigma_s
        self._pre_ns = round(manifest.trigger.pre_roll_s * NS_PER_S)
        self._after_ns = round(manifest.trigger.onset_lag_s * NS_PER_S)  # of an onset, until samples are not needed
        if manifest.onset is not None:
            after_s = manifest.onset.reach_after_s + manifest.onset.resampling_s(manifest.sampling_rate_hz)
            self._after_ns += round(after_s * NS_PER_S)
        self._declared: deque[tuple[int, float]] = deque()  # onset and probability of events without a notice
        self._closed: deque[Event] = deque()  # whose onsets are not refined yet
        self._n_declared = self._n_final = 0
        self._station_id = ""

    def declare(self, onset_ns: int, probability: float) -> None:
        """Note that the trigger has declared an event."""
        self._declared.append((onset_ns, probability))

    def add(self, traces: Iterable[Trace]) -> None:
        """Buffer the traces that the detector is about to take."""
        for trace in traces:
            self._station_id = trace.station_id
            self._history.add(trace)

    def notices(self, events: Iterable[Event], horizon_ns: int | None, next_ns: int | None) -> list[EventNotice]:
        """Return the notices that are due.

        events : that the detector has closed since the last call.
        horizon_ns : the detector's: no later event begins before it.
        next_ns : all samples before it have come; None: no more will come.
        """
        self._closed.extend(events)
        told = [self._begun(onset_ns, probability) for onset_ns, probability in self._declared]
        self._declared.clear()
        while self._closed and (next_ns is None or self._closed[0].onset_ns + self._after_ns <= next_ns):
            told.append(self._final(self._closed.popleft()))
        if horizon_ns is not None:
            needed_ns = min([horizon_ns, *(event.onset_ns for event in self._closed)])
            self._history.drop_before(needed_ns - self._pre_ns)
        return sorted(told, key=lambda notice: (notice.number, notice.phase == "final"))

    def state(self) -> State:
        return {
            "history": self._history.state(),
            "declared": list(self._declared),
            "closed": [vars(event) for event in self._closed],
            "numbers": [self._n_declared, self._n_final],
            "station_id": self._station_id,
        }

    def restore(self, state: State) -> None:
        self._history.restore(state["history"])
        self._declared = deque((onset_ns, probability) for onset_ns, probability in state["declared"])
        self._closed = deque(Event(**event) for event in state["closed"])
        self._n_declared, self._n_final = state["numbers"]
        self._station_id = state["station_id"]

    def _begun(self, onset_ns: int, probability: float) -> EventNotice:
        self._n_declared += 1
        channels = self._channels_at(onset_ns)
        number = self._n_declared - 1
        return EventNotice("onset", number, self._station_id, channels, onset_ns, self._coarse_s, None, probability)

    def _final(self, event: Event) -> EventNotice:
        self._n_final += 1
        onset_ns, channels = event.onset_ns, self._channels_at(event.onset_ns)
        notice = EventNotice(
            "final", self._n_final - 1, self._station_id, channels, onset_ns, None, event.stop_ns,
            event.peak_probability, event.mq_type,
        )  # fmt: skip
        if self._refine is None:
            return notice
        onset = self._refine(self._history, onset_ns)
        stop_ns = max(event.stop_ns, onset.onset_ns)
        return replace(notice, onset_ns=onset.onset_ns, onset_uncertainty_s=onset.sigma_s, stop_ns=stop_ns)

    def _channels_at(self, onset_ns: int) -> tuple[str, ...]:
        near = (one for one in self._history if one.start_ns - self._pre_ns <= onset_ns < one.stop_ns + self._pre_ns)
        return tuple(dict.fromkeys(channel_of(one.source_id) for one in near))
