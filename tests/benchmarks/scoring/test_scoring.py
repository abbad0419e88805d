"""Hand-drawn records with hand-computed figures. Moon: T = 300 s, C = 3600 s; Mars 60 s, 1200 s; Earth 5 s, 60 s."""

from __future__ import annotations

import pytest

from edgequake.benchmarks.scoring.scoring import clip, duration, score_record, subtract, union
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, detections, record

HOUR = 3600.0


def onset_errors(score: object) -> list[float | None]:
    return [row.onset_error_s for row in score.arrivals]  # type: ignore[attr-defined]


def test_a_detection_near_an_arrival_recalls_it() -> None:
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(5100))
    assert onset_errors(score) == [100.0]
    assert (score.false_ns, score.extra_ns) == ((), ())


@pytest.mark.parametrize(
    ("onset_s", "error_s", "n_false", "n_extra"),
    [
        (5360.0, 360.0, 0, 0),  # just within T + p = 300 + 60
        (5360.001, None, 0, 1),  # just outside, but in the coda
        (4640.0, -360.0, 0, 0),
        (4639.999, None, 1, 0),  # before t - T - p: false
        (8600.0, None, 0, 1),  # the coda's last instant, t + 3600
        (8600.001, None, 1, 0),
    ],
)
def test_the_edges_of_tolerance_and_coda(onset_s: float, error_s: float | None, n_false: int, n_extra: int) -> None:
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(onset_s))
    assert onset_errors(score) == [pytest.approx(error_s) if error_s else None]
    assert (len(score.false_ns), len(score.extra_ns)) == (n_false, n_extra)


@pytest.mark.parametrize(("body", "reach_s", "coda_s"), [("moon", 300, 3600), ("mars", 60, 1200), ("earth", 5, 60)])
def test_every_body_has_its_tolerance_and_coda(body: str, reach_s: float, coda_s: float) -> None:
    drawn = record(4 * HOUR, arrival(5000, precision_s=2.0), body=body)
    inside = score_record(drawn, T0_NS, detections(5000 + reach_s + 2))
    outside = score_record(drawn, T0_NS, detections(5000 + reach_s + 2.5))
    after = score_record(drawn, T0_NS, detections(5000 + coda_s + 0.5))
    assert onset_errors(inside) == [reach_s + 2]
    assert (onset_errors(outside), len(outside.extra_ns)) == ([None], 1)
    assert len(after.false_ns) == 1


def test_an_arrival_takes_the_first_of_two_detections_and_the_other_is_extra() -> None:
    # The second is nearer in time; the rule says first.
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(5010, 4700))
    assert onset_errors(score) == [-300.0]
    assert score.extra_ns == (at(5010),)
    assert score.false_ns == ()


def test_a_coda_retrigger_is_extra_and_one_detection_recalls_one_arrival_only() -> None:
    score = score_record(record(4 * HOUR, arrival(5000), arrival(5200)), T0_NS, detections(5100))
    assert onset_errors(score) == [100.0, None]  # the earlier arrival goes first
    retriggered = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(5020, 6500, 8000))
    assert (len(retriggered.extra_ns), len(retriggered.false_ns)) == (2, 0)


def test_two_arrivals_are_matched_with_two_detections_in_time_order() -> None:
    score = score_record(record(4 * HOUR, arrival(5000), arrival(5200)), T0_NS, detections(5190, 5210))
    assert onset_errors(score) == [190.0, 10.0]


def test_of_two_arrivals_at_the_same_instant_the_primary_one_goes_first() -> None:
    drawn = record(4 * HOUR, arrival(5000, primary=False), arrival(5000))
    score = score_record(drawn, T0_NS, detections(5000))
    assert [(row.arrival.primary, row.onset_ns is not None) for row in score.arrivals] == [(False, False), (True, True)]


def test_a_detection_of_a_secondary_arrival_is_neither_recalled_nor_false_nor_extra() -> None:
    drawn = record(8 * HOUR, arrival(5000, primary=False), arrival(20000))
    score = score_record(drawn, T0_NS, detections(5030, 9000))
    assert onset_errors(score) == [30.0, None]
    assert score.false_ns == (at(9000),)  # 5000 + 3600 < 9000 < 20000 - 360
    assert score.extra_ns == ()


def test_a_secondary_arrival_takes_its_detection_before_a_later_primary_one() -> None:
    score = score_record(record(4 * HOUR, arrival(5000, primary=False), arrival(5300)), T0_NS, detections(5290))
    assert onset_errors(score) == [290.0, None]


def test_detections_at_the_same_instant_count_each() -> None:
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(1000, 1000, 5000, 5000))
    assert (len(score.false_ns), len(score.extra_ns)) == (2, 1)


def test_quiet_time_and_waste_by_hand() -> None:
    # 4 h = 14 400 s; span 4640..8600; quiet 4640 + 5800 = 10 440 s. Kept: 4000..5000 and 4500..6000 overlap (2000 s of
    # which 640 quiet), 10 000..10 100 (quiet), 14 300..15 000 of which 100 s lie in the record.
    kept = ((4000.0, 5000.0), (4500.0, 6000.0), (10000.0, 10100.0), (14300.0, 15000.0))
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(kept=kept))
    assert score.quiet_ns == pytest.approx(10_440 * NS_PER_S, abs=2)
    assert score.kept_ns == (2000 + 100 + 100) * NS_PER_S
    assert score.kept_quiet_ns == pytest.approx((640 + 100 + 100) * NS_PER_S, abs=2)
    assert score.scored_ns == 14_400 * NS_PER_S


def test_overlapping_spans_are_not_subtracted_twice() -> None:
    drawn = record(4 * HOUR, arrival(3000), arrival(5000, primary=False))
    score = score_record(drawn, T0_NS, detections())
    assert score.quiet_ns == pytest.approx((2640 + 14_400 - 8600) * NS_PER_S, abs=2)


@pytest.mark.parametrize(
    ("kept", "captured"),
    [
        ((4000.0, 4970.0), False),  # half-open: stops at t - 30 s without showing it
        ((4000.0, 4970.001), True),
        ((5360.0, 6000.0), True),  # starts at t + T + p
        ((5360.001, 6000.0), False),
        ((4980.0, 4980.0), False),  # empty
        ((1.0, 14000.0), True),
    ],
)
def test_the_edges_of_capture(kept: tuple[float, float], captured: bool) -> None:
    score = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(kept=(kept,)))
    assert [row.captured for row in score.arrivals] == [captured]


def test_an_arrival_can_be_recalled_and_not_captured_and_the_other_way_round() -> None:
    missed = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(5000, kept=((6000.0, 7000.0),)))
    sent = score_record(record(4 * HOUR, arrival(5000)), T0_NS, detections(2000, kept=((2000.0, 9000.0),)))
    assert [(row.onset_error_s, row.captured) for row in missed.arrivals] == [(0.0, False)]
    assert [(row.onset_error_s, row.captured) for row in sent.arrivals] == [(None, True)]


def test_scoring_from_a_later_start_ignores_earlier_times() -> None:
    score = score_record(record(4 * HOUR, arrival(5000)), at(3000), detections(5000, kept=((2000.0, 3100.0),)))
    assert score.start_moved
    assert score.scored_ns == 11_400 * NS_PER_S
    assert score.kept_ns == 100 * NS_PER_S
    assert score.quiet_ns == pytest.approx((1640 + 5800) * NS_PER_S, abs=2)
    assert score.length_ns == 14_400 * NS_PER_S


def test_an_arrival_before_the_start_of_the_record_still_counts() -> None:
    # t = -100 s, precision 60 s: a detection until second 260 recalls it, the coda reaches second 3500.
    score = score_record(record(2 * HOUR, arrival(-100)), T0_NS, detections(200, 3400, 3600))
    assert onset_errors(score) == [300.0]
    assert (score.extra_ns, score.false_ns) == ((at(3400),), (at(3600),))
    assert score.quiet_ns == pytest.approx(3700 * NS_PER_S, abs=2)
    assert not score.start_moved


def test_a_record_without_arrivals_is_all_quiet() -> None:
    score = score_record(record(HOUR), T0_NS, detections(10, kept=((0.0, 360.0),)))
    assert (score.quiet_ns, len(score.false_ns)) == (3600 * NS_PER_S, 1)
    assert score.kept_quiet_ns == 360 * NS_PER_S


def test_scoring_must_start_inside_the_record() -> None:
    with pytest.raises(DataError, match=r"drawn\.mseed: scoring must start inside the record"):
        score_record(record(HOUR), at(3600), detections())


def test_a_segment_that_stops_before_it_starts_is_refused() -> None:
    with pytest.raises(DataError, match="before it starts"):
        score_record(record(HOUR), T0_NS, detections(kept=((20.0, 10.0),)))


def test_interval_arithmetic() -> None:
    assert union([(5, 9), (1, 3), (3, 4), (8, 12), (20, 20)]) == [(1, 4), (5, 12)]
    assert clip([(0, 5), (7, 9), (10, 20)], (3, 10)) == [(3, 5), (7, 9)]
    assert subtract((0, 10), [(2, 4), (8, 12)]) == [(0, 2), (4, 8)]
    assert subtract((3, 10), [(0, 20)]) == []
    assert duration([(1, 4), (5, 12)]) == 10
