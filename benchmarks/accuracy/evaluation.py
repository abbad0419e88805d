"""Run a detector over records from random starts, and score what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgequake.benchmarks.accuracy.breakdown import Breakdown, Judged, break_down
from edgequake.benchmarks.detectors.baselines import Detector
from edgequake.benchmarks.scoring.pooling import ScoreSummary, pool, summarise
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.benchmarks.scoring.windows import call_windows
from edgequake.data.tables import LabelledRecord

Of = TypeVar("Of")
Progress = Callable[[float], None]  # takes the share done, 0..1


def evaluate(
    detector: Detector, records: Sequence[LabelledRecord], seeds: Sequence[int], progress: Progress | None = None
) -> ScoreSummary:
    """Score a detector over the records, once per seed of random starts; no seeds: from each record's own start."""
    passes = _passes(
        lambda record, start_ns: score_record(record, start_ns, detector(record, start_ns)), records, seeds, progress
    )
    return summarise([pool(scores) for scores in passes])


def evaluate_in_detail(
    detector: Detector,
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    window_s: float,
    progress: Progress | None = None,
) -> tuple[ScoreSummary, Breakdown]:
    """Score as `evaluate` does, and by windows, classes and stations too."""

    def judge(record: LabelledRecord, start_ns: int) -> Judged:
        said = detector(record, start_ns)
        return Judged(
            record=record,
            detections=dataclasses.replace(said, levels=None),  # as long as the record: not to be held
            score=score_record(record, start_ns, said),
            windows=call_windows(record, start_ns, said, window_s),
        )

    passes = _passes(judge, records, seeds, progress)
    summary = summarise([pool(judged.score for judged in one) for one in passes])
    return summary, break_down(passes, window_s)


def _passes(
    of_record: Callable[[LabelledRecord, int], Of],
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    progress: Progress | None,
) -> list[list[Of]]:
    n_passes = max(1, len(seeds))
    passes = []
    for i in range(n_passes):
        one: list[Of] = []
        for record in records:
            one.append(of_record(record, random_start_ns(record, seeds[i]) if seeds else record.start_ns))
            if progress is not None:
                progress((i + len(one) / len(records)) / n_passes)
        passes.append(one)
    return passes
