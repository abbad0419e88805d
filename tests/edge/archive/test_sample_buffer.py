"""Contiguous traces are merged, and only those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgequake.edge.formats.waveforms import Trace, merge_contiguous

RATE_HZ = 6.625


def _trace(first: int, samples: object, channel: str = "Z") -> Trace:
    start_ns = round(first * 1e9 / RATE_HZ)
    return Trace(f"FDSN:XX_LUN_00_M_H_{channel}", start_ns, RATE_HZ, np.asarray(samples, np.int32))


def test_contiguous_traces_are_merged_across_other_channels() -> None:
    traces = [_trace(0, [1, 2, 3]), _trace(0, [7, 8], "N"), _trace(3, [4]), _trace(2, [9], "N"), _trace(4, [5, 6])]
    vertical, north = merge_contiguous(traces)
    assert (vertical.start_ns, list(vertical.samples)) == (0, [1, 2, 3, 4, 5, 6])
    assert (north.source_id[-1], list(north.samples)) == ("N", [7, 8, 9])
    assert vertical.samples.dtype == np.int32


def test_gaps_overlaps_and_changes_of_rate_or_dtype_are_not_merged() -> None:
    traces = [
        _trace(0, [1, 2, 3]),
        _trace(4, [4]),  # one sample is missing before it
        _trace(4, [4]),  # a duplicate
        replace(_trace(5, [5]), sampling_rate_hz=13.25),
        replace(_trace(6, []), samples=np.array([0.5], np.float32)),
    ]
    assert [list(trace.samples) for trace in merge_contiguous(traces)] == [[1, 2, 3], [4], [4], [5], [0.5]]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(-2, 2)), max_size=20))
def test_every_sample_keeps_its_time_and_value(steps: list[tuple[int, int, int]]) -> None:
    next_at, traces = [0, 0], []
    for channel, n_samples, jump in steps:
        first = next_at[channel] + jump
        traces.append(_trace(first, np.arange(first, first + n_samples), "ZN"[channel]))
        next_at[channel] = first + n_samples

    def dated(traces: list[Trace]) -> list[tuple[str, int, int]]:
        rows = [
            (trace.source_id, round(trace.start_ns * RATE_HZ / 1e9 + i), int(value))
            for trace in traces
            for i, value in enumerate(trace.samples)
        ]
        return sorted(rows)

    assert dated(merge_contiguous(traces)) == dated(traces)
    assert all(at == value for _, at, value in dated(merge_contiguous(traces)))


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(-0.45, 0.45), st.floats(-1e-3, 1e-3)), min_size=1, max_size=30)
)
def test_jittering_starts_and_flickering_rates_within_half_a_sample_are_joined(
    pieces: list[tuple[int, float, float]],
) -> None:
    first, traces = 0, []
    for n_samples, jitter, flicker in pieces:
        start_ns = round((first + (jitter if traces else 0.0)) * 1e9 / RATE_HZ)
        rate_hz = RATE_HZ * (1 + flicker * 0.04 / max(n_samples, 40) * 40) if traces else RATE_HZ
        traces.append(Trace("FDSN:XX_LUN_00_M_H_Z", start_ns, rate_hz, np.arange(first, first + n_samples)))
        first += n_samples
    (whole,) = merge_contiguous(traces)
    assert (whole.start_ns, whole.sampling_rate_hz) == (0, RATE_HZ)
    np.testing.assert_array_equal(whole.samples, np.arange(first))


def test_beyond_half_a_sample_at_either_end_traces_are_not_joined() -> None:
    late = replace(_trace(3, [4, 5]), start_ns=round(3.52 * 1e9 / RATE_HZ))
    assert len(merge_contiguous([_trace(0, [1, 2, 3]), late])) == 2
    slow = replace(_trace(3, np.arange(1000)), sampling_rate_hz=RATE_HZ * (1 - 9e-4))  # its end is 0.9 samples late
    assert len(merge_contiguous([_trace(0, [1, 2, 3]), slow])) == 2
