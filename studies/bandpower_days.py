"""How often a one-band detector cries wolf on whole lunar days: python studies/bandpower_days.py MODEL.json DATA.

MODEL is the recipe `moon-bandpower`, trained and converted; DATA holds moon_bandpower.npz and .csv, 48 days of station
S12 as band power, and levent.csv. The frames pass the model's own background, rounding, network and trigger. An alarm
is false when no event of Nakamura's catalogue, or of the days' own, lies between its onset less the coda's hour and its
onset plus the tolerance. Days of which the model learned some hours as waveforms are counted only in "all days".
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.scoring.pooling import poisson
from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.dataset import load
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.features.normalization import Background
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import SENSITIVITIES, Manifest, TriggerConfig, load_manifest, read_graph
from edgequake.train.bandpower import DAY_NS, FRAME_S, BandPowerDay, read_days
from edgequake.train.data.noise_bank import read_levent

RULE = BODY_RULES["moon"]
PRECISION_S = 60.0  # catalogued minutes


@dataclass(frozen=True)
class Tally:
    """Counts over days."""

    n_days: int
    n_found: int
    n_false: int
    n_events: int
    quiet_days: float

    def row(self, name: str) -> str:
        low, high = (bound / self.quiet_days for bound in poisson(self.n_false))
        return (
            f"| {name} | {self.n_days} | {self.n_found} | {self.n_events} | {self.quiet_days:.1f} | {self.n_false} | "
            f"{self.n_false / self.quiet_days:.2f} ({low:.2f}-{high:.2f}) |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    manifest, folder = load_manifest(options.model)
    by_start = {day.start_ns: day for day in reversed(read_days(options.data))}  # the first row of a day tells
    days = [by_start[start_ns] for start_ns in sorted(by_start)]
    learned = {r.start_ns // DAY_NS for r in load(options.data, "moon") if r.split != "test"}
    catalogued = np.sort(np.asarray([*read_levent(options.data / "levent.csv"), *(d.arrival_ns for d in days)]))
    probabilities = {day.start_ns: probabilities_of(manifest, folder, day) for day in days}
    print("| days, sensitivity | days | arrivals found | alarms | quiet days | false | false per quiet day (90 %) |")
    print("|---|---|---|---|---|---|---|")
    for name, chosen in (("other days", [d for d in days if d.start_ns // DAY_NS not in learned]), ("all days", days)):
        for sensitivity in SENSITIVITIES:
            tally = count(manifest.trigger, chosen, probabilities, catalogued, sensitivity)
            print(tally.row(f"{name}, {sensitivity}"))


def probabilities_of(manifest: Manifest, folder: Path, day: BandPowerDay) -> npt.NDArray[np.float32]:
    """Return the network's answers, shape (n_frames, 2)."""
    variant, graph = read_graph(manifest, folder)
    config = manifest.front_end.spectrogram
    if config is None or manifest.front_end.n_features != 2 or manifest.front_end.hop_samples != 224:
        raise SystemExit(
            f"{manifest.name} does not hear one band in frames of 224 samples; train the recipe moon-bandpower"
        )
    levels = np.log10(np.maximum(day.power, 1e-60))[:, np.newaxis]
    excess = Background(manifest.front_end.background).excess(levels, day.power > 0)
    steps = config.steps_per_decade
    rows = np.zeros((len(levels), 1, 2), np.float32)
    rows[:, 0, :1] = np.rint(np.clip(excess, config.clip_low, config.clip_high) * steps) / steps
    rows[:, 0, 1] = day.power <= 0
    return np.stack([answer.copy() for answer in StepNetwork(manifest, graph, variant).run(rows)])


def count(
    trigger: TriggerConfig,
    days: list[BandPowerDay],
    probabilities: dict[int, npt.NDArray[np.float32]],
    catalogued: npt.NDArray[np.int64],
    sensitivity: str,
) -> Tally:
    """Count found arrivals, false alarms and quiet time at one sensitivity."""
    n_found = n_false = n_events = 0
    quiet_days = 0.0
    for day in days:
        events = _events(trigger, day, probabilities[day.start_ns], sensitivity)
        before, after = (round(s * NS_PER_S) for s in (RULE.tolerance_s + PRECISION_S, RULE.coda_s))
        stop_ns = day.start_ns + round(float(day.times_s[-1]) * NS_PER_S)
        near = catalogued[(catalogued > day.start_ns - after) & (catalogued < stop_ns + before)]
        busy = np.zeros(len(day.times_s), np.bool_)
        for t in near:
            frame_ns = day.start_ns + day.times_s * NS_PER_S
            busy |= (frame_ns >= t - before) & (frame_ns <= t + after)
        quiet_days += float(np.sum(~busy)) * FRAME_S / 86_400
        n_events += len(events)
        n_found += any(abs(e.onset_ns - day.arrival_ns) <= before for e in events)
        n_false += sum(not np.any((near - before <= e.onset_ns) & (e.onset_ns <= near + after)) for e in events)
    return Tally(len(days), n_found, n_false, n_events, quiet_days)


def _events(
    config: TriggerConfig, day: BandPowerDay, answers: npt.NDArray[np.float32], sensitivity: str
) -> list[Event]:
    trigger = Trigger(config, config.onset_thresholds[sensitivity])
    half_ns = round(FRAME_S / 2 * NS_PER_S)
    found = []
    for middle_s, answer in zip(day.times_s, answers, strict=True):
        middle_ns = day.start_ns + round(float(middle_s) * NS_PER_S)
        decision = Decision(middle_ns - half_ns, middle_ns + half_ns, float(answer[0]), float(answer[-1]))
        found.append(trigger.push(decision))
    return [event for event in (*found, trigger.close()) if event is not None]


if __name__ == "__main__":
    main()
