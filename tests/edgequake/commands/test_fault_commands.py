"""`edgequake bench faults` and `bench soak`: output, and exit code 3 where a limit is exceeded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgequake import cli
from edgequake.benchmarks.robustness import fault_reports
from edgequake.edge.base.errors import DataError
from edgequake.results.robustness import Kills, Mutations, Soak
from edgequake.synthetic import synthetic_dataset

KILLS = Kills(
    n_kills=3,
    n_processes=4,
    n_resumed=2,
    lost_rows=0,
    partial_files=0,
    handed_twice=0,
    sent_twice=0,
    days_over_budget=0,
    identical=True,
)
MUTATIONS = Mutations(9, n_done=8, n_refused=1, n_events_kept=7, failures=(), longest_s=0.1, growth_bytes=0)
SOAK = Soak(n_days=3, resident_bytes=(50_000_000, 50_400_000, 50_200_000), growth_bytes=400_000, n_events=6)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, found: Any) -> None:
    """Replace a part of the benchmark by a function that returns the given result."""
    monkeypatch.setattr(fault_reports, name, lambda *arguments, **options: found)


def stand_in_for_kills(monkeypatch: pytest.MonkeyPatch, found: Kills) -> None:
    monkeypatch.setattr(fault_reports, "_kill", lambda *arguments: (found, 4))


def failed_gate(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must exceed a limit: table and JSON are written nevertheless; return the line on stderr."""
    assert cli.main([*arguments, "--out", str(out / "report.json")]) == cli.GATE_FAILED == 3
    said = capsys.readouterr()
    assert "measured" in said.out and "limit" in said.out
    assert said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1, said.err
    (reason,) = json.loads((out / "report.json").read_text())["failed"]
    assert said.err == f"edgequake: error: {reason}\n"
    return said.err


@pytest.mark.long
def test_kills_and_damage_do_no_harm_on_synthetic_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "faults.json"
    assert cli.main(["bench", "faults", "--kills", "2", "--mutations", "8", "--out", str(out)]) == 0
    table = capsys.readouterr().out
    written = json.loads(out.read_text())
    assert "a synthesised day" in table and "a synthesised hour" in table
    assert written["benchmark"] == "faults" and written["failed"] == []
    assert written["n_events"] == len(synthetic_dataset.DAY_ONSETS_H)
    assert written["kills"] == dataclasses.asdict(
        Kills(2, written["kills"]["n_processes"], written["kills"]["n_resumed"], 0, 0, 0, 0, 0, True)
    )
    damaged = written["mutations"]
    assert damaged["n_inputs"] == damaged["n_done"] + damaged["n_refused"] == 8
    assert damaged["n_events_kept"] > 4 and damaged["failures"] == []


@pytest.mark.slow
def test_runs_over_the_largest_record_are_killed_and_the_smallest_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = synthetic_dataset.write_dataset(tmp_path / "data", seed=3, n_train=3, n_val=0, n_test=0)
    by_size = sorted((folder / "moon").glob("*.mseed"), key=lambda file: file.stat().st_size)
    assert cli.main(["bench", "faults", "--kills", "1", "--mutations", "4", "--data", str(folder)]) == 0
    table = capsys.readouterr().out
    assert f"over {by_size[-1].name} " in table and f"copies of {by_size[0].name} " in table


@pytest.mark.parametrize(
    ("harm", "reason"),
    [({"identical": False}, "different from that of an undisturbed run"),
     ({"lost_rows": 2}, "2 acknowledged events were lost"),
     ({"partial_files": 1}, "1 files looked complete"), ({"handed_twice": 2}, "2 were handed over again"),
     ({"sent_twice": 3}, "3 records were sent twice"), ({"days_over_budget": 1}, "1 days exceeded the budget")],
)  # fmt: skip
def test_harm_by_a_kill_exceeds_the_limit(
    harm: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stand_in_for_kills(monkeypatch, dataclasses.replace(KILLS, **harm))
    assert reason in failed_gate(["bench", "faults", "--mutations", "0"], tmp_path, capsys)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [({"failures": ("7: the run hangs",)}, "1 of 9 damaged inputs crashed"),
     ({"growth_bytes": 10_000_001}, "memory grew by 10 MB")],
)  # fmt: skip
def test_harm_by_damaged_input_exceeds_the_limit(
    harm: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stand_in(monkeypatch, "run_mutations", dataclasses.replace(MUTATIONS, **harm))
    assert reason in failed_gate(["bench", "faults", "--kills", "0"], tmp_path, capsys)


@pytest.mark.parametrize(("undisturbed_is_fine", "code"), [(True, 3), (False, 1)])
def test_an_error_counts_only_if_the_uninterrupted_run_had_none(
    undisturbed_is_fine: bool, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(inputs: tuple[str, ...], folder: Path, *arguments: Any, progress: Callable[..., None] | None) -> Kills:
        (folder / "alone").mkdir(parents=True)
        if undisturbed_is_fine:
            (folder / "alone" / "summary.json").write_text("{}")
        raise DataError("the run ended with exit code 1: it hurts")

    monkeypatch.setattr(fault_reports, "kill_and_resume", fail)
    assert cli.main(["bench", "faults", "--mutations", "0"]) == code
    said = capsys.readouterr().err
    assert "it hurts" in said and said.count("\n") == 1
    assert ("killed and resumed" in said) == undisturbed_is_fine


def test_nothing_to_do_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "faults", "--kills", "0", "--mutations", "0"]) == 1
    assert "give --kills, --mutations, --calls, --graphs or --power-loss above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_two_days_in_one_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "soak.json"
    assert cli.main(["bench", "soak", "--days", "2", "--out", str(out)]) == 0
    assert "growth after day 1" in capsys.readouterr().out
    written = json.loads(out.read_text())["soak"]
    first, second = written["resident_bytes"]
    assert 10_000_000 < first < 200_000_000 and written["growth_bytes"] == second - first
    assert written["n_events"] >= 3 and written["growth_bytes"] < 1_500_000


@pytest.mark.parametrize(
    ("found", "reason"),
    [({"growth_bytes": 1_000_000}, "memory grew by 1 MB after day 1"), ({"n_events": 2}, "2 events in 3 days")],
)
def test_growth_or_missing_events_exceed_the_limit(
    found: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stand_in(monkeypatch, "soak", dataclasses.replace(SOAK, **found))
    assert reason in failed_gate(["bench", "soak", "--days", "3"], tmp_path, capsys)


def test_growth_just_under_the_limit_passes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "soak", dataclasses.replace(SOAK, growth_bytes=999_999))
    assert cli.main(["bench", "soak", "--days", "3"]) == 0
    assert "50.4 MB" in capsys.readouterr().out


def test_one_day_shows_no_growth_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "soak", "--days", "1"]) == 2
    assert "Traceback" not in capsys.readouterr().err
