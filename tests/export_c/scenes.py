"""Synthesised records of one station with everything that a detector meets: quakes, holes, fill values, spikes, ..."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest

T0_NS = -20_000_000 * NS_PER_S  # before 1970, as Apollo's records
CODES = "ZNE"


@dataclass(frozen=True)
class Scene:
    """How a record is made; times in units of the model's frames, so that all models see as much of it."""

    seed: int
    n_frames: int = 700
    rates: tuple[int, ...] = (1, 1, 1)  # of each channel, as multiples of the model's
    dtype: Any = np.int32
    piece_frames: float = 20.0  # mean length of a piece


def traces(scene: Scene, manifest: Manifest) -> list[Trace]:
    """Return the traces of a scene, in order of start time."""
    rng = np.random.default_rng(scene.seed)
    frame_s = manifest.front_end.hop_samples / manifest.sampling_rate_hz
    found = []
    onsets = rng.uniform(0.1, 0.9, 3) * scene.n_frames * frame_s
    for code, factor in zip(CODES, scene.rates, strict=False):
        rate_hz = factor * manifest.sampling_rate_hz
        samples = _samples(rng, round(scene.n_frames * frame_s * rate_hz), rate_hz, onsets, frame_s)
        found += _pieces(rng, scene, samples, rate_hz, f"FDSN:XX_ABC_00_M_H_{code}", manifest)
    return sorted(found, key=lambda trace: trace.start_ns)


def _samples(
    rng: np.random.Generator, n: int, rate_hz: float, onsets: npt.NDArray[np.float64], frame_s: float
) -> npt.NDArray[np.float64]:
    noise = rng.normal(0.0, 30.0, n) + np.cumsum(rng.normal(0.0, 1.0, n))
    time_s = np.arange(n) / rate_hz
    for onset in onsets:
        since = np.maximum(time_s - onset, 0.0)
        noise *= 1.0 + 40.0 * (since > 0) * (1 - np.exp(-since / frame_s)) * np.exp(-since / (30.0 * frame_s))
    spikes = rng.integers(0, n, n // 2000 + 1)
    noise[spikes] += rng.choice([-1.0, 1.0], len(spikes)) * 1e5
    stuck = int(rng.integers(0, n))
    noise[stuck : stuck + n // 20] = noise[stuck]
    return noise


def _pieces(
    rng: np.random.Generator,
    scene: Scene,
    values: npt.NDArray[np.float64],
    rate_hz: float,
    source_id: str,
    manifest: Manifest,
) -> list[Trace]:
    """Cut a channel into pieces, and damage some: holes short and long, repeats, overlaps, fill values, NaN, jitter."""
    frame_s = manifest.front_end.hop_samples / manifest.sampling_rate_hz
    samples = values.astype(scene.dtype)
    pieces, first = [], 0
    while first < len(samples):
        n = 1 + int(rng.exponential(scene.piece_frames * frame_s * rate_hz))
        piece = samples[first : first + n].copy()
        _damage(rng, piece, manifest)
        jitter_ns = int(rng.normal(0.0, 0.1) / rate_hz * NS_PER_S)
        start_ns = T0_NS + round(first * NS_PER_S / rate_hz) + (jitter_ns if first else 0)
        if len(piece):
            pieces.append(Trace(source_id, start_ns, rate_hz, piece))
        first += n + _hole(rng, n, rate_hz, manifest)
        if rng.random() < 0.1:
            pieces.append(pieces[-1])  # sent again
    return pieces


def _damage(rng: np.random.Generator, piece: npt.NDArray[Any], manifest: Manifest) -> None:
    if rng.random() < 0.3:
        at = int(rng.integers(0, len(piece)))
        stop = at + int(rng.integers(1, 1 + len(piece) // 8 + 1))
        if piece.dtype.kind == "f":
            piece[at:stop] = rng.choice([np.nan, np.inf, 1e200])
        elif manifest.front_end.fill_values:
            piece[at:stop] = rng.choice(manifest.front_end.fill_values)


def _hole(rng: np.random.Generator, n: int, rate_hz: float, manifest: Manifest) -> int:
    """Return how many samples are missing after a piece of n; negative: how many come again."""
    drawn = rng.random()
    if drawn < 0.6:
        return 0
    if drawn < 0.8:
        return int(rng.integers(1, 1 + round(manifest.front_end.bridge_s * rate_hz)))
    if drawn < 0.9:
        return int(rng.integers(1, 3) * manifest.front_end.bridge_s * rate_hz * 1.5)
    return -int(rng.integers(0, n))


def facts(events: list[Event]) -> list[tuple[int, int, bytes]]:
    """Return what must be equal of events: times to the nanosecond, the peak to the last bit."""
    return [(event.onset_ns, event.stop_ns, np.float32(event.peak_probability).tobytes()) for event in events]


def found_by_python(detector: Detector, records: list[Trace]) -> list[Event]:
    """Return the events of the runner's detector."""
    return [*detector.push(*records), *detector.finish()]
