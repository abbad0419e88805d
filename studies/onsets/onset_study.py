"""Errors of refined onsets against labels: python studies/onsets/onset_study.py DATA [SPLIT].

DATA is a folder of recorded data, SPLIT `val` (the default) or `train`. Simulated triggers follow each label by a
random time, or precede it in some cases, like those of a detector that decides once a frame. Onsets are picked by least
AIC (obspy, on the first live channel) and by `edgequake.edge.detection.onset`. The output is in docs/onsets.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from obspy.signal.trigger import aic_simple
from scipy.signal import butter, sosfiltfilt

from edgequake.benchmarks.detectors.station_arrays import bridge, despike, station_samples
from edgequake.data.dataset import load
from edgequake.data.phasenet import convert_phasenet
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.detection.onset import refine_onset
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.manifest.tables import FrontEndConfig, OnsetConfig
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.records import record_traces

Float = npt.NDArray[np.float64]

N_TRIGGERS = 8  # simulated for each label
EARLY_SHARE = 0.15
N_RESAMPLES = 1000
# late_s and late_spread_s of the triggers simulated here; all other constants are those of the recipes.
LATENESS_S = {"moon": (40.0, 60.0), "mars": (8.0, 8.0), "earth": (0.5, 0.7)}


def simulated_config(body: str) -> OnsetConfig:
    """Return the constants of a body's recipe, adapted to the lateness of the simulated triggers."""
    onset = load_recipe(body).onset
    assert onset is not None
    late_s, late_spread_s = LATENESS_S[body]
    return replace(onset, late_s=late_s, late_spread_s=late_spread_s)


CONFIGS = {body: simulated_config(body) for body in LATENESS_S}


@dataclass(frozen=True)
class LabelSet:
    """Labels of one kind, the trigger simulated for them, and the methods to compare."""

    name: str
    labels: tuple[tuple[LabelledRecord, Arrival], ...]
    latest_s: float  # the trigger is late by up to this, uniformly distributed
    earliest_s: float  # or, in `EARLY_SHARE` of the cases, early by up to this
    bridge_s: float
    configs: dict[str, OnsetConfig]  # name of the method -> its constants

    @property
    def config(self) -> OnsetConfig:
        """The constants of the first method."""
        return next(iter(self.configs.values()))


@dataclass(frozen=True)
class Pick:
    """The onset of one method for one simulated trigger."""

    error_s: float
    sigma_s: float  # nan: the method gives no uncertainty
    refined: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", nargs="?", choices=("train", "val"), default="val")
    parser.add_argument("--bodies", nargs="+", choices=("earth", "moon", "mars"), default=["earth", "moon", "mars"])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgequake-onsets-") as folder:
        print(
            f"split {options.split}, {N_TRIGGERS} simulated triggers a label, |error| in s, 90 % interval of the median"
        )
        print("| labels | n | method | median | interval | 67 % | 90 % | bias | within sigma | refined | ms |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for body in options.bodies:
            for labels in label_sets(body, options.data, options.split, Path(folder)):
                if labels.labels:
                    print_rows(labels, np.random.default_rng(0))
    return 0


def label_sets(body: str, data: Path, split: str, converted: Path) -> Iterator[LabelSet]:
    """Yield the labels of a body and split that are precise enough for a comparison."""
    records, refined = load(data, body, split), {"refined": CONFIGS[body]}
    if body == "earth":
        phasenet = convert_phasenet(data / "earth" / "phasenet", converted, split)
        yield LabelSet("Earth, manual P (PhaseNet)", _labels(phasenet, 0.1), 1.5, 0.5, 1.0, refined)
        pinon_flat = [record for record in records if record.station_id == "PFO"]
        yield LabelSet("Earth, AIC P (AZ, II)", _labels(pinon_flat, 2.0), 1.5, 0.5, 1.0, refined)
    elif body == "moon":
        impacts = [r for r in records if any(a.event_type == "impact_artificial" for a in r.arrivals)]
        yield LabelSet("Moon, artificial impacts", _labels(impacts, 20.0), 120.0, 20.0, 300.0, refined)
    else:
        for name, precision_s in (("Mars, labels to 5 s", 5.0), ("Mars, all labels", 60.0)):
            yield LabelSet(name, _labels(records, precision_s), 20.0, 5.0, 10.0, refined)


def print_rows(labels: LabelSet, rng: np.random.Generator) -> None:
    """Print one row for each method, and one each for the fainter and the clearer half of the labels."""
    front_end = front_end_of(labels)
    late_s = [trigger_lateness_s(rng, labels) for _ in labels.labels]
    picked: dict[str, list[list[Pick]]] = {"trigger": [[Pick(float(s), np.nan, False) for s in row] for row in late_s]}
    timing_ms: dict[str, float] = {}
    ratios: list[float] = []
    for (record, arrival), row in zip(labels.labels, late_s, strict=True):
        trace = FilteredRecord(record, labels.config)
        ratios.append(trace.ratio(arrival, labels.config))
        picked.setdefault("least AIC", []).append([trace.pick(arrival, s, labels.config) for s in row])
        traces = record_traces(record)
        for name, config in labels.configs.items():
            begun = time.perf_counter()
            picked.setdefault(name, []).append([_refined(config, front_end, traces, arrival, s) for s in row])
            timing_ms[name] = timing_ms.get(name, 0.0) + (time.perf_counter() - begun) * 1e3
    n_picks = N_TRIGGERS * len(labels.labels)
    groups = [arrival.group for _, arrival in labels.labels]
    for name, picks in picked.items():
        cost = f"{timing_ms[name] / n_picks:.1f}" if name in timing_ms else ""
        print(row_of(labels.name, name, picks, groups, cost))
    order = np.argsort(ratios)
    if len(order) >= 10:
        for half, chosen in (("fainter half", order[: len(order) // 2]), ("clearer half", order[len(order) // 2 :])):
            part = [picked["refined"][i] for i in chosen]
            print(row_of(f"{labels.name}, {half}", "refined", part, [groups[i] for i in chosen], ""))


def row_of(name: str, method: str, picks: list[list[Pick]], groups: list[str], cost_ms: str) -> str:
    """Return one row of the table."""
    errors = np.array([[pick.error_s for pick in row] for row in picks])  # (n_labels, N_TRIGGERS)
    sigmas = np.array([[pick.sigma_s for pick in row] for row in picks])
    size = np.abs(errors)
    low, high = median_interval(size, groups)
    within = "" if np.isnan(sigmas).all() else f"{np.mean(size <= sigmas):.2f}"
    refined = "" if not within else f"{np.mean([[pick.refined for pick in row] for row in picks]):.2f}"
    figures = f"{np.median(size):.2f} | {low:.2f}-{high:.2f} | {np.quantile(size, 0.67):.2f} | "
    figures += f"{np.quantile(size, 0.9):.2f} | {np.median(errors):+.2f}"
    return f"| {name} | {len(picks)} | {method} | {figures} | {within} | {refined} | {cost_ms} |"


def median_interval(size: Float, groups: list[str]) -> tuple[float, float]:
    """Return the 90 % bootstrap interval of the median; whole event groups are resampled."""
    rng, names = np.random.default_rng(0), sorted(set(groups))
    rows = {name: size[[i for i, group in enumerate(groups) if group == name]] for name in names}
    drawn = [
        np.median(np.concatenate([rows[names[i]] for i in rng.integers(0, len(names), len(names))]))
        for _ in range(N_RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.05, 0.95))
    return float(low), float(high)


def trigger_lateness_s(rng: np.random.Generator, labels: LabelSet) -> Float:
    """Draw the lateness of the simulated triggers of one label; early ones are negative."""
    late = rng.uniform(0.0, labels.latest_s, N_TRIGGERS)
    early = rng.uniform(-labels.earliest_s, 0.0, N_TRIGGERS)
    return np.where(rng.random(N_TRIGGERS) < EARLY_SHARE, early, late)


def front_end_of(labels: LabelSet) -> FrontEndConfig:
    """Return the lunar model's rule for gaps and spikes, with the longest interpolated gap of this body."""
    manifest, _ = load_manifest("moon")
    fills = manifest.front_end.fill_values if labels.name.startswith("Moon") else ()
    return replace(manifest.front_end, bridge_s=labels.bridge_s, fill_values=fills)


class FilteredRecord:
    """The first live channel of a record, band-passed with zero phase, without any code of `edgequake.edge`."""

    def __init__(self, record: LabelledRecord, config: OnsetConfig) -> None:
        station = station_samples(record, record.start_ns)
        self._start_ns, self._rate_hz = station.start_ns, station.sampling_rate_hz
        band = (config.low_hz, min(config.high_hz, 0.45 * self._rate_hz))
        sections = butter(4, band, "bandpass", fs=self._rate_hz, output="sos")
        samples = despike(bridge(station.channels[0]))
        self._samples = sosfiltfilt(sections, samples - np.mean(samples))

    def pick(self, arrival: Arrival, late_s: float, config: OnsetConfig) -> Pick:
        """Return the sample of least AIC in the window that the refinement uses."""
        first, window = self._between(arrival, late_s - config.before_s, late_s + config.after_s)
        picked_ns = self._start_ns + round((first + int(np.argmin(aic_simple(window)))) / self._rate_hz * NS_PER_S)
        return Pick((picked_ns - arrival.time_ns) / NS_PER_S, np.nan, False)

    def ratio(self, arrival: Arrival, config: OnsetConfig) -> float:
        """Return the ratio of the amplitudes after and before the label."""
        _, before = self._between(arrival, -config.before_s, 0.0)
        _, after = self._between(arrival, 0.0, config.after_s)
        return float(np.std(after) / max(float(np.std(before)), 1e-30))

    def _between(self, arrival: Arrival, start_s: float, stop_s: float) -> tuple[int, Float]:
        label_s = (arrival.time_ns - self._start_ns) / NS_PER_S
        first = max(0, round((label_s + start_s) * self._rate_hz))
        return first, self._samples[first : max(first + 2, round((label_s + stop_s) * self._rate_hz))]


def _refined(
    config: OnsetConfig, front_end: FrontEndConfig, traces: list[Trace], arrival: Arrival, late_s: float
) -> Pick:
    onset = refine_onset(config, front_end, traces, arrival.time_ns + round(late_s * NS_PER_S))
    return Pick((onset.onset_ns - arrival.time_ns) / NS_PER_S, onset.sigma_s, onset.refined)


def _labels(records: list[LabelledRecord], precision_s: float) -> tuple[tuple[LabelledRecord, Arrival], ...]:
    return tuple((r, a) for r in records for a in r.arrivals if a.primary and a.precision_s <= precision_s)


if __name__ == "__main__":
    sys.exit(main())
