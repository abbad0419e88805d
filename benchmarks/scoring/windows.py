"""Figures by windows, as the field reports them: the record is cut up, and each window is an event or is not.

Windows of a fixed length follow one another from the instant at which scoring begins; what is left over at the record's
stop is not used. A window is

- an *event* when it holds the greater part of [t, t + T + p) of a primary arrival, the time in which its signal
  begins, or lies for its own greater part in it;
- *quiet* when it meets no arrival's [t - T - p, t + L], primary or not; L is how long an event may be in progress;
- neither in codas, at the edges of events and around secondary arrivals: left out, and counted.

T and p are those of `edgequake.benchmarks.scoring.scoring`, and L is its C, but not on Earth, where S and surface waves follow
P for minutes: a detector of events in progress is not wrong there after C = 60 s.

A window's score is the largest value of the detector's curve in it, and it is called an event when that reaches the
detector's threshold. The area under the curve (AUC) needs no threshold: the chance that an event window scores higher
than a quiet one, equal scores counting half.

References
----------
Hanley & McNeil (1982), doi:10.1148/radiology.143.1.7063747: the AUC is the Mann-Whitney statistic over n_event n_quiet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.scoring.characteristic_function import levels_of_onsets
from edgequake.benchmarks.scoring.pooling import Spread, spread
from edgequake.benchmarks.scoring.scoring import BODY_RULES, Detections, reach_ns
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

# A few times the tolerance, so that an emergent event's window shows more than its first motion; on Earth no longer,
# as most records there have less than a minute of quiet time.
WINDOW_S = {"moon": 900.0, "mars": 300.0, "earth": 30.0}
IN_PROGRESS_S = {"moon": BODY_RULES["moon"].coda_s, "mars": BODY_RULES["mars"].coda_s, "earth": 300.0}


@dataclass(frozen=True)
class WindowCalls:
    """The windows of one record, or of many; both arrays have shape (n_windows,), without those left out."""

    is_event: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]  # -inf where the detector says nothing
    called: npt.NDArray[np.bool_]
    n_left_out: int


@dataclass(frozen=True)
class WindowFigures:
    """Means over the random starts; a rate is None where there is nothing to divide by in any of them."""

    window_s: float
    n_event: float  # windows, mean over the starts
    n_quiet: float
    n_left_out: float
    accuracy: Spread | None
    precision: Spread | None
    recall: Spread | None
    f1: Spread | None
    auc: Spread | None


def call_windows(record: LabelledRecord, start_ns: int, detections: Detections, window_s: float) -> WindowCalls:
    """Cut a record into windows from `start_ns` on, and say what each is and what the detector calls it."""
    edges_ns = window_edges(start_ns, record.stop_ns, window_s)
    if len(edges_ns) < 2:
        return WindowCalls(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0, np.bool_), 0)
    is_event, is_quiet = label_windows(record, edges_ns)
    levels = detections.levels or levels_of_onsets(detections.onsets_ns)
    scores = levels.largest(edges_ns)
    used = is_event | is_quiet
    return WindowCalls(is_event[used], scores[used], (scores >= levels.threshold)[used], int(np.sum(~used)))


def window_edges(start_ns: int, stop_ns: int, window_s: float) -> npt.NDArray[np.int64]:
    """Return where the whole windows of [start, stop) begin and, last, where the last of them stops."""
    window_ns = round(window_s * NS_PER_S)
    return start_ns + window_ns * np.arange((stop_ns - start_ns) // window_ns + 1, dtype=np.int64)


def label_windows(
    record: LabelledRecord, edges_ns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which windows are events, and which are quiet."""
    rule = BODY_RULES[record.body]
    first_ns, stop_ns = edges_ns[:-1], edges_ns[1:]
    is_event, is_quiet = np.zeros(len(first_ns), np.bool_), np.ones(len(first_ns), np.bool_)
    for arrival in record.arrivals:
        near_ns = reach_ns(arrival, rule)
        last_ns = arrival.time_ns + round(IN_PROGRESS_S[record.body] * NS_PER_S)
        is_quiet &= (stop_ns <= arrival.time_ns - near_ns) | (first_ns > last_ns)
        if arrival.primary:
            begins_ns = np.minimum(stop_ns, arrival.time_ns + near_ns) - np.maximum(first_ns, arrival.time_ns)
            is_event |= 2 * begins_ns > np.minimum(near_ns, stop_ns - first_ns)
    return is_event, is_quiet


def join_windows(parts: Iterable[WindowCalls]) -> WindowCalls:
    """Return the windows of several records as one set."""
    parts = list(parts)
    return WindowCalls(
        np.concatenate([part.is_event for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.called for part in parts]),
        sum(part.n_left_out for part in parts),
    )


def window_figures(passes: Sequence[WindowCalls], window_s: float) -> WindowFigures:
    """Return the figures of several passes (random starts) over the same records."""
    rates = [_rates(calls) for calls in passes]
    return WindowFigures(
        window_s=window_s,
        n_event=float(np.mean([np.sum(calls.is_event) for calls in passes])),
        n_quiet=float(np.mean([np.sum(~calls.is_event) for calls in passes])),
        n_left_out=float(np.mean([calls.n_left_out for calls in passes])),
        **{name: _spread([one[name] for one in rates]) for name in rates[0]},
    )


def auc(is_event: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float | None:
    """Return the area under the receiver operating characteristic; None without windows of both kinds.

    By ranks: (R - n_event (n_event + 1) / 2) / (n_event n_quiet), where R is the sum of the event windows' ranks and
    equal scores share the mean of their ranks.
    """
    n_event, n_quiet = int(np.sum(is_event)), int(np.sum(~is_event))
    if not n_event or not n_quiet:
        return None
    _, place, n_equal = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(n_equal) - (n_equal - 1) / 2  # ranks count from 1
    return float((np.sum(mean_rank[place][is_event]) - n_event * (n_event + 1) / 2) / (n_event * n_quiet))


def _rates(calls: WindowCalls) -> dict[str, float | None]:
    is_event, called = calls.is_event, calls.called
    n_hit, n_called, n_event = int(np.sum(is_event & called)), int(np.sum(called)), int(np.sum(is_event))
    return {
        "accuracy": _ratio(int(np.sum(is_event == called)), len(is_event)),
        "precision": _ratio(n_hit, n_called),
        "recall": _ratio(n_hit, n_event),
        "f1": _ratio(2 * n_hit, n_event + n_called),
        "auc": auc(is_event, calls.scores),
    }


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if len(known) == len(values) else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
