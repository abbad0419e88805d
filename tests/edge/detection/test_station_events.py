"""The channels of a station give one list of events: one good horizontal is enough, a bad channel adds no alarms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.synthetic import lunar_signals, synthetic_dataset

Counts = npt.NDArray[np.int32]
Spoil = Callable[[Counts, np.random.Generator], Counts]

RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ
ONSETS_H = (2.5, 7.0)
DURATION_H = 10.0
N = int(DURATION_H * 3600 * RATE_HZ)
NAMES = ("FDSN:XX_LUN_00_M_H_1", "FDSN:XX_LUN_00_M_H_2", "FDSN:XX_LUN_00_M_H_Z")


def quiet(seed: int) -> Counts:
    noise = lunar_signals.quiet_noise(np.random.default_rng(seed), N, RATE_HZ, 2.0)
    return np.clip(np.rint(512 + noise), 0, 1023).astype(np.int32)


def shaken(seed: int, ratio: float) -> Counts:
    """Return ten hours with two quakes, `ratio` times as strong as the noise at their largest."""
    rng = np.random.default_rng(seed)
    motion = lunar_signals.quiet_noise(rng, N, RATE_HZ, 2.0)
    for onset_h in ONSETS_H:
        wave = lunar_signals.quake_component(rng, lunar_signals.draw_shape(rng), RATE_HZ)
        first = int(onset_h * 3600 * RATE_HZ)
        part = wave[: N - first]
        motion[first : first + len(part)] += ratio * motion.std() * part / np.abs(wave).max()
    return np.clip(np.rint(512 + motion), 0, 1023).astype(np.int32)


def events(moon: tuple[Manifest, bytes, Variant], channels: dict[str, Counts]) -> list[Event]:
    manifest, graph, variant = moon
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    found: list[Event] = []
    step = 6 * 3600 * int(RATE_HZ)
    for first in range(0, N, step):
        for name, counts in channels.items():
            start_ns = synthetic_dataset.DAY_START_NS + round(first / RATE_HZ * 1e9)
            found += detector.push(Trace(name, start_ns, RATE_HZ, counts[first : first + step]))
    return [*found, *detector.finish()]


def split(found: list[Event]) -> tuple[int, int]:
    """Return (quakes found, events that are neither a quake nor its coda)."""
    hours = [(event.onset_ns - synthetic_dataset.DAY_START_NS) / 3.6e12 for event in found]
    n_found = sum(any(abs(hour - onset_h) < 300 / 3600 for hour in hours) for onset_h in ONSETS_H)
    return n_found, sum(not any(-300 / 3600 < hour - onset_h < 1.0 for onset_h in ONSETS_H) for hour in hours)


def glitching(counts: Counts, rng: np.random.Generator) -> Counts:
    """Return hundreds of spikes, steps, and loud bursts of half a minute every twenty minutes."""
    out = counts.copy()
    out[rng.integers(0, N, 2000)] = rng.integers(0, 1024, 2000)
    for start in np.arange(0, N - 300, int(1200 * RATE_HZ)):
        out[start : start + 200] = np.clip(512 + 120 * rng.standard_normal(200), 0, 1023)
    for at in rng.integers(0, N, 20):
        out[at:] = np.clip(out[at:] + rng.integers(-15, 15), 0, 1023)
    return out


def dead(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.full_like(counts, 512)


def dying(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.where((np.arange(N) // 40_000) % 2 == 1, 512, counts).astype(np.int32)


def test_a_quake_on_one_good_horizontal_is_found(moon: tuple[Manifest, bytes, Variant]) -> None:
    for seed in (1, 2, 3):
        good = shaken(seed, 25.0)
        assert split(events(moon, {NAMES[0]: good, NAMES[1]: quiet(20 + seed), NAMES[2]: quiet(40 + seed)}))[0] == 2
        assert split(events(moon, {NAMES[1]: good})) == (2, 0)  # missing channels are normal


@pytest.mark.parametrize("spoil", [glitching, dead, dying])
def test_a_bad_channel_neither_hides_quakes_nor_adds_alarms(
    moon: tuple[Manifest, bytes, Variant], spoil: Spoil
) -> None:
    n_quakes = n_alarms = 0
    for seed in (1, 2, 3):
        bad = spoil(quiet(60 + seed), np.random.default_rng(seed))
        channels = {NAMES[0]: shaken(seed, 15.0), NAMES[1]: shaken(80 + seed, 15.0), NAMES[2]: bad}
        n_found, n_false = split(events(moon, channels))
        n_quakes, n_alarms = n_quakes + n_found, n_alarms + n_false
    assert n_quakes == 6
    assert n_alarms <= 1  # in 30 hours
