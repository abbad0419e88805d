"""The help of every command: an example that the command takes, words instead of Python's types, one `--json`."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from edgequake import cli
from edgequake.commands.app import app
from edgequake.commands.help_pages import EXAMPLES
from edgequake.edge.__main__ import main as edge_main
from edgequake.synthetic import synthetic_dataset

TYPE_NAMES = re.compile(r"<[a-z\[\]| ]+>|\b(TEXT|INTEGER|FLOAT|PATH|DIRECTORY|BOOLEAN)\b(?! *\w*\.)")


def leaves(command: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    return {words: leaf for name, sub in command.commands.items() for words, leaf in leaves(sub, (*path, name)).items()}


COMMANDS = leaves(typer.main.get_command(app))


def page(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.output


def test_run_comes_first_and_commands_stand_in_groups() -> None:
    text = page()
    titles = re.findall(r"^([A-Z].*):$", text, re.MULTILINE)
    assert titles == ["Options", "Detect quakes", "Records and labels", "Models", "Measure"]
    names = re.findall(r"^  ([a-z][a-z-]+) +[A-Z]", text, re.MULTILINE)
    assert names[:5] == ["run", "status", "plot", "export", "report"] and names[-1] == "bench"
    assert "--install-completion" in text and "..." not in text.partition("[ARGS]...")[2]  # no sentence is cut off
    assert re.findall(r"^([A-Z].*):$", page("bench"), re.MULTILINE) == [
        "Options", "Accuracy", "Cost", "Robustness", "Everything"
    ]  # fmt: skip


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_help_has_examples_and_no_type_names(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if words == "run":  # the runner's own parser
        with pytest.raises(SystemExit):
            edge_main(["run", "--help"], program="edgequake")
        text = capsys.readouterr().out
    else:
        text = page(*words.split())
    examples = re.findall(rf"^ +(edgequake {words} .*)$", text, re.MULTILINE)
    usage = text.partition("\n\n")[0]
    assert words == "run" or ("{" not in usage and re.search(r"x[<>]=", text) is None)  # typer's arguments and limits
    assert examples and TYPE_NAMES.search(text.partition("xamples:")[0].replace("PATH  ", "")) is None, text


@pytest.mark.parametrize(("words", "line"), [(words, line) for words, lines in EXAMPLES.items() for line in lines])
def test_examples_use_options_that_exist(words: str, line: str) -> None:
    given = shlex.split(line)
    assert given[: 1 + len(words.split())] == ["edgequake", *words.split()]
    command = COMMANDS[words]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if words != "run":
        assert {option for option in given if option.startswith("--")} <= known
        needed = {name for one in command.params if one.required for name in one.opts[-1:] if name.startswith("--")}
        environment = {"--data"}  # may come from EDGEQUAKE_DATA
        assert needed - environment <= set(given)


def test_json_has_one_meaning() -> None:
    options = [parameter for command in COMMANDS.values() for parameter in command.params if "--json" in parameter.opts]
    assert len(options) > 15 and all(option.is_flag for option in options)
    assert {option.help for option in options} == {"Print one JSON object instead of text."}


@pytest.mark.parametrize(
    "program",
    ["from edgequake.cli import main; sys.exit(main(['report', '--markdown', *sys.argv[1:]]))",
     "from edgequake.edge.__main__ import main; sys.exit(main(['run', '--help']))"],
    ids=["edgequake", "edgequake-edge"],
)  # fmt: skip
def test_nothing_is_said_when_nobody_reads(program: str, root: Path) -> None:
    results = sorted(str(path) for path in (root / "docs/results").glob("*-test.json"))
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.stdin.read(); {program}", *results],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdout.close()  # before the program begins
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    code = process.wait()
    assert code == 141 or (code == 0 and "--help" in program)  # argparse overlooks it


def test_status_is_that_of_the_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = synthetic_dataset.write_miniseed(
        synthetic_dataset.synthetic_record(np.random.default_rng(1), 1200.0), tmp_path / "d.mseed"
    )
    assert cli.main(["run", str(day), "--out", str(tmp_path / "out"), "--archive-bytes", "1000000"]) == 0
    capsys.readouterr()
    assert cli.main(["status", str(tmp_path / "out"), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert edge_main(["status", str(tmp_path / "out"), "--json"]) == 0
    assert ours.keys() == json.loads(capsys.readouterr().out).keys() and len(ours) > 5
    assert cli.main(["status", str(tmp_path)]) == 1
    assert "has neither status.json nor summary.json" in capsys.readouterr().err
