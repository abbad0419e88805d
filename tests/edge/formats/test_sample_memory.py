"""Samples that came before are known in other cuts and with jitter; the same samples at another time are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgequake.edge.formats.sample_memory import SampleMemory
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns

RATE_HZ = 100.0
START_NS = 1_900_000_000 * NS_PER_S
N = 100_000


def records(samples: np.ndarray, rng: np.random.Generator, longest: int, start_ns: int = START_NS) -> Iterator[Trace]:
    """Yield records of random lengths whose clock jitters by 5 % of a sample."""
    first = 0
    while first < len(samples):
        n = int(rng.integers(longest // 2, longest))
        late_ns = round(rng.uniform(-0.05, 0.05) * NS_PER_S / RATE_HZ)
        yield Trace("FDSN:XX_A__H_H_Z", start_ns + duration_ns(first, RATE_HZ) + late_ns, RATE_HZ,
                    samples[first : first + n])  # fmt: skip
        first += n


def shares(memory: SampleMemory, traces: Iterator[Trace]) -> tuple[float, float]:
    """Return the share of traces that are known, and of those of which nothing is known; the rest is undecided."""
    answers = [memory.knows(trace) for trace in traces]
    return answers.count(True) / len(answers), answers.count(False) / len(answers)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_samples_are_known_however_they_are_cut(dtype: type) -> None:
    rng = np.random.default_rng(1)
    samples = np.cumsum(rng.integers(-3, 4, N)).astype(dtype)
    memory = SampleMemory()
    for record in records(samples, rng, 400):
        memory.add(record)
    known, new = shares(memory, records(samples, rng, 3000))
    assert known >= 0.97 and new <= 0.01
    known, new = shares(memory, records(samples, rng, 3000, START_NS - 5 * NS_PER_S))
    assert known <= 0.01 and new >= 0.97
    known, new = shares(memory, records(samples + samples.dtype.type(1), rng, 3000))
    assert known <= 0.01 and new >= 0.97


def test_what_is_too_short_is_undecided_and_a_flat_channel_is_known_by_the_minute() -> None:
    rng, memory = np.random.default_rng(2), SampleMemory()
    flat = Trace("FDSN:XX_A__H_H_Z", START_NS, RATE_HZ, np.full(N, 7, np.int32))
    memory.add(flat)
    assert memory.knows(replace(flat, samples=flat.samples[:7])) is None
    assert memory.knows(replace(flat, samples=rng.integers(0, 99, 8).astype(np.int32))) is None
    assert memory.knows(replace(flat, samples=flat.samples[: 61 * 100])) is True
    assert memory.knows(replace(flat, samples=flat.samples[: 61 * 100] + 1)) is False
    assert memory.knows(replace(flat, start_ns=START_NS - 3600 * NS_PER_S)) is False


def test_the_oldest_are_forgotten_and_the_state_continues() -> None:
    rng, memory = np.random.default_rng(3), SampleMemory()
    hours = [
        Trace("FDSN:XX_A__H_H_Z", START_NS + i * 3600 * NS_PER_S, RATE_HZ, rng.integers(-9999, 9999, 360_000))
        for i in range(10)
    ]
    for hour in hours:
        memory.add(hour)
    other = SampleMemory()
    other.restore(memory.state())
    for one in (memory, other):
        assert [one.knows(hour) for hour in hours[:4]] == [False] * 4
        assert [one.knows(hour) for hour in hours[5:]] == [True] * 5
        one.add(replace(hours[0], start_ns=START_NS + 20 * 3600 * NS_PER_S))
        assert one.knows(hours[-1]) and not one.knows(hours[0])
    assert len(memory.state()["keys"].tobytes()) == 1 << 15
