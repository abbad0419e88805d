"""Requests are sent before all events, sample for sample; a request that cannot be served delays nothing."""

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
from edgequake.edge.downlink import request_queue
from edgequake.edge.downlink.requests import Request
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

T0_NS = parse_time("2030-01-01T00:00:00")
HOUR_NS = 3600 * NS_PER_S
RATE_HZ = 6.625
Ground = Any  # of conftest.py
Traces = Callable[..., list[Trace]]


@pytest.fixture
def archived(ground: Ground, traces: Traces, days_of_noise: np.ndarray) -> Ground:
    """Return a run folder whose archive has two and a half days of one channel."""
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    for trace in traces(days_of_noise):
        archive.push(trace)
    archive.close()
    return ground


def submit(ground: Ground, start_h: float, stop_h: float, name: str = "a", **where: Any) -> Path:
    span = Span(T0_NS + round(start_h * HOUR_NS), T0_NS + round(stop_h * HOUR_NS), **where)
    return Request(name, span).write(ground.out / "requests")


def sent_samples(ground: Ground, source: str) -> np.ndarray:
    """Return the samples in the outbox that are not of a segment, as obspy reads them."""
    stream = obspy.Stream()
    known = {record for name in ground.segments for record in ground.records_of(name)}
    for record in ground.sent_records():
        if record not in known:
            stream += obspy.read(io.BytesIO(record))
    (trace,) = stream.merge()
    return np.asarray(trace.data)


def test_a_request_is_sent_before_all_events_sample_for_sample(archived: Ground, days_of_noise: np.ndarray) -> None:
    event = archived.find(1.0, 1.0)
    path = submit(archived, 3.0, 4.5)
    for hour in range(10, 72):
        archived.pass_at(hour)
    first, stop = round(3.0 * 3600 * RATE_HZ), round(4.5 * 3600 * RATE_HZ)
    np.testing.assert_array_equal(sent_samples(archived, "requests/a.mseed"), days_of_noise[first:stop])
    sources = [part.source for done in archived.journal() for part in done.sent]
    assert sources.index(event) >= sources.count("requests/a.mseed") - 1 > 1
    assert all(part.again == (part.source != event) for done in archived.journal() for part in done.sent)
    assert not path.exists() and sorted(p.name for p in path.parent.iterdir()) == ["a.sent"]


def test_a_request_waits_until_its_span_has_passed(archived: Ground) -> None:
    submit(archived, 3.0, 12.5, channels=("MHZ",))
    for hour in range(5, 13):
        archived.pass_at(hour)
    assert archived.files() == {}
    archived.pass_at(13)
    assert archived.files()


def test_at_the_end_of_a_replay_no_request_waits(archived: Ground) -> None:
    submit(archived, 30.0, 300.0)
    archived.pass_at(60)
    assert archived.files() == {}
    archived.pass_at(60.5, is_last=True)
    assert archived.files()


def test_a_new_process_continues_a_request_even_after_its_archive_is_evicted(
    archived: Ground, days_of_noise: np.ndarray
) -> None:
    submit(archived, 0.0, 3.0)
    for hour in range(4, 140):
        archived.pass_at(hour)
        archived.open()
        for path in (archived.out / "archive").rglob("*.2030.001") if hour == 6 else ():
            path.unlink()
    np.testing.assert_array_equal(sent_samples(archived, ""), days_of_noise[: round(3 * 3600 * RATE_HZ)])
    assert len(archived.sent_records()) == len(set(archived.sent_records()))
    assert [path.name for path in (archived.out / "requests").iterdir()] == ["a.sent"]


def test_requests_are_sent_in_the_order_in_which_they_were_made(archived: Ground) -> None:
    for name, hour in (("b", 1.0), ("a", 2.0), ("c", 3.0)):
        submit(archived, hour, hour + 0.3, name)
    for hour in range(4, 60):
        archived.pass_at(hour)
    sources = [part.source for done in archived.journal() for part in done.sent]
    assert list(dict.fromkeys(sources)) == [f"requests/{name}.mseed" for name in "abc"]


def test_an_event_whose_samples_were_sent_on_request_is_marked(archived: Ground) -> None:
    submit(archived, 1.0, 1.2, station="XX_LUN")
    for hour in range(2, 30):
        archived.pass_at(hour)
    mine, other = archived.find(1.1, length_h=0.1), archived.find(1.1, length_h=0.1, station_id="XX_MON")
    later = archived.find(5.0, length_h=0.1)
    archived.open()
    for hour in range(30, 72):
        archived.pass_at(hour)
    again = {part.source: part.again for done in archived.journal() for part in done.sent}
    assert again == {"requests/a.mseed": True, mine: True, other: False, later: False}


@pytest.mark.parametrize(
    ("text", "kept_as"),
    [
        ("no json", "a.refused"),
        ('{"start": "2030-01-01T05:00:00", "stop": "2030-01-01T04:00:00"}', "a.refused"),
        ('{"start": "2031-01-01T04:00:00", "stop": "2031-01-01T05:00:00"}', "a.empty"),
    ],
)
def test_an_unusable_request_is_set_aside_and_reported(text: str, kept_as: str, archived: Ground) -> None:
    folder = archived.out / "requests"
    folder.mkdir()
    (folder / "a.json").write_text(text)
    submit(archived, 1.0, 1.1, "b")
    for hour in (20_000, 20_001):
        archived.pass_at(hour)
    assert sorted(path.name for path in folder.iterdir()) == [kept_as, "b.sent"]
    (note,) = archived.diagnostics.texts()
    assert "a" in note and ("is no request" in note or "nothing of it is stored" in note)


def test_the_name_of_a_request_is_used_once(archived: Ground) -> None:
    submit(archived, 1.0, 1.1)
    archived.pass_at(20)
    submit(archived, 2.0, 2.1)
    archived.pass_at(21)
    assert "a request of the name a was sent before; give this one another" in archived.diagnostics.texts()[0]
    assert sorted(path.name for path in (archived.out / "requests").iterdir()) == ["a.refused", "a.sent"]


def test_a_request_that_is_too_long_is_truncated_and_reported(
    archived: Ground, days_of_noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_queue, "MOST_BYTES", 100_000)
    archived.budget_bytes = 200_000  # a day: fewer passes than with 20 000
    archived.open()
    submit(archived, 1.0, 59.0)
    for hour in range(60, 240):
        archived.pass_at(hour)
    (note,) = archived.diagnostics.texts()
    assert note == "request a is truncated at 2030-01-02T00:00:00.000000: too long"
    first = round(3600 * RATE_HZ)
    np.testing.assert_array_equal(sent_samples(archived, ""), days_of_noise[first : round(86_400 * RATE_HZ)])


def test_missing_records_of_a_request_delay_nothing(archived: Ground) -> None:
    event = archived.find(1.0, length_h=0.1)
    submit(archived, 1.0, 9.0)
    archived.pass_at(10)
    (archived.out / "requests" / "a.mseed").write_bytes(b"")
    for hour in range(11, 48):
        archived.pass_at(hour)
    assert archived.is_sent(event)
    assert (archived.out / "requests" / "a.refused").exists() and "set aside" in " ".join(archived.diagnostics.texts())


def test_of_a_channel_with_a_gap_everything_stored_is_sent(
    ground: Ground, traces: Traces, days_of_noise: np.ndarray
) -> None:
    archive = Archive(ground.out / "archive", None, ground.diagnostics)
    after_ns = T0_NS + duration_ns(40_000, RATE_HZ)
    for trace in (*traces(days_of_noise[:20_000]), *traces(days_of_noise[40_000:60_000], start_ns=after_ns)):
        archive.push(trace)
    archive.close()
    submit(ground, 0.0, 3.0)
    for hour in range(4, 72):
        ground.pass_at(hour)
    stream = obspy.read(io.BytesIO(b"".join(ground.sent_records()))).merge()
    (obspy_trace,) = stream
    assert int(np.ma.count(obspy_trace.data)) == 40_000
