"""The command line: arguments, output and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgequake import __version__, cli
from edgequake.edge.base.errors import ConfigError, DataError, ManifestError, ModelError


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error of a command: one line on stderr, nothing on stdout."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgequake {__version__}\n"


def test_console_script_and_module_are_the_same_program() -> None:
    by_script = subprocess.run([str(Path(sys.executable).with_name("edgequake")), "--help"], capture_output=True)
    by_module = subprocess.run([sys.executable, "-m", "edgequake.cli", "--help"], capture_output=True)
    assert by_script.returncode == by_module.returncode == 0
    assert by_script.stdout == by_module.stdout
    assert b"Usage: edgequake" in by_script.stdout


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["synth"], ["synth", "--out", "x", "--kind", "week"], ["synth", "--out", "x", "--seed", "-1"],
     ["plot"], ["train"], ["convert"], ["bench", "nonsense"],
     ["train", "tiny", "--data", "x", "--out", "y", "--set", "fit.steps"]],
    ids=" ".join,
)  # fmt: skip
def test_usage_error_is_exit_code_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert "Usage: edgequake" in said.err and "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [DataError, ManifestError, ModelError, ConfigError])
def test_expected_errors_become_one_line_and_exit_code_one(
    error: type[Exception], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(folder: Path, seed: int) -> Path:
        raise error("something is wrong:\n expected this, got that")

    monkeypatch.setattr("edgequake.synthetic.synthetic_dataset.write_day", refuse)
    assert cli.main(["synth", "--out", str(tmp_path)]) == 1
    assert refusal(capsys) == "edgequake: error: something is wrong: expected this, got that\n"


def test_interrupt_is_exit_code_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path, seed: int) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgequake.synthetic.synthetic_dataset.write_day", interrupt)
    assert cli.main(["synth", "--out", "x"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("package", "extra"), [("matplotlib", "cli"), ("tensorflow", "desktop"), ("scipy", "desktop")])
def test_the_error_for_a_missing_package_says_what_to_install(
    package: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(folder: Path, seed: int) -> Path:
        raise ModuleNotFoundError(f"No module named '{package}.x'", name=f"{package}.x")

    monkeypatch.setattr("edgequake.synthetic.synthetic_dataset.write_day", lack)
    assert cli.main(["synth", "--out", "x"]) == 1
    assert f"needs the Python package '{package}': pip install 'edgequake[{extra}]'" in refusal(capsys)


def test_a_missing_module_of_the_package_is_a_defect_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(folder: Path, seed: int) -> Path:
        raise ModuleNotFoundError("No module named 'edgequake.nothing'", name="edgequake.nothing")

    monkeypatch.setattr("edgequake.synthetic.synthetic_dataset.write_day", lack)
    with pytest.raises(ModuleNotFoundError, match=r"edgequake\.nothing"):
        cli.main(["synth", "--out", "x"])


def test_the_command_line_without_typer_fails_with_one_line() -> None:
    code = "import sys; sys.modules['typer'] = None; from edgequake.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "edgequake: error: this command needs the Python package 'typer': pip install 'edgequake[cli]'\n"
    )


def test_synth_writes_a_day_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["synth", "--out", str(tmp_path / "day"), "--seed", "3"]) == 0
    (record,) = (tmp_path / "day").glob("*.mseed")
    assert str(record) in capsys.readouterr().out
    assert cli.main(["synth", "--out", str(tmp_path / "again"), "--seed", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["seed"] == 3 and printed["kind"] == "day"
    assert Path(printed["written"]).read_bytes() == record.read_bytes()


def test_synth_refuses_a_folder_that_is_not_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.csv").write_text("precious")
    assert cli.main(["synth", "--kind", "dataset", "--out", str(tmp_path)]) == 1
    assert "is not empty and is not overwritten" in refusal(capsys)


def test_synth_names_the_path_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["synth", "--out", str(tmp_path / "file" / "day")]) == 1
    assert str(tmp_path / "file") in refusal(capsys)
