"""Baseline detectors and their settings: one that reads only the clock, and triggers on the power of the samples.

A detector is a callable `(record, start_ns) -> Detections` that uses nothing before `start_ns`.

The settings of `NASA_NOTEBOOK` are those of the demonstration notebook in the NASA Space Apps 2024 seismic packet. All
others were found on `val`, never on `test`, by `python studies/tune_baselines.py DATA`: from five random starts for the
triggers, from the files' own starts for the clocks. `edgequake.benchmarks.tuning.baseline_grid` has grids and rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgequake.benchmarks.detectors.sta_lta import RecursiveStaLta, StaLta, ZDetect, kept_around
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

Detector = Callable[[LabelledRecord, int], Detections]


@dataclass(frozen=True)
class Clock:
    """Report fixed times after the start, whatever the samples show: the score that the file layout gives away."""

    times_s: tuple[float, ...]

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Report the times that lie in the record."""
        onsets = [start_ns + round(time_s * NS_PER_S) for time_s in self.times_s]
        inside = [onset for onset in onsets if onset < record.stop_ns]
        return Detections(tuple(inside), tuple(kept_around(record.body, onset, onset) for onset in inside))


CLOCKS = {"moon": Clock((1890.0,)), "mars": Clock((288.0, 1818.0)), "earth": Clock((99.5, 240.0))}

NASA_NOTEBOOK = StaLta(sta_s=120.0, lta_s=600.0, on=4.0, off=1.5)

TUNED_STA_LTA = {
    "moon": StaLta(sta_s=120.0, lta_s=600.0, on=2.2, off=1.5, band_hz=(0.35, 1.4), despiked=True),
    "mars": StaLta(sta_s=30.0, lta_s=120.0, on=3.0, off=1.8, band_hz=(1.0, 4.0), despiked=True),
    "earth": StaLta(sta_s=0.5, lta_s=10.0, on=14.0, off=1.8, band_hz=(0.5, 5.0), despiked=True),
}
TUNED_RECURSIVE = {
    "moon": RecursiveStaLta(sta_s=60.0, lta_s=300.0, on=2.0, off=1.0, band_hz=(0.3, 0.9), despiked=True),
    "mars": RecursiveStaLta(sta_s=60.0, lta_s=120.0, on=1.6, off=1.5, band_hz=(1.0, 4.0), despiked=True),
    "earth": RecursiveStaLta(sta_s=2.0, lta_s=10.0, on=4.0, off=1.8, band_hz=(0.5, 5.0), despiked=True),
}
TUNED_Z = {
    "moon": ZDetect(sta_s=120.0, on=0.5, off=0.25, band_hz=(0.5, 2.0), despiked=True),
    "mars": ZDetect(sta_s=300.0, on=0.1, off=0.0, band_hz=(1.0, 4.0), despiked=True),
    "earth": ZDetect(sta_s=5.0, on=0.1, off=0.0, band_hz=(2.0, 8.0), despiked=True),
}
