"""Steps of several rows: rows that do not fill a step are kept for the next ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgequake.edge.detection.stepper import StatefulStepper, WindowedStepper


class FirstOfEachStep:
    """A network whose probability is the first number of a step."""

    def reset(self) -> None:
        pass

    def run(self, steps: Any) -> Any:
        assert steps.shape[1:] == (3, 2)
        return steps[:, 0, :1]


def stepper() -> Any:
    return StatefulStepper(
        FirstOfEachStep(),
        SimpleNamespace(network=SimpleNamespace(rows_per_step=3, n_features=2, warmup_steps=0, lag_rows=0)),
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("lengths", [[12], [1] * 12, [2, 5, 4, 1], [4, 0, 8]])
def test_steps_do_not_depend_on_how_rows_are_cut(lengths: list[int]) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    made, start, continuous = [], 0, stepper()
    for length in lengths:
        for last_row, n_rows, probability in continuous.push(rows[start : start + length]):
            assert 0 <= last_row < length  # the row that completes a step is one of those just pushed
            made.append((start + last_row, n_rows, float(probability[0])))
        start += length
    assert made == [(2, 3, 0.0), (5, 3, 6.0), (8, 3, 12.0), (11, 3, 18.0)]


def test_a_restart_drops_the_kept_rows() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    continuous = stepper()
    assert not list(continuous.push(rows[:2]))
    continuous.restart()
    assert [float(probability[0]) for *_, probability in continuous.push(rows[4:8])] == [8.0]


class Counting:
    """A network whose probability is the number of the step since the reset."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def reset(self) -> None:
        self.seen = []

    def run(self, steps: Any) -> Any:
        self.seen += [step.copy() for step in steps]
        return np.arange(len(self.seen) - len(steps), len(self.seen), dtype=np.float32)[:, np.newaxis]

    def run_from(self, n_done: int, steps: Any) -> Any:
        assert n_done == len(self.seen)
        return self.run(steps)


@pytest.mark.parametrize("lengths", [[9], [1] * 9, [3, 4, 2]])
def test_the_steps_of_the_warm_up_are_no_decisions(lengths: list[int]) -> None:
    config = SimpleNamespace(rows_per_step=1, n_features=2, warmup_steps=3, lag_rows=0)
    rows, stepper = np.zeros((9, 2), np.float32), StatefulStepper(Counting(), SimpleNamespace(network=config))  # type: ignore[arg-type]
    made, start = [], 0
    for length in lengths:
        made += [(start + row, p[0]) for row, _, p in stepper.push(rows[start : start + length])]
        start += length
        resumed = StatefulStepper(stepper._network, SimpleNamespace(network=config))  # type: ignore[arg-type]
        resumed.restore(stepper.state())
        stepper = resumed
    assert made == [(row, float(row)) for row in range(3, 9)]
    stepper.restart()
    assert [row for row, *_ in stepper.push(rows[:5])] == [3, 4]


def test_rows_of_zeros_follow_a_window_of_a_late_network() -> None:
    config = SimpleNamespace(rows_per_step=2, n_features=1, window_rows=5, window_hop_rows=3, lag_rows=3)
    network = Counting()
    stepper = WindowedStepper(network, SimpleNamespace(network=config))  # type: ignore[arg-type]
    rows = np.arange(1, 10, dtype=np.float32)[:, np.newaxis]
    assert list(stepper.push(rows)) == [(4, 3, [3.0]), (7, 3, [3.0])]  # the probability of the fourth step
    assert np.concatenate(network.seen)[:, 0].tolist() == [4, 5, 6, 7, 8, 0, 0, 0]
