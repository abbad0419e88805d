"""The measure on continuous hours: events a day without a catalogue row, time kept, and recall, stratum by stratum.

`edgequake.benchmarks.scoring.strata` says what the strata are. Every detector is run once over each record from each
random start and judged at all of its thresholds, so that recall can be drawn against events a day.

A stratum that has no record in the chosen split but some in `train` is measured on these and marked ``train``: for a
model trained on them the figure is no held-out one. Cross-validation (`fold`) has held-out records of these too. A
stratum that is only in `test` stays out of every other split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import ArrivalScore, Detections, score_record
from edgequake.benchmarks.scoring.strata import KEPT, Stratum, StratumCounts, covers, strata_of
from edgequake.data.dataset import load
from edgequake.data.phasenet import convert_phasenet
from edgequake.data.selection import Fold, Selection
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.results.progress import Progress, silent

PHASENET_FOLDER = Path("earth", "phasenet")  # below the data folder
TRAIN = "train"

# A detector on one record from an instant on, at each of its thresholds.
SweptDetector = Callable[[LabelledRecord, int], Mapping[float, Detections]]


@dataclass(frozen=True)
class MeasuredStratum:
    """A stratum, and the records on which it is measured."""

    stratum: Stratum
    part: str  # the split or fold that the records are of
    asked: bool  # whether this is the split or fold that was asked for
    records: tuple[LabelledRecord, ...]


@dataclass(frozen=True)
class ArrivalOutcome:
    """One arrival of a stratum in one pass: whether it was found, and the onset's error."""

    record: LabelledRecord
    row: ArrivalScore
    found: bool  # recalled, or kept for the kind KEPT


@dataclass(frozen=True)
class StratumOutcome:
    """A detector on one stratum at one threshold, over all passes."""

    passes: tuple[StratumCounts, ...]  # one for each random start
    arrivals: tuple[ArrivalOutcome, ...]  # of all passes

    @property
    def total(self) -> StratumCounts:
        """Return the sum over the passes: its rates are the means over the random starts."""
        return StratumCounts.total(self.passes)


@dataclass(frozen=True)
class HoursMeasured:
    """A detector on all strata."""

    outcomes: Mapping[float, Mapping[str, StratumOutcome]]  # threshold -> stratum -> outcome
    unread: Mapping[str, tuple[str, ...]]  # stratum -> why a record could not be used, for instance its sampling rate


def select(
    data: Path, body: str, picks: Path, split: str | None = None, fold: Fold | None = None
) -> list[MeasuredStratum]:
    """Return the strata of a data folder with their records.

    Parameters
    ----------
    picks : folder into which PhaseNet's records are written as miniSEED, where the data folder has any.

    Raises
    ------
    DataError
        No record of this body; tables or records that cannot be read.
    """
    selection = Selection(split, fold)
    asked, part = selection.records(data, body), selection.describe(data)
    in_train = [] if fold or part == TRAIN else _of_train(data, body)
    if body == "earth" and (data / PHASENET_FOLDER).is_dir():
        asked = [*asked, *_picked(data, picks, split or "val", fold)]
    found = []
    for stratum in strata_of(body):
        members = tuple(record for record in asked if stratum.holds(record))
        substitutes = tuple(record for record in in_train if stratum.holds(record))
        if members or substitutes:
            found.append(MeasuredStratum(stratum, part if members else TRAIN, bool(members), members or substitutes))
    return found


def measure(
    detector: SweptDetector, strata: Sequence[MeasuredStratum], seeds: Sequence[int], progress: Progress = silent
) -> HoursMeasured:
    """Run a detector over all records of the strata, once per seed of random starts, and count at each threshold.

    A record that the detector refuses (DataError), such as one whose sampling rate is too low for it, is left out and
    reported.
    """
    records = {record.file: record for one in strata for record in one.records}
    passes: dict[tuple[float, str], list[list[StratumCounts]]] = {}
    arrivals: dict[tuple[float, str], list[ArrivalOutcome]] = {}
    unread: dict[str, list[str]] = {}
    for i, record in enumerate(records.values()):
        of_record = [one.stratum for one in strata if record in one.records]
        for place, seed in enumerate(seeds):
            start_ns = random_start_ns(record, seed)
            try:
                found = detector(record, start_ns)
            except DataError as problem:
                for stratum in of_record:
                    unread.setdefault(stratum.name, []).append(str(problem))
                break
            for threshold, detections in found.items():
                score = score_record(record, start_ns, detections)
                for stratum in of_record:
                    key = (threshold, stratum.name)
                    counts = StratumCounts.of(stratum, record, detections, score)
                    passes.setdefault(key, [[] for _ in seeds])[place].append(counts)
                    arrivals.setdefault(key, []).extend(_arrivals(stratum, record, detections, score.arrivals))
        progress((i + 1) / len(records), "records")
    thresholds = sorted({threshold for threshold, _ in passes})
    outcomes = {
        threshold: {
            name: StratumOutcome(tuple(map(StratumCounts.total, of_key)), tuple(arrivals[threshold, name]))
            for (at, name), of_key in passes.items()
            if at == threshold
        }
        for threshold in thresholds
    }
    return HoursMeasured(outcomes, {name: tuple(texts) for name, texts in unread.items()})


def _arrivals(
    stratum: Stratum, record: LabelledRecord, found: Detections, rows: Iterable[ArrivalScore]
) -> list[ArrivalOutcome]:
    chosen = [row for row in rows if stratum.counts(row.arrival)]
    if stratum.kind == KEPT:
        return [ArrivalOutcome(record, row, covers(found, row.arrival, record.body)) for row in chosen]
    return [ArrivalOutcome(record, row, row.recalled) for row in chosen]


def _of_train(data: Path, body: str) -> list[LabelledRecord]:
    try:
        return load(data, body, TRAIN)
    except DataError:  # a folder without a split `train`
        return []


def _picked(data: Path, picks: Path, split: str, fold: Fold | None) -> list[LabelledRecord]:
    """Return PhaseNet's records of a split as miniSEED; in cross-validation no training learns from those of `val`."""
    records = convert_phasenet(data / PHASENET_FOLDER, picks, "val" if fold else split)
    return [replace(record, split=split) for record in records]
