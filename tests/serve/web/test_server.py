"""The process: limits of connections, what it demands where, what it costs in memory, and errors in one line."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import uvicorn

from edgequake import cli
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.serve.web import launch, server
from edgequake.serve.web.routes import make_site

from ..conftest import visit

WAIT_S = 30.0
MOST_BYTES = 80e6


@pytest.fixture
def address(finished_station: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Serve in a thread, with little patience."""
    monkeypatch.setattr(server, "_HEADERS_S", 0.2)
    monkeypatch.setattr(server, "_KEPT_OPEN_S", 1)
    config = server.limited(make_site(visit(finished_station).context, ["127.0.0.1"]))
    running = uvicorn.Server(config)
    listening = launch.listen("127.0.0.1", 0)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    running.should_exit = True
    thread.join(WAIT_S)
    listening.close()
    assert not thread.is_alive()


def asked(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection."""
    with socket.create_connection(address, WAIT_S) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    return answer


def test_connections_that_ask_nothing_are_closed(address: tuple[str, int]) -> None:
    assert asked(address, b"") == b""
    assert asked(address, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ") == b""  # never ends its headers


def test_what_is_no_request_is_refused(address: tuple[str, int]) -> None:
    assert asked(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert asked(address, b"GET / HTTP/1.1\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421")  # no Host
    two = b"GET /now HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert asked(address, two)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421")
    huge = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n"
    assert b"200 OK" not in asked_or_closed(address, huge)


def asked_or_closed(address: tuple[str, int], request: bytes) -> bytes:
    try:
        return asked(address, request)
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_a_server_names_no_software(address: tuple[str, int]) -> None:
    with urlopen(f"http://{address[0]}:{address[1]}/now") as answer:
        assert answer.headers["server"] is None and answer.status == 200


def test_where_names_and_tokens_are_demanded(tmp_path: Path) -> None:
    assert all(launch.is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.9.1", "::1"))
    assert not any(launch.is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.4", "station", ""))
    assert launch.names_of("127.0.0.1", ()) == (["localhost", "127.0.0.1", "::1", "127.0.0.1"], False)
    names, any_address = launch.names_of("0.0.0.0", ["quakes.example"])
    assert any_address and "quakes.example" in names and socket.gethostname() in names
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(ConfigError, match="16 letters or more"):
        launch.read_token(tmp_path / "token")
    (tmp_path / "token").write_text("correct-horse-battery\n")
    assert launch.read_token(tmp_path / "token") == "correct-horse-battery"


def test_errors_are_one_line(tmp_path: Path, finished_station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        inside = str(finished_station / "reviews")
        for options, message in (
            ([str(tmp_path)], "is no run folder"),
            ([str(finished_station), "--port", port], "try another --port"),
            ([str(finished_station), "--token-file", str(tmp_path / "none")], "cannot be read"),
            ([str(finished_station), "--reviews", inside], "would lie in the run folder"),
        ):
            assert cli.main(["serve", *options]) == 1
            lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
            assert len(lines) == 1 and message in lines[0]
    with pytest.raises(DataError):
        launch.listen("no.such.host.invalid", 0)


@pytest.mark.slow
def test_the_process_stays_small_and_says_where_it_is(station: Path) -> None:
    command = [sys.executable, "-m", "edgequake.cli", "serve", str(station), "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        token, where = (process.stderr.readline() for _ in range(2))
        assert re.search(r"token \S{32}$", token.strip())
        found = re.search(r":(\d+)/ \(reviews", where)
        assert found is not None
        with urlopen(f"http://127.0.0.1:{found[1]}/login") as answer:
            assert b"Log in" in answer.read()
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            assert int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 < MOST_BYTES
    finally:
        process.terminate()
        assert process.wait(WAIT_S) in (0, -15)
