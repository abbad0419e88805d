"""A synthetic Raspberry Shake on Earth: noise, local earthquakes, and the datagrams that it sends.

References
----------
Peterson, J. (1993), Observations and modeling of seismic background noise, USGS Open-File Report 93-322,
    doi:10.3133/ofr93322 (microseisms below 1 Hz, cultural noise above).
Brune, J. N. (1970), Tectonic stress and the spectra of seismic shear waves from earthquakes, Journal of Geophysical
    Research 75, 4997-5009, doi:10.1029/JB075i026p04997 (flat velocity up to a corner, higher for P than for S).
Aki, K. & Chouet, B. (1975), Origin of coda waves, Journal of Geophysical Research 80, 3322-3342,
    doi:10.1029/JB080i023p03322 (codas that outlast the direct waves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace, duration_ns

Float = npt.NDArray[np.float64]

STATION = "AM_R0E05_00"
CHANNELS = ("EHZ", "EHN", "EHE")
RATE_HZ = 100.0
DATAGRAM_SAMPLES = 25
START_NS = 1_893_456_000_292_000_000  # in the year 2030; Shakes begin at any millisecond
OFFSET_COUNTS, NOISE_COUNTS = 16_000.0, 300.0  # a Shake's zero, and the noise of a quiet house
QUAKE_EVERY_S = 150.0


@dataclass(frozen=True)
class ShakeSignal:
    """The samples of three channels, and the onsets of the quakes in them."""

    samples: npt.NDArray[np.int32]  # (n_channels, n_samples), counts
    onsets_ns: tuple[int, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / RATE_HZ

    def miniseed(self) -> bytes:
        """Return the signal as records of a file."""
        return encode(Trace(_source_id(i), START_NS, RATE_HZ, row) for i, row in enumerate(self.samples))

    def datagrams(self) -> Iterator[tuple[float, bytes]]:
        """Yield the datagrams in the order of sending, each with its time in seconds after the first.

        Their times are in milliseconds, as a Shake's are.
        """
        for first in range(0, self.samples.shape[1] - DATAGRAM_SAMPLES + 1, DATAGRAM_SAMPLES):
            seconds = (START_NS + duration_ns(first, RATE_HZ)) / 1e9
            for channel, row in zip(CHANNELS, self.samples, strict=True):
                values = ", ".join(map(str, row[first : first + DATAGRAM_SAMPLES].tolist()))
                yield first / RATE_HZ, f"{{'{channel}', {seconds:.3f}, {values}}}".encode()


def shake_signal(rng: np.random.Generator, duration_s: float) -> ShakeSignal:
    """Synthesise a quake about every `QUAKE_EVERY_S`, none in the first 60 s and the last 30 s."""
    n_samples = int(duration_s * RATE_HZ)
    motion = np.stack([_coloured(rng, n_samples, _noise_spectrum) for _ in CHANNELS])
    n_quakes = max(1, int((duration_s - 90.0) / QUAKE_EVERY_S))
    spacing_s = (duration_s - 90.0) / n_quakes
    starts_s = [60.0 + spacing_s * (i + float(rng.uniform(0.1, 0.6))) for i in range(n_quakes)]
    for start_s in starts_s:
        _add_quake(rng, motion, int(start_s * RATE_HZ))
    counts = np.rint(OFFSET_COUNTS + NOISE_COUNTS * motion)
    onsets_ns = tuple(START_NS + duration_ns(int(start_s * RATE_HZ), RATE_HZ) for start_s in starts_s)
    return ShakeSignal(np.clip(counts, -(2**23), 2**23 - 1).astype(np.int32), onsets_ns)


def impaired(
    rng: np.random.Generator, datagrams: Sequence[tuple[float, bytes]], loss: float, disorder: float, garbage: float
) -> list[tuple[float, bytes]]:
    """Return datagrams as a bad network delivers them.

    Parameters
    ----------
    loss : share of the datagrams that never arrive.
    disorder : share that arrives up to 0.4 s late, after others; the same share arrives twice.
    garbage : share of additional datagrams of another form: noise, truncated text, text with a changed byte.
    """
    out: list[tuple[float, bytes]] = []
    for at_s, data in datagrams:
        if rng.random() < garbage:
            out.append((at_s, _garbage(rng, data)))
        if rng.random() < loss:
            continue
        late_s = float(rng.uniform(0.0, 0.4)) if rng.random() < disorder else 0.0
        out.append((at_s + late_s, data))
        if rng.random() < disorder:
            out.append((at_s + late_s + 0.05, data))
    return sorted(out, key=lambda one: one[0])


def _garbage(rng: np.random.Generator, data: bytes) -> bytes:
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.bytes(int(rng.integers(0, 1400)))
    if kind == 1:
        return data[: int(rng.integers(1, len(data)))]
    if kind == 2:
        flipped = bytearray(data)
        flipped[int(rng.integers(len(data)))] = 0x7F
        return bytes(flipped)
    return data.replace(b",", b";") * int(rng.integers(1, 20))


def _source_id(channel: int) -> str:
    return f"FDSN:{STATION}_{'_'.join(CHANNELS[channel])}"


def _add_quake(rng: np.random.Generator, motion: Float, start: int) -> None:
    """Add a local quake to all channels: P, a larger S some seconds later, and their codas."""
    s_after_p_s, decay_s = float(rng.uniform(2.0, 12.0)), float(rng.uniform(3.0, 8.0))
    corner_hz, strength = float(rng.uniform(4.0, 10.0)), 10.0 ** float(rng.uniform(1.0, 1.8))
    for phase_s, gain, hz in ((0.0, 1.0, corner_hz), (s_after_p_s, 2.5, 0.7 * corner_hz)):
        first = start + int(phase_s * RATE_HZ)
        n_samples = max(0, min(int(6.0 * decay_s * RATE_HZ), motion.shape[1] - first))
        time_s = np.arange(n_samples) / RATE_HZ
        envelope = strength * gain * (1.0 - np.exp(-time_s / 0.05)) * np.exp(-time_s / decay_s)
        for row in motion:
            row[first : first + n_samples] += envelope * _coloured(
                rng, n_samples, partial(_quake_spectrum, corner_hz=hz)
            )


def _quake_spectrum(frequency_hz: Float, corner_hz: float) -> Float:
    return np.asarray(frequency_hz / (0.5 + frequency_hz) / (1.0 + (frequency_hz / corner_hz) ** 2), np.float64)


def _noise_spectrum(frequency_hz: Float) -> Float:
    return np.asarray((1.0 + (frequency_hz / 0.3) ** 2) ** -0.5 + 0.1, np.float64)


def _coloured(rng: np.random.Generator, n_samples: int, spectrum: Callable[[Float], Float]) -> Float:
    """Return Gaussian noise of unit variance with an amplitude spectrum."""
    n_padded = 1 << max(n_samples - 1, 1).bit_length()
    frequency_hz = np.fft.rfftfreq(n_padded, 1.0 / RATE_HZ)
    weights = spectrum(frequency_hz)
    weights[0] = 0.0
    weights *= np.sqrt(0.5 * n_padded / np.sum(weights**2))
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(n_padded)) * weights, n_padded)[:n_samples])
