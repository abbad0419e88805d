"""Figures by windows: hand-drawn records, a count second by second, and the AUC of another function."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.windows import (
    WindowCalls,
    auc,
    call_windows,
    join_windows,
    label_windows,
    window_edges,
    window_figures,
)
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, detections, record

HOUR = 3600.0


def characteristic(points: dict[float, float], threshold: float = 0.5) -> CharacteristicFunction:
    return CharacteristicFunction(
        np.array([at(time_s) for time_s in points]), np.array(list(points.values())), threshold
    )


def calls(is_event: str, scores: list[float], called: str, n_left_out: int = 0) -> WindowCalls:
    return WindowCalls(
        np.array([c == "1" for c in is_event], bool),
        np.array(scores, float),
        np.array([c == "1" for c in called], bool),
        n_left_out,
    )


def test_windows_follow_one_another_and_the_rest_is_not_used() -> None:
    assert window_edges(at(100), at(3700), 900).tolist() == [at(100), at(1000), at(1900), at(2800), at(3700)]
    assert window_edges(at(100), at(3699.9), 900).tolist() == [at(100), at(1000), at(1900), at(2800)]
    assert window_edges(at(100), at(900), 900).tolist() == [at(100)]


def test_which_windows_are_events_and_which_are_quiet_by_hand() -> None:
    # Moon, precision 60 s: the event is (5000, 5360); nothing is quiet from 4640 to 8600.
    is_event, is_quiet = label_windows(record(4 * HOUR, arrival(5000)), window_edges(T0_NS, at(4 * HOUR), 900))
    assert np.flatnonzero(is_event).tolist() == [5]  # 4500 to 5400 holds all of it
    assert np.flatnonzero(is_quiet).tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15]  # until 4500; from 9000 on


@pytest.mark.parametrize(("time_s", "window"), [(5219, 5), (5221, 6), (5400, 6), (5399, 6)])
def test_the_window_with_the_greater_part_of_the_beginning_is_the_events(time_s: float, window: int) -> None:
    # The beginning lasts 360 s; windows meet at 5400: 180 s on either side when the arrival is at 5220.
    is_event, _ = label_windows(record(4 * HOUR, arrival(time_s)), window_edges(T0_NS, at(4 * HOUR), 900))
    assert np.flatnonzero(is_event).tolist() == [window]


def test_on_earth_the_minutes_after_p_are_neither() -> None:
    # precision 0: quiet until 95 s and after 400 s, though a detection is excused for 60 s only
    drawn = record(600, arrival(100, 0.0), body="earth")
    is_event, is_quiet = label_windows(drawn, window_edges(T0_NS, drawn.stop_ns, 30))
    assert np.flatnonzero(is_event).tolist() == [3]
    assert np.flatnonzero(is_quiet).tolist() == [0, 1, 2, 14, 15, 16, 17, 18, 19]


def test_secondary_arrivals_make_no_events_and_no_quiet() -> None:
    drawn = record(4 * HOUR, arrival(5000, primary=False))
    is_event, is_quiet = label_windows(drawn, window_edges(T0_NS, at(4 * HOUR), 900))
    assert not is_event.any()
    assert not is_quiet[5:10].any()


def test_a_windows_score_is_the_maximum_in_it_and_no_value_is_the_smallest() -> None:
    drawn = record(4 * HOUR, arrival(5000))
    said = characteristic(
        {10: 0.2, 899.9: 0.4, 900: 0.1, 1800: np.nan, 5000: 0.3, 5300: 0.9, 9000: 0.6, 14399: 0.5, 99999: 1}
    )
    found = call_windows(drawn, T0_NS, dataclasses.replace(detections(5000), characteristic=said), 900)
    assert found.scores.tolist() == [0.4, 0.1, -np.inf, -np.inf, -np.inf, 0.9, 0.6, *[-np.inf] * 4, 0.5]
    assert np.flatnonzero(found.is_event).tolist() == [5]
    assert np.flatnonzero(found.called).tolist() == [5, 6, 11]  # 0.5 reaches the threshold
    assert found.n_left_out == 4  # 5400 to 9000


def test_a_detector_without_a_curve_calls_the_windows_of_its_onsets() -> None:
    found = call_windows(record(4 * HOUR, arrival(5000)), T0_NS, detections(100, 5000, 7000), 900)
    assert np.flatnonzero(found.called).tolist() == [0, 5]  # the one at 7000 s is in the coda, left out


def test_windows_begin_where_scoring_begins_and_too_short_a_record_has_none() -> None:
    drawn = record(HOUR)
    assert len(call_windows(drawn, at(1000), detections(), 900).scores) == 2
    assert len(call_windows(drawn, at(3000), detections(), 900).scores) == 0


def test_labels_are_those_of_a_count_second_by_second() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        arrivals = [
            arrival(float(rng.integers(0, 20_000)), float(rng.integers(0, 200)), bool(rng.integers(2)))
            for _ in range(rng.integers(0, 4))
        ]
        drawn = record(20_000, *arrivals)
        window_s, start_s = int(rng.integers(100, 3000)), int(rng.integers(0, 5000))
        is_event, is_quiet = label_windows(drawn, window_edges(at(start_s), drawn.stop_ns, window_s))
        begins, spared = np.zeros((len(arrivals), 20_000 + 40_000), bool), np.zeros(60_000, bool)
        for i, one in enumerate(arrivals):
            time_s, near_s = (one.time_ns - T0_NS) // NS_PER_S, 300 + int(one.precision_s)
            begins[i, time_s : time_s + near_s] = one.primary
            spared[max(0, time_s - near_s) : time_s + 3600 + 1] = True  # a second each: the coda's last instant is in
        for k, first in enumerate(range(start_s, 20_000 - window_s + 1, window_s)):
            held = begins[:, first : first + window_s].sum(axis=1)
            whole = begins.sum(axis=1)
            assert is_event[k] == any(2 * held > np.minimum(whole, window_s)) & any(held > 0)
            assert is_quiet[k] == (not spared[first : first + window_s].any())


@pytest.mark.parametrize("seed", range(20))
def test_auc_is_the_mann_whitney_statistic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    is_event = rng.random(60) < 0.3
    scores = rng.integers(0, 12, 60) / 10 + 0.3 * is_event  # with many equal ones
    scores[rng.random(60) < 0.1] = -np.inf
    expected = mannwhitneyu(scores[is_event], scores[~is_event]).statistic / (is_event.sum() * (~is_event).sum())
    assert auc(is_event, scores) == pytest.approx(expected, abs=1e-12)


def test_auc_by_hand() -> None:
    assert auc(np.array([True, False]), np.array([0.9, 0.1])) == 1.0
    assert auc(np.array([True, False]), np.array([0.1, 0.9])) == 0.0
    assert auc(np.array([True, False, False]), np.array([0.5, 0.5, 0.1])) == 0.75
    assert auc(np.array([True, True]), np.array([0.5, 0.6])) is None


def test_rates_by_hand() -> None:
    one = calls("110000", [0.9, 0.2, 0.8, 0.1, 0.0, 0.0], "101000", 3)
    figures = window_figures([one], 900.0)
    assert (figures.n_event, figures.n_quiet, figures.n_left_out) == (2, 4, 3)
    rates = (figures.accuracy, figures.precision, figures.recall, figures.f1, figures.auc)
    assert [rate.mean for rate in rates if rate] == pytest.approx([4 / 6, 1 / 2, 1 / 2, 1 / 2, 7 / 8])


def test_several_starts_give_means_and_deviations_and_none_where_one_has_no_rate() -> None:
    figures = window_figures([calls("10", [1, 0], "10"), calls("10", [0, 1], "01")], 900.0)
    assert figures.accuracy is not None and figures.recall is not None
    assert (figures.accuracy.mean, figures.accuracy.deviation) == (0.5, pytest.approx(0.5**0.5))
    silent = window_figures([calls("10", [1, 0], "10"), calls("10", [0, 1], "00")], 900.0)
    assert silent.precision is None and silent.recall is not None
    assert window_figures([calls("", [], "")], 900.0).accuracy is None


def test_joined_windows_are_those_of_all_records() -> None:
    joined = join_windows([calls("1", [1], "0", 2), calls("", [], ""), calls("01", [2, 3], "11", 5)])
    assert joined.is_event.tolist() == [True, False, True]
    assert (joined.scores.tolist(), joined.called.tolist()) == ([1, 2, 3], [False, True, True])
    assert joined.n_left_out == 7
