"""What is known of an arrival beside its time: signal-to-noise ratio, S - P and magnitude, and the ranges of these."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from edgequake.benchmarks.detectors.sta_lta import prepare
from edgequake.benchmarks.scoring.strata import label_magnitude, label_snr
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

RANGES = {
    "snr": (0.0, 2.0, 4.0, 8.0, 20.0, float("inf")),
    "S-P, s": (0.0, 1.0, 2.0, 4.0, 8.0, float("inf")),
    "magnitude": (-2.0, 1.0, 1.5, 2.0, 3.0, 10.0),
}
SNR_BAND_HZ = (1.0, 9.9)
SIGNAL_S = (0.0, 3.0)  # after P
NOISE_S = (-11.0, -1.0)
_S_MINUS_P = re.compile(r"S picked ([0-9.]+) s after P")


def facts(record: LabelledRecord, arrival: Arrival) -> dict[str, float]:
    """Return the quantities of `RANGES` that are known of an arrival.

    The ratio is the label's own where it states one; else it is that of the RMS of the 3 s from P on to that of 10 s
    before, in 1-9.9 Hz (or to just below Nyquist), of the channel where it is largest.
    """
    known: dict[str, float | None] = {
        "snr": label_snr(arrival) or sample_snr(record, arrival),
        "S-P, s": float(found[1]) if (found := _S_MINUS_P.search(record.note)) else None,
        "magnitude": label_magnitude(arrival),
    }
    return {name: value for name, value in known.items() if value is not None}


def range_of(quantity: str, value: float) -> str:
    """Return the name of the range that a value lies in, for example "2-4"."""
    edges = RANGES[quantity]
    i = min(max(int(np.searchsorted(edges, value, side="right")) - 1, 0), len(edges) - 2)
    return range_names(quantity)[i]


def range_names(quantity: str) -> list[str]:
    """Return the names of a quantity's ranges."""
    edges = RANGES[quantity]
    names = [f"{low:g}-{high:g}" for low, high in pairwise(edges)]
    return [f"< {edges[1]:g}", *names[1:-1], f">= {edges[-2]:g}"]


def sample_snr(record: LabelledRecord, arrival: Arrival) -> float | None:
    """Return the signal-to-noise ratio around an arrival; None where there are too few samples."""
    high_hz = min(SNR_BAND_HZ[1], 0.49 * record.sampling_rate_hz)
    samples = prepare(record, record.start_ns, (SNR_BAND_HZ[0], high_hz), despiked=False).samples
    at = (arrival.time_ns - samples.start_ns) / NS_PER_S

    def rms(window_s: tuple[float, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        first, stop = (max(0, round((at + edge) * samples.sampling_rate_hz)) for edge in window_s)
        part = samples.channels[:, first:stop]
        return np.sqrt(np.nanmean(np.square(part), axis=1)) if part.shape[1] > 10 else np.zeros(len(samples.channels))

    signal, noise = rms(SIGNAL_S), rms(NOISE_S)
    ratios = [float(s / n) for s, n in zip(signal, noise, strict=True) if n > 0]
    return max(ratios, default=None)
