"""The measure on continuous hours, on records drawn by hand and counted by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgequake.benchmarks.scoring.continuous import MeasuredStratum, measure
from edgequake.benchmarks.scoring.hours_rule import Limits, choose_by_hours
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.benchmarks.scoring.strata import (
    EARTH,
    KEPT,
    LARGE,
    MICRO,
    MICRO_HEARD,
    NATURAL,
    SOFT,
    URBAN,
    Stratum,
    StratumCounts,
    covers,
    label_magnitude,
    label_snr,
)
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import arrival, detections, record

DAY_NS = 86_400 * NS_PER_S
DFDP = "manual P, EQcorrscan S-file, ML 0.6, 4.0 km; snr 1.2 (1-9.9 Hz), 4.5 (8-40 Hz)"


def labelled(seconds: float, source: str, primary: bool = True) -> Arrival:
    return dataclasses.replace(arrival(seconds, 1.0, primary), label_source=source)


def stratum(name: str) -> Stratum:
    return next(one for one in EARTH if one.name == name)


def hours(n_natural: int, n_disturbed: int) -> Mapping[str, StratumCounts]:
    """Return the counts of a natural day, and of a disturbed one of which half is urban."""
    return {
        NATURAL: StratumCounts(1, DAY_NS, 0, n_natural),
        URBAN: StratumCounts(1, DAY_NS // 2, 0, n_disturbed),
        SOFT: StratumCounts(1, DAY_NS // 2, 0, 0),
    }


@pytest.mark.parametrize(
    ("source", "snr", "magnitude"),
    [
        (DFDP, 4.5, 0.6),
        ("predicted P (origin + 34 km / 6 km/s), PhaseNet+GaMMA catalogue of EPS207, M 1.3, snr 2.6", 2.6, 1.3),
        ("P in SAC header, M 4.9, 234 km", None, 4.9),
        ("own pick by eye, grade A; no catalogue at hand", None, None),
    ],
)
def test_a_label_states_its_ratio_and_magnitude(source: str, snr: float | None, magnitude: float | None) -> None:
    assert (label_snr(labelled(0, source)), label_magnitude(labelled(0, source))) == (snr, magnitude)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("cont_CI.CCA_BHN_2022.002.mseed", [NATURAL, "quakes of the natural hours"]),
        ("noise_AM.RAC84_08_2023.124.mseed", [URBAN]),
        ("noise_UT.STN11.A2_C50_2017.124.mseed", [SOFT]),
        ("BG_ACR_2012120413330715.mseed", ["local quakes, analysts' picks"]),
        ("local_DFDP_2013-09-01T041115_NZ.GCSZ.mseed", [MICRO, MICRO_HEARD]),
        ("local_SC_2023.142_BAJ.mseed", ["other local quakes"]),
        ("long_GR.BFO_2011.070.mseed", ["emergent P"]),
        ("cont_PB.B916_EH_2019.188.mseed", ["swarm, snr >= 4"]),
        ("II.PFO.00.BHZ_2000-01-02T17_57_05.898_2000-01-02T17_59_46.898.mseed", [LARGE]),
        ("local_2014p611252_NZ.DCZ.mseed", ["other local quakes"]),
    ],
)
def test_the_name_of_a_file_tells_its_strata(file: str, expected: list[str]) -> None:
    assert [one.name for one in EARTH if one.holds(record(60, body="earth", name=file))] == expected


def test_an_event_counts_unless_it_matches_any_row_primary_or_not() -> None:
    hour = record(3600, arrival(1000, 1.0), arrival(2000, 1.0, primary=False), body="earth", name="cont_CI.X.mseed")
    strata = [MeasuredStratum(one, "val", True, (hour,)) for one in EARTH if one.holds(hour)]

    def detector(_: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        found = detections(1001, 1500, 2001, 3000, kept=((990, 1080), (2990, 3080)))
        return {0.5: found, 0.9: detections(1001, kept=((990, 1080),))}

    measured = measure(detector, strata, [0, 1])
    natural = measured.outcomes[0.5][NATURAL]
    assert [counts.n_uncatalogued for counts in natural.passes] == [2, 2]  # at 1500 and 3000 s
    assert natural.total.kept_ns == 2 * 180 * NS_PER_S
    scored_days = natural.total.scored_ns / DAY_NS
    assert natural.total.events_per_day == pytest.approx(4 / scored_days)
    assert measured.outcomes[0.9][NATURAL].total.n_uncatalogued == 0
    quakes = measured.outcomes[0.5]["quakes of the natural hours"].total
    assert (quakes.n_arrivals, quakes.n_found) == (2, 2)  # the primary one, in two passes


def test_arrivals_that_can_be_heard_count_in_a_stratum_of_their_own() -> None:
    quiet = labelled(40, DFDP.replace("4.5", "1.9"), primary=False)
    heard = labelled(60, DFDP, primary=False)
    micro = record(90, quiet, heard, labelled(80, DFDP), body="earth", name="local_DFDP_x.mseed")
    chosen = {name: [a for a in micro.arrivals if stratum(name).counts(a)] for name in (MICRO, MICRO_HEARD)}
    assert {name: len(found) for name, found in chosen.items()} == {MICRO: 1, MICRO_HEARD: 2}
    assert quiet not in chosen[MICRO_HEARD]


def test_an_arrival_is_kept_if_what_is_kept_holds_its_p() -> None:
    p = labelled(100, "M 1.3, snr 4.6", primary=False)
    swarm = stratum("swarm, snr >= 4")
    assert swarm.kind == KEPT and swarm.counts(p)
    assert not covers(detections(kept=((80, 100),)), p, "earth")  # stops before it
    assert covers(detections(kept=((80, 101),)), p, "earth")
    assert covers(detections(kept=((106, 120),)), p, "earth")  # T + p = 6 s
    assert not covers(detections(kept=((107, 120),)), p, "earth")


def test_a_record_that_a_detector_refuses_is_reported_and_left_out() -> None:
    slow = record(3600, body="earth", name="cont_CI.X.mseed")
    strata = [MeasuredStratum(stratum(NATURAL), "val", True, (slow,))]

    def detector(_: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        raise DataError("20 Hz is too low")

    measured = measure(detector, strata, range(3))
    assert measured.unread == {NATURAL: ("20 Hz is too low",)}
    assert not measured.outcomes


def test_a_threshold_holds_both_limits_there_and_above() -> None:
    counts = {0.9: hours(0, 0), 0.8: hours(1, 10), 0.7: hours(2, 12), 0.6: hours(9, 0), 0.5: hours(2, 0)}
    limits = {"low": Limits(0.5, 12), "normal": Limits(2, 48), "strict": Limits(2, 10)}
    assert choose_by_hours(counts, limits) == {"low": 0.9, "normal": 0.7, "strict": 0.8}


def test_hours_that_are_missing_set_no_limit_but_natural_ones_must_be_there() -> None:
    counts = {0.9: {NATURAL: hours(0, 0)[NATURAL]}, 0.8: {NATURAL: hours(3, 0)[NATURAL]}}
    assert choose_by_hours(counts, {"normal": Limits(2, 0)}) == {"normal": 0.9}
    with pytest.raises(ConfigError, match="no natural hours"):
        choose_by_hours({0.9: {SOFT: hours(0, 0)[SOFT]}})
    with pytest.raises(ConfigError, match=r"even at onset threshold 0\.9 the model finds more than 2 events a day"):
        choose_by_hours({0.9: hours(5, 0)}, {"normal": Limits(2, 48)})


def test_files_are_drawn_by_name_alone() -> None:
    other = dataclasses.replace(record(60, body="earth"), file=Path("own_record.mseed"))
    assert not [one for one in EARTH if one.holds(other)]
