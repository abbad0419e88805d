"""Labelled events as the inputs of event classes: cut as a trigger would cut them, computed as the device does."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.detection.event_class import EventClasses
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.event_config import INPUTS, ClassConfig
from edgequake.edge.manifest.front_end_config import FrontEndConfig
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ClassesRecipe
from edgequake.train.data.records import record_traces
from edgequake.train.examples.examples import real_targets

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassExamples:
    """Inputs of events whose class is known.

    Attributes
    ----------
    inputs : shape (n_examples, n_inputs).
    label : int64, shape (n_examples,), index of the class in the recipe's order.
    event : name of the event group each is of; one event may be seen by several stations and in several files.
    family : name of its family: events of one repeating source are one, any other event is its own.
    """

    inputs: Float
    label: npt.NDArray[np.int64]
    event: tuple[str, ...]
    family: tuple[str, ...]

    def where(self, chosen: npt.NDArray[np.bool_]) -> ClassExamples:
        """Return the chosen examples; `chosen` has shape (n_examples,)."""
        index = np.flatnonzero(chosen).tolist()
        names = [(self.event[i], self.family[i]) for i in index]
        return ClassExamples(
            self.inputs[chosen], self.label[chosen], tuple(event for event, _ in names), tuple(f for _, f in names)
        )


def label_of(plan: ClassesRecipe, event_type: str) -> str | None:
    """Return the class that the catalogue's event type stands for, None where it stands for none."""
    for name, patterns in plan.labels.items():
        if any(fnmatchcase(event_type, pattern) for pattern in patterns):
            return name
    return None


def families(plan: ClassesRecipe, records: Iterable[LabelledRecord]) -> dict[str, str]:
    """Return the family of every event group: groups that share a repeating source's event type are one family."""
    family: dict[str, str] = {}
    first_of_source: dict[str, str] = {}
    for arrival in (arrival for record in records for arrival in record.arrivals):
        mine = family.setdefault(arrival.group, arrival.group)
        if any(fnmatchcase(arrival.event_type, pattern) for pattern in plan.repeating):
            theirs = family[first_of_source.setdefault(arrival.event_type, arrival.group)]
            family.update({group: theirs for group, name in family.items() if name == mine})
    return family


def class_examples(
    plan: ClassesRecipe,
    constants: ClassConfig,
    records: Sequence[LabelledRecord],
    front_end: FrontEndConfig,
    sampling_rate_hz: float,
    scales: Scales,
) -> ClassExamples:
    """Return the inputs of every labelled event that is visible, `n_starts` times each.

    Each time the record begins at a random instant before the arrival (where it has room), and the event's onset and
    stop differ from the visible ones by random errors. The draws depend on the file's name and the arrival only.

    Parameters
    ----------
    constants : its durations are used; its weights are not.
    """
    family, names = families(plan, records), list(plan.labels)
    found: list[tuple[Float, int, str]] = []
    for record in records:
        labelled = [(arrival, label_of(plan, arrival.event_type)) for arrival in record.arrivals]
        traces = record_traces(record) if any(name for _, name in labelled) else []
        for arrival, name in labelled:
            if name is not None:
                alone = dataclasses.replace(record, arrivals=(arrival,))
                drawn = _inputs(plan, constants, alone, traces, front_end, sampling_rate_hz, scales)
                found += [(inputs, names.index(name), arrival.group) for inputs in drawn]
    return ClassExamples(
        inputs=np.array([inputs for inputs, _, _ in found], np.float64).reshape(-1, len(INPUTS)),
        label=np.array([label for _, label, _ in found], np.int64),
        event=tuple(group for _, _, group in found),
        family=tuple(family[group] for _, _, group in found),
    )


def _inputs(
    plan: ClassesRecipe,
    constants: ClassConfig,
    record: LabelledRecord,
    traces: list[Trace],
    front_end: FrontEndConfig,
    rate_hz: float,
    scales: Scales,
) -> Iterator[Float]:
    """Yield the inputs of a record's only arrival, once for each draw in which they can be told."""
    (arrival,) = record.arrivals
    for i in range(plan.n_starts):
        rng = np.random.default_rng([i, zlib.crc32(f"{record.file.name} {arrival.time_ns}".encode())])
        rows = station_rows(front_end, rate_hz, _cut(rng, arrival, traces, scales))
        visible = _visible(rows, record, front_end, rate_hz, scales)
        if visible is None:
            continue
        onset_ns = visible[0] + round(rng.uniform(plan.onset_error_s[0], plan.onset_error_s[1]) * NS_PER_S)
        stop_ns = visible[1] + round(rng.uniform(plan.stop_error_s[0], plan.stop_error_s[1]) * NS_PER_S)
        classes = EventClasses(constants, front_end, rate_hz)
        classes.add(rows)
        inputs = classes.inputs(onset_ns, stop_ns)
        if inputs is not None:
            yield inputs


def _cut(rng: np.random.Generator, arrival: Arrival, traces: list[Trace], scales: Scales) -> list[Trace]:
    """Cut a record from a random instant before the arrival, where there is one, to after the longest event."""
    earliest_ns = min(trace.start_ns for trace in traces)
    latest_ns = arrival.time_ns - round(scales.lead_s * NS_PER_S)
    earliest_ns = max(earliest_ns, latest_ns - round(scales.approach_s * NS_PER_S))
    start_ns = int(rng.integers(earliest_ns, latest_ns)) if latest_ns > earliest_ns else earliest_ns
    stop_ns = arrival.time_ns + round((scales.search_s + scales.max_event_s) * NS_PER_S)
    cut = [trace.between(start_ns, stop_ns) for trace in traces]
    return [trace for trace in cut if len(trace.samples)]


def _visible(
    rows: Rows, record: LabelledRecord, front_end: FrontEndConfig, rate_hz: float, scales: Scales
) -> tuple[int, int] | None:
    """Return [start, stop) of the visible part of the record's only event, None where nothing can be seen."""
    targets = real_targets(rows, record, front_end, rate_hz, scales)
    marked = np.flatnonzero(targets.event)
    if len(marked) == 0:
        return None
    lead = front_end.window_samples - front_end.hop_samples
    first, last = (int(rows.block[i]) * front_end.hop_samples + lead for i in (marked[0], marked[-1]))
    return (
        rows.t0_ns + duration_ns(first, rate_hz),
        rows.t0_ns + duration_ns(last + front_end.hop_samples, rate_hz),
    )
