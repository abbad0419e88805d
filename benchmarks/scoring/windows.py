"""Figures by windows, as most papers report them: the record is cut into windows, each an event or quiet.

Windows of a fixed length follow one another from the instant at which scoring begins; the rest at the record's stop is
not used. A window is

- an *event* when it holds the greater part of [t, t + T + p) of a primary arrival, the time in which its signal
  begins, or when the greater part of the window lies in that time;
- *quiet* when it overlaps no arrival's [t - T - p, t + L], primary or not; L is how long an event may be in progress;
- neither in codas, at the edges of events and around secondary arrivals: such windows are left out, and counted.

T and p are those of `edgequake.benchmarks.scoring.scoring`. L is its C, except on Earth, where S and surface waves
follow P for minutes: a detector of events in progress is not wrong there after C = 60 s.

A window's score is the largest value of the detector's characteristic function in it. The window is called an event
when that reaches the detector's threshold. The area under the receiver operating characteristic (AUC) needs no
threshold: it is the probability that an event window scores higher than a quiet one, equal scores counting half.

References
----------
Hanley & McNeil (1982), doi:10.1148/radiology.143.1.7063747: the AUC is the Mann-Whitney statistic over n_event n_quiet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.pooling import ratio, spread
from edgequake.benchmarks.scoring.scoring import BODY_RULES, Detections, reach_ns
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.results.accuracy import Spread, WindowFigures

# A few times the tolerance, so that the window of an emergent event shows more than its first motion. Not longer on
# Earth, where most records have less than a minute of quiet time.
WINDOW_S = {"moon": 900.0, "mars": 300.0, "earth": 30.0}
IN_PROGRESS_S = {"moon": BODY_RULES["moon"].coda_s, "mars": BODY_RULES["mars"].coda_s, "earth": 300.0}


@dataclass(frozen=True)
class WindowCalls:
    """The windows of one record, or of many; all arrays have shape (n_windows,), without the windows left out."""

    is_event: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]  # -inf where the detector gives no value
    called: npt.NDArray[np.bool_]
    n_left_out: int


def call_windows(record: LabelledRecord, start_ns: int, detections: Detections, window_s: float) -> WindowCalls:
    """Cut a record into windows from `start_ns` on, and label and call each of them."""
    edges_ns = window_edges(start_ns, record.stop_ns, window_s)
    if len(edges_ns) < 2:
        return WindowCalls(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0, np.bool_), 0)
    is_event, is_quiet = label_windows(record, edges_ns)
    characteristic = detections.characteristic or CharacteristicFunction.of_onsets(detections.onsets_ns)
    scores = characteristic.window_maxima(edges_ns)
    used = is_event | is_quiet
    called = scores >= characteristic.threshold
    return WindowCalls(is_event[used], scores[used], called[used], int(np.sum(~used)))


def window_edges(start_ns: int, stop_ns: int, window_s: float) -> npt.NDArray[np.int64]:
    """Return the starts of the whole windows in [start, stop) and, last, the stop of the last one."""
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

    The Mann-Whitney statistic by ranks, (R - n_event (n_event + 1) / 2) / (n_event n_quiet): R is the sum of the event
    windows' ranks, and equal scores share the mean of their ranks.
    """
    n_event, n_quiet = int(np.sum(is_event)), int(np.sum(~is_event))
    if not n_event or not n_quiet:
        return None
    ranks = rankdata(scores)
    return float((np.sum(ranks[is_event]) - n_event * (n_event + 1) / 2) / (n_event * n_quiet))


def _rates(calls: WindowCalls) -> dict[str, float | None]:
    is_event, called = calls.is_event, calls.called
    n_hit, n_called, n_event = int(np.sum(is_event & called)), int(np.sum(called)), int(np.sum(is_event))
    return {
        "accuracy": ratio(int(np.sum(is_event == called)), len(is_event)),
        "precision": ratio(n_hit, n_called),
        "recall": ratio(n_hit, n_event),
        "f1": ratio(2 * n_hit, n_event + n_called),
        "auc": auc(is_event, calls.scores),
    }


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if len(known) == len(values) else None
