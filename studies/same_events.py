"""Compare the events of two variants of a model: python studies/same_events.py MANIFEST DATA [SPLIT].

Both variants run over the records from the same five random starts; an event is the same when the other variant has
one within a frame of it. Prints the counts, and the file and start of every event that only one of them has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.data.dataset import load
from edgequake.edge.manifest.manifest import load_manifest

SEEDS = range(5)
VARIANTS = ("float32", "int8")


def main(manifest_file: str, data: str, split: str = "val") -> int:
    """Print the comparison."""
    manifest, _ = load_manifest(manifest_file)
    frame_ns = round(manifest.front_end.hop_samples / manifest.sampling_rate_hz * 1e9)
    n_events, n_same = dict.fromkeys(VARIANTS, 0), 0
    for record in load(Path(data), manifest.body, split):
        for seed in SEEDS:
            start_ns = random_start_ns(record, seed)
            first, second = (list(ModelDetector(manifest_file, name)(record, start_ns).onsets_ns) for name in VARIANTS)
            n_events = {
                name: n_events[name] + len(found) for name, found in zip(VARIANTS, (first, second), strict=True)
            }
            for onset_ns in list(first):
                same = [other for other in second if abs(other - onset_ns) <= frame_ns]
                if same:
                    n_same += 1
                    first.remove(onset_ns)
                    second.remove(same[0])
            for name, left in zip(VARIANTS, (first, second), strict=True):
                for onset_ns in left:
                    print(f"only {name}: {record.file.name}, start {seed}, {onset_ns / 1e9:.1f} s since 1970")
    print(f"{manifest.name} on {split}: {n_events} events, {n_same} the same within {frame_ns / 1e9:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
