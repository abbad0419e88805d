"""How often event classes are right: python studies/event_classes.py DATA [MODEL].

DATA is a folder of real records, MODEL a shipped model's name (by default `moon`) or a manifest; the recipe of the
model's name says what is learned. Every event is asked of classes learned without its family, from train and val
together; nothing of test is read. Twice: with simulated triggers, and with the events that the model itself finds. What
this printed is in docs/event-classes.md.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from edgequake.benchmarks.scoring.pooling import wilson
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.dataset import load
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.event_class import EventClassifier, class_probabilities, classify
from edgequake.edge.detection.trigger import Event
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.event_config import INPUTS, ClassConfig
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.train.classes.class_examples import ClassExamples, class_examples, families, label_of
from edgequake.train.classes.fit import constants, fit_classes, held_out_names
from edgequake.train.configuration.recipe import ClassesRecipe, load_recipe
from edgequake.train.data.records import record_traces

N_SEEDS = 5
UNKNOWN = -1  # label of an event that no class stands for
INPUT_SETS = (
    ("pitch",),
    ("loudness", "duration"),
    ("pitch", "spread"),
    ("pitch", "loudness"),
    ("pitch", "duration"),
    ("pitch", "spread", "loudness", "duration"),
)


def main(data: str, model: str = "moon") -> int:
    """Print the tables."""
    manifest, folder = load_manifest(model)
    recipe = load_recipe(manifest.name)
    if recipe.classes is None:
        raise ConfigError(f"recipe {recipe.name} has no table [classes]")
    plan, scales = recipe.classes, recipe.examples.scales
    records = [record for split in ("train", "val") for record in load(Path(data), manifest.body, split)]
    untrained = constants(plan, manifest.trigger.max_event_s)
    known = class_examples(plan, untrained, records, manifest.front_end, manifest.sampling_rate_hz, scales)
    print("inputs, simulated triggers: right / wrong / blank events of each class")
    for inputs in INPUT_SETS:
        other = dataclasses.replace(plan, inputs=inputs)
        names = held_out_names(other, constants(other, manifest.trigger.max_event_s), known)
        print(f"  {' '.join(inputs):36}", "; ".join(_counts(plan, known, names)))
    _show(plan, known, held_out_names(plan, untrained, known), "simulated triggers")
    names = held_out_names(plan, untrained, known, by="event")
    _show(plan, known, names, "simulated triggers, one event left out at a time")
    found = model_events(plan, manifest, folder, records)
    _show(plan, found, held_out_names(plan, untrained, known, found), f"the events that {model} finds")
    fitted = fit_classes(plan, untrained, known)
    print(f"\nall of train and val: {fitted}")
    for record, arrival in [(one, arrival) for one in records for arrival in one.arrivals]:
        if label_of(plan, arrival.event_type) is None:
            print(f"  {arrival.event_type} {arrival.event}: {_told(fitted, manifest, record, arrival)}")
    return 0


def model_events(plan: ClassesRecipe, manifest: Manifest, folder: Path, records: list[LabelledRecord]) -> ClassExamples:
    """Return the inputs of the model's own events over random starts, label `UNKNOWN` where the catalogue knows none.

    Such an event is named by what the catalogue says of it, or "no event".
    """
    variant, graph = read_graph(manifest, folder)
    untrained, family = constants(plan, manifest.trigger.max_event_s), families(plan, records)
    inputs, labels, events, names = [], [], [], list(plan.labels)
    for record in records:
        traces = record_traces(record)
        starts_ns = sorted({random_start_ns(record, seed) for seed in range(N_SEEDS)})
        for start_ns in starts_ns:
            cut = [part for part in (trace.between(start_ns, None) for trace in traces) if len(part.samples)]
            detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
            detected = [*detector.push(*cut), *detector.finish()]
            classes = EventClassifier(untrained, manifest.front_end, manifest.sampling_rate_hz)
            classes.add(station_rows(manifest.front_end, manifest.sampling_rate_hz, cut))
            for event, arrival in _matched(detected, record):
                found = classes.inputs(event.onset_ns, event.stop_ns)
                label = label_of(plan, arrival.event_type) if arrival else None
                inputs.append(np.full(4, np.nan) if found is None else found)
                labels.append(UNKNOWN if label is None else names.index(label))
                events.append(_event_name(arrival, label))
    return ClassExamples(
        np.array(inputs), np.array(labels, np.int64), tuple(events), tuple(family.get(name, name) for name in events)
    )


def _told(config: ClassConfig, manifest: Manifest, record: LabelledRecord, arrival: Arrival) -> str:
    """Return what is told of the half hour after a catalogued arrival, whether the model finds it or not."""
    classes = EventClassifier(config, manifest.front_end, manifest.sampling_rate_hz)
    classes.add(station_rows(manifest.front_end, manifest.sampling_rate_hz, record_traces(record)))
    inputs = classes.inputs(arrival.time_ns, arrival.time_ns + 1800 * NS_PER_S)
    if inputs is None:
        return "blank, nothing stands above the background"
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(INPUTS, inputs, strict=True))
    probabilities = class_probabilities(config, inputs).round(2)
    return f"{classify(config, inputs) or 'blank'} ({values}; probabilities {probabilities})"


def _event_name(arrival: Arrival | None, label: str | None) -> str:
    if arrival is None:
        return "no event"
    return arrival.group if label else f"{arrival.event_type} {arrival.group}"


def _matched(events: Iterable[Event], record: LabelledRecord) -> Iterator[tuple[Event, Arrival | None]]:
    """Yield each event with the arrival it stands for, if any; later events of the same coda are passed over."""
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
    """Return right, wrong or blank of every example, by label and event; for an unknown event the name told."""
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
    """Return the counts of each class; an event counts as one, shared among its rows."""
    answers, lines = _answers(examples, names, plan), []
    for label, name in enumerate(plan.labels):
        rows = [row for (row_label, _), row in answers.items() if row_label == label]
        shares = [sum(row.count(answer) / len(row) for row in rows) for answer in ("right", "wrong", "blank")]
        lines.append(f"{name} {shares[0]:.1f} / {shares[1]:.1f} / {shares[2]:.1f}")
    return lines


def _show(plan: ClassesRecipe, examples: ClassExamples, names: list[str], what: str) -> None:
    print(f"\n{what}: right / wrong / blank events of each class")
    print("  " + "; ".join(_counts(plan, examples, names)))
    family = dict(zip(examples.event, examples.family, strict=True))
    answers = _answers(examples, names, plan)
    for told in plan.labels:
        shares: dict[str, dict[str, float]] = {"right": {}, "wrong": {}}  # of an event's rows that are told so
        for (label, event), row in answers.items():
            if label != UNKNOWN:
                mine = "right" if list(plan.labels)[label] == told else "wrong"
                shares[mine][event] = row.count(mine) / len(row)
        for unit, name_of in (("events", dict(zip(family, family, strict=True))), ("families", family)):
            right, wrong = (_of_units(shares[mine], name_of) for mine in ("right", "wrong"))
            low, high = wilson(right, right + wrong)
            print(f"  told {told}: {right:.1f} right, {wrong:.1f} wrong {unit}; share right {low:.2f} to {high:.2f}")
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
    sys.exit(main(*sys.argv[1:]))
