"""Latency: hand-made step times, and processes that say what they cost."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgequake.benchmarks.latency import N_WARMUP_STEPS, _measure, summarise_steps, time_steps
from edgequake.edge.errors import ModelError


def manifest(**network: object) -> SimpleNamespace:
    """Stand in for a manifest: hops of 64 samples at 6.4 Hz, a row each."""
    defaults = {"rows_per_step": 1, "n_features": 9, "window_rows": None, "window_hop_rows": None}
    return SimpleNamespace(
        sampling_rate_hz=6.4,
        front_end=SimpleNamespace(hop_samples=64, rows_per_block=1),
        network=SimpleNamespace(**defaults | network),
    )


def test_percentiles_and_cost_by_hand() -> None:
    times_s = np.arange(1, 102, dtype=np.float64) * 1e-6  # 1..101 us: percentile p is p + 1
    step = summarise_steps(times_s, manifest())
    assert (step.p50_us, step.p95_us, step.p99_us, step.max_us) == pytest.approx((51, 96, 100, 101))
    assert step.mean_us == pytest.approx(51)
    assert step.signal_s == pytest.approx(10)  # 64 samples at 6.4 Hz
    assert step.us_per_signal_s == pytest.approx(5.1)


def test_overlapping_windows_cost_each_row_again() -> None:
    step = summarise_steps(np.full(10, 20e-6), manifest(rows_per_step=2, window_rows=100, window_hop_rows=50))
    assert step.signal_s == pytest.approx(20)
    assert step.us_per_signal_s == pytest.approx(2.0)  # 20 us for 20 s, twice


def test_rows_of_a_waveform_are_samples() -> None:
    waveform = manifest(rows_per_step=2)
    waveform.front_end.rows_per_block = 64
    assert summarise_steps(np.full(10, 20e-6), waveform).signal_s == pytest.approx(2 / 6.4)


def test_steps_are_timed_one_by_one_after_a_warm_up() -> None:
    shapes: list[tuple[int, ...]] = []
    times_s = time_steps(lambda rows: shapes.append(rows.shape), manifest(rows_per_step=2), n_steps=20)
    assert len(times_s) == 20
    assert (times_s > 0).all()
    assert set(shapes) == {(2, 9)}
    assert len(shapes) == 20 + N_WARMUP_STEPS


def test_a_process_is_measured_whole() -> None:
    work = "import time; held = bytearray(120_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.3)"
    large = _measure([sys.executable, "-c", work])
    assert large.wall_s > 0.3
    assert large.peak_rss_bytes > 120e6


def test_a_small_process_is_not_charged_for_a_large_benchmark() -> None:
    held = np.ones(40_000_000)  # 320 MB in this process
    small = _measure([sys.executable, "-c", "pass"])
    assert len(held) and small.peak_rss_bytes < 60e6
    assert small.wall_s > small.cpu_s * 0.5 > 0


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(ModelError, match="gave exit code 3: no such model"):
        _measure([sys.executable, "-c", "print('no such model'); raise SystemExit(3)"])
