"""Comparison with reference results: worse figures, allowed differences, and results that cannot be compared."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.results.regressions import agreement, regressions, same_machine

WHERE = {"machine": "x86_64", "processor": "toy", "n_processors": 2, "python": "3.11", "versions": {"numpy": "1"}}


def spread(value: float, half: float = 0.0) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": 5}


def latency() -> Any:
    """Return the compared part of a result of `bench latency`."""
    model = {
        "model": {"name": "moon", "variant": "int8"},
        "runtime": "tflite-runtime 2.14.0",
        "steps": [{"n_threads": n, "us_per_step": {"p50": spread(20.0)}, "p50_per_kernel": spread(0.02, 0.001)}
                  for n in (1, 2)],
        "day": {"detection_per_kernel": spread(0.01, 0.001), "graph_per_front_end": spread(0.3, 0.01)},
        "cold_start": {"processed_s": spread(0.2, 0.01)},
    }  # fmt: skip
    return {"benchmark": "latency", "provenance": WHERE, "kernel_us": spread(1000.0), "models": [model]}


def footprint() -> Any:
    model = {
        "model": {"name": "moon", "variant": "int8", "size_bytes": 22_000},
        "runtime": "tflite-runtime 2.14.0",
        "state_bytes": 164,
        "arena_bytes": 1056,
        "peak_rss_bytes": spread(50e6),
    }
    environment = {"runtime": "tflite-runtime 2.14.0", "imported_bytes": {"numpy": 70e6, "pymseed": 4e6}}
    return {"benchmark": "footprint", "provenance": WHERE, "models": [model], "environments": [environment]}


def accuracy() -> Any:
    def summary(recall: float) -> dict[str, Any]:
        means = {"recall": recall, "group_recall": recall, "f1": recall, "kept": 0.05, "false_per_quiet_day": 0.5}
        return {
            "spreads": {name: {"mean": mean, "deviation": 0.01} for name, mean in means.items()},
            "group_recall_interval": [recall - 0.2, recall + 0.1],
            "false_per_quiet_day_upper": 3.0,
        }

    return {
        "benchmark": "accuracy",
        "provenance": WHERE,
        "body": "moon",
        "split": "val",
        "data_sha256": "ab",
        "also": {},
        "results": [{"name": "model", "summary": summary(0.8)}, {"name": "clock", "summary": summary(0.3)}],
    }


def energy() -> Any:
    estimate = {"device": "Cortex-M4", "cycles_per_s": 1000.0}
    return {
        "benchmark": "energy",
        "provenance": WHERE,
        "consumers": [{"name": "moon int8", "body": "moon", "estimates": [estimate]}],
    }


def changed(result: Any, path: str, value: Any) -> Any:
    """Return a copy with the value under a dotted path (numbers index lists) changed."""
    new = copy.deepcopy(result)
    table = new
    *outer, last = [int(name) if name.isdigit() else name for name in path.split(".")]
    for name in outer:
        table = table[name]
    table[last] = value
    return new


@pytest.mark.parametrize("result", [latency(), footprint(), accuracy(), energy()], ids=lambda one: one["benchmark"])
def test_nothing_is_worse_than_itself(result: Any) -> None:
    assert regressions(result, copy.deepcopy(result)) == []


@pytest.mark.parametrize(
    ("reference", "path", "value", "words"),
    [
        (latency(), "models.0.steps.1.p50_per_kernel", spread(0.031, 0.001),
         "moon int8, tflite-runtime, 2 threads: a step takes 1.55 times as long"),
        (latency(), "models.0.day.detection_per_kernel", spread(0.02, 0.001), "detection takes 2.00 times as long"),
        (latency(), "models.0.day.graph_per_front_end", spread(0.6, 0.01), "the graph, over the front end, takes 2.00"),
        (latency(), "models.0.cold_start.processed_s", spread(0.5, 0.01), "the cold start takes 2.50 times"),
        (footprint(), "models.0.model.size_bytes", 30_000, "the graph is 1.36 times the reference's (30000 against"),
        (footprint(), "models.0.arena_bytes", 2112, "the arena is 2.00 times"),
        (footprint(), "models.0.peak_rss_bytes", spread(60e6), "peak memory is 1.20 times"),
        (footprint(), "environments.0.imported_bytes.scipy", 100e6, "runtime: the installed environment is 2.35"),
        (energy(), "consumers.0.estimates.0.cycles_per_s", 1100.0, "the estimated work is 1.10 times"),
        (accuracy(), "results.0.summary.spreads.group_recall.mean", 0.59,
         "recall by events is 0.59, below the reference's interval, which begins at 0.60"),
        (accuracy(), "results.0.summary.spreads.false_per_quiet_day.mean", 3.1,
         "3.1 false alarms per quiet day, above the reference's bound of 3.0"),
        (accuracy(), "results.0.summary.spreads.recall.mean", 0.76, "recall is 0.760, reference 0.800"),
        (accuracy(), "results.0.summary.spreads.kept.mean", 0.09, "kept is 0.090, reference 0.050"),
    ],
)  # fmt: skip
def test_each_worse_figure_is_one_line(reference: Any, path: str, value: Any, words: str) -> None:
    (line,) = regressions(changed(reference, path, value), reference)
    assert words in line and "\n" not in line


@pytest.mark.parametrize(
    ("reference", "path", "value"),
    [
        (latency(), "models.0.steps.0.p50_per_kernel", spread(0.029, 0.001)),  # 1.45 times
        (latency(), "models.0.steps.0.p50_per_kernel", spread(0.04, 0.025)),  # the spreads meet
        (latency(), "models.0.steps.0.us_per_step", {"p50": spread(90.0)}),  # never by absolute time
        (latency(), "models.0.steps.0.p50_per_kernel", spread(0.001)),  # better
        (latency(), "models.0.runtime", "tflite-runtime 2.15.0"),  # another version of the same package
        (latency(), "models.0.cold_start", None),  # not measured this time
        (footprint(), "models.0.model.size_bytes", 22_900),
        (accuracy(), "results.0.summary.spreads.group_recall.mean", 0.61),
        (accuracy(), "results.0.summary.spreads.recall.mean", 0.775),  # within three deviations
        (accuracy(), "results.1.summary.spreads.group_recall.mean", 0.0),  # a baseline's
    ],
)
def test_allowed_differences(reference: Any, path: str, value: Any) -> None:
    assert regressions(changed(reference, path, value), reference) == []


def test_a_slower_machine_is_not_worse() -> None:
    slow = changed(latency(), "kernel_us", spread(5000.0))
    slow["models"][0]["cold_start"]["processed_s"] = spread(1.0, 0.05)
    slow["models"][0]["steps"][0]["us_per_step"]["p50"] = spread(100.0)
    assert regressions(slow, latency()) == []


def test_further_models_are_compared_and_baselines_are_not() -> None:
    reference = accuracy()
    reference["results"].append(copy.deepcopy(reference["results"][0]) | {"name": "seed float32"})
    new = copy.deepcopy(reference)
    for result in new["results"]:
        result["summary"]["spreads"]["group_recall"]["mean"] = 0.0
    assert len(regressions(new, reference)) == 1
    new["also"] = {"seed float32": {}}
    assert len(regressions(new, reference)) == 2


def test_other_records_are_mentioned() -> None:
    new = changed(accuracy(), "results.0.summary.spreads.group_recall.mean", 0.1)
    new["data_sha256"] = "cd"
    (line,) = regressions(new, accuracy())
    assert "(other records than the reference's)" in line


@pytest.mark.parametrize(
    ("new", "reference", "error", "words"),
    [
        (latency(), energy(), ConfigError, "a result of 'latency' was to be compared with one of 'energy'"),
        ({"benchmark": "soak"}, {"benchmark": "soak"}, ConfigError, "have their own limits"),
        (latency(), changed(latency(), "models", []), ConfigError, "nothing to compare: the reference has nothing"),
        (changed(accuracy(), "split", "test"), accuracy(), ConfigError, "results on moon test were to be compared"),
        (latency(), {"benchmark": "latency"}, DataError, "no whole result of `bench latency`: KeyError"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(
    new: Any, reference: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        regressions(new, reference)


def test_agreement_counts_the_figures_whose_spreads_overlap() -> None:
    same = latency()
    met, shared = agreement(same, copy.deepcopy(same))
    assert met == shared == 8  # fixed work; p50 and ratio of two steps; two of the day; start
    apart = changed(same, "models.0.steps.1.p50_per_kernel", spread(0.05, 0.001))
    assert agreement(apart, same) == (7, 8)
    fewer = changed(same, "models.0.steps", same["models"][0]["steps"][:1])
    assert agreement(fewer, same) == (6, 6)


def test_machines_are_the_same_by_processor_and_versions() -> None:
    assert same_machine(latency(), energy())
    other = changed(latency(), "provenance", WHERE | {"processor": "another"})
    assert not same_machine(other, latency())
