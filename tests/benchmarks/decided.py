"""Hand-made decisions: probabilities one after another, ten seconds each, from a drawn record's start on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgequake.benchmarks.detectors.replay import Decisions, DecisionTrace, SampleSpans, StreamDecisionTrace
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import TriggerConfig

from .drawing import T0_NS

DECISION_S = 10.0
DECISION_NS = round(DECISION_S * NS_PER_S)

TRIGGER = TriggerConfig(
    onset_thresholds={"low": 0.9, "normal": 0.5, "high": 0.3},
    rearm_ratio=0.5,
    event_threshold=0.5,
    min_duration_s=10.0,
    hold_s=60.0,
    merge_s=300.0,
    max_event_s=3600.0,
    onset_lag_s=0.0,
    pre_roll_s=60.0,
    post_roll_s=120.0,
)


def decisions(onset: Sequence[float], event: Sequence[float] | None = None, first: int = 0) -> Decisions:
    """Return a run of decisions; by default the event's probability is the onset's."""
    start_ns = T0_NS + DECISION_NS * (first + np.arange(len(onset), dtype=np.int64))
    onset_array = np.array(onset, np.float64)
    return Decisions(start_ns, start_ns + DECISION_NS, onset_array, np.array(event or onset, np.float64), start_ns)


def peaks(length_s: float, heights: dict[float, float]) -> Decisions:
    """Return decisions that are zero but for one peak, one decision long, at each of these seconds."""
    onset = np.zeros(round(length_s / DECISION_S))
    for time_s, height in heights.items():
        onset[round(time_s / DECISION_S)] = height
    return decisions(onset.tolist())


def spans_of(length_s: float) -> SampleSpans:
    """Return one whole channel of ten samples a second."""
    return SampleSpans(np.array([T0_NS]), np.array([round(10 * length_s)]), np.array([10.0]))


def trace(record: LabelledRecord, *runs: Decisions, start_ns: int | None = None) -> DecisionTrace:
    """Return the trace of a drawn record that is one stream without gaps."""
    length_s = (record.stop_ns - record.start_ns) / NS_PER_S
    return DecisionTrace(
        record,
        record.start_ns if start_ns is None else start_ns,
        (StreamDecisionTrace(runs, spans_of(length_s), None),),
    )
