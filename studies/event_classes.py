"""How often event classes are right: python studies/event_classes.py DATA [MODEL].

DATA is a folder of recorded data, MODEL the name of a shipped model (default: moon) or a manifest; the recipe of the
model's name defines the classes. Each event is classified by a fit without its family, from train and val together; the
test split is not read. Once with simulated triggers and once with the events that the model detects. The output is in
docs/event-classes.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edgequake.benchmarks.scoring.pooling import wilson
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.dataset import load
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.event_class import EventClassifier, class_probabilities, classify
from edgequake.edge.detection.trigger import Event
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.edge.manifest.tables import INPUTS, ClassConfig
from edgequake.train.add_classes import recipe_for
from edgequake.train.classes.class_examples import (
    ClassExamples,
    class_examples,
    classes_recipe,
    families,
    label_of,
    untrained_classes,
)
from edgequake.train.classes.fit import fit_classes, held_out_names
from edgequake.train.configuration.recipe import ClassesRecipe
from edgequake.train.data.records import record_traces

N_SEEDS = 5  # random starts of each record for the model's own events
UNKNOWN = -1  # label of an event without a class
INPUT_SETS = (
    ("pitch",),
    ("loudness", "duration"),
    ("pitch", "spread"),
    ("pitch", "loudness"),
    ("pitch", "duration"),
    ("pitch", "spread", "loudness", "duration"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", nargs="?", default="moon")
    parser.add_argument("--quick", action="store_true", help="one random start of each record, two sets of inputs")
    options = parser.parse_args(arguments)
    manifest, folder = load_manifest(options.model)
    recipe = recipe_for(manifest)
    plan = classes_recipe(recipe)
    if options.quick:
        plan = dataclasses.replace(plan, n_starts=1)
        recipe = dataclasses.replace(recipe, classes=plan)
    both = [record for split in ("train", "val") for record in load(options.data, manifest.body, split)]
    # Records with secondary arrivals only begin inside their event, which then has no onset.
    records = [record for record in both if not record.arrivals or any(a.primary for a in record.arrivals)]
    untrained = untrained_classes(plan, manifest.trigger.max_event_s)
    known = class_examples(recipe, records)
    print("inputs, simulated triggers: right / wrong / blank events of each class")
    for inputs in INPUT_SETS[:2] if options.quick else INPUT_SETS:
        other = dataclasses.replace(plan, inputs=inputs)
        names = held_out_names(other, untrained_classes(other, manifest.trigger.max_event_s), known)
        print(f"  {' '.join(inputs):36}", "; ".join(_counts(plan, known, names)))
    _show(plan, known, held_out_names(plan, untrained, known), "simulated triggers")
    names = held_out_names(plan, untrained, known, by="event")
    _show(plan, known, names, "simulated triggers, one event left out at a time")
    found = model_events(plan, manifest, folder, records, 1 if options.quick else N_SEEDS)
    _show(plan, found, held_out_names(plan, untrained, known, found), f"the events that {options.model} detects")
    fitted = fit_classes(plan, untrained, known)
    print(f"\nfitted to train and val: {fitted}")
    for record, arrival in [(one, arrival) for one in records for arrival in one.arrivals]:
        if label_of(plan, arrival.event_type) is None:
            print(f"  {arrival.event_type} {arrival.event}: {_classified(fitted, manifest, record, arrival)}")
    return 0


def model_events(
    plan: ClassesRecipe, manifest: Manifest, folder: Path, records: list[LabelledRecord], n_seeds: int
) -> ClassExamples:
    """Return the inputs of the model's own events over random starts.

    An event without a class in the catalogue has the label `UNKNOWN` and the name of its arrival, or "no event".
    """
    variant, graph = read_graph(manifest, folder)
    untrained, family = untrained_classes(plan, manifest.trigger.max_event_s), families(plan, records)
    inputs, labels, events, names = [], [], [], list(plan.labels)
    for record in records:
        traces = record_traces(record)
        starts_ns = sorted({random_start_ns(record, seed) for seed in range(n_seeds)})
        for start_ns in starts_ns:
            cut = [part for part in (trace.between(start_ns, None) for trace in traces) if len(part.samples)]
            detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
            detected = [*detector.push(*cut), *detector.finish()]
            classifier = EventClassifier(untrained, manifest.front_end, manifest.sampling_rate_hz)
            classifier.add(station_rows(manifest.front_end, manifest.sampling_rate_hz, cut))
            for event, arrival in _matched(detected, record):
                found = classifier.inputs(event.onset_ns, event.stop_ns)
                label = label_of(plan, arrival.event_type) if arrival else None
                inputs.append(np.full(len(INPUTS), np.nan) if found is None else found)
                labels.append(UNKNOWN if label is None else names.index(label))
                events.append(_event_name(arrival, label))
    return ClassExamples(
        np.array(inputs).reshape(-1, len(INPUTS)),
        np.array(labels, np.int64),
        tuple(events),
        tuple(family.get(name, name) for name in events),
    )


def _classified(config: ClassConfig, manifest: Manifest, record: LabelledRecord, arrival: Arrival) -> str:
    """Return the class of the half hour after a catalogued arrival, whether the model detects it or not."""
    classifier = EventClassifier(config, manifest.front_end, manifest.sampling_rate_hz)
    classifier.add(station_rows(manifest.front_end, manifest.sampling_rate_hz, record_traces(record)))
    inputs = classifier.inputs(arrival.time_ns, arrival.time_ns + 1800 * NS_PER_S)
    if inputs is None:
        return "blank, nothing exceeds the background"
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(INPUTS, inputs, strict=True))
    probabilities = class_probabilities(config, inputs).round(2)
    return f"{classify(config, inputs) or 'blank'} ({values}; probabilities {probabilities})"


def _event_name(arrival: Arrival | None, label: str | None) -> str:
    if arrival is None:
        return "no event"
    return arrival.group if label else f"{arrival.event_type} {arrival.group}"


def _matched(events: Iterable[Event], record: LabelledRecord) -> Iterator[tuple[Event, Arrival | None]]:
    """Yield each event with the arrival that it matches, if any; further events of the same coda are skipped."""
    rule, taken = BODY_RULES[record.body], set()
    for event in sorted(events, key=lambda event: event.onset_ns):
        near = [a for a in record.arrivals if _near(event, a, rule.tolerance_s, rule.tolerance_s)]
        free = [arrival for arrival in near if arrival not in taken]
        if free:
            taken.add(free[0])
            yield event, free[0]
        elif not any(_near(event, arrival, rule.tolerance_s, rule.coda_s) for arrival in record.arrivals):
            yield event, None


def _near(event: Event, arrival: Arrival, before_s: float, after_s: float) -> bool:
    late_s = (event.onset_ns - arrival.time_ns) / NS_PER_S
    return -before_s - arrival.precision_s <= late_s <= after_s + arrival.precision_s


def _answers(examples: ClassExamples, names: list[str], plan: ClassesRecipe) -> dict[tuple[int, str], list[str]]:
    """Return "right", "wrong" or "blank" for the rows of each (label, event); for an unknown event the class."""
    answers: dict[tuple[int, str], list[str]] = defaultdict(list)
    classes = list(plan.labels)
    for i, name in enumerate(names):
        label = int(examples.label[i])
        if label == UNKNOWN:
            answer = name or "blank"
        else:
            answer = "blank" if not name else "right" if name == classes[label] else "wrong"
        answers[label, examples.event[i]].append(answer)
    return answers


def _counts(plan: ClassesRecipe, examples: ClassExamples, names: list[str]) -> list[str]:
    """Return the counts of each class; an event counts as one, divided among its rows."""
    answers, lines = _answers(examples, names, plan), []
    for label, name in enumerate(plan.labels):
        rows = [row for (row_label, _), row in answers.items() if row_label == label]
        shares = [sum(row.count(answer) / len(row) for row in rows) for answer in ("right", "wrong", "blank")]
        lines.append(f"{name} {shares[0]:.1f} / {shares[1]:.1f} / {shares[2]:.1f}")
    return lines


def _show(plan: ClassesRecipe, examples: ClassExamples, names: list[str], title: str) -> None:
    print(f"\n{title}: right / wrong / blank events of each class")
    print("  " + "; ".join(_counts(plan, examples, names)))
    family = dict(zip(examples.event, examples.family, strict=True))
    answers = _answers(examples, names, plan)
    for reported in plan.labels:
        shares: dict[str, dict[str, float]] = {"right": {}, "wrong": {}}  # of the rows of each event
        for (label, event), row in answers.items():
            if label != UNKNOWN:
                answer = "right" if list(plan.labels)[label] == reported else "wrong"
                shares[answer][event] = row.count(answer) / len(row)
        for unit, name_of in (("events", dict(zip(family, family, strict=True))), ("families", family)):
            right, wrong = (_of_units(shares[answer], name_of) for answer in ("right", "wrong"))
            low, high = wilson(right, right + wrong)
            print(f"  reported {reported}: {right:.1f} right, {wrong:.1f} wrong {unit}; right {low:.2f} to {high:.2f}")
    for (label, event), row in sorted(answers.items()):
        if label == UNKNOWN or set(row) != {"right"}:
            truth = "not learned" if label == UNKNOWN else list(plan.labels)[label]
            print(f"  {truth:12} {event:32} {dict(Counter(row))}")


def _of_units(shares: dict[str, float], name_of: dict[str, str]) -> float:
    """Return the sum over units (events or families) of the mean share of their events."""
    units: dict[str, list[float]] = defaultdict(list)
    for event, share in shares.items():
        units[name_of[event]].append(share)
    return sum(float(np.mean(unit)) for unit in units.values())


if __name__ == "__main__":
    sys.exit(main())
