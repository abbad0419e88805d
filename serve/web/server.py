"""The server itself: uvicorn with limits, lower priority than the runner's."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgequake.edge.base.inert_text import one_line
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.serve.web.context import Context
from edgequake.serve.web.launch import MOST_CONNECTIONS, Launch
from edgequake.serve.web.routes import make_site
from edgequake.serve.web.sessions import Sessions

_HEADERS_S = 10.0  # in which a connection must have sent the headers of its first request
_KEPT_OPEN_S = 15
_NICE = 5  # the machine is the runner's
_MOST_HEADER_BYTES = 1 << 14


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


def serve(launch: Launch, say: Callable[[str], None]) -> None:
    """Serve a run folder until it is interrupted.

    Raises
    ------
    DataError
        The reviews cannot be read.
    """
    run = Path(launch.run)
    store = ReviewStore(Path(launch.reviews), run)
    context = Context(run, store, Sessions(launch.token), lambda line: say(one_line(line)))
    with suppress(AttributeError, OSError):  # no such thing on every system
        os.nice(_NICE)
    server = uvicorn.Server(limited(make_site(context, launch.names, launch.any_address)))
    with socket.socket(fileno=launch.socket_fd) as listening:
        asyncio.run(server.serve(sockets=[listening]))


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
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=_KEPT_OPEN_S,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
    )
