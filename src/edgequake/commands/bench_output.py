"""The output of every `edgequake bench` command: print a report, write it, and compare it with a reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgequake.commands.terminal import say, to_json
from edgequake.edge.base.errors import GateError
from edgequake.results.provenance import Report

ResultsFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE.json", help="Also write every figure to this file.")
]
Reference = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", help="Reference results; exit code 3 if a figure is worse than allowed."),
]


def output(report: Report, out: Path | None, as_json: bool = False) -> None:
    """Print a report's tables, or all of its figures as JSON, and write these to a file if one is named."""
    from edgequake.edge.base.atomic_files import write_bytes_atomically
    from edgequake.results.tables.report_text import report_text

    text = to_json(report.to_json())
    say(text if as_json else report_text(report))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(out, (text + "\n").encode())


def output_and_check(report: Report, out: Path | None, reference: Path | None, as_json: bool = False) -> None:
    """Print and write a report, and compare it with a reference if one is named.

    Raises
    ------
    GateError
        A figure is worse than allowed.
    ConfigError, DataError
        The results cannot be compared.
    """
    from edgequake.results.reader import read_json

    output(report, out, as_json)
    if reference is not None:
        new = json.loads(to_json(report.to_json()))
        require_none_worse(find_worse(new, read_json(reference), reference.name), reference)


def find_worse(new: Any, reference: Any, name: str) -> list[str]:
    """Return a line per figure that is worse than allowed; on the reference's machine, print how many figures agree."""
    from edgequake.results.regressions import agreement, regressions, same_machine

    if same_machine(new, reference):
        n_agreeing, n_shared = agreement(new, reference)
        if n_shared:
            say(f"{name}: same machine; the spreads of {n_agreeing} of {n_shared} figures overlap", err=True)
    return regressions(new, reference)


def require_none_worse(worse: Sequence[str], reference: Path) -> None:
    """Print the figures that are worse than the reference allows.

    Raises
    ------
    GateError
        There is at least one.
    """
    for line in worse:
        say(f"worse: {line}", err=True)
    if worse:
        raise GateError(f"{len(worse)} figure{'s'[: len(worse) > 1]} worse than {reference} allows")
