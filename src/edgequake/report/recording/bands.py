"""Waveforms as people look at them: in the band in which the quakes of a body are seen, on an axis that shows them.

References
----------
Nakamura, Y. et al. (1982), Apollo lunar seismic experiments - final summary, J. Geophys. Res. 87, A117-A123,
    doi:10.1029/JB087iS01p0A117: mid-period moonquakes are seen round the peak of the instrument at 0.45 Hz, those of
    the short-period channels above 1 Hz.
Clinton, J. F. et al. (2021), The Marsquake catalogue from InSight, Phys. Earth Planet. Inter. 310, 106595,
    doi:10.1016/j.pepi.2020.106595: low-frequency events below 1 Hz, high-frequency ones round the resonance at 2.4 Hz.
Havskov, J. & Ottemoller, L. (2010), Routine Data Processing in Earthquake Seismology, doi:10.1007/978-90-481-8697-6:
    local earthquakes between 1 and 15 Hz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.inputs.model_choice import BODIES, choose
from edgequake.report.recording.samples import Floats, Samples, even

Band = tuple[float, float]  # Hz

_BANDS_HZ: dict[str, Band] = {"moon": (0.3, 1.5), "mars": (0.3, 3.0), "earth": (1.0, 15.0)}
_SHORT_PERIOD_HZ, _SHORT_PERIOD_RATE_HZ = (1.0, 8.0), 40.0  # of Apollo's channels of 53 Hz
_MOST_OF_NYQUIST = 0.9
_BRIDGE_S = 1.0  # longer gaps stay empty
_BLOCK_SAMPLES = 1 << 20  # filtered at once: the memory does not grow with the record
_TAPER = 0.25  # of a corner frequency: a cosine from nothing to all
_RING_PERIODS = 12  # of the lower corner, after which nothing of the filter's answer is seen


def band_of(station_id: str, rate_hz: float, model: str = "") -> Band | None:
    """Return the band to draw a station in; None where its sampling rate leaves no room for one.

    model : name of the model that was run; of another than the shipped ones the body is that of network and rate.
    """
    body = model if model in BODIES else choose(station_id, rate_hz)[0]
    is_short_period = body == "moon" and rate_hz >= _SHORT_PERIOD_RATE_HZ
    low_hz, high_hz = _SHORT_PERIOD_HZ if is_short_period else _BANDS_HZ[body]
    high_hz = min(high_hz, _MOST_OF_NYQUIST * rate_hz / 2)
    return (low_hz, high_hz) if low_hz < high_hz / 2 else None


def band_text(band: Band | None) -> str:
    """Return a band as words."""
    return "unfiltered" if band is None else f"{band[0]:g} to {band[1]:.3g} Hz"


def band_passed(samples: Samples, rate_hz: float, band: Band | None) -> Samples:
    """Return samples filtered without a shift in time; gaps of more than a second stay empty."""
    grid = None if band is None else even(samples, rate_hz, _BRIDGE_S)
    if band is None or grid is None:
        return samples
    values = _filtered(grid.values - np.median(grid.values), rate_hz, band)
    there = np.flatnonzero(~grid.missing)
    times_ns = grid.start_ns + np.round(there * (NS_PER_S / rate_hz)).astype(np.int64)
    return Samples(times_ns, values[there])


def _filtered(values: Floats, rate_hz: float, band: Band) -> Floats:
    pad = round(_RING_PERIODS / band[0] * rate_hz)
    out = np.empty_like(values)
    for first in range(0, len(values), _BLOCK_SAMPLES):
        stop = min(len(values), first + _BLOCK_SAMPLES)
        begin = max(0, first - pad)
        part = values[begin : stop + pad]
        n = 1 << (len(part) + pad).bit_length()
        spectrum = np.fft.rfft(part, n) * _response(np.fft.rfftfreq(n, 1 / rate_hz), band)
        out[first:stop] = np.fft.irfft(spectrum, n)[first - begin : stop - begin]
    return out


def _response(frequencies_hz: Floats, band: Band) -> Floats:
    """Return 1 within the band, falling to 0 over a quarter of each corner frequency."""
    low_hz, high_hz = band
    rise = np.clip((frequencies_hz / low_hz - (1 - _TAPER)) / _TAPER, 0, 1)
    fall = np.clip(((1 + _TAPER) - frequencies_hz / high_hz) / _TAPER, 0, 1)
    response: Floats = np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2
    return response


def shown_limit(low: Floats, high: Floats, kept: npt.NDArray[np.bool_] | None = None) -> float:
    """Return the motion up to which an axis shows columns, from none; what is kept is shown, glitches are cut off.

    low, high : (n_columns,), the smallest and largest sample of each column about the median, NaN where there is none.
    kept : (n_columns,), columns in kept segments.
    """
    sizes = np.fmax(np.abs(low), np.abs(high))
    there = np.isfinite(sizes)
    if not there.any():
        return 1.0
    limit = 1.5 * float(np.percentile(sizes[there], 95))
    if kept is not None and (kept & there).any():
        limit = max(limit, 1.2 * float(np.percentile(sizes[kept & there], 98)))
    return limit or float(sizes[there].max()) or 1.0
