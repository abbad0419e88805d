"""What the ground asks for goes home ahead of all events, sample for sample, and what cannot be had holds nobody up."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import Span
from edgequake.edge.downlink import requests
from edgequake.edge.downlink.requests import Request
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

T0_NS = parse_time("2030-01-01T00:00:00")
HOUR_NS = 3600 * NS_PER_S
RATE_HZ = 6.625
Ground = Any  # of conftest.py
Traces = Callable[..., list[Trace]]


@pytest.fixture
def held(ground: Ground, traces: Traces, days_of_noise: np.ndarray) -> Ground:
    """Return a ground whose archive holds two and a half days of one channel."""
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    for trace in traces(days_of_noise):
        archive.take(trace)
    archive.close()
    return ground


def put_in(ground: Ground, start_h: float, stop_h: float, name: str = "a", **where: Any) -> Path:
    span = Span(T0_NS + round(start_h * HOUR_NS), T0_NS + round(stop_h * HOUR_NS), **where)
    return Request(name, span).write(ground.out / "requests")


def sent_samples(ground: Ground, source: str) -> np.ndarray:
    """Samples of the outbox that are not of a segment, as obspy reads them."""
    stream = obspy.Stream()
    known = {record for name in ground.segments for record in ground.records_of(name)}
    for record in ground.sent_records():
        if record not in known:
            stream += obspy.read(io.BytesIO(record))
    (trace,) = stream.merge()
    return np.asarray(trace.data)


def test_it_goes_ahead_of_all_events_and_comes_sample_for_sample(held: Ground, days_of_noise: np.ndarray) -> None:
    event = held.find(1.0, 1.0)
    path = put_in(held, 3.0, 4.5)
    for hour in range(10, 72):
        held.pass_at(hour)
    first, stop = round(3.0 * 3600 * RATE_HZ), round(4.5 * 3600 * RATE_HZ)
    np.testing.assert_array_equal(sent_samples(held, "requests/a.mseed"), days_of_noise[first:stop])
    sources = [part.source for done in held.journal() for part in done.sent]
    assert sources.index(event) >= sources.count("requests/a.mseed") - 1 > 1
    assert all(part.again == (part.source != event) for done in held.journal() for part in done.sent)
    assert not path.exists() and sorted(p.name for p in path.parent.iterdir()) == ["a.sent"]


def test_it_waits_until_its_span_has_passed(held: Ground) -> None:
    put_in(held, 3.0, 12.5, channels=("MHZ",))
    for hour in range(5, 13):
        held.pass_at(hour)
    assert held.files() == {}
    held.pass_at(13)
    assert held.files()


def test_at_the_end_of_a_replay_there_is_nothing_to_wait_for(held: Ground) -> None:
    put_in(held, 30.0, 300.0)
    held.pass_at(60)
    assert held.files() == {}
    held.pass_at(60.5, is_last=True)
    assert held.files()


def test_a_new_process_goes_on_where_it_was_and_archives_that_were_let_go_of_do_not_matter(
    held: Ground, days_of_noise: np.ndarray
) -> None:
    put_in(held, 0.0, 3.0)
    for hour in range(4, 140):
        held.pass_at(hour)
        held.open()
        for path in (held.out / "archive").rglob("*.2030.001") if hour == 6 else ():
            path.unlink()
    np.testing.assert_array_equal(sent_samples(held, ""), days_of_noise[: round(3 * 3600 * RATE_HZ)])
    assert len(held.sent_records()) == len(set(held.sent_records()))
    assert [path.name for path in (held.out / "requests").iterdir()] == ["a.sent"]


def test_several_go_in_the_order_in_which_they_were_made(held: Ground) -> None:
    for name, hour in (("b", 1.0), ("a", 2.0), ("c", 3.0)):
        put_in(held, hour, hour + 0.3, name)
    for hour in range(4, 60):
        held.pass_at(hour)
    sources = [part.source for done in held.journal() for part in done.sent]
    assert list(dict.fromkeys(sources)) == [f"requests/{name}.mseed" for name in "abc"]


def test_an_event_of_which_the_ground_has_samples_by_request_is_marked(held: Ground) -> None:
    put_in(held, 1.0, 1.2, station="XX_LUN")
    for hour in range(2, 30):
        held.pass_at(hour)
    mine, other = held.find(1.1, length_h=0.1), held.find(1.1, length_h=0.1, station_id="XX_MON")
    later = held.find(5.0, length_h=0.1)
    held.open()
    for hour in range(30, 72):
        held.pass_at(hour)
    again = {part.source: part.again for done in held.journal() for part in done.sent}
    assert again == {"requests/a.mseed": True, mine: True, other: False, later: False}


@pytest.mark.parametrize(
    ("text", "kept_as"),
    [
        ("no json", "a.refused"),
        ('{"start": "2030-01-01T05:00:00", "stop": "2030-01-01T04:00:00"}', "a.refused"),
        ('{"start": "2031-01-01T04:00:00", "stop": "2031-01-01T05:00:00"}', "a.empty"),
    ],
)
def test_one_that_cannot_be_is_put_away_and_told(text: str, kept_as: str, held: Ground) -> None:
    folder = held.out / "requests"
    folder.mkdir()
    (folder / "a.json").write_text(text)
    put_in(held, 1.0, 1.1, "b")
    for hour in (20_000, 20_001):
        held.pass_at(hour)
    assert sorted(path.name for path in folder.iterdir()) == [kept_as, "b.sent"]
    (note,) = held.diagnostics.texts()
    assert "a" in note and ("is no request" in note or "nothing of it is held" in note)


def test_a_name_is_used_once(held: Ground) -> None:
    put_in(held, 1.0, 1.1)
    held.pass_at(20)
    put_in(held, 2.0, 2.1)
    held.pass_at(21)
    assert "a request of the name a was sent before; give this one another" in held.diagnostics.texts()[0]
    assert sorted(path.name for path in (held.out / "requests").iterdir()) == ["a.refused", "a.sent"]


def test_one_that_is_far_too_long_is_cut_short_and_told(
    held: Ground, days_of_noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_BYTES", 100_000)
    put_in(held, 1.0, 59.0)
    for hour in range(60, 1200):
        held.pass_at(hour)
    (note,) = held.diagnostics.texts()
    assert note == "request a is cut short at 2030-01-02T00:00:00.000000: too long"
    first = round(3600 * RATE_HZ)
    np.testing.assert_array_equal(sent_samples(held, ""), days_of_noise[first : round(86_400 * RATE_HZ)])


def test_records_that_were_taken_away_hold_nobody_up(held: Ground) -> None:
    event = held.find(1.0, length_h=0.1)
    put_in(held, 1.0, 9.0)
    held.pass_at(10)
    (held.out / "requests" / "a.mseed").write_bytes(b"")
    for hour in range(11, 48):
        held.pass_at(hour)
    assert held.is_sent(event)
    assert (held.out / "requests" / "a.refused").exists() and "set aside" in " ".join(held.diagnostics.texts())


def test_of_a_channel_with_a_tear_all_that_is_held_is_sent(
    ground: Ground, traces: Traces, days_of_noise: np.ndarray
) -> None:
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    after_ns = T0_NS + duration_ns(40_000, RATE_HZ)
    for trace in (*traces(days_of_noise[:20_000]), *traces(days_of_noise[40_000:60_000], start_ns=after_ns)):
        archive.take(trace)
    archive.close()
    put_in(ground, 0.0, 3.0)
    for hour in range(4, 72):
        ground.pass_at(hour)
    stream = obspy.read(io.BytesIO(b"".join(ground.sent_records()))).merge()
    (obspy_trace,) = stream
    assert int(np.ma.count(obspy_trace.data)) == 40_000
