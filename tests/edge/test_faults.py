"""Damaged input and long runs: a short form of `edgequake.benchmarks.robustness.crash_recovery`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.crash_recovery import mutated, run_mutations
from edgequake.benchmarks.robustness.extreme_headers import with_extreme_headers
from edgequake.benchmarks.robustness.soak import soak
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import GateError
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.record_scanner import RecordScanner

Write = Callable[..., Path]


@pytest.fixture
def small(write: Write, loud: np.ndarray) -> Path:
    """Return half an hour before and after the quake's rise, one channel."""
    return write("small.mseed", loud[20_000:38_000])


@pytest.mark.slow
def test_damaged_records_end_with_a_summary_or_an_error_message(small: Path) -> None:
    found = run_mutations(small, 20, seed=1)  # `edgequake bench faults` runs ten thousand
    assert found.failures == () and found.n_done + found.n_refused == 20
    assert found.n_done > 16 and found.n_events_kept > 13
    assert found.growth_bytes < 10_000_000


def test_headers_of_extreme_values_cost_their_records_at_most(small: Path) -> None:
    """As files and as streams: no traceback, no time beyond the calendar, and the records beside them are read."""
    data = small.read_bytes()
    n_intact = n_read = 0
    for i in range(150):
        damaged = with_extreme_headers(data, np.random.default_rng([3, i]))
        assert len(damaged) == len(data)
        small.write_bytes(damaged)
        rows = [(data[at : at + 512], damaged[at : at + 512]) for at in range(0, len(data), 512)]
        small.with_name("intact.mseed").write_bytes(b"".join(before for before, after in rows if before == after))
        wanted = {(p.start_ns, p.samples.tobytes()) for p in _traces(small.with_name("intact.mseed"))}
        found = _traces(small)
        scanner = RecordScanner("stream", Diagnostics(), decode=True)
        chunks = [damaged[at : at + 700] for at in range(0, len(damaged), 700)] + [b""]
        found += [record.trace() for chunk in chunks for record in scanner.feed(chunk, at_end=not chunk)]
        for trace in found:
            assert 0.0 < trace.sampling_rate_hz < np.inf and abs(trace.stop_ns) < 2**63 and len(trace.samples)
        n_intact += 2 * len(wanted)
        samples = [(trace.start_ns, trace.samples.tobytes()) for trace in found]
        n_read += sum(samples.count(one) for one in wanted)
    assert n_intact > 6_000 and n_read > 0.999 * n_intact


def test_damage_costs_little_more_than_the_records_hit(small: Path) -> None:
    """A hundred damaged copies, as files and as streams, give the samples of their undamaged records."""
    data = small.read_bytes()
    records = {data[i : i + 512] for i in range(0, len(data), 512)}
    n_intact = n_read = 0
    for i in range(100):
        damaged = mutated(data, np.random.default_rng([7, i]))
        small.write_bytes(damaged)
        whole = [record for record in records if record in damaged]
        small_intact = small.with_name("intact.mseed")
        small_intact.write_bytes(b"".join(whole))
        wanted = {(p.start_ns, p.samples.tobytes()) for p in _traces(small_intact)}
        as_file = {(p.start_ns, p.samples.tobytes()) for p in _traces(small)}
        scanner = RecordScanner("stream", Diagnostics(), decode=True)
        chunks = [damaged[at : at + 512] for at in range(0, len(damaged), 512)] + [b""]
        streamed = [record.trace() for chunk in chunks for record in scanner.feed(chunk, at_end=not chunk)]
        as_stream = {(trace.start_ns, trace.samples.tobytes()) for trace in streamed}
        n_intact += 2 * len(wanted)
        n_read += len(wanted & as_file) + len(wanted & as_stream)
    assert n_intact > 3_000 and n_read > 0.999 * n_intact


def _traces(path: Path) -> list:  # type: ignore[type-arg]
    index = index_file(path)
    return list(read_indexed(index, index.headers, Diagnostics()))


def test_a_run_that_fails_under_the_soak_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="an archive of 5 bytes is too small"):
        soak(2, seed=1, options=("--archive-bytes", "5"))
