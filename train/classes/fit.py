"""Fit event classes: multinomial logistic regression on labelled events, certain enough or silent."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.event_class import class_name, class_probabilities
from edgequake.edge.manifest.event_config import INPUTS, ClassConfig
from edgequake.edge.manifest.front_end_config import FrontEndConfig
from edgequake.train.classes.class_examples import ClassExamples, class_examples
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ClassesRecipe, Recipe

Float = npt.NDArray[np.float64]

PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)  # that min_probability is chosen from
NEVER = 1.0  # min_probability when none of them is right often enough
REACH = 1.25  # an input may lie this much further out than the furthest learned from


def constants(plan: ClassesRecipe, max_event_s: float) -> ClassConfig:
    """Return a recipe's durations with weights of zero: what inputs are computed with before any class is learned."""
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
        max_deviation=1.0,
    )


def classes_of(recipe: Recipe, records: Sequence[LabelledRecord]) -> ClassConfig | None:
    """Return the classes that a recipe asks for, learned from records; None where it asks for none.

    Raises
    ------
    DataError
        As `learn_classes`.
    """
    if recipe.classes is None:
        return None
    max_event_s, scales = recipe.trigger.max_event_s, recipe.examples.scales
    return learn_classes(recipe.classes, records, recipe.front_end, recipe.sampling_rate_hz, max_event_s, scales)


def learn_classes(
    plan: ClassesRecipe,
    records: Sequence[LabelledRecord],
    front_end: FrontEndConfig,
    sampling_rate_hz: float,
    max_event_s: float,
    scales: Scales,
) -> ClassConfig:
    """Return the classes learned from records' labelled events; nothing else is looked at.

    Parameters
    ----------
    max_event_s : after which the trigger closes an event.

    Raises
    ------
    DataError
        A class without a visible event in two families, or a record that cannot be read.
    """
    untrained = constants(plan, max_event_s)
    examples = class_examples(plan, untrained, records, front_end, sampling_rate_hz, scales)
    return fit_classes(plan, untrained, examples)


def fit_classes(plan: ClassesRecipe, untrained: ClassConfig, examples: ClassExamples) -> ClassConfig:
    """Return the classes learned from examples, with the `min_probability` that cross-validation asks for.

    Leaving out one family after the other, a class is told of each of its events by what the others teach. Taken is
    the least of `PROBABILITIES`, from `least_probability` on, at which each class is right in at least `min_right` of
    the events it is told of; where there is none, no class is ever told.

    Raises
    ------
    DataError
        A class without examples in two families.
    """
    for i, name in enumerate(untrained.names):
        if len({examples.family[j] for j in np.flatnonzero(examples.label == i)}) < 2:
            raise DataError(
                f"class '{name}' has visible events of fewer than two families among the records to learn from; add "
                "records, or train without classes (classes = false in the recipe, or --set classes=null)"
            )
    held_out = np.zeros((len(examples.label), len(untrained.names)))
    for family in sorted(set(examples.family)):
        mine = np.array([name == family for name in examples.family])
        fitted = _fit(plan, untrained, examples.where(~mine))
        held_out[mine] = [class_probabilities(fitted, inputs) for inputs in examples.inputs[mine]]
    told = np.argmax(held_out, axis=1)
    threshold = _threshold(told, np.max(held_out, axis=1), examples, plan)
    return dataclasses.replace(_fit(plan, untrained, examples), min_probability=threshold)


def held_out_names(
    plan: ClassesRecipe,
    untrained: ClassConfig,
    examples: ClassExamples,
    others: ClassExamples | None = None,
    by: Literal["family", "event"] = "family",
) -> list[str]:
    """Return the class told of each example by classes learned without its family, everything chosen without it.

    Parameters
    ----------
    others : examples to tell the class of in place of `examples`, named alike.
    by : what is left out at a time; "event" learns from the other events of a repeating source.

    Raises
    ------
    DataError
        As `fit_classes`.
    """
    asked = examples if others is None else others
    names = [""] * len(asked.label)
    known, wanted = getattr(examples, by), getattr(asked, by)
    for held in sorted(set(wanted)):
        fitted = fit_classes(plan, untrained, examples.where(np.array([name != held for name in known])))
        for i in (i for i, name in enumerate(wanted) if name == held):
            names[i] = class_name(fitted, asked.inputs[i])
    return names


def example_weights(examples: ClassExamples) -> Float:
    """Return the share of each example: classes alike, families of a class, events of a family, rows of an event."""
    weights = np.ones(len(examples.label))
    labels = examples.label.tolist()
    levels = [labels, *(list(zip(labels, names, strict=True)) for names in (examples.family, examples.event))]
    inner: list[tuple[object, ...]] = [(*key, i) for i, key in enumerate(zip(*levels, strict=True))]
    for depth in range(len(levels) + 1):  # split the weight of each node evenly among its children
        children = {key[: depth + 1] for key in inner}
        n_children = Counter(key[:depth] for key in children)
        weights /= np.array([n_children[key[:depth]] for key in inner], np.float64)
    return weights


def _threshold(told: npt.NDArray[np.int64], probability: Float, examples: ClassExamples, plan: ClassesRecipe) -> float:
    """Return the least of `PROBABILITIES` at which every class that is told is right often enough, events alike."""
    of_event = Counter(examples.event)
    weights = np.array([1.0 / of_event[event] for event in examples.event], np.float64)
    for threshold in (p for p in PROBABILITIES if p >= plan.least_probability):
        sure = probability >= threshold
        classes = [weights * (sure & (told == i)) for i in sorted(set(examples.label.tolist()))]
        right = told == examples.label
        if np.any(sure) and all(np.sum(mine * right) >= plan.min_right * np.sum(mine) for mine in classes):
            return threshold
    return NEVER


def _fit(plan: ClassesRecipe, untrained: ClassConfig, examples: ClassExamples) -> ClassConfig:
    """Return the best weights; `min_probability` is as it was."""
    share = example_weights(examples)
    inputs = examples.inputs[:, [INPUTS.index(name) for name in plan.inputs]]
    mean = np.sum(share[:, np.newaxis] * inputs, axis=0)
    variance = np.sum(share[:, np.newaxis] * (inputs - mean) ** 2, axis=0)
    scale = np.maximum(np.sqrt(variance), 1e-3)
    standardised = (inputs - mean) / scale
    weights, bias = fit_softmax(standardised, examples.label, share, len(untrained.names), plan.ridge)
    return dataclasses.replace(
        untrained,
        mean=_rounded(mean),
        scale=_rounded(scale),
        weights=tuple(_rounded(row) for row in weights),
        bias=_rounded(bias),
        max_deviation=round(REACH * float(np.max(np.abs(standardised))), 3),
    )


def fit_softmax(
    inputs: Float, label: npt.NDArray[np.int64], share: Float, n_classes: int, ridge: float
) -> tuple[Float, Float]:
    """Return weights, shape (n_classes, n_inputs), and bias, shape (n_classes,), of a linear softmax.

    They minimise ``-sum(share * log p(label)) + ridge / 2 * sum(weights**2)``: convex, so the optimum is the only one
    but for a constant added to all biases; theirs sum to zero.
    """
    n_inputs = inputs.shape[1]
    truth = np.eye(n_classes)[label]

    def loss(flat: Float) -> tuple[float, Float]:
        weights, bias = flat[: n_classes * n_inputs].reshape(n_classes, n_inputs), flat[n_classes * n_inputs :]
        scores = inputs @ weights.T + bias
        scores -= scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
        error = share[:, np.newaxis] * (np.exp(log_p) - truth)
        value = -float(np.sum(share[:, np.newaxis] * truth * log_p)) + ridge / 2 * float(np.sum(weights**2))
        return value, np.concatenate([(error.T @ inputs + ridge * weights).ravel(), error.sum(axis=0)])

    start = np.zeros(n_classes * (n_inputs + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2000})
    weights, bias = found.x[: n_classes * n_inputs].reshape(n_classes, n_inputs), found.x[n_classes * n_inputs :]
    return weights, bias - np.mean(bias)


def _rounded(values: Float) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
