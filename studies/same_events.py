"""Compare the events of two variants of a model: python studies/same_events.py MANIFEST DATA [SPLIT].

Both variants run over the records from the same five random starts; two events are the same if their onsets differ by
at most one frame. Prints the counts, and the file and start of every event that only one variant has.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.data.dataset import load
from edgequake.edge.manifest.manifest import load_manifest

SEEDS = range(5)
VARIANTS = ("float32", "int8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("data", type=Path)
    parser.add_argument("split", nargs="?", default="val")
    parser.add_argument("--variants", nargs=2, metavar="NAME", default=VARIANTS)
    parser.add_argument("--quick", action="store_true", help="one random start of each record")
    options = parser.parse_args(arguments)
    manifest, _ = load_manifest(options.manifest)
    frame_ns = round(manifest.front_end.hop_samples / manifest.sampling_rate_hz * 1e9)
    detectors = [ModelDetector(options.manifest, name) for name in options.variants]
    n_events, n_same = dict.fromkeys(options.variants, 0), 0
    for record in load(options.data, manifest.body, options.split):
        for seed in SEEDS[:1] if options.quick else SEEDS:
            start_ns = random_start_ns(record, seed)
            found = [list(detector(record, start_ns).onsets_ns) for detector in detectors]
            for name, onsets_ns in zip(options.variants, found, strict=True):
                n_events[name] += len(onsets_ns)
            n_same += _remove_common(found[0], found[1], frame_ns)
            for name, onsets_ns in zip(options.variants, found, strict=True):
                for onset_ns in onsets_ns:
                    print(f"only {name}: {record.file.name}, start {seed}, {onset_ns / 1e9:.1f} s since 1970")
    counts = ", ".join(f"{n} {name}" for name, n in n_events.items())
    print(f"{manifest.name} on {options.split}: events {counts}, {n_same} the same within {frame_ns / 1e9:.2f} s")
    return 0


def _remove_common(first: list[int], second: list[int], tolerance_ns: int) -> int:
    """Remove the onsets that both lists have, in place; return how many there were."""
    n_common = 0
    for onset_ns in list(first):
        same = [other for other in second if abs(other - onset_ns) <= tolerance_ns]
        if same:
            n_common += 1
            first.remove(onset_ns)
            second.remove(same[0])
    return n_common


if __name__ == "__main__":
    sys.exit(main())
