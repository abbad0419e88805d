"""`edgequake bench latency|footprint|energy|all`: options, files of results, and references."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgequake import cli
from edgequake.benchmarks.cost import latency_runs
from edgequake.commands import bench_all
from edgequake.commands.bench_cost import ENVIRONMENTS, interpreters
from edgequake.results.cost import Consumer, EnergyReport, Estimate, Work
from edgequake.results.provenance import Provenance


def small_report(cycles: float = 1000.0) -> EnergyReport:
    """Return a report of `bench energy` about one detector and one device; its label names the cycles."""
    machine = Provenance("2030-01-01T00:00:00Z", "toy", "toy", 1, "toy", "3.11", {})
    work = Work(1.0, True, 1.0, 1.0, 1.0)
    estimate = Estimate("toy", cycles, 0.5, 0.1, 1.0, 1.0, 1.0, 1.0, None)
    return EnergyReport(machine, f"{cycles:g} cycles", (Consumer("STA/LTA", None, "moon", work, (estimate,)),), ())


def test_energy_is_estimated_and_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "energy.json"
    arguments = ["bench", "energy", "--model", "moon", "--no-measure"]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["benchmark"] == "energy" and "ESTIMATE" in written["label"]
    assert written["consumers"][0]["model"]["name"] == "moon"
    assert "AN ESTIMATE" in capsys.readouterr().out
    assert cli.main([*arguments, "--check", str(out)]) == 0


def test_each_figure_worse_than_the_reference_is_listed_and_the_exit_code_is_three(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "energy.json"
    arguments = ["bench", "energy", "--model", "moon", "--no-measure"]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    reference = json.loads(out.read_text())
    for estimate in reference["consumers"][0]["estimates"]:
        estimate["cycles_per_s"] /= 2
    out.write_text(json.dumps(reference))
    capsys.readouterr()
    assert cli.main([*arguments, "--check", str(out)]) == cli.GATE_FAILED == 3
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert [line.startswith("worse: moon int8, moon, ") for line in lines] == [True] * 5 + [False]
    assert "the estimated work is 2.00 times" in lines[0]
    assert lines[-1] == f"edgequake: error: 5 figures worse than {out} allows"
    assert "AN ESTIMATE" in said.out  # the table is printed nevertheless


@pytest.mark.parametrize("command", ["latency", "footprint", "energy"])
def test_a_missing_reference_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("latency_runs.bench_latency", "footprint.bench_footprint", "energy.bench_energy"):
        monkeypatch.setattr(f"edgequake.benchmarks.cost.{module}", lambda *arguments, **options: small_report())
    assert cli.main(["bench", command, "--check", str(tmp_path / "none.json")]) == 1
    assert "none.json cannot be read as results" in capsys.readouterr().err


def test_options_of_latency_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}

    def measure(models: Any, variant: Any, **options: Any) -> EnergyReport:
        passed.update(options, models=models, variant=variant)
        return small_report()

    monkeypatch.setattr(latency_runs, "bench_latency", measure)
    monkeypatch.delenv(ENVIRONMENTS, raising=False)
    arguments = "--model moon --model mars --variant int8 --also earth --python py --threads 4 --rounds 2 --steps 200"
    assert cli.main(["bench", "latency", *arguments.split(), "--no-days", "--no-baselines"]) == 0
    del passed["progress"]
    assert passed == {
        "models": ["moon", "mars"], "variant": "int8", "also": ["earth"], "pythons": ["py"], "threads": (4,),
        "n_rounds": 2, "n_steps": 200, "whole_days": False, "baselines": False,
    }  # fmt: skip


def test_lander_environments_are_read_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENTS, f"tflite-runtime=no Python 3.11 here;ai-edge-litert={sys.executable}")
    assert interpreters(None) == [sys.executable]
    assert interpreters([Path("mine")]) == ["mine"]
    monkeypatch.delenv(ENVIRONMENTS)
    assert interpreters(None) == []


def test_all_writes_one_file_per_benchmark_and_compares_with_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def costs(*arguments: Any) -> Any:
        yield "latency", lambda tell: small_report()
        yield "footprint", lambda tell: small_report(1040.0)
        yield "energy", lambda tell: small_report(1500.0)

    monkeypatch.setattr(bench_all, "_costs", costs)
    monkeypatch.delenv("EDGEQUAKE_DATA", raising=False)
    first = tmp_path / "first"
    assert cli.main(["bench", "all", "--out", str(first)]) == 0
    assert sorted(path.name for path in first.iterdir()) == ["energy.json", "footprint.json", "latency.json"]
    assert "== footprint\n1040 cycles\n" in capsys.readouterr().out
    for name in ("latency", "footprint"):
        (first / f"{name}.json").write_text(json.dumps(small_report().to_json()))
    (first / "energy.json").unlink()
    assert cli.main(["bench", "all", "--out", str(tmp_path / "second"), "--check", str(first)]) == 0
    assert "energy.json: no such file" in capsys.readouterr().err
    (first / "energy.json").write_text(json.dumps(small_report().to_json()))
    assert cli.main(["bench", "all", "--out", str(tmp_path / "third"), "--check", str(first)]) == 3
    said = capsys.readouterr().err
    assert said.count("worse: ") == 1 and "1 figure worse than" in said
    assert len(list((tmp_path / "third").iterdir())) == 3  # everything is measured and written before the comparison


def test_all_scores_every_shipped_model_on_both_splits_with_the_others_of_its_body(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: dict[str, list[str]] = {}

    def run(program: Sequence[str], arguments: list[str]) -> str:
        scored[Path(arguments[-1]).stem] = arguments
        return f"table of {Path(arguments[-1]).stem}"

    monkeypatch.setattr(bench_all, "_costs", lambda *arguments: iter(()))
    monkeypatch.setattr(bench_all, "_run", run)
    out = tmp_path / "out"
    assert cli.main(["bench", "all", "--out", str(out), "--data", str(tmp_path), "--also", "moon", "--seeds", "3"]) == 0
    assert list(scored) == [f"{body}-{split}" for body in ("earth", "mars", "moon") for split in ("val", "test")]
    assert scored["moon-val"] == [
        "bench", "accuracy", "--model", "moon", "--data", str(tmp_path), "--split", "val", "--seeds", "3", "--curves",
        "--also", "moon", "--out", str(out / "moon-val.json"),
    ]  # fmt: skip
    assert "--also" not in scored["mars-test"]
    assert "== earth-test\ntable of earth-test\n" in capsys.readouterr().out


def test_the_error_of_a_failed_accuracy_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    every_command = bench_all._accuracy_commands
    monkeypatch.setattr(bench_all, "_costs", lambda *arguments: iter(()))
    monkeypatch.setattr(
        bench_all, "_accuracy_commands", lambda *arguments: dict(list(every_command(*arguments).items())[:1])
    )
    assert cli.main(["bench", "all", "--out", str(tmp_path / "out"), "--data", str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edgequake: error: edgequake bench accuracy --model earth: ") and said.count("\n") == 1
    assert "nowhere" in said


def test_all_refuses_a_reference_that_is_not_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "all", "--out", str(tmp_path / "out"), "--check", str(tmp_path / "none")]) == 1
    assert "is not a folder: expected one that `bench all` wrote" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
