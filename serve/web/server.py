"""The process: where it listens, what it demands of whom, and uvicorn with limits."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.serve.web.context import Context, is_run_folder
from edgequake.serve.web.guard import LOOPBACK_NAMES
from edgequake.serve.web.routes import make_site
from edgequake.serve.web.sessions import LEAST_TOKEN_LETTERS, Sessions

_HEADERS_S = 10.0  # in which a connection must have sent the headers of its first request
_KEPT_OPEN_S = 15
_NICE = 5  # the machine is the runner's
_MOST_CONNECTIONS = 128
_MOST_HEADER_BYTES = 1 << 14
_MOST_TOKEN_BYTES = 4096


class PatientProtocol(H11Protocol):
    """HTTP on one connection, which is closed where no request has come on it for a while."""

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEADERS_S, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises
    ------
    ConfigError
        It cannot be read, or the token is too short to be secret.
    """
    try:
        token = read_whole(path, _MOST_TOKEN_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"--token-file {path} cannot be read: {problem}") from problem
    if len(token) < LEAST_TOKEN_LETTERS:
        raise ConfigError(f"--token-file {path}: expected {LEAST_TOKEN_LETTERS} letters or more, got {len(token)}")
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(host: str, further: Sequence[str]) -> tuple[list[str], bool]:
    """Return what the Host header may say where a server listens on `host`, and whether any IP address may stand there.

    An address of digits is safe: a browser that asks for it was not led there by another site's name.
    """
    names = [*LOOPBACK_NAMES, host, *further]
    if is_loopback(host):
        return names, False
    machine = socket.gethostname()
    return [*names, machine, f"{machine.partition('.')[0]}.local"], True


def serve(
    run: Path,
    host: str,
    port: int,
    token_file: Path | None,
    names: Sequence[str],
    reviews: Path | None,
    say: Callable[[str], None],
) -> None:
    """Serve a run folder until it is interrupted.

    Raises
    ------
    ConfigError
        Options that cannot be used.
    DataError
        No run folder, reviews that cannot be kept, or an address that cannot be listened on.
    """
    if not is_run_folder(run):
        raise DataError(f"{run} is no run folder: expected the --out of `edgequake run`")
    token = None if token_file is None else read_token(token_file)
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
        say(f"others can reach {host}: they log in with the token {token}")
    store = ReviewStore.beside(run) if reviews is None else ReviewStore(reviews, run)
    context = Context(run, store, Sessions(token), lambda line: say(one_line(line)))
    known, any_address = names_of(host, names)
    with suppress(AttributeError, OSError):  # no such thing on every system
        os.nice(_NICE)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"the page of {run}: http://{shown}:{listening.getsockname()[1]}/ (reviews in {store.folder})")
    server = uvicorn.Server(limited(make_site(context, known, any_address)))
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        listening.close()


def limited(app: ASGIApp) -> uvicorn.Config:
    """Return how uvicorn serves: one process, HTTP only, nothing without limits, no log of its own."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        access_log=False,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEPT_OPEN_S,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises
    ------
    DataError
        It cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_MOST_CONNECTIONS)
    except OSError as problem:
        raise DataError(f"cannot listen on {host}:{port}: {problem.strerror or problem}; try another --port") from None
    listening.setblocking(False)
    return listening
