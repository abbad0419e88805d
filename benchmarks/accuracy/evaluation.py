"""Run a detector over records from random starts, and score its detections."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgequake.benchmarks.accuracy.breakdown import ScoredRecord, break_down
from edgequake.benchmarks.detectors.baselines import Detector
from edgequake.benchmarks.scoring.pooling import pool, summarise
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record
from edgequake.benchmarks.scoring.windows import call_windows
from edgequake.data.tables import LabelledRecord
from edgequake.results.accuracy import Breakdown, ScoreSummary
from edgequake.results.progress import Progress, silent


def evaluate(
    detector: Detector, records: Sequence[LabelledRecord], seeds: Sequence[int], progress: Progress = silent
) -> ScoreSummary:
    """Score a detector over the records, once per seed of random starts; no seeds: from each record's own start."""

    def score(record: LabelledRecord, start_ns: int) -> RecordScore:
        return score_record(record, start_ns, detector(record, start_ns))

    return summarise([pool(scores) for scores in run_passes(score, records, seeds, progress)])


def evaluate_in_detail(
    detector: Detector,
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    window_s: float,
    progress: Progress = silent,
) -> tuple[ScoreSummary, Breakdown]:
    """Score as `evaluate` does, and by windows, classes and stations as well."""

    def score(record: LabelledRecord, start_ns: int) -> ScoredRecord:
        detections = detector(record, start_ns)
        return ScoredRecord(
            record=record,
            detections=dataclasses.replace(detections, characteristic=None),  # as long as the record: not to be kept
            score=score_record(record, start_ns, detections),
            windows=call_windows(record, start_ns, detections, window_s),
        )

    passes = run_passes(score, records, seeds, progress)
    return summarise([pool(one.score for one in scored) for scored in passes]), break_down(passes, window_s)
