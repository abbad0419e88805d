"""A fixed piece of work that measures the speed of a machine: times divided by its time can be compared.

It resembles a step of a small graph and a block of the front end: small arrays copied from Python, products of small
matrices, a spectrum, rounding. Do not change it, or every committed reference has to be measured again.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

N_ROUNDS = 40  # some 2 ms in all on a desktop


def kernel_s(n_times: int = 5) -> float:
    """Return the median wall time of the fixed work, in seconds, after a warm-up round."""
    _work()
    times = []
    for _ in range(n_times):
        begun = time.perf_counter()
        _work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _work() -> float:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((64, 64)).astype(np.float32)
    state, target = np.zeros(64, np.float32), np.zeros(64, np.int8)
    window = rng.standard_normal((4, 256))
    total = 0.0
    for _ in range(N_ROUNDS):
        state = np.tanh(weights @ state + np.float32(0.1))
        target[...] = np.rint(state * 127.0)
        spectrum = np.fft.rfft(window, axis=1)
        total += float(np.sum(np.log10(spectrum.real**2 + spectrum.imag**2 + 1.0)))
        for value in target.tolist():
            total += value
    return total
