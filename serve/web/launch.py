"""What a server is started with: checked by `edgequake serve`, handed on to the process that serves.

The command line's packages (typer, rich) take 13 MB that a server does not need, and the C library keeps memory that
large arrays have been in. So the command checks everything here, listens, and becomes another program: `process.py`.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import CATALOG, STATUS, SUMMARY
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.serve.web.sessions import LEAST_TOKEN_LETTERS

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MOST_CONNECTIONS = 128
_MOST_TOKEN_BYTES = 4096
_PACKAGES = ("uvicorn", "starlette", "jinja2")


@dataclass(frozen=True)
class Launch:
    """A server that can be started.

    Attributes
    ----------
    run, reviews : folders.
    names, any_address : what the Host header may say, see `Guard`.
    token : that lets browsers in; None: everybody may come.
    socket_fd : of the socket that listens.
    """

    run: str
    reviews: str
    names: tuple[str, ...]
    any_address: bool
    token: str | None
    socket_fd: int

    def to_json(self) -> str:
        """Return all of it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Launch:
        """Read what `to_json` has written."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "names": tuple(fields["names"])})


def prepare(
    run: Path,
    host: str,
    port: int,
    token_file: Path | None,
    names: Sequence[str],
    reviews: Path | None,
    say: Callable[[str], None],
) -> Launch:
    """Check options, and listen.

    Raises
    ------
    ConfigError
        Options that cannot be used.
    DataError
        No run folder, reviews that cannot be kept, or an address that cannot be listened on.
    ModuleNotFoundError
        A package of the server is not installed.
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    if not is_run_folder(run):
        raise DataError(f"{run} is no run folder: expected the --out of `edgequake run`")
    token = None if token_file is None else read_token(token_file)
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
        say(f"others can reach {host}: they log in with the token {token}")
    store = ReviewStore.beside(run) if reviews is None else ReviewStore(reviews, run)
    known, any_address = names_of(host, names)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"the page of {run}: http://{shown}:{listening.getsockname()[1]}/ (reviews in {store.folder})")
    return Launch(str(run), str(store.folder), tuple(known), any_address, token, listening.detach())


def is_run_folder(path: Path) -> bool:
    """Whether a folder has anything that a run writes."""
    return path.is_dir() and any((path / name).exists() for name in (CATALOG, STATUS, SUMMARY))


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
        listening.listen(MOST_CONNECTIONS)
    except OSError as problem:
        raise DataError(f"cannot listen on {host}:{port}: {problem.strerror or problem}; try another --port") from None
    listening.setblocking(False)
    return listening
