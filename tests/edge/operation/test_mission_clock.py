"""Mission time and the passes that fall due, for streams written down by hand (in hours)."""

from __future__ import annotations

import numpy as np
import pytest

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.services import MissionClock, pass_times

HOUR_NS = 3600 * NS_PER_S


def update(clock: MissionClock, *spans: tuple[float, float], key: str = "0", over: bool = False) -> list[float]:
    """Process traces [start, stop) and return the passes that fall due; all in hours."""
    traces = tuple(
        Trace("FDSN:XX_LUN_00_M_H_Z", round(a * HOUR_NS), 1.0, np.zeros(round((b - a) * 3600), np.int32))
        for a, b in spans
    )
    clock.update(Batch(key, "XX_LUN", traces, over))
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
    assert update(clock, (241.1, 241.9), (300.0, 301.5)) == [301.0]


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
    assert update(clock, (90_000.0, 90_000.1), key="B 0") == [] and now(clock) == 90_000.1
    update(clock, key="B 0", over=True)  # the reorder buffer has found it wrong
    assert now(clock) == 10.5
    assert update(clock, (10.4, 10.6), key="B 1") == []
    assert update(clock, (10.5, 11.2), key="A 0") == [11.0]


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
