"""The priority of an event against the formula evaluated by hand, and priority functions from outside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.priority import (
    EventFacts,
    Priorities,
    priority,
    priority_function,
    priority_name,
    signal_to_noise,
)

S = NS_PER_S
T0_NS = 1_893_456_000 * S


def facts(**changes: Any) -> EventFacts:
    values: dict[str, Any] = {
        "station_id": "XX_LUN", "onset_ns": T0_NS, "duration_s": 1650.0, "longest_s": 3300.0, "peak_probability": 0.9,
        "signal_to_noise": 10.0, "mq_type": "", "since_last_s": None,
    }  # fmt: skip
    return EventFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.9 * 0.85 * (0.4 + 0.3 * 0.5 + 0.15 * 0.5 + 0.15)),  # ten times the noise is half of two decades
        ({"mq_type": "impact_mq"}, 0.9 * 0.9 * (0.4 + 0.15 + 0.075 + 0.15)),
        ({"mq_type": "deep_mq", "signal_to_noise": 100.0}, 0.9 * 0.7 * (0.4 + 0.3 + 0.075 + 0.15)),
        ({"mq_type": "shallow_mq", "signal_to_noise": 1e6}, 0.9 * (0.4 + 0.3 + 0.075 + 0.15)),
        ({"signal_to_noise": None}, 0.9 * 0.85 * (0.4 + 0.075 + 0.15)),
        ({"signal_to_noise": 0.5}, 0.9 * 0.85 * (0.4 + 0.075 + 0.15)),
        ({"since_last_s": 0.0}, 0.9 * 0.85 * (0.4 + 0.15 + 0.075)),
        ({"since_last_s": 86_400.0}, 0.9 * 0.85 * (0.4 + 0.15 + 0.075 + 0.15 * (1 - 1 / math.e))),
        ({"since_last_s": -5.0}, 0.9 * 0.85 * (0.4 + 0.15 + 0.075)),  # two versions of the same hours
        ({"duration_s": 9000.0}, 0.9 * 0.85 * (0.4 + 0.15 + 0.15 + 0.15)),
    ],
)
def test_the_formula(changes: dict[str, Any], expected: float) -> None:
    assert priority(facts(**changes)) == pytest.approx(expected, rel=1e-12)


def test_it_lies_between_0_and_1() -> None:
    best = facts(peak_probability=1.0, mq_type="shallow_mq", signal_to_noise=1e9, duration_s=1e9)
    worst = facts(peak_probability=0.0, since_last_s=0.0)
    assert priority(best) == pytest.approx(1.0) and priority(worst) == 0.0


def test_the_ratio_is_that_of_the_deviations_and_ignores_spikes() -> None:
    rng = np.random.default_rng(4)
    days_of_noise, signal = rng.normal(500, 2, 1000), rng.normal(500, 14, 1000)
    days_of_noise[::100], signal[::90] = 5000, -1  # spikes, lost samples
    traces = [
        Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS + i * 500 * S, 1.0, np.rint(part).astype(np.int32))
        for i, part in enumerate(np.split(np.concatenate([days_of_noise, signal]), 4))
    ]
    dead = Trace("FDSN:XX_LUN_00_M_H_1", T0_NS, 1.0, np.zeros(2000, np.int32))
    ratio = signal_to_noise([*traces, dead], T0_NS + 1000 * S, T0_NS + 2000 * S, 1000 * S)
    assert ratio == pytest.approx(7.0, rel=0.15)


def test_without_noise_before_the_onset_there_is_no_ratio() -> None:
    trace = Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS, 1.0, np.arange(100, dtype=np.float32))
    assert signal_to_noise([trace], T0_NS + 3 * S, T0_NS + 90 * S, 50 * S) is None
    assert signal_to_noise([], T0_NS, T0_NS + S, S) is None
    assert signal_to_noise([trace], T0_NS + 50 * S, T0_NS + 90 * S, 50 * S) is not None


def test_novelty_counts_by_station_and_class() -> None:
    seen: list[float | None] = []
    priorities = Priorities(3300.0, lambda facts: seen.append(facts.since_last_s) or 0.5)  # type: ignore[func-returns-value]
    for station, second, kind in (("A", 0, ""), ("A", 100, ""), ("B", 150, ""), ("A", 160, "deep_mq"), ("A", 170, "")):
        priorities.assign(station, T0_NS + second * S, T0_NS + (second + 9) * S, 0.9, kind, None)
    assert seen == [None, 100.0, None, None, 70.0]
    other = Priorities(3300.0, lambda facts: seen.append(facts.since_last_s) or 0.5)  # type: ignore[func-returns-value]
    other.restore(priorities.state())
    other.remember("B", T0_NS + 200 * S, "")
    other.assign("B", T0_NS + 230 * S, T0_NS + 240 * S, 0.9, "", None)
    other.assign("A", T0_NS + 230 * S, T0_NS + 240 * S, 0.9, "deep_mq", None)
    assert seen[-2:] == [30.0, 70.0]


def test_a_priority_has_the_decimals_of_the_catalogue() -> None:
    value = Priorities(3300.0, lambda facts: 1 / 3).assign("A", T0_NS, T0_NS + S, 0.9, "", None)
    assert value == 0.3333


def test_a_function_of_the_user_replaces_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mission_of_mine.py").write_text("def loudest(facts):\n    return facts.signal_to_noise\n")
    monkeypatch.chdir(tmp_path)
    diagnostics = Diagnostics()
    function = priority_function("mission_of_mine:loudest", diagnostics)
    assert function(facts(signal_to_noise=42.0)) == 42.0 and diagnostics.texts() == []
    assert priority_function(None, diagnostics) is priority
    assert priority_name("mission_of_mine:loudest") == "mission_of_mine:loudest"
    assert priority_name(priority) == "edgequake.edge.results.priority:priority"


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda facts: 1 / 0, "ZeroDivisionError"),
        (lambda facts: float("nan"), "it returned nan"),
        (lambda facts: None, "TypeError"),
        (lambda facts: "much", "ValueError"),
    ],
)
def test_a_function_that_fails_is_reported_and_replaced_by_the_formula(function: Any, problem: str) -> None:
    diagnostics = Diagnostics()
    guarded = priority_function(function, diagnostics)
    assert guarded(facts()) == guarded(facts()) == priority(facts())
    (text,) = diagnostics.texts()
    assert text.startswith("2 event(s) ranked by our formula, because ") and problem in text


@pytest.mark.parametrize("text", ["nowhere:f", "math:nothing", "math:pi", "math", ":"])
def test_an_unknown_function_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--priority .*expected MODULE:FUNCTION"):
        priority_function(text, Diagnostics())
