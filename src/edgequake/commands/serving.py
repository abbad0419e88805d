"""`edgequake serve`: the page of a station."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.options import RunFolder
from edgequake.commands.terminal import say

if TYPE_CHECKING:
    from edgequake.serve.web.launch import Launch

_PROCESS = ("-m", "edgequake.serve.web.process")
# One heap for all threads, and arrays larger than 128 kB given back to the system as soon as they are free: glibc's
# own, growing limit would keep what the largest picture took (mallopt(3)). One thread computes at a time anyway.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "OPENBLAS_NUM_THREADS": "1",
}


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
    from edgequake.serve.web.launch import prepare

    _become_server(prepare(run_dir, host, port, token_file, name or (), reviews, _tell))


def _tell(line: str) -> None:
    say(f"edgequake: {line}", err=True)


def _become_server(launch: Launch) -> None:
    """Go on as the program that serves; the token travels in a pipe, where no list of processes shows it."""
    read_fd, write_fd = os.pipe()
    with os.fdopen(write_fd, "w", encoding="utf-8") as pipe:
        pipe.write(launch.to_json())
    for fd in (read_fd, launch.socket_fd):
        os.set_inheritable(fd, True)
    os.execve(sys.executable, [sys.executable, *_PROCESS, str(read_fd)], {**_ENVIRONMENT, **os.environ})
