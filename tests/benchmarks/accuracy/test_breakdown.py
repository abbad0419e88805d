"""Onset errors, figures by class and station, and confusions, on hand-drawn records."""

from __future__ import annotations

import dataclasses

import pytest

from edgequake.benchmarks.accuracy.breakdown import ScoredRecord, break_down, label_class
from edgequake.benchmarks.scoring.scoring import Detections, score_record
from edgequake.benchmarks.scoring.windows import call_windows
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.results.accuracy import BLANK, NO_EVENT, NOT_FOUND

from ..drawing import T0_NS, arrival, detections, record

HOUR = 3600.0


def scored(drawn: LabelledRecord, said: Detections) -> ScoredRecord:
    return ScoredRecord(drawn, said, score_record(drawn, T0_NS, said), call_windows(drawn, T0_NS, said, 900.0))


def typed(event_type: str, seconds: float, group: str = "g", primary: bool = True) -> Arrival:
    return dataclasses.replace(arrival(seconds, group=group, primary=primary), event_type=event_type)


def classified(*named: tuple[float, str]) -> Detections:
    found = detections(*(time_s for time_s, _ in named))
    return dataclasses.replace(found, mq_types=tuple(name for _, name in named))


@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("impact_natural", "impact_mq"),
        ("deep_A01", "deep_mq"),
        ("shallow", "shallow_mq"),
        ("impact_mq", "impact_mq"),
        ("unclassified", "unclassified"),
        ("deepest", "deepest"),
        ("marsquake BROADBAND,B", "marsquake BROADBAND"),
        ("marsquake ", "marsquake"),
        ("earthquake P (AIC pick)", "earthquake P (AIC pick)"),
    ],
)
def test_the_class_of_a_label(event_type: str, name: str) -> None:
    assert label_class(event_type) == name


def test_shares_within_by_hand() -> None:
    # Errors of 4, 16, -70 and 310 s, and one arrival without any onset; a secondary arrival is not counted.
    drawn = record(40 * HOUR, *(arrival(time_s) for time_s in (10_000, 30_000, 50_000, 70_000, 90_000)))
    drawn = dataclasses.replace(drawn, arrivals=(*drawn.arrivals, arrival(110_000, primary=False)))
    details = break_down([[scored(drawn, detections(10_004, 30_016, 49_930, 70_310, 110_001))]], 900.0)
    shares = {name: spread.mean for name, spread in details.onset_within.items()}
    assert shares == pytest.approx({"5": 0.2, "15": 0.2, "30": 0.4, "60": 0.4, "120": 0.6, "320": 0.8})


def test_within_counts_beyond_the_tolerance_and_each_onset_once() -> None:
    quake = record(1000, arrival(300, 0.0), arrival(400, 0.0), body="earth")
    details = break_down(
        [
            [
                scored(quake, detections(310, 390)),
            ],
            [scored(quake, detections(350))],
        ],
        30.0,
    )
    assert details.onset_within["15"].mean == pytest.approx((1.0 + 0.0) / 2)  # the tolerance is 5 s: none is recalled
    assert details.onset_within["60"].mean == pytest.approx((1.0 + 0.5) / 2)  # one onset serves one arrival
    assert details.by_class["drawn"].spreads["recall"].mean == 0.0


def test_classes_and_stations_by_hand() -> None:
    first = record(20 * HOUR, typed("impact_natural", 10_000, "a"), typed("deep_A1", 40_000, "b"))
    second = dataclasses.replace(record(4 * HOUR, typed("deep_A20", 5000, "b")), station_id="S15")
    passes = [
        [scored(first, detections(10_010, 25_000)), scored(second, detections(5030))],
        [scored(first, detections(10_030, 40_060)), scored(second, detections())],
    ]
    details = break_down(passes, 900.0)
    assert list(details.by_class) == ["deep_mq", "impact_mq"]
    deep, impact = details.by_class["deep_mq"], details.by_class["impact_mq"]
    assert (deep.n_arrivals, deep.n_groups, impact.n_arrivals) == (2, 1, 1)
    assert deep.spreads["recall"].mean == 0.5
    assert deep.spreads["onset_error_s"].mean == (30 + 60) / 2
    assert impact.spreads["recall"].mean == 1.0
    assert impact.spreads["mean_onset_error_s"].mean == (10 + 30) / 2
    assert "precision" not in impact.spreads and impact.false_per_quiet_day_upper is None
    s12, s15 = details.by_station["S12"], details.by_station["S15"]
    assert (s12.n_records, s12.n_arrivals, s15.n_arrivals) == (1, 2, 1)
    assert (s12.spreads["recall"].mean, s15.spreads["recall"].mean) == (0.75, 0.5)
    assert (s12.spreads["n_false"].mean, s15.spreads["n_false"].mean) == (0.5, 0.0)
    quiet_days = (72_000 - 2 * 3960) / 86_400
    assert s12.spreads["false_per_quiet_day"].mean == pytest.approx(0.5 / quiet_days)


def test_confusion_by_hand() -> None:
    drawn = record(
        60 * HOUR,
        typed("impact_natural", 10_000),
        typed("impact_artificial", 40_000),
        typed("deep_A1", 70_000),
        typed("deep_A1", 100_000),
        typed("unclassified", 130_000, primary=False),
    )
    # Out of time order on purpose; 1000 s is false, 41 000 s in a coda, 130 000 s of the secondary arrival.
    once = classified((100_000, ""), (10_000, "impact_mq"), (1000, "deep_mq"), (41_000, "deep_mq"), (40_010, "deep_mq"),
                (130_000, "impact_mq"))  # fmt: skip
    twice = classified((10_000, "impact_mq"), (200_000, ""))
    details = break_down([[scored(drawn, once)], [scored(drawn, twice)]], 900.0)
    assert details.confusion == {
        "deep_mq": {BLANK: 0.5, NOT_FOUND: 1.5},
        "impact_mq": {"deep_mq": 0.5, "impact_mq": 1.0, NOT_FOUND: 0.5},
        NO_EVENT: {BLANK: 0.5, "deep_mq": 0.5},
    }


def test_a_detector_without_classes_has_no_confusion() -> None:
    drawn = record(4 * HOUR, arrival(5000))
    assert break_down([[scored(drawn, detections(5000))]], 900.0).confusion is None
    assert break_down([[scored(drawn, classified((5000, "")))]], 900.0).confusion is None


def test_records_without_arrivals_have_false_alarms_only() -> None:
    details = break_down([[scored(record(HOUR), detections(100))]], 900.0)
    assert details.by_class == {}
    assert details.onset_within["60"].mean == 0.0
    assert details.by_station["S12"].spreads["n_false"].mean == 1.0
