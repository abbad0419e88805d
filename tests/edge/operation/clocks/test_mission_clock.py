"""Mission time and the passes that fall due, for streams written down by hand (in hours)."""

from __future__ import annotations

import numpy as np
import pytest

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.mission_clock import MissionClock, pass_times

HOUR_NS = 3600 * NS_PER_S


def update(clock: MissionClock, *spans: tuple[float, float], key: str = "0", over: bool = False) -> list[float]:
    """Process traces [start, stop) and return the passes that fall due; all in hours."""
    traces = tuple(
        Trace("FDSN:XX_LUN_00_M_H_Z", round(a * HOUR_NS), 1.0, np.zeros(round((b - a) * 3600), np.int32))
        for a, b in spans
    )
    clock.update(Batch(key, f"XX_{key.split()[0]}", traces, over))
    return [due / HOUR_NS for due in clock.take_due()]


def now(clock: MissionClock) -> float:
    assert clock.now_ns is not None
    return clock.now_ns / HOUR_NS


@pytest.mark.parametrize("replayed", [True, False])
def test_passes_fall_due_at_full_hours(replayed: bool) -> None:
    clock = MissionClock(3600.0, replayed)
    assert clock.now_ns is None
    assert update(clock, (100.2, 100.7)) == []
    assert update(clock, (100.7, 101.0)) == [101.0]
    assert update(clock, (101.0, 101.1)) == []
    assert update(clock, (101.1, 104.5)) == [102.0, 103.0, 104.0]  # one trace: no gap
    assert update(clock, (104.5, 104.9), (104.9, 105.2), (105.2, 106.1)) == [105.0, 106.0]
    assert now(clock) == 106.1


@pytest.mark.parametrize("replayed", [True, False])
def test_no_pass_falls_due_in_a_long_gap(replayed: bool) -> None:
    clock = MissionClock(3600.0, replayed)
    update(clock, (0.5, 0.9))
    assert update(clock, (1.4, 1.5)) == [1.0]  # a gap of less than an hour: late, but due
    assert update(clock, (240.3, 240.4)) == []
    assert update(clock, (240.4, 241.1)) == [241.0]
    assert update(clock, (241.1, 241.9), (300.0, 301.5)) == []  # one trace: nothing says that it is not misdated
    assert update(clock, (301.5, 301.6)) == [301.0]


def test_in_a_replay_time_never_goes_back() -> None:
    clock = MissionClock(3600.0, replayed=True)
    assert update(clock, (0.5, 9.5), over=True) == [float(hour) for hour in range(1, 10)]
    assert update(clock, (0.5, 9.6), key="1") == []
    assert now(clock) == 9.6
    assert update(clock, (9.6, 10.2), key="1") == [10.0]


def test_a_station_that_was_ahead_by_mistake_does_not_stop_the_passes() -> None:
    clock = MissionClock(3600.0, replayed=False)
    update(clock, (10.0, 10.5), key="A 0")
    update(clock, (10.1, 10.4), key="B 0")
    assert update(clock, (90_000.0, 90_000.1), key="B 0") == [] and now(clock) == 10.4
    update(clock, key="B 0", over=True)  # the reorder buffer has found it wrong
    assert update(clock, (10.4, 10.6), key="B 1") == []
    assert update(clock, (10.5, 11.2), key="A 0") == [11.0] and now(clock) == 11.2


def live(wall_h: float = 0.0) -> tuple[MissionClock, list[float]]:
    """Return a live clock, and the machine's monotonic time, which a test sets; `wall_h` is the machine's clock."""
    monotonic_s = [0.0]
    return MissionClock(3600.0, False, lambda: round(wall_h * HOUR_NS), lambda: monotonic_s[0]), monotonic_s


def minutes(clock: MissionClock, key: str, start_h: float, n: int) -> list[float]:
    """Process `n` traces of a minute each, from `start_h` on; return the passes that fall due."""
    return [due for i in range(n) for due in update(clock, (start_h + i / 60, start_h + (i + 1) / 60), key=key)]


@pytest.mark.parametrize("bad_first", [True, False])
@pytest.mark.parametrize("n_bad", [1, 2, 5])
def test_a_few_records_of_another_time_change_nothing(n_bad: int, bad_first: bool) -> None:
    """Five minutes of a stream are two and more: here its first trace, and up to four minutes."""
    clock, _ = live()
    if bad_first:
        assert minutes(clock, "BAD 0", 2e6, n_bad) == []
    assert minutes(clock, "A 0", 10.0, 50) == []
    if not bad_first:
        assert minutes(clock, "BAD 0", 2e6, n_bad) == []
    assert now(clock) == pytest.approx(10 + 50 / 60)
    assert minutes(clock, "A 0", 10 + 50 / 60, 90) == [11.0, 12.0]


@pytest.mark.parametrize("wall_h", [10.7, 11.9, 33.0])
@pytest.mark.parametrize("order", ["ABC", "BCA"])
def test_the_machines_clock_decides_even_against_more_stations(order: str, wall_h: float) -> None:
    clock, _ = live(wall_h)
    starts_h = {"A": 10.0, "B": 2e6, "C": 2e6}
    due = [one for i in range(100) for key in order for one in minutes(clock, f"{key} 0", starts_h[key] + i / 60, 1)]
    assert [one for one in due if one < 1e6] == [11.0] and len(due) <= 2
    assert now(clock) == pytest.approx(10 + 100 / 60)


def test_without_a_clock_that_fits_the_most_stations_decide() -> None:
    """A lander that replays 1971: one wrong station is outvoted, also if it was the first; a draw changes nothing."""
    clock, _ = live(500_000.0)
    assert minutes(clock, "BAD 0", 2e6 + 0.2, 30) == [] and now(clock) > 2e6
    assert minutes(clock, "A 0", 11_000.2, 30) == [] and now(clock) > 2e6
    assert minutes(clock, "B 0", 11_000.2, 30) == [] and now(clock) == pytest.approx(11_000.7)
    assert minutes(clock, "BAD 0", 2e6 + 0.7, 60) == []
    assert minutes(clock, "A 0", 11_000.7, 60) == [11_001.0]
    clock, _ = live(500_000.0)
    minutes(clock, "A 0", 11_000.2, 30)
    assert minutes(clock, "BAD 0", 2e6 + 0.2, 60) == []
    assert minutes(clock, "A 0", 11_000.7, 60) == [11_001.0]


@pytest.mark.parametrize("is_resumed", [False, True])
def test_two_forged_stations_do_not_outvote_one_of_long_standing_within_half_a_day(is_resumed: bool) -> None:
    """In real time, on a machine whose clock was never set, with records of ten minutes."""
    clock, monotonic_s = live(0.0)

    def hours(first: int, stop: int, forged: bool) -> None:
        for i in range(6 * first, 6 * stop):
            monotonic_s[0] += 600.0
            update(clock, (11_000 + i / 6, 11_000 + (i + 1) / 6), key="A 0")
            for key in ("B 0", "C 0") if forged else ():
                update(clock, (2e6 + i / 6, 2e6 + (i + 1) / 6), key=key)

    hours(0, 30, forged=False)
    hours(30, 35, forged=True)
    if is_resumed:
        state, monotonic_s[0] = clock.state(), 5.0  # the machine has booted
        clock, _ = MissionClock(3600.0, False, lambda: 0, lambda: monotonic_s[0]), None
        clock.restore(state)
    hours(35, 41, forged=True)
    assert now(clock) == pytest.approx(11_041)
    hours(41, 44, forged=True)  # who can keep that up is kept out by --station
    assert now(clock) > 2e6


def test_a_stream_that_has_fallen_silent_is_forgotten() -> None:
    clock, monotonic_s = live()
    minutes(clock, "BAD 0", 2e6, 30)
    minutes(clock, "A 0", 10.2, 30)
    assert now(clock) > 2e6  # one against one: what was believed first
    due = []
    for i in range(180):
        monotonic_s[0] += 60.0
        due += minutes(clock, "A 0", 10.7 + i / 60, 1)
    assert due == [12.0, 13.0] and now(clock) == pytest.approx(13.7)
    assert list(clock.state()["streams"]) == ["A 0"]


def test_a_flood_does_not_make_the_others_silent() -> None:
    """Ten hours of forged data within each minute of a station whose records last a minute."""
    clock, monotonic_s = live(11.0)
    minutes(clock, "A 0", 10.2, 10)
    due, forged_h = [], 2e6
    for i in range(120):
        for _ in range(10):
            monotonic_s[0] += 6.0
            minutes(clock, "BAD 0", forged_h, 60)
            forged_h += 1.0
        due += minutes(clock, "A 0", 10.2 + (10 + i) / 60, 1)
    assert due == [11.0, 12.0] and "A 0" in clock.state()["streams"]


@pytest.mark.parametrize("replayed", [True, False])
def test_a_gap_of_days_is_confirmed_by_what_follows_and_a_lone_record_is_not(replayed: bool) -> None:
    clock = MissionClock(3600.0, replayed)
    minutes(clock, "A 0", 10.0, 30)
    minutes(clock, "A 0", 2e6, 1)
    assert minutes(clock, "A 0", 10.5, 40) == [11.0]
    assert minutes(clock, "A 0", 250.9, 30) == [251.0] and now(clock) == pytest.approx(251.4)


def test_the_state_of_an_earlier_edgequake() -> None:
    clock = MissionClock(3600.0, replayed=False)
    clock.restore({"now_ns": round(10.5 * HOUR_NS), "newest_ns": {"A 0": round(10.5 * HOUR_NS)}})
    assert now(clock) == 10.5
    assert [*update(clock, (10.5, 10.9), key="A 0"), *update(clock, (10.9, 11.2), key="A 0")] == [11.0]


def test_the_clock_of_a_single_station_is_set_back() -> None:
    clock = MissionClock(3600.0, replayed=False)
    update(clock, (90_000.0, 90_000.1), key="A 0")
    assert update(clock, key="A 0", over=True) == [] and now(clock) == 90_000.1
    assert update(clock, (10.0, 10.5), key="A 1") == [] and now(clock) == 10.5
    assert update(clock, (10.5, 11.5), key="A 1") == [11.0]


def test_it_continues_from_its_state() -> None:
    clock = MissionClock(3600.0, replayed=False)
    update(clock, (10.0, 10.5), key="A 0")
    other = MissionClock(3600.0, replayed=False)
    other.restore(clock.state())
    assert update(other, (10.5, 11.2), key="A 0") == [11.0]


def test_pass_times() -> None:
    assert pass_times(0, 3 * HOUR_NS, 3600.0) == [HOUR_NS, 2 * HOUR_NS, 3 * HOUR_NS]
    assert pass_times(HOUR_NS, HOUR_NS, 3600.0) == [] == pass_times(5, HOUR_NS - 1, 3600.0)
