"""Steps of several rows: rows that do not fill a step are kept for the next ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgequake.edge.detection.network import StatefulStepper


class FirstOfEachStep:
    """A network whose probability is the first number of a step."""

    def reset(self) -> None:
        pass

    def run(self, steps: Any) -> Any:
        assert steps.shape[1:] == (3, 2)
        return steps[:, 0, :1]


def stepper() -> Any:
    return StatefulStepper(
        FirstOfEachStep(), SimpleNamespace(network=SimpleNamespace(rows_per_step=3, n_features=2, warmup_steps=0))
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
