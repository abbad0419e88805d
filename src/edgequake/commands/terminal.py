"""Output of commands: results as text or JSON on stdout, progress on stderr where that is a terminal."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from edgequake.edge.base import inert_text
from edgequake.results.progress import Progress, silent


def say(text: str, err: bool = False) -> None:
    """Print lines of text, without anything that a terminal would obey: they may name files and stations."""
    typer.echo(inert_text.lines(text), err=err)


def print_result(result: Any, text: str, as_json: bool) -> None:
    """Print the text of a result, or the result as JSON."""
    say(to_json(result) if as_json else text)


def to_json(result: Any) -> str:
    """Return a result (a dataclass, a list of them, or values that JSON can hold) as JSON; paths become text."""
    values = [_fields(one) for one in result] if isinstance(result, list) else _fields(result)
    return json.dumps(values, default=str, indent=1)


def _fields(result: Any) -> Any:
    is_dataclass = dataclasses.is_dataclass(result) and not isinstance(result, type)
    return dataclasses.asdict(result) if is_dataclass else result


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar where stderr is a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(share: float | None, doing: str) -> None:
            bar.update(
                task,
                description=escape(inert_text.one_line(doing)),
                completed=share or 0.0,
                total=None if share is None else 1.0,
            )

        yield show


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Discard what C libraries write to the process's stderr; Python exceptions are raised as usual."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
