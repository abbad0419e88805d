"""A live run to which nothing usable comes: it says so within ten seconds, of data or of time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs import hearing as module
from edgequake.edge.inputs.hearing import Hearing
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.manifest.manifest import Manifest, load_manifest

NONE = "data come, but none that this run can use: "


@lru_cache
def manifest_of(name: str) -> Manifest:
    return load_manifest(name)[0]


class Clock:
    """The machine's time, advanced by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock.monotonic)
    return clock


def live(model: str | None = None) -> tuple[ChannelRouter, Hearing, list[str]]:
    """Return a router with a named model, or with a choice, its hearing, and the log."""
    said: list[str] = []
    choice = ModelChoice(None if model is None else manifest_of(model), manifest_of=manifest_of)
    router = ChannelRouter(choice, Diagnostics(), log=said.append)
    return router, router.hearing, said


def push(router: ChannelRouter, source_id: str, rate_hz: float, start_s: float, samples: np.ndarray) -> None:
    list(router.push(Trace(f"FDSN:{source_id}", round(start_s * NS_PER_S), rate_hz, samples)))


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-50, 50, n).astype(np.int32)


def test_ten_seconds_of_data_are_enough(clock: Clock) -> None:
    router, hearing, said = live("moon")
    for i in range(20):
        push(router, "AM_R0E05_00_E_H_Z", 100.0, i, noise(100))
        hearing.check()
        assert len(said) == (i >= 9) and (hearing.deaf is None) == (i < 9)
    assert said == [f"{NONE}FDSN:AM_R0E05_00_E_H_Z at 100 Hz (--model earth takes it)"]
    assert hearing.deaf == hearing.unused == "FDSN:AM_R0E05_00_E_H_Z at 100 Hz (--model earth takes it)"


def test_ten_seconds_of_time_are_enough(clock: Clock) -> None:
    router, hearing, said = live("earth")
    push(router, "XX_LUN_00_M_H_Z", 6.625, 0, noise(600))  # ninety seconds in one record
    hearing.check()
    assert said == [] and hearing.deaf is None and hearing.unused is not None
    clock.now_s += 10.0
    hearing.check()
    hearing.check()
    assert said == [f"{NONE}FDSN:XX_LUN_00_M_H_Z at 6.625 Hz (--model moon takes it)"]


def test_other_channels_beside_usable_ones_are_no_deafness(clock: Clock) -> None:
    router, hearing, said = live()
    push(router, "GE_WLF__L_H_Z", 1.0, 0, noise(400))
    push(router, "GE_WLF__B_H_Z", 20.0, 0, noise(400))
    push(router, "GE_STR__L_H_Z", 1.0, 0, noise(400))
    push(router, "GE_STR__L_H_Z", 1.0, 400, noise(400))
    clock.now_s += 100.0
    hearing.check()
    assert hearing.deaf is None and said == []


@pytest.mark.parametrize("model", [None, "moon"])
def test_lost_samples_are_not_heard(model: str | None, clock: Clock) -> None:
    router, hearing, said = live(model)
    for i in range(3):
        push(router, "XX_LUN_00_M_H_Z", 6.625, 20 * i, np.full(132, -1, np.int32))
        push(router, "XX_LUN_00_M_H_1", 6.625, 20 * i, np.full(132, np.nan, np.float32))
    hearing.check()
    lost = "with nothing but lost samples (NaN or fill values)"
    assert said == [f"{NONE}FDSN:XX_LUN_00_M_H_Z {lost}, FDSN:XX_LUN_00_M_H_1 {lost}"]
    push(router, "XX_LUN_00_M_H_Z", 6.625, 60, noise(132))
    hearing.check()
    assert hearing.deaf is None and hearing.unused is None and said[1:] == ["usable data come now, from XX_LUN"]
    push(router, "XX_LUN_00_M_H_Z", 6.625, 80, np.full(1000, -1, np.int32))  # a gap is no deafness
    clock.now_s += 100.0
    assert hearing.deaf is None


def test_one_station_of_two(clock: Clock) -> None:
    router, hearing, said = live()
    for i in range(4):
        push(router, "AM_R1_00_E_H_Z", 100.0, 5 * i, noise(500))
        push(router, "AM_R2_00_E_H_Z", 5.0, 5 * i, noise(25))
    hearing.check()
    hearing.check()
    assert said == [f"AM_R2: {NONE}FDSN:AM_R2_00_E_H_Z at 5 Hz (no shipped model takes this rate)"]
    assert hearing.deaf == "AM_R2: FDSN:AM_R2_00_E_H_Z at 5 Hz (no shipped model takes this rate)"


def test_bytes_without_a_record(clock: Clock) -> None:
    _, hearing, said = live()
    hearing.bytes_came(0)
    clock.now_s += 60.0
    hearing.check()
    assert said == []  # silence is no deafness: that is what --stall-after watches
    hearing.bytes_came(700)
    clock.now_s += 10.0
    hearing.check()
    assert said == [f"{NONE}700 bytes without a readable record"]


def test_many_strangers_take_bounded_memory_and_do_not_hide_a_station(clock: Clock) -> None:
    (router, hearing, said), samples = live(), noise(20)
    for i in range(300):
        for channel in range(30):
            push(router, f"XX_S{i}_{channel:02}_L_H_Z", 1.0, 0, samples)
    hearing.check()
    assert len(said) == 1 and len(said[0]) < 2000 and "more station(s)" in said[0]
    push(router, "AM_R1_00_E_H_Z", 100.0, 0, noise(500))
    assert hearing.deaf is None and len(hearing._unheard) <= 64
