"""What every `edgequake bench` command does with its report: print it, keep it, compare it with a reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from edgequake.commands.terminal import to_json
from edgequake.edge.base.errors import DataError, GateError

JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure to this file.")]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="FILE", help="Results to compare with, by ratios; exit code 3 where these are worse."
    ),
]


class Report(Protocol):
    """What a benchmark returns."""

    def table(self) -> str:
        """Return the report as text for people."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""


def keep(report: Report, json_file: Path | None) -> None:
    """Print a report's table, and write all of it to a file where one is named."""
    typer.echo(report.table())
    if json_file is not None:
        write_result(report, json_file)


def write_result(report: Report, path: Path) -> None:
    """Write every figure of a report to a file."""
    from edgequake.edge.base.atomic_files import write_bytes_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, (to_json(report.to_json()) + "\n").encode())


def show_and_judge(report: Report, json_file: Path | None, reference: Path | None) -> None:
    """Print and keep a report, and compare it with a reference where one is named.

    Raises
    ------
    GateError
        A figure is worse than allowed.
    ConfigError, DataError
        Results that cannot be compared.
    """
    keep(report, json_file)
    if reference is not None:
        judge(compare(json.loads(to_json(report.to_json())), read_result(reference), reference.name), reference)


def compare(new: Any, reference: Any, name: str) -> list[str]:
    """Return what has become worse; say how well measurements agree where the machine is the reference's."""
    from edgequake.results.regressions import agreement, regressions, same_machine

    worse = regressions(new, reference)
    if same_machine(new, reference):
        n_met, n_shared = agreement(new, reference)
        if n_shared:
            typer.echo(f"{name}: the same machine's; the spreads of {n_met} of {n_shared} figures meet", err=True)
    return worse


def judge(worse: Sequence[str], reference: Path) -> None:
    """Say what is worse than the reference, a line each.

    Raises
    ------
    GateError
        Anything is.
    """
    for line in worse:
        typer.echo(f"worse: {line}", err=True)
    if worse:
        raise GateError(f"{len(worse)} figure{'s'[: len(worse) > 1]} worse than {reference} allows")


def read_result(path: Path) -> Any:
    """Read a file that `--json` or `bench all` wrote.

    Raises
    ------
    DataError
        It is missing, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as results ({problem}); give what --json wrote") from problem
