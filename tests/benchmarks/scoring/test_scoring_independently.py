"""The scorer compared with an independent one, on random records.

The other one is written from docs/scoring.md alone and works on boolean seconds and lists of tuples; it shares no code
with `edgequake.benchmarks.scoring.scoring`. All times are whole seconds, for which closed and half-open intervals do
not differ by anything measurable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from edgequake.benchmarks.scoring.pooling import pool
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, detections, record

LENGTH_S = {"moon": 40_000, "mars": 9000, "earth": 700}
TOLERANCE_S, CODA_S = {"moon": 300, "mars": 60, "earth": 5}, {"moon": 3600, "mars": 1200, "earth": 60}


@dataclass
class Case:
    """The input of both scorers, in seconds after the record's start."""

    body: str
    length: int
    start: int
    arrivals: list[tuple[int, int, bool, str]]  # time, precision, primary, group
    onsets: list[int]
    kept: list[tuple[int, int]]

    def record(self) -> LabelledRecord:
        drawn = [arrival(time, float(precision), primary, group) for time, precision, primary, group in self.arrivals]
        return record(self.length, *drawn, body=self.body)

    def scored(self) -> RecordScore:
        said = detections(*self.onsets, kept=tuple((float(a), float(b)) for a, b in self.kept))
        return score_record(self.record(), at(self.start), said)


@dataclass
class Expected:
    """The other scorer's result."""

    errors: dict[int, int | None]  # place in Case.arrivals -> onset minus arrival
    captured: dict[int, bool]
    false: list[int]
    extra: list[int]
    kept: int  # seconds, here and below
    quiet: int
    kept_quiet: int


def draw(rng: np.random.Generator) -> Case:
    """Draw a case in which everything happens often: near misses, overlaps, events at one instant, early arrivals."""
    body = str(rng.choice(["moon", "mars", "earth"]))
    length, near = LENGTH_S[body], TOLERANCE_S[body]
    times = [int(t) for t in rng.integers(-near, length + near, rng.integers(0, 5))]
    times += [time + int(rng.integers(0, 2 * near)) for time in times if rng.random() < 0.4]
    arrivals = [
        (time, int(rng.integers(0, near + 1)), bool(rng.random() < 0.7), str(rng.choice(["a", "b", "c"])))
        for time in times
    ]
    onsets = [int(t) for t in rng.integers(0, length, rng.integers(0, 6))]
    for time, precision, _, _ in arrivals:
        edges = [-near - precision, near + precision, CODA_S[body], 0, int(rng.integers(-2 * near, 2 * near + 1))]
        onsets += [time + int(edge) + int(rng.integers(-1, 2)) for edge in edges if rng.random() < 0.35]
    kept = [(onset - int(rng.integers(0, 2 * near)), onset + int(rng.integers(0, 4 * near))) for onset in onsets]
    start = int(rng.integers(0, length // 3))
    return Case(body, length, start, arrivals, onsets, kept)


def expected(case: Case) -> Expected:
    """Score a case by the rule as it is documented."""
    near, coda = TOLERANCE_S[case.body], CODA_S[case.body]
    waiting = sorted(case.onsets)
    errors: dict[int, int | None] = {}
    # In time order; of those at one instant a primary one first, else as they are listed.
    for place, (time, precision, _, _) in sorted(enumerate(case.arrivals), key=lambda one: (one[1][0], -one[1][2])):
        reach = near + precision
        taken = [onset for onset in waiting if time - reach <= onset <= time + reach][:1]
        errors[place] = taken[0] - time if taken else None
        for onset in taken:
            waiting.remove(onset)

    def is_explained(onset: int) -> bool:
        return any(time - near - precision <= onset <= time + coda for time, precision, _, _ in case.arrivals)

    margin = 2 * case.length  # seconds before the record's start that the masks hold too
    kept, excused = np.zeros(6 * case.length, bool), np.zeros(6 * case.length, bool)
    for first, stop in case.kept:
        kept[margin + first : margin + stop] = True
    for time, precision, _, _ in case.arrivals:
        excused[margin + time - near - precision : margin + time + coda] = True
    scored = np.zeros_like(kept)
    scored[margin + case.start : margin + case.length] = True
    captured = {}
    for place, (time, precision, _, _) in enumerate(case.arrivals):
        # The last instant of [t - 30, t + T + p] belongs to it: a segment that begins there still meets it.
        captured[place] = any(
            first <= time + near + precision and stop > time - 30 and stop > first for first, stop in case.kept
        )
    return Expected(
        errors=errors,
        captured=captured,
        false=sorted(onset for onset in waiting if not is_explained(onset)),
        extra=sorted(onset for onset in waiting if is_explained(onset)),
        kept=int((kept & scored).sum()),
        quiet=int((scored & ~excused).sum()),
        kept_quiet=int((scored & ~excused & kept).sum()),
    )


@pytest.mark.parametrize("seed", range(400))
def test_every_count_and_time_of_a_random_record(seed: int) -> None:
    case = draw(np.random.default_rng(seed))
    score, wanted = case.scored(), expected(case)
    assert len(score.arrivals) == len(case.arrivals)
    ours = [(row.arrival.time_ns, row.arrival.precision_s, row.arrival.primary, row.onset_error_s, row.captured)
            for row in score.arrivals]  # fmt: skip
    theirs = [
        (at(time), float(precision), primary, wanted.errors[place], wanted.captured[place])
        for place, (time, precision, primary, _) in enumerate(case.arrivals)
    ]
    assert sorted(ours, key=repr) == sorted(((*row[:3], _float(row[3]), row[4]) for row in theirs), key=repr)
    assert [(onset - T0_NS) // NS_PER_S for onset in sorted(score.false_ns)] == wanted.false
    assert [(onset - T0_NS) // NS_PER_S for onset in sorted(score.extra_ns)] == wanted.extra
    assert score.scored_ns == (case.length - case.start) * NS_PER_S
    assert score.kept_ns == wanted.kept * NS_PER_S
    # The spans are closed: each costs quiet time its last nanosecond.
    n_spans = len(case.arrivals)
    assert score.quiet_ns == pytest.approx(wanted.quiet * NS_PER_S, abs=n_spans)
    assert score.kept_quiet_ns == pytest.approx(wanted.kept_quiet * NS_PER_S, abs=n_spans)


@pytest.mark.parametrize("seed", range(40))
def test_rates_over_several_random_records(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    cases = [draw(rng) for _ in range(rng.integers(1, 8))]
    pooled = pool(case.scored() for case in cases)
    answers = [expected(case) for case in cases]
    primaries = [
        (answer.errors[place], answer.captured[place], group)
        for case, answer in zip(cases, answers, strict=True)
        for place, (_, _, primary, group) in enumerate(case.arrivals)
        if primary
    ]
    n, n_found = len(primaries), sum(error is not None for error, _, _ in primaries)
    n_false = sum(len(answer.false) for answer in answers)
    assert (pooled.n_arrivals, pooled.n_recalled, pooled.n_false) == (n, n_found, n_false)
    assert pooled.n_extra == sum(len(answer.extra) for answer in answers)
    assert pooled.n_captured == sum(captured for _, captured, _ in primaries)
    recall, precision = _divided(n_found, n), _divided(n_found, n_found + n_false)
    assert _same(pooled.recall, recall) and _same(pooled.precision, precision)
    if recall and precision:
        assert pooled.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    quiet_s = sum(answer.quiet for answer in answers)
    assert _same(pooled.false_per_quiet_day, _divided(n_false * 86_400, quiet_s))
    assert _same(pooled.wasted, _divided(sum(answer.kept_quiet for answer in answers), quiet_s))
    assert _same(pooled.kept, sum(a.kept for a in answers) / sum(case.length - case.start for case in cases))
    long = [(case, answer) for case, answer in zip(cases, answers, strict=True) if case.length >= 36_000]
    kept_long = _divided(sum(a.kept for _, a in long), sum(case.length - case.start for case, _ in long))
    assert _same(pooled.kept_long, kept_long)
    by_group = [[error is not None for error, _, one in primaries if one == group] for group in "abc"]
    shares = [sum(found) / len(found) for found in by_group if found]
    assert pooled.n_groups == len(shares)
    assert _same(pooled.group_recall, _divided(sum(shares), len(shares)))
    errors = sorted(abs(error) for error, _, _ in primaries if error is not None)
    assert _same(pooled.mean_onset_error_s, _divided(sum(errors), len(errors)))
    assert _same(pooled.onset_error_s, float(np.median(errors)) if errors else None)


def test_the_random_records_hold_every_kind_of_detection() -> None:
    """A comparison on empty records would prove nothing."""
    cases = [draw(np.random.default_rng(seed)) for seed in range(400)]
    answers = [expected(case) for case in cases]
    assert sum(len(answer.false) for answer in answers) > 200
    assert sum(len(answer.extra) for answer in answers) > 200
    errors = [error for answer in answers for error in answer.errors.values()]
    assert sum(error is None for error in errors) > 100 and sum(error is not None for error in errors) > 300
    captured = [hit for answer in answers for hit in answer.captured.values()]
    assert 100 < sum(captured) < len(captured) - 100


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _divided(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
