"""Whatever lies in the folder of requests: it ends no run, stops none, and is set aside with one line."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import Span
from edgequake.edge.base.errors import DataError
from edgequake.edge.downlink import request_queue
from edgequake.edge.downlink.requests import Request
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time

pytestmark = pytest.mark.disk  # whose inodes are used again

T0_NS = parse_time("2030-01-01T00:00:00")
HOUR_NS = 3600 * NS_PER_S
RATE_HZ = 6.625
Ground = Any  # of conftest.py


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        bound.bind(path.name)
    finally:
        os.chdir(here)
        bound.close()


def put_link(path: Path) -> None:
    target = path.parent / "target"
    target.write_text('{"start": "2030-01-01T00:00:00", "stop": "2030-01-01T00:01:00"}')
    path.symlink_to(target)


def put_endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def put_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def put_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse


def put_nested(path: Path) -> None:
    path.write_text("[" * 10_000)


def put_text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(text.encode("utf-8", "surrogatepass")) and None


PUT: list[Callable[[Path], Any]] = [
    put_pipe, put_socket, put_link, put_endless_link, put_folder, put_huge, put_nested, put_text("{" * 5000),
    put_text(""), put_text("null"), put_text("9" * 10_000), put_text('{"start": NaN, "stop": Infinity}'),
    put_text('{"start": "0001-01-01T00:00:00+14:00", "stop": "9999-12-31T23:59:59-14:00"}'),
    put_text('{"start": "\r\n\u202e", "stop": "\ud800"}'),
]  # fmt: skip


@pytest.mark.parametrize("put", PUT, ids=lambda put: put.__name__)
def test_what_is_no_request_is_set_aside_with_one_line(put: Callable[[Path], Any], ground: Ground) -> None:
    folder = ground.out / "requests"
    folder.mkdir(parents=True)
    put(folder / "a.json")
    put(folder / "b.mseed") if put is not put_socket else None  # in the place of a request's records
    Request("b", Span(T0_NS, T0_NS + HOUR_NS)).write(folder)
    for hour in (2, 3):
        ground.pass_at(hour)
    assert not os.path.lexists(folder / "a.json") and os.path.lexists(folder / "a.refused")
    texts = [text for text in ground.diagnostics.texts() if "a.json" in text]
    assert len(texts) == 1 and texts[0].endswith("set aside") and texts[0].isascii() and texts[0].isprintable()
    assert len(texts[0]) < 700


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text() | st.floats(), st.lists, max_leaves=50).map(repr))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_is_a_request_or_a_data_error(tmp_path: Path, content: bytes | str) -> None:
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    with pytest.raises(DataError) as caught:
        Request.read(tmp_path / "a.json")
    assert str(caught.value).isascii() and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "ä", "x" * 240, "\udcff"])
def test_names_that_would_break_a_line_are_set_aside(name: str, ground: Ground) -> None:
    folder = ground.out / "requests"
    folder.mkdir(parents=True)
    Request("good", Span(T0_NS, T0_NS + HOUR_NS)).write(folder)
    (folder / f"{name}.json").write_bytes((folder / "good.json").read_bytes())
    ground.pass_at(2)
    assert [path.name for path in folder.glob("*.json")] == []
    assert all(text.isascii() and text.isprintable() for text in ground.diagnostics.texts())
    assert sorted(path.suffix for path in folder.iterdir()) == [".empty", ".refused"]


def test_a_request_of_decades_looks_at_each_file_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty segments and a year of days: the work grows with what is stored, not with days times segments."""
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    for day in range(365):
        samples = np.arange(100, dtype=np.int32)
        archive.push(Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS + day * 24 * HOUR_NS, RATE_HZ, samples))
    archive.close()
    segments = ground.out / "segments"
    segments.mkdir(exist_ok=True)
    for i in range(40):
        trace = Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS + (i * 24 + 12) * HOUR_NS, RATE_HZ, np.arange(100, dtype=np.int32))
        (segments / f"XX_LUN_{i}.mseed").write_bytes(encode([trace]))
    opened: list[Path] = []
    path_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **more: opened.append(self) or path_open(self, *args, **more))
    Request("a", Span(parse_time("1970-01-01"), parse_time("2100-01-01"))).write(ground.out / "requests")
    ground.pass_at(365 * 200, is_last=True)
    n_stored = 365 + 40
    assert len([path for path in opened if "archive" in path.parts or "segments" in path.parts]) <= 3 * n_stored
    assert sum(path.suffix == ".mseed" for path in (ground.out / "outbox").iterdir()) == 1


def test_live_a_pass_extracts_for_a_bounded_time_and_the_next_goes_on(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no time at all, a pass takes one part of the work: the segments one by one, then the days one by one."""
    monkeypatch.setattr(request_queue, "MOST_WORK_S", 0.0)
    times_s = iter(range(10**6))
    monkeypatch.setattr(request_queue.time, "monotonic", lambda: next(times_s) / 2)
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    for day in range(5):
        archive.push(Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS + day * 24 * HOUR_NS, RATE_HZ, np.arange(100, dtype=np.int32)))
    archive.close()
    queue = request_queue.RequestQueue(ground.out, ground.diagnostics, lambda: [], lambda n_bytes: False)
    Request("a", Span(T0_NS, T0_NS + 1000 * HOUR_NS)).write(ground.out / "requests")
    Request("b", Span(T0_NS, T0_NS + 1000 * HOUR_NS)).write(ground.out / "requests")
    monkeypatch.setattr(request_queue, "MOST_WORK_S", 0.6)
    n_passes = 0
    while not (items := list(queue.items(T0_NS + 2000 * HOUR_NS, False, is_live=True))):
        n_passes += 1
        assert n_passes < 50
    assert n_passes >= 4 and [item.source for item in items] == ["requests/a.mseed"]
    assert items[0].n_records == 5


def test_thousands_of_requests_are_served_in_turn(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "MOST_PENDING", 10)
    for i in range(25):
        Request(f"{i:03d}", Span(T0_NS, T0_NS + HOUR_NS)).write(ground.out / "requests")
    for hour, n_left in ((2, 15), (3, 5), (4, 0)):
        ground.pass_at(hour)
        assert len(list((ground.out / "requests").glob("*.json"))) == n_left
    assert "more than 10 requests wait: those are served that come first by name" in ground.diagnostics.texts()


def test_withdrawn_requests_leave_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = request_queue.RequestQueue(ground.out, ground.diagnostics, lambda: [], lambda n_bytes: False)
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    archive.push(Trace("FDSN:XX_LUN_00_M_H_Z", T0_NS, RATE_HZ, np.arange(10**6, dtype=np.int32)))
    archive.close()
    times_s = iter([0.0, 0.0, 9.0])
    monkeypatch.setattr(request_queue.time, "monotonic", lambda: next(times_s, 9.0))
    path = Request("a", Span(T0_NS, T0_NS + 100 * HOUR_NS)).write(ground.out / "requests")
    assert list(queue.items(T0_NS + 200 * HOUR_NS, False, is_live=True)) == []
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".part"] != []
    path.unlink()
    assert list(queue.items(T0_NS + 200 * HOUR_NS, False, is_live=True)) == []
    assert list(path.parent.iterdir()) == []
