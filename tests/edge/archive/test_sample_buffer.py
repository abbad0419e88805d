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
