"""Everything that the README mentions exists: make targets, commands and their options, files, the picture."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from edgequake.commands.app import app

FIRST_SCREEN_LINES = 30


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def leaf_commands(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return each command of the typer application except groups, by the words that call it."""
    if not hasattr(command, "commands"):
        return {path: command}
    leaves: dict[tuple[str, ...], Any] = {}
    for name, sub in command.commands.items():
        leaves |= leaf_commands(sub, (*path, name))
    return leaves


COMMANDS = leaf_commands(typer.main.get_command(app))


def shell_lines(readme: str, program: str) -> list[str]:
    """Return the indented README lines that call a program, without their comments."""
    lines = re.sub(r"\\\n +", "", readme).splitlines()  # a backslash joins the next line
    return [line.strip().partition(" #")[0] for line in lines if line.startswith(f"    {program} ")]


def makefile_targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_the_first_screen_shows_a_picture_and_two_commands(root: Path, readme: str) -> None:
    first_screen = "\n".join(readme.splitlines()[:FIRST_SCREEN_LINES])
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", first_screen)
    assert (root / picture).stat().st_size > 10_000
    assert [line.split()[1] for line in shell_lines(first_screen, "make")] == ["demo", "test"]


def test_all_make_targets_exist(root: Path, readme: str) -> None:
    contributing = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^    )make ([a-z0-9-]+)", readme + contributing, flags=re.MULTILINE))
    assert {"demo", "test", "pipeline", "check"} <= named <= makefile_targets(root)


def test_make_test_runs_on_every_change(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.read_text(encoding="utf-8").splitlines()[-1].split()[-2:] == ["make", "test"]
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help_and_is_in_the_readme(words: tuple[str, ...], readme: str) -> None:
    command = COMMANDS[words]
    assert len(command.help or "") > 20
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{' '.join(words)}: {parameter.name} has no help"
    assert any(line.startswith(" ".join(("edgequake", *words))) for line in shell_lines(readme, "edgequake"))


def test_commands_in_the_readme_exist_with_their_options(readme: str) -> None:
    lines = shell_lines(readme, "edgequake")
    assert len(lines) >= len(COMMANDS)
    for line in lines:
        given = shlex.split(line)[1:]
        (words,) = [words for words in COMMANDS if tuple(given[: len(words)]) == words]
        if words == ("run",):
            continue  # argparse's; the tests of the runner read its options
        known = {name for parameter in COMMANDS[words].params for name in parameter.opts}
        assert {option for option in given if option.startswith("--")} <= known, line


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_have_targets(root: Path, name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (root / name).read_text(encoding="utf-8"))
    for target in targets:
        assert target.startswith("https://") or (root / target).exists(), target
