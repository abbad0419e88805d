"""`edgequake bench shake`: output, and exit code 3 where a limit is exceeded."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgequake import cli
from edgequake.benchmarks.robustness import shake
from edgequake.results.provenance import provenance
from edgequake.results.robustness import LiveRunCost, ShakeReport

COST = LiveRunCost(90.0, 13.5, resident_bytes=(48_000_000, 49_000_000, 48_500_000, 49_400_000), latest_s=0.01)
REPORT = ShakeReport(
    provenance=provenance(), signal_s=1800.0, speed=20.0, n_datagrams=21_600, n_sent=22_000, n_quakes=11,
    n_file_events=11, n_found=11, largest_onset_s=0.2, n_extra=0, lost_here=0, cost=COST, summary={"warnings": []},
)  # fmt: skip


def stand_in(monkeypatch: pytest.MonkeyPatch, found: ShakeReport) -> list[tuple[Any, ...]]:
    """Replace the benchmark by a function that returns the given result; return its arguments."""
    asked: list[tuple[Any, ...]] = []

    def bench_shake(minutes: float, speed: float, seed: int, progress: Any) -> ShakeReport:
        asked.append((minutes, speed, seed))
        return found

    monkeypatch.setattr(shake, "bench_shake", bench_shake)
    return asked


def test_figures_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stand_in(monkeypatch, REPORT)
    assert cli.main(["bench", "shake", "--out", str(tmp_path / "shake.json")]) == 0
    table = [re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    rows = {name: cells for name, *cells in table}
    assert asked == [(30.0, 20.0, 1)]
    assert rows["found live, onset within 1 s"] == ["11", "all"] and rows["at the speed of a Shake"] == ["0.75%"]
    written = json.loads((tmp_path / "shake.json").read_text())
    assert written["benchmark"] == "shake" and written["failed"] == [] and written["cpu_share"] == 0.15
    assert written["growth_bytes"] == 400_000


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ({"n_found": 10}, "10 of the 11 events of the file's run were found live"),
        ({"n_file_events": 0, "n_found": 0}, "0 of the 0 events"),
        ({"lost_here": 3}, "3 datagrams arrived faster than the run could receive them"),
        ({"cost": dataclasses.replace(COST, resident_bytes=(48_000_000, 49_000_000))}, "memory grew by 1 MB"),
    ],
)
def test_a_figure_beyond_its_limit_gives_exit_code_three(
    harm: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, dataclasses.replace(REPORT, **harm))
    assert cli.main(["bench", "shake"]) == cli.GATE_FAILED == 3
    said = capsys.readouterr()
    assert "measured" in said.out and reason in said.err and said.err.count("\n") == 1


def test_too_short_a_signal_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "shake", "--minutes", "1"]) == 2
    assert "Traceback" not in capsys.readouterr().err
