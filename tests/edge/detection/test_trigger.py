"""The trigger against intervals computed by hand, and against its own invariants."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.manifest.manifest import SureEventConfig, TriggerConfig

S = 1_000_000_000
CONFIG = TriggerConfig(
    onset_thresholds={"low": 0.8, "normal": 0.6, "high": 0.4},
    rearm_ratio=0.5,
    event_threshold=0.5,
    min_duration_s=20.0,
    hold_s=30.0,
    merge_s=100.0,
    max_event_s=500.0,
    onset_lag_s=5.0,
    pre_roll_s=60.0,
    post_roll_s=40.0,
)
THRESHOLD = 0.6
EARLY = replace(CONFIG, longest_rise_s=40.0)
SURE = replace(CONFIG, sure_event=SureEventConfig(threshold=0.9, duration_s=20.0, longest_rise_s=40.0))


def detect(onset: list[float], event: list[float] | None = None, config: TriggerConfig = CONFIG) -> list[Event]:
    """Return the events of one decision every ten seconds from second 0 to the end of the record."""
    trigger = Trigger(config, THRESHOLD)
    pairs = zip(onset, event if event is not None else onset, strict=True)
    events = [trigger.push(Decision(10 * i * S, 10 * (i + 1) * S, o, e)) for i, (o, e) in enumerate(pairs)]
    return [e for e in [*events, trigger.close()] if e is not None]


def seconds(events: list[Event]) -> list[tuple[float, float, float]]:
    return [(e.onset_ns / S, e.stop_ns / S, e.peak_probability) for e in events]


def test_an_event_lasts_from_its_rise_to_its_fall() -> None:
    # High in decisions 2..5, that is 20..60 s; onset 20 - 5.
    assert seconds(detect([0, 0, 0.7, 0.9, 0.8, 0.6, 0, 0, 0, 0])) == [(15, 60, 0.9)]


def test_the_threshold_itself_counts_as_above() -> None:
    assert seconds(detect([0, 0.6, 0.6, 0, 0, 0])) == [(5, 30, 0.6)]


def test_an_onset_may_lie_where_the_probability_began_to_rise() -> None:
    # 0.3 is the lower level: above it from 20 s on, above the threshold from 40 s on.
    onset = [0, 0.2, 0.3, 0.5, 0.7, 0.9, 0, 0, 0, 0]
    assert seconds(detect(onset)) == [(35, 60, 0.9)]
    assert seconds(detect(onset, config=EARLY)) == [(15, 60, 0.9)]
    assert seconds(detect(onset, config=replace(CONFIG, longest_rise_s=20.0))) == [(25, 60, 0.9)]


def test_a_rise_that_begins_within_the_open_event_does_not_begin_before_it() -> None:
    # The second rise begins at 80 s, less than 100 s after the first one, and reaches the threshold at 120 s.
    onset = [0, 0.9, 0.9, 0, 0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0, 0, 0, 0]
    event = [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0]
    config = replace(EARLY, longest_rise_s=60.0)
    assert seconds(detect(onset, event, config)) == [(5, 120, 0.9), (115, 140, 0.9)]
    # One that begins later ends the open event where it begins.
    onset[8:12] = [0, 0, 0.2, 0.5]
    assert seconds(detect(onset, event, config)) == [(5, 110, 0.9), (105, 140, 0.9)]


def test_a_rise_shorter_than_the_minimum_is_no_event() -> None:
    assert detect([0, 0.9, 0, 0, 0.9, 0, 0]) == []
    assert len(detect([0, 0.9, 0, 0, 0.9, 0, 0], config=replace(CONFIG, min_duration_s=10.0))) == 1  # merged


def test_the_event_probability_keeps_an_event_open() -> None:
    onset = [0, 0.9, 0.9, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    event = [0, 0.2, 0.8, 0.8, 0.4, 0.4, 0.5, 0.4, 0.1, 0.1, 0.9, 0.9]
    # Low from 40 to 60 s (shorter than the hold), high again until 70 s, then low: closes at 100 s, stop 70 s.
    assert seconds(detect(onset, event)) == [(5, 70, 0.9)]


def test_no_new_event_before_the_onset_probability_has_fallen() -> None:
    # After closing at 40 s the onset probability stays between the re-arming 0.3 and the threshold, then rises.
    stays = [0, 0.9, 0.9, 0.9, 0.4, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9, 0, 0, 0]
    falls = [0, 0.9, 0.9, 0.9, 0.4, 0.29, 0.4, 0.4, 0.9, 0.9, 0.9, 0, 0, 0]
    assert seconds(detect(stays)) == [(5, 40, 0.9)]
    assert seconds(detect(falls)) == [(5, 40, 0.9), (75, 110, 0.9)]


def test_a_second_rise_soon_after_is_the_same_event() -> None:
    # The second rise begins 60 s after the first (merge: 100 s) while the event probability is high.
    onset = [0.9, 0.9, 0, 0, 0, 0, 0.95, 0.95, 0, 0, 0, 0]
    event = [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0, 0]
    assert seconds(detect(onset, event)) == [(-5, 90, 0.95)]


def test_a_late_second_rise_cuts_a_long_event_in_two() -> None:
    # A false trigger keeps an event open; the quake rises 120 s later and is an event of its own.
    onset = [0.7, 0.7, *[0] * 10, 0.95, 0.95, 0, 0, 0, 0]
    event = [0.9] * 15 + [0] * 3
    assert seconds(detect(onset, event)) == [(-5, 120, 0.7), (115, 150, 0.95)]


def test_a_sure_event_is_declared_although_its_onset_never_was() -> None:
    event = [0, 0.55, 0.7, 0.8, 0.95, 0.97, 0.6, 0, 0, 0, 0]
    assert detect([0.3] * 11, event) == []
    assert seconds(detect([0.3] * 11, event, SURE)) == [(15, 70, 0.97)]  # declared at 60 s; it rose at 20 s
    assert detect([0.3] * 11, [0, 0.55, 0.95, 0.7, 0.95, 0.7, 0.95, 0, 0, 0, 0], SURE) == []  # never for 20 s


def test_a_sure_event_is_at_least_as_sure_as_an_onset_must_be() -> None:
    trigger = Trigger(SURE, onset_threshold=0.96)
    pushed = [
        trigger.push(Decision(10 * i * S, 10 * (i + 1) * S, 0.0, e)) for i, e in enumerate([0.95] * 6 + [0.97] * 3)
    ]
    assert not any(pushed) and trigger.close() is not None
    lower = Trigger(SURE, onset_threshold=0.96)
    assert (
        not any(lower.push(Decision(10 * i * S, 10 * (i + 1) * S, 0.0, 0.95)) for i in range(9)) and not lower.close()
    )


def test_the_onset_of_a_sure_event_lies_at_most_the_longest_rise_back() -> None:
    event = [0.6] * 20 + [0.95, 0.95] + [0.0] * 5
    assert seconds(detect([0.0] * 27, event, SURE)) == [(175, 220, 0.95)]  # 220 - 40 - 5


def test_a_course_of_an_event_that_is_known_declares_no_other() -> None:
    onset, event = [0, 0.8, 0.8] + [0.0] * 60, [0] + [0.95] * 55 + [0.0] * 7
    assert len(detect(onset, event, SURE)) == 1  # cut at 500 s, and not declared again
    again = [*event, 0.95, 0.95, 0.95, 0, 0, 0]
    assert len(detect([*onset, 0, 0, 0, 0, 0, 0], again, SURE)) == 2


def test_an_event_is_cut_at_the_longest_duration() -> None:
    events = seconds(detect([0.9] * 60))
    assert events == [(-5, 500, 0.9)]  # and no second one: the onset probability never fell


def test_an_event_that_is_open_at_the_end_of_the_record_is_returned() -> None:
    assert seconds(detect([0, 0.9, 0.9, 0.9])) == [(5, 40, 0.9)]


def test_the_earliest_onset_covers_a_rise_that_is_not_declared_yet() -> None:
    trigger = Trigger(CONFIG, THRESHOLD)
    assert trigger.earliest_onset_ns is None
    trigger.push(Decision(0, 10 * S, 0.7, 0.7))
    assert trigger.earliest_onset_ns == -5 * S


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=200),
    st.sampled_from([CONFIG, SURE, EARLY, replace(SURE, longest_rise_s=40.0)]),
)
def test_events_are_ordered_disjoint_and_inside_the_stream(
    pairs: list[tuple[float, float]], config: TriggerConfig
) -> None:
    events = detect([p[0] for p in pairs], [p[1] for p in pairs], config)
    for event in events:
        assert -5 * S <= event.onset_ns < event.stop_ns <= 10 * len(pairs) * S
        assert THRESHOLD <= event.peak_probability <= 1
    for before, after in itertools.pairwise(events):
        assert before.stop_ns <= after.onset_ns + 5 * S


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=120),
    st.sampled_from([CONFIG, SURE, EARLY, replace(SURE, longest_rise_s=40.0)]),
)
def test_no_event_begins_before_the_earliest_onset_stated(
    pairs: list[tuple[float, float]], config: TriggerConfig
) -> None:
    trigger, promised = Trigger(config, THRESHOLD), -5 * S
    for i, (onset, likely) in enumerate(pairs):
        event = trigger.push(Decision(10 * i * S, 10 * (i + 1) * S, onset, likely))
        if event is not None:
            assert event.onset_ns >= promised
        waiting = trigger.earliest_onset_ns
        promised = min(x for x in (waiting, 10 * (i + 1) * S - 5 * S) if x is not None)


@pytest.mark.parametrize("missing", ["low", "high"])
def test_every_sensitivity_needs_a_threshold(missing: str) -> None:
    thresholds = {name: value for name, value in CONFIG.onset_thresholds.items() if name != missing}
    with pytest.raises(ValueError, match="onset_thresholds must name exactly low, normal, high"):
        replace(CONFIG, onset_thresholds=thresholds)
