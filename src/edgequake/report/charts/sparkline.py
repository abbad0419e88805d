"""An event in a line of the table: its waveform as a small SVG path of some hundred bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgequake.edge.formats.waveforms import Trace
from edgequake.report.recording.bands import band_of, band_passed, shown_limit
from edgequake.report.recording.samples import by_channel, channel_order

WIDTH, HEIGHT = 96, 20  # pixels
_N_COLUMNS = 48


def sparkline(traces: Sequence[Trace], start_ns: int, stop_ns: int, model: str = "") -> str | None:
    """Return the path of one channel in [start_ns, stop_ns), band-passed, for an SVG of `WIDTH` by `HEIGHT` pixels.

    None where there is nothing to draw.
    """
    samples = by_channel(traces)
    names = channel_order(samples, samples)
    if not names or not samples[names[0]].live:
        return None
    rate_hz = next(trace.sampling_rate_hz for trace in traces if trace.source_id == names[0])
    band = band_of(traces[0].station_id, rate_hz, model)
    drawn = band_passed(samples[names[0]], rate_hz, band)
    low, high = drawn.extremes(start_ns, stop_ns, _N_COLUMNS)
    middle = float(np.median(drawn.values))
    low, high = low - middle, high - middle
    limit = shown_limit(low, high, np.ones(_N_COLUMNS, np.bool_))
    half = HEIGHT / 2
    tops, bottoms = (half - half * np.clip(part / limit, -1, 1) for part in (high, low))
    steps = WIDTH // _N_COLUMNS
    return "".join(
        f"M{i * steps + 1} {top:.0f}V{bottom + 0.6:.0f}"
        for i, (top, bottom) in enumerate(zip(tops, bottoms, strict=True))
        if np.isfinite(top)
    )
