"""What one figure for all records hides: how near the onsets are, and how each class and each station fares.

- *Within X s*: the share of the primary arrivals that have an onset of their own within X s of the label, before or
  after it. Matched as for recall, with X in place of the tolerance: X may be longer than what recall asks for.
- *By class*: the primary arrivals of each label's class. A false alarm has no class, so there is no precision.
- *By station*: the records of each station, scored as a set of their own.
- *Confusion*: the class told of the detection that an arrival took, beside the class of its label; and what is told of
  false alarms. "blank" is an event of which no class was told, "not found" an arrival without a detection.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.scoring.pooling import ScoreSummary, Spread, pool, spread, summarise
from edgequake.benchmarks.scoring.scoring import BODY_RULES, Detections, RecordScore, match, match_within
from edgequake.benchmarks.scoring.windows import WindowCalls, WindowFigures, join_windows, window_figures
from edgequake.data.tables import LabelledRecord

ONSET_WITHIN_S = (5, 15, 30, 60, 120, 320)
BLANK, NOT_FOUND, NO_EVENT = "blank", "not found", "no event"

OF_CLASS = ("recall", "n_captured", "group_recall", "onset_error_s", "mean_onset_error_s")
OF_STATION = (*OF_CLASS, "precision", "f1", "n_false", "quiet_days", "false_per_quiet_day", "kept", "wasted")


@dataclass(frozen=True)
class Judged:
    """One record in one pass: what was said of it, and what became of that."""

    record: LabelledRecord
    detections: Detections
    score: RecordScore
    windows: WindowCalls


@dataclass(frozen=True)
class Part:
    """A class's arrivals, or a station's records."""

    n_records: int
    n_arrivals: int
    n_groups: int
    spreads: dict[str, Spread]  # field of Score -> mean and deviation; without those that were None for any start
    group_recall_interval: tuple[float, float]  # Wilson, 90 %
    false_per_quiet_day_upper: float | None  # None for a class


@dataclass(frozen=True)
class Breakdown:
    """One detector in detail; means over the random starts."""

    onset_within: dict[str, Spread]  # "5" and so on, seconds -> share of the primary arrivals
    by_class: dict[str, Part]
    by_station: dict[str, Part]
    confusion: dict[str, dict[str, float]] | None  # label -> told -> arrivals; None where no class is told
    windows: WindowFigures


def label_class(event_type: str) -> str:
    """Return a label's class in the packet's words where it has such, without the catalogue's grade or nest."""
    found = re.match(r"(impact|deep|shallow)(_|$)", event_type)
    return f"{found[1]}_mq" if found else event_type.partition(",")[0].strip()


def break_down(passes: Sequence[Sequence[Judged]], window_s: float) -> Breakdown:
    """Return a detector's details from its passes (random starts) over the same records."""
    records = [judged.record for judged in passes[0]]
    classes = sorted({label_class(a.event_type) for record in records for a in record.arrivals if a.primary})
    stations = sorted({record.station_id for record in records})
    return Breakdown(
        onset_within={f"{within_s}": _within(passes, within_s) for within_s in ONSET_WITHIN_S},
        by_class={name: _of_class(passes, name) for name in classes},
        by_station={name: _of_station(passes, name) for name in stations},
        confusion=confusion(passes),
        windows=window_figures([join_windows(judged.windows for judged in one) for one in passes], window_s),
    )


def confusion(passes: Sequence[Sequence[Judged]]) -> dict[str, dict[str, float]] | None:
    """Return label -> told -> mean count over the passes, or None where no class was told at all."""
    counts: dict[str, Counter[str]] = {}
    told_any = False
    for judged in (judged for one in passes for judged in one):
        told_any = told_any or any(judged.detections.mq_types)
        for label, told in _pairs(judged):
            counts.setdefault(label, Counter())[told] += 1
    if not told_any:
        return None
    return {label: {told: n / len(passes) for told, n in sorted(row.items())} for label, row in sorted(counts.items())}


def _pairs(judged: Judged) -> Iterable[tuple[str, str]]:
    """Yield (label, told) of each primary arrival, and of each false alarm."""
    onsets, told = _in_time_order(judged.detections)
    arrivals = judged.record.arrivals
    taken = match(arrivals, onsets, BODY_RULES[judged.record.body])
    for i, arrival in enumerate(arrivals):
        if arrival.primary:
            yield label_class(arrival.event_type), told[taken[i]] if i in taken else NOT_FOUND
    false = set(judged.score.false_ns)
    yield from ((NO_EVENT, name) for onset, name in zip(onsets, told, strict=True) if onset in false)


def _in_time_order(detections: Detections) -> tuple[list[int], list[str]]:
    told = detections.mq_types or ("",) * len(detections.onsets_ns)
    order = sorted(range(len(told)), key=lambda i: detections.onsets_ns[i])
    return [detections.onsets_ns[i] for i in order], [told[i] or BLANK for i in order]


def _within(passes: Sequence[Sequence[Judged]], within_s: float) -> Spread:
    return spread([_share_within(one, within_s) for one in passes])


def _share_within(judged: Sequence[Judged], within_s: float) -> float:
    hits = []
    for one in judged:
        arrivals = one.record.arrivals
        taken = match_within(arrivals, sorted(one.detections.onsets_ns), within_s)
        hits += [i in taken for i, arrival in enumerate(arrivals) if arrival.primary]
    return statistics.fmean(hits) if hits else 0.0


def _of_class(passes: Sequence[Sequence[Judged]], name: str) -> Part:
    return _part([[_only_class(judged.score, name) for judged in one] for one in passes], OF_CLASS)


def _only_class(score: RecordScore, name: str) -> RecordScore:
    return dataclasses.replace(
        score, arrivals=tuple(row for row in score.arrivals if label_class(row.arrival.event_type) == name)
    )


def _of_station(passes: Sequence[Sequence[Judged]], name: str) -> Part:
    return _part([[judged.score for judged in one if judged.record.station_id == name] for one in passes], OF_STATION)


def _part(passes: Sequence[Sequence[RecordScore]], fields: Sequence[str]) -> Part:
    summary: ScoreSummary = summarise([pool(scores) for scores in passes])
    first = summary.scores[0]
    return Part(
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        spreads={name: summary.spreads[name] for name in fields if name in summary.spreads},
        group_recall_interval=summary.group_recall_interval,
        false_per_quiet_day_upper=summary.false_per_quiet_day_upper if "n_false" in fields else None,
    )
