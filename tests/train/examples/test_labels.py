"""Targets of hand-made excess curves."""

from __future__ import annotations

import numpy as np

from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.examples.labels import UNCERTAIN_WEIGHT, Targets, mark_event, smooth

BLOCK_S = 10.0
MOON = load_recipe("moon").examples.scales


def drawn(n_blocks: int, start: int, stop: int, height: float = 1.0) -> np.ndarray:
    excess = np.zeros(n_blocks)
    excess[start:stop] = height
    return excess


def test_an_event_is_marked_from_its_visible_rise_to_its_fading() -> None:
    targets = Targets.quiet(400)
    assert mark_event(targets, drawn(400, 103, 200), 100, BLOCK_S, MOON)
    # The three-block mean first reaches 0.12 one block early; the fifteen-block mean falls below 0.08 where at most one
    # of its blocks is high, six blocks after the last one.
    np.testing.assert_array_equal(np.flatnonzero(targets.event), np.arange(102, 206))
    np.testing.assert_array_equal(np.flatnonzero(targets.onset), np.arange(102, 126))  # 240 s
    np.testing.assert_array_equal(np.flatnonzero(targets.weight != 1), [100, 101])
    assert targets.weight[100] == np.float32(UNCERTAIN_WEIGHT)


def test_an_invisible_event_has_no_weight_and_no_target() -> None:
    targets = Targets.quiet(900)
    assert not mark_event(targets, np.zeros(900), 100, BLOCK_S, MOON)
    assert not targets.event.any() and not targets.onset.any()
    np.testing.assert_array_equal(np.flatnonzero(targets.weight == 0), np.arange(100, 640))  # 5400 s


def test_a_rise_long_after_the_arrival_is_not_its_onset() -> None:
    targets = Targets.quiet(900)
    assert not mark_event(targets, drawn(900, 180, 300), 100, BLOCK_S, MOON)


def test_a_rise_long_after_an_uncertain_arrival_is_its_onset() -> None:
    targets = Targets.quiet(900)  # the rise is 800 s late
    assert mark_event(targets, drawn(900, 180, 300), 100, BLOCK_S, MOON, search_after_s=900.0)
    assert np.flatnonzero(targets.onset)[0] == 179
    assert np.all(targets.weight[100:179] == np.float32(UNCERTAIN_WEIGHT))


def test_an_early_rise_is_found_only_when_the_label_may_be_late() -> None:
    early = drawn(400, 92, 200)
    targets = Targets.quiet(400)
    mark_event(targets, early, 100, BLOCK_S, MOON, search_before_s=150.0)
    assert np.flatnonzero(targets.event)[0] == 91
    exact = Targets.quiet(400)
    mark_event(exact, early, 100, BLOCK_S, MOON)
    assert np.flatnonzero(exact.event)[0] == 100


def test_a_record_that_begins_inside_an_event_has_no_onset() -> None:
    targets = Targets.quiet(400)
    assert mark_event(targets, drawn(400, 0, 50), -60, BLOCK_S, MOON)
    assert targets.event[:50].all() and not targets.onset.any()


def test_nothing_is_learned_of_a_rise_that_may_have_begun_before_the_record() -> None:
    targets = Targets.quiet(400)
    assert mark_event(targets, drawn(400, 5, 200), 0, BLOCK_S, MOON, onset_known=False)
    assert not targets.onset.any() and targets.event[28:200].all()
    np.testing.assert_array_equal(np.flatnonzero(targets.weight == 0), np.arange(28))  # the rise at 4, and 240 s


def test_an_event_that_is_long_over_when_the_record_begins_is_not_marked() -> None:
    targets = Targets.quiet(400)
    assert not mark_event(targets, drawn(400, 5, 200), -540, BLOCK_S, MOON)  # 5400 s before
    assert not targets.event.any() and np.all(targets.weight == 1)


def test_smoothing_is_the_centred_mean_of_the_available_values() -> None:
    np.testing.assert_allclose(smooth(np.array([1.0, 2.0, 6.0, 3.0]), 3), [1.5, 3.0, 11 / 3, 4.5])
