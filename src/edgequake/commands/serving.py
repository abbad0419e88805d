"""`edgequake serve`: the page of a station."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.options import RunFolder
from edgequake.commands.terminal import say


def serve(
    run_dir: RunFolder,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; others than loopback demand a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: a free one.")] = 8321,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Token to log in with; by default a new one is printed.", show_default=False),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further name that browsers reach the server by; repeatable."),
    ] = None,
    reviews: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of reviews; by default RUN_DIR-reviews.", show_default=False),
    ] = None,
) -> None:
    """Serve the page of a run, live or finished: now, days, events to review, and what the ground asks for."""
    from edgequake.serve.web.launch import become_server, prepare

    become_server(prepare(run_dir, host, port, token_file, name or (), reviews, _tell))


def _tell(line: str) -> None:
    say(f"edgequake: {line}", err=True)
