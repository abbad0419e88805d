"""Everything that the README and the pages mention exists: make targets, commands and their options, files."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from edgequake import cli
from edgequake.commands.app import app
from edgequake.edge.__main__ import _parser
from edgequake.edge.__main__ import main as edge_main
from edgequake.synthetic import synthetic_dataset

SCREEN_LINES = 60  # of the README, which is one screen on a desktop
FIRST_LINES = 14  # of these, the picture and the two commands


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def pages(root: Path) -> dict[str, str]:
    paths = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def leaf_commands(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return each command of the typer application except groups, by the words that call it."""
    if not hasattr(command, "commands"):
        return {path: command}
    leaves: dict[tuple[str, ...], Any] = {}
    for name, sub in command.commands.items():
        leaves |= leaf_commands(sub, (*path, name))
    return leaves


COMMANDS = leaf_commands(typer.main.get_command(app))


def shell_lines(page: str, program: str) -> list[str]:
    """Return the indented lines of a page that call a program, without their comments; a backslash joins the next."""
    lines = re.sub(r"\\\n +", "", page).splitlines()
    return [line.strip().partition(" #")[0] for line in lines if re.match(rf" {{4,}}{program}(?: |$)", line)]


def words_of(line: str) -> list[str]:
    """Return the words of a command or of its synopsis; a quoted text is one word."""
    return re.findall(r"[^\s\[\]|]+", re.sub(r"'[^']*'|\"[^\"]*\"", "TEXT", line))


def makefile_targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def known_options(words: tuple[str, ...]) -> set[str]:
    """Return the options of a command of `edgequake`."""
    if words == ("run",):
        return edge_options("run")
    return {name for parameter in COMMANDS[words].params for name in (*parameter.opts, *parameter.secondary_opts)}


def edge_options(name: str) -> set[str]:
    (commands,) = [
        action
        for action in _parser("edgequake-edge", [name])._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return {option for action in commands.choices[name]._actions for option in action.option_strings}


def test_the_readme_is_one_screen_with_a_picture_two_commands_and_a_small_table(root: Path, readme: str) -> None:
    assert len(readme.splitlines()) <= SCREEN_LINES
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)
    assert (root / picture).stat().st_size > 10_000
    first = "\n".join(readme.splitlines()[:FIRST_LINES])
    assert picture in first and [line.split()[1] for line in shell_lines(first, "make")] == ["demo", "test"]
    rows = [line for line in readme.splitlines() if line.startswith("| ")]
    assert len(rows) <= 2 + 6 and {line.replace("\\|", "").count("|") for line in rows} == {7}


def test_all_make_targets_exist(root: Path) -> None:
    named = {
        target
        for page in pages(root).values()
        for target in re.findall(r"(?:`|^    )make ([a-z0-9-]+)", page, flags=re.MULTILINE)
    }
    assert {"demo", "test", "pipeline", "check"} <= named <= makefile_targets(root)


def test_make_test_runs_on_every_change(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.read_text(encoding="utf-8").splitlines()[-1].split()[-2:] == ["make", "test"]
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help_and_a_line_in_the_list(words: tuple[str, ...], root: Path) -> None:
    command = COMMANDS[words]
    assert len(command.help or "") > 20
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{' '.join(words)}: {parameter.name} has no help"
    listed = shell_lines((root / "docs" / "commands.md").read_text(encoding="utf-8"), "edgequake")
    assert any(line.startswith(" ".join(("edgequake", *words))) for line in listed)


def test_commands_of_all_pages_exist_with_their_options(root: Path) -> None:
    n_lines = 0
    for name, page in pages(root).items():
        for line in shell_lines(page, "edgequake"):
            given = words_of(line)[1:]
            found = [words for words in COMMANDS if tuple(given[: len(words)]) == words]
            assert len(found) == 1, f"{name}: {line}"
            options = {one.partition("=")[0].rstrip(".") for one in given if one.startswith("--")}
            assert options <= known_options(found[0]), f"{name}: {line}"
            n_lines += 1
        for line in shell_lines(page, "(?:.*\\| *)?(?:[\\w/]*/)?edgequake-edge"):
            given = words_of(line.partition("edgequake-edge ")[2])
            if given[:1] in ([], ["--version"]) or given[0].endswith(":"):  # what it says
                continue
            options = {one.partition("=")[0].rstrip(".") for one in given if one.startswith("--")}
            assert options <= edge_options(given[0]), f"{name}: {line}"
            n_lines += 1
    assert n_lines > 2 * len(COMMANDS)


def cheap_lines(root: Path) -> list[str]:
    """Return the commands of the README, of the list of commands and of the questions that take about a second."""
    texts = [page for name, page in pages(root).items() if name in ("README.md", "docs/commands.md", "docs/faq.md")]
    cheap = re.compile(r"edgequake(-edge)? (run day|run station|report kept|plot|export kept|status kept|inspect)")
    lines = [
        line for text in texts for program in ("edgequake", "edgequake-edge") for line in shell_lines(text, program)
    ]
    return list(dict.fromkeys(line.strip() for line in lines if cheap.match(line)))


@pytest.mark.slow
def test_cheap_commands_of_the_pages_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line as it stands, in one folder: `run day.mseed --out kept` before all that look at `kept`."""
    monkeypatch.chdir(tmp_path)
    record = synthetic_dataset.synthetic_record(np.random.default_rng(11), 7200.0, (3000.0,), ratios=(25.0,))
    for name in ("day.mseed", "station.mseed"):
        synthetic_dataset.write_miniseed(record, tmp_path / name)
    (tmp_path / "models").mkdir()
    for path in (root / "edge" / "models").glob("moon.*"):
        shutil.copy(path, tmp_path / "models" / path.name.replace("moon.json", "tiny.json"))
    lines = cheap_lines(root)
    assert len(lines) >= 6
    for line in sorted(lines, key=lambda line: " run day" not in line):
        program, *words = shlex.split(line)
        code = (cli.main if program == "edgequake" else edge_main)(
            [*words, *(["--force"] if " run station" in line else [])]
        )
        assert code == 0, line
    assert (tmp_path / "kept" / "report.html").is_file() and (tmp_path / "kept" / "events.xml").is_file()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_have_targets(root: Path, name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (root / name).read_text(encoding="utf-8"))
    for target in targets:
        assert target.startswith("https://") or (root / target).exists(), target
