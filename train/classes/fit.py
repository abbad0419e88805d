"""Fit event classes: multinomial logistic regression on labelled events, with a threshold of probability.

Below the threshold, which cross-validation sets, the device leaves an event's class blank.
"""

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
from edgequake.edge.detection.event_class import class_probabilities, classify
from edgequake.edge.manifest.tables import INPUTS, ClassConfig
from edgequake.train.classes.class_examples import (
    NEVER,
    ClassExamples,
    class_examples,
    classes_recipe,
    untrained_classes,
)
from edgequake.train.configuration.recipe import ClassesRecipe, Recipe

Float = npt.NDArray[np.float64]

PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)  # candidates for min_probability
REACH = 1.25  # an input may deviate by this factor more than any training example


def learn_classes(recipe: Recipe, records: Sequence[LabelledRecord]) -> ClassConfig:
    """Return the classes of a recipe, learned from the labelled events of records.

    Raises
    ------
    ConfigError
        The recipe has no table `classes`.
    DataError
        A class without a visible event in two families, or a record that cannot be read.
    """
    plan = classes_recipe(recipe)
    return fit_classes(plan, untrained_classes(plan, recipe.trigger.max_event_s), class_examples(recipe, records))


def fit_classes(plan: ClassesRecipe, untrained: ClassConfig, examples: ClassExamples) -> ClassConfig:
    """Return the classes learned from examples, with a `min_probability` from cross-validation over families.

    Each family is classified by a fit to all the others. `min_probability` is the smallest of `PROBABILITIES`, from
    `least_probability` on, at which every class is right for at least `min_right` of the events that it is reported
    for; if there is none, no class is ever reported.

    Raises
    ------
    DataError
        A class without examples in two families.
    """
    for i, name in enumerate(untrained.names):
        if len({examples.family[j] for j in np.flatnonzero(examples.label == i)}) < 2:
            raise DataError(
                f"class '{name}' has visible events of fewer than two families in the training records; add "
                "records, or train without classes (classes = false in the recipe, or --set classes=null)"
            )
    held_out = np.zeros((len(examples.label), len(untrained.names)))
    for family in sorted(set(examples.family)):
        members = np.array([name == family for name in examples.family])
        fitted = _fit(plan, untrained, examples.where(~members))
        held_out[members] = [class_probabilities(fitted, inputs) for inputs in examples.inputs[members]]
    threshold = _threshold(np.argmax(held_out, axis=1), np.max(held_out, axis=1), examples, plan)
    return dataclasses.replace(_fit(plan, untrained, examples), min_probability=threshold)


def held_out_names(
    plan: ClassesRecipe,
    untrained: ClassConfig,
    examples: ClassExamples,
    others: ClassExamples | None = None,
    by: Literal["family", "event"] = "family",
) -> list[str]:
    """Return the class of each example by a fit without its family, `min_probability` included.

    Parameters
    ----------
    others : classify these examples instead; their families and events have the same names.
    by : what is left out at a time; with "event" the fit includes the other events of a repeating source.

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
            names[i] = classify(fitted, asked.inputs[i])
    return names


def example_weights(examples: ClassExamples) -> Float:
    """Return weights: equal among classes, families of a class, events of a family, and rows of an event."""
    weights = np.ones(len(examples.label))
    labels = examples.label.tolist()
    levels = [labels, *(list(zip(labels, names, strict=True)) for names in (examples.family, examples.event))]
    inner: list[tuple[object, ...]] = [(*key, i) for i, key in enumerate(zip(*levels, strict=True))]
    for depth in range(len(levels) + 1):  # the weight of each node is divided evenly among its children
        children = {key[: depth + 1] for key in inner}
        n_children = Counter(key[:depth] for key in children)
        weights /= np.array([n_children[key[:depth]] for key in inner], np.float64)
    return weights


def _threshold(best: npt.NDArray[np.int64], probability: Float, examples: ClassExamples, plan: ClassesRecipe) -> float:
    """Return the smallest of `PROBABILITIES` at which every reported class is right often enough, events alike."""
    of_event = Counter(examples.event)
    weights = np.array([1.0 / of_event[event] for event in examples.event], np.float64)
    for threshold in (p for p in PROBABILITIES if p >= plan.least_probability):
        sure = probability >= threshold
        reported = [weights * (sure & (best == i)) for i in sorted(set(examples.label.tolist()))]
        right = best == examples.label
        if np.any(sure) and all(np.sum(share * right) >= plan.min_right * np.sum(share) for share in reported):
            return threshold
    return NEVER


def _fit(plan: ClassesRecipe, untrained: ClassConfig, examples: ClassExamples) -> ClassConfig:
    """Return the optimal weights; `min_probability` stays that of `untrained`."""
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

    They minimise ``-sum(share * log p(label)) + ridge / 2 * sum(weights**2)``, which is convex: the optimum is unique
    but for a constant added to all biases, which sum to zero here.
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
