"""How the Earth labels of AZ and II were picked: python studies/onsets/onset_labels.py DATA [SPLIT].

Their source calls them AIC picks. This script repeats them with several band-passes and prints the difference between
each pick and its label. The output is in docs/onsets.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from obspy.signal.trigger import aic_simple
from scipy.signal import butter, sosfilt, sosfiltfilt

from edgequake.benchmarks.detectors.station_arrays import bridge, station_samples
from edgequake.data.dataset import load
from edgequake.edge.formats.waveforms import NS_PER_S

REACH_S = 10.0
BANDS_HZ = ((1.0, 5.0), (1.0, 10.0), (2.0, 8.0))
MAX_PRECISION_S = 2.0  # labels less precise than this are not compared


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", nargs="?", choices=("train", "val"), default="val")
    parser.add_argument("--body", default="earth")
    parser.add_argument("--stations", nargs="+", metavar="CODE", default=["PFO"])
    options = parser.parse_args(arguments)
    errors: dict[tuple[str, tuple[float, float]], list[float]] = {}
    for record in load(options.data, options.body, options.split):
        precise = [a for a in record.arrivals if a.primary and a.precision_s <= MAX_PRECISION_S]
        if record.station_id not in options.stations or not precise:
            continue
        station = station_samples(record, record.start_ns)
        samples, rate_hz = bridge(station.channels[0]), station.sampling_rate_hz
        label = round((precise[0].time_ns - station.start_ns) / NS_PER_S * rate_hz)
        reach = round(REACH_S * rate_hz)
        for name, apply in (("both ways", sosfiltfilt), ("one way", sosfilt)):
            for band_hz in BANDS_HZ:
                sections = butter(
                    4, (band_hz[0], min(band_hz[1], 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos"
                )
                filtered = apply(sections, samples - np.mean(samples))[max(0, label - reach) : label + reach]
                error_s = (int(np.argmin(aic_simple(filtered))) - min(label, reach)) / rate_hz
                errors.setdefault((name, band_hz), []).append(error_s)
    print("| filter | band, Hz | median pick - label, s | median size, s | within 0.05 s |")
    print("|---|---|---|---|---|")
    for (name, (low_hz, high_hz)), found in errors.items():
        size = np.abs(found)
        figures = f"{np.median(found):+.2f} | {np.median(size):.2f} | {np.mean(size <= 0.05):.2f}"
        print(f"| {name} | {low_hz:g}-{high_hz:g} | {figures} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
