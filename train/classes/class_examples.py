"""Labelled events as examples of event classes: cut as a trigger would cut them, with the device's inputs."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.event_class import EventClassifier
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.tables import INPUTS, ClassConfig
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ClassesRecipe, Recipe
from edgequake.train.data.records import record_traces
from edgequake.train.examples.examples import recorded_targets

Float = npt.NDArray[np.float64]

NEVER = 1.0  # a min_probability at which no class is reported


@dataclass(frozen=True)
class ClassExamples:
    """Inputs of events whose class is known.

    Attributes
    ----------
    inputs : shape (n_examples, n_inputs), in the order of `INPUTS`.
    label : int64, shape (n_examples,), index of the class in the recipe's order.
    event : name of each example's event group; several stations and files may have recorded the same event.
    family : name of its family: the events of a repeating source are one family, any other event is its own.
    """

    inputs: Float
    label: npt.NDArray[np.int64]
    event: tuple[str, ...]
    family: tuple[str, ...]

    def where(self, chosen: npt.NDArray[np.bool_]) -> ClassExamples:
        """Return the chosen examples; `chosen` has shape (n_examples,)."""
        event, family = (tuple(names[i] for i in np.flatnonzero(chosen)) for names in (self.event, self.family))
        return ClassExamples(self.inputs[chosen], self.label[chosen], event, family)


def classes_recipe(recipe: Recipe) -> ClassesRecipe:
    """Return a recipe's table `classes`.

    Raises
    ------
    ConfigError
        The recipe has none.
    """
    if recipe.classes is None:
        raise ConfigError(f"recipe '{recipe.name}' has no table [classes]; docs/event-classes.md shows one")
    return recipe.classes


def untrained_classes(plan: ClassesRecipe, max_event_s: float) -> ClassConfig:
    """Return a recipe's classes with weights of zero; its durations are those that inputs are computed with."""
    n_classes, n_inputs = len(plan.labels), len(plan.inputs)
    return ClassConfig(
        names=tuple(plan.labels),
        inputs=plan.inputs,
        spectrum_s=plan.spectrum_s,
        smooth_s=plan.smooth_s,
        min_live_s=plan.min_live_s,
        max_event_s=max_event_s,
        mean=(0.0,) * n_inputs,
        scale=(1.0,) * n_inputs,
        weights=((0.0,) * n_inputs,) * n_classes,
        bias=(0.0,) * n_classes,
        min_probability=NEVER,
        untold=plan.untold,
        max_deviation=1.0,
    )


def label_of(plan: ClassesRecipe, event_type: str) -> str | None:
    """Return the class of a catalogued event type, None if no pattern matches it."""
    for name, patterns in plan.labels.items():
        if any(fnmatchcase(event_type, pattern) for pattern in patterns):
            return name
    return None


def families(plan: ClassesRecipe, records: Iterable[LabelledRecord]) -> dict[str, str]:
    """Return the family of every event group: groups with the event type of one repeating source are one family."""
    family: dict[str, str] = {}
    first_of_source: dict[str, str] = {}
    for arrival in (arrival for record in records for arrival in record.arrivals):
        own = family.setdefault(arrival.group, arrival.group)
        if any(fnmatchcase(arrival.event_type, pattern) for pattern in plan.repeating):
            first = family[first_of_source.setdefault(arrival.event_type, arrival.group)]
            family.update({group: first for group, name in family.items() if name == own})
    return family


def class_examples(recipe: Recipe, records: Sequence[LabelledRecord]) -> ClassExamples:
    """Return the inputs of every labelled event that is visible, `n_starts` times each.

    Each time the record begins at a random instant before the arrival (where it has room), and the onset and stop of
    the event differ from the visible ones by random errors. The draws depend only on the file's name and the arrival.

    Raises
    ------
    ConfigError
        The recipe has no table `classes`.
    DataError
        A record cannot be read.
    """
    plan = classes_recipe(recipe)
    family, names = families(plan, records), list(plan.labels)
    found: list[tuple[Float, int, str]] = []
    for record in records:
        # Secondary arrivals are not used: some lie at the very start of their record, which hides how they began.
        labelled = [(arrival, label_of(plan, arrival.event_type)) for arrival in record.arrivals if arrival.primary]
        traces = record_traces(record) if any(name for _, name in labelled) else []
        for arrival, name in labelled:
            if name is not None:
                alone = dataclasses.replace(record, arrivals=(arrival,))
                drawn = _inputs(recipe, plan, alone, traces)
                found += [(inputs, names.index(name), arrival.group) for inputs in drawn]
    return ClassExamples(
        inputs=np.array([inputs for inputs, _, _ in found], np.float64).reshape(-1, len(INPUTS)),
        label=np.array([label for _, label, _ in found], np.int64),
        event=tuple(group for _, _, group in found),
        family=tuple(family[group] for _, _, group in found),
    )


def _inputs(recipe: Recipe, plan: ClassesRecipe, record: LabelledRecord, traces: list[Trace]) -> Iterator[Float]:
    """Yield the inputs of a record's only arrival, once for each draw in which the device could compute them."""
    (arrival,) = record.arrivals
    front_end, rate_hz = recipe.front_end, recipe.sampling_rate_hz
    for i in range(plan.n_starts):
        rng = np.random.default_rng([i, zlib.crc32(f"{record.file.name} {arrival.time_ns}".encode())])
        rows = station_rows(front_end, rate_hz, _cut(rng, arrival, traces, recipe.examples.scales))
        visible = _visible(recipe, rows, record)
        if visible is None:
            continue
        (onset_low_s, onset_high_s), (stop_low_s, stop_high_s) = plan.onset_error_s, plan.stop_error_s
        onset_ns = visible[0] + round(rng.uniform(onset_low_s, onset_high_s) * NS_PER_S)
        stop_ns = visible[1] + round(rng.uniform(stop_low_s, stop_high_s) * NS_PER_S)
        classifier = EventClassifier(untrained_classes(plan, recipe.trigger.max_event_s), front_end, rate_hz)
        classifier.add(rows)
        inputs = classifier.inputs(onset_ns, stop_ns)
        if inputs is not None:
            yield inputs


def _cut(rng: np.random.Generator, arrival: Arrival, traces: list[Trace], scales: Scales) -> list[Trace]:
    """Cut a record from a random instant before the arrival, where it has room, to the end of the longest event."""
    earliest_ns = min(trace.start_ns for trace in traces)
    latest_ns = arrival.time_ns - round(scales.lead_s * NS_PER_S)
    earliest_ns = max(earliest_ns, latest_ns - round(scales.approach_s * NS_PER_S))
    start_ns = int(rng.integers(earliest_ns, latest_ns)) if latest_ns > earliest_ns else earliest_ns
    stop_ns = arrival.time_ns + round((scales.search_s + scales.max_event_s) * NS_PER_S)
    cut = [trace.between(start_ns, stop_ns) for trace in traces]
    return [trace for trace in cut if len(trace.samples)]


def _visible(recipe: Recipe, rows: Rows, record: LabelledRecord) -> tuple[int, int] | None:
    """Return [start, stop) in ns of the visible part of the record's only event, None if nothing is visible."""
    front_end, rate_hz = recipe.front_end, recipe.sampling_rate_hz
    targets = recorded_targets(rows, record, front_end, rate_hz, recipe.examples.scales)
    marked = np.flatnonzero(targets.event)
    if len(marked) == 0:
        return None
    lead = front_end.window_samples - front_end.hop_samples
    first, last = (int(rows.block[i]) * front_end.hop_samples + lead for i in (marked[0], marked[-1]))
    return rows.t0_ns + duration_ns(first, rate_hz), rows.t0_ns + duration_ns(last + front_end.hop_samples, rate_hz)
