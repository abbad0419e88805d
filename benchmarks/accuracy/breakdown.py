"""Details that one rate for all records hides: onset errors, classes, stations, windows and confusions of classes.

- *Within X s*: the share of the primary arrivals that have an onset of their own within X s of the label, before or
  after it. Matched as for recall, with X in place of the tolerance: X may be longer than the tolerance.
- *By class*: the primary arrivals of each label's class. A false alarm has no class, so there is no precision.
- *By station*: the records of each station, scored as a set of their own.
- *Confusion*: the class reported for the detection that was matched to an arrival, against the class of its label; and
  the classes reported for false alarms. "blank" is an event without a reported class, "not found" an arrival without a
  detection.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.scoring.pooling import pool, spread, summarise
from edgequake.benchmarks.scoring.scoring import BODY_RULES, Detections, RecordScore, match, match_within
from edgequake.benchmarks.scoring.windows import WindowCalls, join_windows, window_figures
from edgequake.data.tables import LabelledRecord
from edgequake.results.accuracy import BLANK, NO_EVENT, NOT_FOUND, Breakdown, Part

ONSET_WITHIN_S = (5, 15, 30, 60, 120, 320)

OF_CLASS = ("recall", "n_captured", "group_recall", "onset_error_s", "mean_onset_error_s")
OF_STATION = (*OF_CLASS, "precision", "f1", "n_false", "quiet_days", "false_per_quiet_day", "kept", "wasted")


@dataclass(frozen=True)
class ScoredRecord:
    """One record in one pass: the detections on it, and their score."""

    record: LabelledRecord
    detections: Detections
    score: RecordScore
    windows: WindowCalls


Passes = Sequence[Sequence[ScoredRecord]]  # of random starts, over the same records


def label_class(event_type: str) -> str:
    """Return a label's class in the packet's words, where it has such, without the catalogue's grade or nest."""
    found = re.match(r"(impact|deep|shallow)(_|$)", event_type)
    return f"{found[1]}_mq" if found else event_type.partition(",")[0].strip()


def break_down(passes: Passes, window_s: float) -> Breakdown:
    """Return the details of one detector."""
    records = [one.record for one in passes[0]]
    classes = sorted({label_class(a.event_type) for record in records for a in record.arrivals if a.primary})
    stations = sorted({record.station_id for record in records})
    return Breakdown(
        onset_within={
            f"{within_s}": spread([_share_within(scored, within_s) for scored in passes]) for within_s in ONSET_WITHIN_S
        },
        by_class={name: _part([_of_class(scored, name) for scored in passes], OF_CLASS) for name in classes},
        by_station={name: _part([_of_station(scored, name) for scored in passes], OF_STATION) for name in stations},
        confusion=confusion(passes),
        windows=window_figures([join_windows(one.windows for one in scored) for scored in passes], window_s),
    )


def confusion(passes: Passes) -> dict[str, dict[str, float]] | None:
    """Return label -> reported class -> mean count over the passes; None if the detector reports no class at all."""
    every = [one for scored in passes for one in scored]
    if not any(mq_type for one in every for mq_type in one.detections.mq_types):
        return None
    counts: dict[str, Counter[str]] = {}
    for one in every:
        for label, reported in _class_pairs(one):
            counts.setdefault(label, Counter())[reported] += 1
    return {
        label: {reported: n / len(passes) for reported, n in sorted(row.items())}
        for label, row in sorted(counts.items())
    }


def _class_pairs(scored: ScoredRecord) -> Iterable[tuple[str, str]]:
    """Yield label and reported class of each primary arrival, and of each false alarm."""
    onsets, reported = _in_time_order(scored.detections)
    arrivals = scored.record.arrivals
    matched = match(arrivals, onsets, BODY_RULES[scored.record.body])
    for i, arrival in enumerate(arrivals):
        if arrival.primary:
            yield label_class(arrival.event_type), reported[matched[i]] if i in matched else NOT_FOUND
    false = set(scored.score.false_ns)
    yield from ((NO_EVENT, name) for onset, name in zip(onsets, reported, strict=True) if onset in false)


def _in_time_order(detections: Detections) -> tuple[list[int], list[str]]:
    reported = detections.mq_types or ("",) * len(detections.onsets_ns)
    order = sorted(range(len(reported)), key=lambda i: detections.onsets_ns[i])
    return [detections.onsets_ns[i] for i in order], [reported[i] or BLANK for i in order]


def _share_within(scored: Sequence[ScoredRecord], within_s: float) -> float:
    hits = []
    for one in scored:
        arrivals = one.record.arrivals
        matched = match_within(arrivals, sorted(one.detections.onsets_ns), within_s)
        hits += [i in matched for i, arrival in enumerate(arrivals) if arrival.primary]
    return statistics.fmean(hits) if hits else 0.0


def _of_class(scored: Sequence[ScoredRecord], name: str) -> list[RecordScore]:
    """Return the scores with the arrivals of one class alone."""

    def only(score: RecordScore) -> RecordScore:
        rows = tuple(row for row in score.arrivals if label_class(row.arrival.event_type) == name)
        return dataclasses.replace(score, arrivals=rows)

    return [only(one.score) for one in scored]


def _of_station(scored: Sequence[ScoredRecord], name: str) -> list[RecordScore]:
    return [one.score for one in scored if one.record.station_id == name]


def _part(passes: Sequence[Sequence[RecordScore]], fields: Sequence[str]) -> Part:
    summary = summarise([pool(scores) for scores in passes])
    first = summary.scores[0]
    return Part(
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        spreads={name: summary.spreads[name] for name in fields if name in summary.spreads},
        group_recall_interval=summary.group_recall_interval,
        false_per_quiet_day_upper=summary.false_per_quiet_day_upper if "n_false" in fields else None,
    )
