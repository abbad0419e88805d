"""Samples are compared however they are packed, and in whatever type."""

from __future__ import annotations

import numpy as np
import pytest

from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.samples_read import SamplesRead

from .following import RATE_HZ, Z, rows, time_ns

X = rows(20_000)


def cut(samples: np.ndarray, step: int, first: int = 0, shift_ns: int = 0) -> list[Trace]:
    parts = range(0, len(samples), step)
    return [Trace(Z, time_ns(first + at) + shift_ns, RATE_HZ, samples[at : at + step]) for at in parts]


def read(traces: list[Trace]) -> SamplesRead:
    samples = SamplesRead(RATE_HZ)
    for trace in traces:
        samples.add(trace)
    return samples


def n_unread(samples: SamplesRead, traces: list[Trace]) -> int:
    samples.begin_comparison()
    for trace in traces:
        samples.compare(trace)
    samples.end_comparison(traces[0].start_ns, traces[-1].stop_ns, samples.are_found)
    return sum(len(piece.samples) for trace in traces for piece in samples.unread(trace))


@pytest.mark.parametrize("n_spans", [64, 3, 1])
@pytest.mark.parametrize("kind", [np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shift_ns", [0, 90_000, -90_000])  # times of version 2 are often rounded to 0.1 ms
def test_other_packing_type_and_rounding_are_the_same_samples(kind: type, shift_ns: int, n_spans: int) -> None:
    samples = read(cut(X[:15_000], 149))
    samples.condense(n_spans)
    assert n_unread(samples, cut(X.astype(kind), 997, shift_ns=shift_ns)) == 5000


@pytest.mark.parametrize("at", [0, 7000, 14_999])
def test_one_changed_sample_is_found(at: int) -> None:
    changed = X.copy()
    changed[at] += 1
    assert 5000 < n_unread(read(cut(X[:15_000], 149)), cut(changed, 997)) < 6000
    assert n_unread(read(cut(X[:15_000], 15_000)), cut(changed, 997)) == 20_000


def test_exchanged_samples_are_found() -> None:
    assert n_unread(read(cut(X, 20_000)), cut(X[::-1].copy(), 500)) == 20_000


def test_a_file_cut_within_its_first_span_is_known() -> None:
    assert n_unread(read(cut(X, 20_000)), cut(X[:100], 100)) == 0
    assert n_unread(read(cut(X, 20_000)), cut(X[100:200], 100)) == 100


def test_the_state_is_bounded_and_restored() -> None:
    samples = read(cut(X, 20))
    assert samples.n_spans == 64
    assert n_unread(SamplesRead(RATE_HZ, samples.state()), cut(X, 997)) == 0


def test_samples_before_between_and_behind_are_unread() -> None:
    samples = read([*cut(X[1000:2000], 100, 1000), *cut(X[3000:4000], 100, 3000)])
    whole = Trace(Z, time_ns(0), RATE_HZ, X[:5000])
    pieces = samples.unread(whole)
    assert [(piece.start_ns, len(piece.samples)) for piece in pieces] == [
        (time_ns(0), 1000), (time_ns(2000), 1000), (time_ns(4000), 1000)
    ]  # fmt: skip
