"""Earthquakes as templates for other bodies: a record of one, played slowly, is a quake of a larger, calmer world.

Earth's records are many and well labelled, the Moon's few. A network that has learned to tell slowed earthquakes from
noise begins its training on the Moon with conv filters and gates that are of use there (`fit.start_from`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, resample, sosfiltfilt

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.train.data.records import record_traces

Float = npt.NDArray[np.float64]

LEAD_S = 2.0  # of the Earth record, before the arrival: the labels are good to about that
MIN_CODA_S = 20.0  # of the Earth record
FADE_SHARE = 0.3  # short records stop inside the coda: its last part is faded out
MIN_RATIO_DECADES = 1.0  # a quake serves where its power stands this far above the record's own noise
CORNER_HZ = 1.0  # what lies below is microseism and surface waves, which slowed down would fall under every band


@dataclass(frozen=True)
class EarthQuake:
    """One channel of an earthquake, from `lead_s` before its arrival on, faded in and out.

    Attributes
    ----------
    samples : float32, shape (n_samples,).
    """

    samples: npt.NDArray[np.float32]
    sampling_rate_hz: float
    lead_s: float


def earth_quake_records(folder: Path) -> list[LabelledRecord]:
    """Return the Earth records to take quakes from: those of the `train` split.

    Raises
    ------
    DataError
        There are none.
    """
    try:
        return load(folder, "earth", "train")
    except DataError as problem:
        raise DataError(
            f"examples.earth_quake_share needs Earth records of split 'train' in the data folder ({problem}); "
            "add some, or set the share to 0"
        ) from problem


def read_earth_quakes(records: Sequence[LabelledRecord]) -> tuple[EarthQuake, ...]:
    """Read the quakes that stand clear of their record's own noise, one a record.

    Raises
    ------
    DataError
        A record cannot be read, or not one quake is clear.
    """
    found = [quake for record in records if record.arrivals and (quake := _clear_quake(record)) is not None]
    if not found:
        raise DataError(f"none of {len(records)} Earth records holds a clear quake; expected some for implanting")
    return tuple(found)


def draw_factor(rng: np.random.Generator, quake: EarthQuake, stretch: tuple[float, ...], reach_hz: float) -> float:
    """Draw how many times slower a quake is played, log-uniform over `stretch` = (lowest, highest).

    The highest is lowered where the slowed record would hold nothing up to `reach_hz`, though not below the lowest.
    """
    low, high = stretch
    high = max(low, min(high, quake.sampling_rate_hz / 2.0 / reach_hz))
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def stretched(quake: EarthQuake, factor: float, rate_hz: float) -> tuple[Float, float]:
    """Return the quake `factor` times slower, sampled at `rate_hz`, and the seconds from its start to its arrival.

    Every frequency f of the record comes out as f / factor. Resampling is by Fourier series: nothing above the new
    Nyquist frequency is left to fold.
    """
    n_samples = round(len(quake.samples) / quake.sampling_rate_hz * factor * rate_hz)
    return np.asarray(resample(quake.samples.astype(np.float64), n_samples), np.float64), quake.lead_s * factor


def _clear_quake(record: LabelledRecord) -> EarthQuake | None:
    arrival_ns = record.arrivals[0].time_ns
    for trace in record_traces(record):
        rate_hz = trace.sampling_rate_hz
        arrival = round((arrival_ns - trace.start_ns) / NS_PER_S * rate_hz)
        n_lead = round(LEAD_S * rate_hz)
        if 2 * n_lead <= arrival <= len(trace.samples) - round(MIN_CODA_S * rate_hz):
            motion = _without_microseism(trace)
            noise, quake = motion[: arrival - n_lead], motion[arrival - n_lead :]
            if 2 * np.log10(np.std(quake[n_lead:]) / (np.std(noise) + 1e-30)) >= MIN_RATIO_DECADES:
                return EarthQuake(_faded(quake, n_lead), rate_hz, n_lead / rate_hz)
    return None


def _without_microseism(trace: Trace) -> Float:
    """High-pass forward and backward: a filter that rings would blur the arrival."""
    sections = butter(2, CORNER_HZ, "highpass", fs=trace.sampling_rate_hz, output="sos")
    return np.asarray(sosfiltfilt(sections, trace.samples - np.median(trace.samples)), np.float64)


def _faded(quake: Float, n_lead: int) -> npt.NDArray[np.float32]:
    fade = np.ones(len(quake))
    fade[:n_lead] = np.linspace(0.0, 1.0, n_lead)
    n_out = int(FADE_SHARE * len(quake))
    fade[len(quake) - n_out :] = np.linspace(1.0, 0.0, n_out)
    return (quake * fade).astype(np.float32)
