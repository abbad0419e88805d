"""Days of a synthetic station beside a machine whose starts the `earth` model takes for quakes, with true quakes.

The machine thumps near 6 Hz and five seconds later, longer and louder, near 4 Hz: to a network that has never met it,
P and S of a quake near by. It is always the same two bands and the same five seconds, which quakes are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time
from edgequake.synthetic.lunar_signals import coloured, log_uniform
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.signals.earth import earthquake
from edgequake.train.signals.noise import Float, add_at, bump, in_band, rise_and_decay, robust_rms

RATE_HZ = 20.0
SOURCE_ID = "FDSN:XX_MACH_00_B_H_Z"
COUNTS = 100.0  # of the noise in the band of quakes
GAP_S, THUMPS = 5.0, ((6.0, 0.1, 2.0, 1.0), (4.0, 0.5, 5.0, 2.0))  # peak (Hz), rise and decay (s), amplitude
MACHINE_PER_HOUR, QUAKES_PER_HOUR = 10.0, 3.0
OVER_NOISE = (15.0, 150.0)  # largest amplitude of quakes and machine, over the noise
SPACING_S = 60.0  # between any two


@dataclass(frozen=True)
class MachineDay:
    """A record, and the true arrivals of its quakes."""

    file: Path
    start_ns: int
    stop_ns: int
    quakes_ns: tuple[int, ...]
    machine_ns: tuple[int, ...]


def write_machine_day(folder: Path, seed: int, hours: float, start_ns: int) -> MachineDay:
    """Write a record of one channel at 20 Hz; the same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    n = int(hours * 3600 * RATE_HZ)
    x = coloured(rng, n, RATE_HZ, _background)
    x = x / robust_rms(in_band(x[np.newaxis], (1.0, 9.0), RATE_HZ))[0]
    times_s = _times(rng, hours)
    is_quake = rng.random(len(times_s)) < QUAKES_PER_HOUR / (QUAKES_PER_HOUR + MACHINE_PER_HOUR)
    scales = load_recipe("earth").examples.scales
    for time_s, quake in zip(times_s, is_quake, strict=True):
        wave = earthquake(rng, scales, "V", RATE_HZ)[0] if quake else _start_of_machine(rng)
        add_at(x, int(time_s * RATE_HZ), wave / np.max(np.abs(wave)), log_uniform(rng, *OVER_NOISE))
    samples = np.rint(COUNTS * x).astype(np.int32)
    trace = Trace(SOURCE_ID, start_ns, RATE_HZ, samples, "")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"machine_{format_time(start_ns)[:10]}.mseed"
    file.write_bytes(encode([trace]))
    at_ns = [start_ns + int(time_s * RATE_HZ) * round(NS_PER_S / RATE_HZ) for time_s in times_s]
    quakes = tuple(t for t, quake in zip(at_ns, is_quake, strict=True) if quake)
    machine = tuple(t for t, quake in zip(at_ns, is_quake, strict=True) if not quake)
    return MachineDay(file, start_ns, trace.stop_ns, quakes, machine)


def _times(rng: np.random.Generator, hours: float) -> Float:
    """Draw when quakes come and the machine starts, seconds, far enough apart to be told from one another."""
    n = int(rng.poisson(hours * (MACHINE_PER_HOUR + QUAKES_PER_HOUR)))
    drawn = np.sort(rng.uniform(120.0, hours * 3600 - 120.0, n))
    kept: list[float] = []
    for time_s in drawn:
        if not kept or time_s - kept[-1] > SPACING_S:
            kept.append(float(time_s))
    return np.array(kept)


def _background(frequency_hz: Float) -> Float:
    """Return the amplitude spectrum of the station's noise: microseisms, and a floor above 1 Hz; each day the same."""
    return np.asarray(1.0 / (1.0 + (frequency_hz / 0.3) ** 2) + 0.1, np.float64)


def _start_of_machine(rng: np.random.Generator) -> Float:
    wave = np.zeros(int((GAP_S + 30.0) * RATE_HZ))
    for i, (peak_hz, rise_s, decay_s, gain) in enumerate(THUMPS):
        own_hz, n = peak_hz * float(np.exp(rng.normal(0.0, 0.04))), int(5 * decay_s * RATE_HZ)
        thump = coloured(rng, n, RATE_HZ, partial(bump, peak_hz=own_hz, width=0.25))
        start_s = i * GAP_S * float(np.exp(rng.normal(0.0, 0.05)))
        add_at(wave, int(start_s * RATE_HZ), thump * rise_and_decay(n, RATE_HZ, rise_s, decay_s), gain)
    return wave
