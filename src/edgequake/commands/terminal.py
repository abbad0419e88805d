"""What commands say: results as text or JSON on stdout, progress on stderr where that is a terminal."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

Show = Callable[[str, "float | None"], None]  # what is being done, and the share done, 0..1, where it is known


def tell(result: Any, text: str, as_json: bool) -> None:
    """Print a result for people, or the same as JSON."""
    typer.echo(to_json(result) if as_json else text)


def to_json(result: Any) -> str:
    """Return a result (a dataclass, or what JSON can hold) as JSON; paths become text."""
    is_dataclass = dataclasses.is_dataclass(result) and not isinstance(result, type)
    return json.dumps(dataclasses.asdict(result) if is_dataclass else result, default=str, indent=1)


@contextmanager
def progress_bar() -> Iterator[Show]:
    """Show a bar on a terminal and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda doing, share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(doing: str, share: float | None) -> None:
            bar.update(task, description=doing, completed=share or 0.0, total=None if share is None else 1.0)

        yield show


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Drop what libraries write to the process's stderr past Python; Python's own errors are raised as ever."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
