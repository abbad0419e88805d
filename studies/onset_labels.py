"""How the Earth labels of AZ and II were picked: python studies/onset_labels.py DATA [SPLIT].

They are called AIC picks. This repeats them with several band-passes and prints how far each pick lies from the label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from obspy.signal.trigger import aic_simple
from scipy.signal import butter, sosfilt, sosfiltfilt

from edgequake.benchmarks.detectors.station_arrays import bridge, station_samples
from edgequake.data.dataset import load
from edgequake.edge.formats.waveforms import NS_PER_S

REACH_S = 10.0
BANDS_HZ = ((1.0, 5.0), (1.0, 10.0), (2.0, 8.0))


def main(data: str, split: str = "val") -> int:
    """Print a line a filter."""
    if split not in ("train", "val"):
        raise SystemExit("split: expected train or val; the test part is for the final figures only")
    errors: dict[tuple[str, tuple[float, float]], list[float]] = {}
    for record in load(Path(data), "earth", split):
        arrival = record.arrivals[0]
        if arrival.precision_s > 2.0:
            continue
        station = station_samples(record, record.start_ns)
        samples = bridge(station.channels[0])
        label = round((arrival.time_ns - station.start_ns) / NS_PER_S * station.sampling_rate_hz)
        reach = round(REACH_S * station.sampling_rate_hz)
        for name, apply in (("both ways", sosfiltfilt), ("one way", sosfilt)):
            for low_hz, high_hz in BANDS_HZ:
                band = (low_hz, min(high_hz, 0.45 * station.sampling_rate_hz))
                sections = butter(4, band, "bandpass", fs=station.sampling_rate_hz, output="sos")
                filtered = apply(sections, samples - np.mean(samples))[label - reach : label + reach]
                error_s = (int(np.argmin(aic_simple(filtered))) - reach) / station.sampling_rate_hz
                errors.setdefault((name, (low_hz, high_hz)), []).append(error_s)
    print("| filter | band, Hz | median pick - label, s | median size, s | within 0.05 s |")
    print("|---|---|---|---|---|")
    for (name, (low_hz, high_hz)), found in errors.items():
        size = np.abs(found)
        figures = f"{np.median(found):+.2f} | {np.median(size):.2f} | {np.mean(size <= 0.05):.2f}"
        print(f"| {name} | {low_hz:g}-{high_hz:g} | {figures} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
