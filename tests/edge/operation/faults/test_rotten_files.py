"""Any one file of a run folder rotten, gone, replaced or from the future: a live run starts and goes on detecting."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from edgequake.benchmarks.robustness.call_faults import live_record
from edgequake.edge.__main__ import main
from edgequake.edge.results.catalog import read_catalog

OPTIONS = ("--spool-bytes", "0", "--archive-bytes", "300000", "--summary-channel", "--budget", "1000000")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1] = bytes([data[len(data) // 2] ^ 0x10]) if data else b""
    path.write_bytes(data)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("a file in it")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


LONG = "EDGEQUAKE_LONG_ROTTEN" in os.environ
HUGE_BYTES = 1 << (28 if LONG else 26)  # of zeros that take no disk


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": replace_by_folder,
    "from the future": lambda path: path.write_text('edgequake 9 {"version": 9, "format": [1, 2]}\n'),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "a pipe": replace_by_pipe,
    "a link to itself": replace_by_loop,
    "a size beyond all memory": lambda path: os.truncate(path, HUGE_BYTES),
}
FILES = (
    "catalog.csv", "catalog.check", "checkpoint.edgequake", "downlink.log", "status.json", "summary.json", "heartbeat",
    ".reserve", "segments/*.mseed", "archive/*/*/*/MHZ.D/*", "continuous/*/*/*/*.D/*", "spool/backlog.mseed",
    "requests/*.json", "requests/*.mseed", "outbox/*.csv", "outbox/*.mseed", "outbox/.*.part",
)  # fmt: skip
FOLDERS = ("segments", "archive", "continuous", "requests", "outbox", "set-aside")
# All combinations take two minutes: `make rotten`.
CASES = list(product(FILES, DAMAGES))
SHORT = [case for i, case in enumerate(CASES) if i % 15 == 0]
SHORT += [
    (name, "a pipe") for name in ("checkpoint.edgequake", "archive/*/*/*/MHZ.D/*") if (name, "a pipe") not in SHORT
]


def run_live(data: bytes, out: Path, patch: pytest.MonkeyPatch, *options: str) -> int:
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["run", "-", "--out", str(out), "--resume", *(options or OPTIONS)])


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the records of the next day."""
    return live_record(tmp_path_factory.mktemp("later"), 1, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder after a day with an event and a request, with all services, as a power loss leaves it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    (out / "requests").mkdir(parents=True)
    request = {"start": "2030-01-01T00:10:00", "stop": "2030-01-01T02:00:00", "station": None, "channels": None}
    (out / "requests" / "one.json").write_text(json.dumps(request))
    with pytest.MonkeyPatch.context() as patch:
        assert run_live(live_record(out.parent, 0, 11), out, patch) == 0
    assert len(read_catalog(out / "catalog.csv")) == 1
    (out / "heartbeat").write_text("1\n")
    (out / ".reserve").write_bytes(bytes(1000))
    (out / "outbox" / ".00000009.mseed.part").write_bytes(bytes(512))
    (out / "spool").mkdir()
    (out / "spool" / "backlog.mseed").write_bytes(b"")
    (out / "requests" / "two.json").write_text(json.dumps(request))
    assert all(list(out.glob(pattern)) for pattern in FILES if pattern != "requests/*.mseed")
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "damage"), CASES if LONG else SHORT)
def test_a_live_run_starts_with_any_one_file_damaged(
    pattern: str, damage: str, folder: Path, later: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    (out / "requests" / "two.mseed").write_bytes((folder / "catalog.csv").read_bytes())
    for path in sorted(out.glob(pattern))[:1]:
        DAMAGES[damage](path)
    capsys.readouterr()
    options = ("--spool-bytes", "100000000", *OPTIONS[2:]) if pattern.startswith("spool") else OPTIONS
    code = run_live(later, out, monkeypatch, *options)
    said = capsys.readouterr().err
    assert code == 0, said
    days = [row.evid[7:15] for row in read_catalog(out / "catalog.csv")]
    assert days == ["20300101", "20300102"], said
    if pattern in ("catalog.csv", "catalog.check", "checkpoint.edgequake") and damage not in ("gone", "empty"):
        assert "edgequake-edge: " in said and pattern.partition(".")[0] in said
    assert main(["status", str(out)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_a_live_run_starts_with_a_file_in_the_place_of_a_folder(
    name: str, folder: Path, later: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).write_bytes(b"not a folder")
    code = run_live(later, out, monkeypatch)
    said = capsys.readouterr().err
    assert code == 0, said
    assert [row.evid[7:15] for row in read_catalog(out / "catalog.csv")][-1] == "20300102"
