"""The pages: what they show of a run, reviews one by one and at once, undo, two reviewers, the ground's files."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.__main__ import main as edge_main
from edgequake.edge.downlink.requests import Request
from edgequake.edge.formats.waveforms import NS_PER_S, parse_time
from edgequake.edge.results.catalog import read_catalog
from edgequake.serve.web.events_page import listing_of

from ..conftest import ONSETS_S, Visitor, visit
from .test_guard import contents


def test_the_pages_name_what_the_run_has(reader: Visitor, finished_station: Path) -> None:
    rows = read_catalog(finished_station / "catalog.csv")
    assert len(rows) == len(ONSETS_S)
    events, day = reader.get("/events").text, reader.get("/days").text
    for row in rows:
        assert row.evid in events and row.evid in day
    assert "2 of 2 events, 1 to 2" in events
    assert "MHZ" in day
    health = reader.get("/now/health").text
    assert "ended" in health and "moon, onset threshold" in health
    ground = reader.get("/ground").text
    assert "of 20 kB" in ground and "00000001.csv" in ground and "The archive has" in ground


def test_a_window_of_now_ends_with_the_newest_sample(reader: Visitor, finished_station: Path) -> None:
    status = json.loads((finished_station / "status.json").read_text())
    newest = max(parse_time(text) for text in status["last_sample"].values()) / NS_PER_S
    for minutes in (2, 30, 120, 1440):
        found = reader.get(f"/now/data?minutes={minutes}").json()
        assert found["live"] and found["stop"] == pytest.approx(newest, abs=0.2)
        assert found["stop"] - found["start"] == pytest.approx(60 * minutes)
        assert [trace["channel"] for trace in found["traces"]] == ["00.MHZ", "00.MH1", "00.MH2"]
        assert all(found["start"] <= time <= found["stop"] for time in found["traces"][0]["times"])
        assert found["probability"]["times"] and found["threshold"] == status["onset_threshold"]
        assert ("bands" in found["spectrogram"]) == (minutes >= 60)
    onsets = np.array(found["probability"]["onset"])
    assert (onsets > 0.5).any() and (onsets < 0.1).any()


def test_a_run_without_a_monitor_shows_the_end_of_its_archive(station: Path) -> None:
    live = visit(station).get("/now/data?minutes=30").json()
    for path in sorted((station / "monitor").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    stored = visit(station).get("/now/data?minutes=30").json()
    assert not stored["live"] and stored["probability"] is None
    assert stored["traces"][0]["low"][-100:] == pytest.approx(live["traces"][0]["low"][-100:])


def test_a_folder_with_nothing_but_an_empty_catalogue_has_pages_too(station: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "catalog.csv").write_text((station / "catalog.csv").read_text().partition("\n")[0] + "\n")
    visitor = visit(bare)
    for address in ("/now", "/now/data", "/now/health", "/days", "/days/data", "/events", "/ground"):
        assert visitor.get(address).status_code == 200, address
    assert "no event yet" in visitor.get("/events").text
    assert visitor.get("/events/next").headers["location"].startswith("/events?")


def test_the_lines_of_a_day_reach_as_far_as_the_largest_motion(reader: Visitor, finished_station: Path) -> None:
    day = reader.get("/days/data?channel=00.MHZ").json()
    above = np.frombuffer(base64.b64decode(day["above"]), np.uint8).reshape(24, day["columns"]).astype(int)
    rows = read_catalog(finished_station / "catalog.csv")
    assert (above[4:] == 255).all() and (above[:3] != 255).mean() > 0.95  # the record has 3.5 hours
    for row, event in zip(rows, day["events"], strict=True):
        second = (row.onset_ns / NS_PER_S) % 86_400
        assert event["onset"] == pytest.approx(second, abs=1e-3)
        hour, column = int(second // 3600), int(second % 3600 / 3600 * day["columns"])
        before, after = above[hour, column - 60 : column - 5], above[hour, column + 5 : column + 60]
        assert after.mean() - 100 > 2 * abs(before.mean() - 100)
        kept = day["kept"][rows.index(row)]
        assert kept[0] < second < kept[1]


def test_a_review_is_kept_and_leads_to_the_next_event(visitor: Visitor) -> None:
    first, second = visitor.evids()
    page = visitor.get(f"/events/{second}?order=newest").text
    back = re.search(r'name="back" value="([^"]+)"', page)
    assert back is not None and back[1].startswith(f"/events/{first}?")
    answer = visitor.post(
        "/events/review", {"action": "accept", "event": second, "back": back[1].replace("&amp;", "&")}
    )
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"/events/{first}?")
    assert visitor.context.reviews.of(second).verdict == "accept"
    assert "accepted" in visitor.get(f"/events/{second}").text
    assert "1 of 2 events" in visitor.get("/events?state=open").text
    assert visitor.get("/events/next?state=open").headers["location"].startswith(f"/events/{first}?")
    assert visitor.post("/events/undo").status_code == 303
    assert visitor.context.reviews.of(second).verdict is None
    assert visitor.post("/events/undo").status_code == 409


def test_class_onset_and_note(visitor: Visitor) -> None:
    evid = visitor.evids()[0]
    for action, value in (("class", "impact_mq"), ("note", "clear"), ("onset", "1973-06-30 01:12:30.5")):
        onset = visitor.context.index.row(0).onset_ns
        value = value if action != "onset" else visitor.context.templates.filters["precise"](onset + 2_500_000_000)
        assert visitor.post("/events/review", {"action": action, "value": value, "event": evid}).status_code == 303
    review = visitor.context.reviews.of(evid)
    assert (review.mq_type, review.note) == ("impact_mq", "clear")
    assert abs((review.onset_ns or 0) - onset - 2_500_000_000) < 1_000_000
    page = visitor.get(f"/events/{evid}").text
    assert f'data-moved="{(review.onset_ns or 0) / 1e9:.6f}"' in page and "impact_mq" in page and "clear" in page


def test_several_at_once_are_undone_at_once(visitor: Visitor) -> None:
    evids = visitor.evids()
    fields = [("action", "reject"), ("back", "/events?order=doubtful"), *(("event", evid) for evid in evids)]
    answer = visitor.post("/events/review", fields)
    assert answer.headers["location"] == "/events?order=doubtful"
    assert "2 of 2 events" in visitor.get("/events?state=rejected").text
    visitor.post("/events/undo")
    assert "2 of 2 events" in visitor.get("/events?state=open").text


def test_two_reviewers_do_not_undo_each_other(station: Path) -> None:
    ann, bob = visit(station), visit(station)  # two servers of one run, too
    for one, name in ((ann, "ann"), (bob, "bob")):
        assert one.post("/reviewer", {"name": name}).status_code == 303
    first, second = ann.evids()
    ann.post("/events/review", {"action": "accept", "event": first})
    bob.post("/events/review", {"action": "reject", "event": second})
    assert "1 of 2 events" in ann.get("/events?state=rejected").text
    assert "1 of 2 events" in bob.get("/events?state=accepted").text
    ann.post("/events/undo")
    assert "1 of 2 events" in bob.get("/events?state=rejected").text
    assert "0 of 2 events" in bob.get("/events?state=accepted").text
    assert bob.context.reviews.of(second).judge == "bob"


def day_time(visitor: Visitor, hours: float) -> str:
    """Return a time of the day that the run has, as somebody would type it."""
    return visitor.get("/days").text.partition("<h1>Day ")[2][:10] + f" {int(hours):02}:{hours % 1 * 60:02.0f}:00"


def test_an_event_that_the_run_has_missed_is_added_and_undone(visitor: Visitor, station: Path) -> None:
    before = contents(station)
    start, evil = day_time(visitor, 2.0), '"><img src=x>'
    fields = {"station": "XX_LUN", "start": start, "stop": day_time(visitor, 2.25), "class": "deep_mq", "note": evil}
    address = visitor.post("/events/add", fields).headers["location"]
    (added,) = visitor.context.reviews.added()
    assert added.added is not None and address == f"/events/{added.added.evid}?state=added"
    assert (added.verdict, added.mq_type, added.note, added.judge) == ("accept", "deep_mq", evil, "reviewer")
    page = visitor.get(address).text
    assert "Added by a reviewer" in page and "1 of 1 in" in page and "<img" not in page
    data = visitor.get(f"/events/{added.added.evid}/data").json()
    assert data["start"] < data["onset"] == parse_time(start) / NS_PER_S < data["stop"] and len(data["traces"]) == 3
    listed = visitor.get("/events?state=added").text
    assert "1 event that reviewers have added" in listed and added.added.evid in listed and "missed" in listed
    assert "0 events that" in visitor.get("/events?state=added&station=XX_LUN&class=-").text
    assert "2 of 2 events" in visitor.get("/events").text
    day = visitor.get("/days/data").json()
    assert [one["onset"] for one in day["added"]] == [7200.0] and added.added.evid in visitor.get("/days").text
    moved = {"action": "onset", "value": day_time(visitor, 2.1), "event": added.added.evid}
    assert visitor.post("/events/review", moved).status_code == 303
    assert visitor.get("/days/data").json()["added"] == [{"onset": 7560.0}]
    assert visitor.post("/events/undo").headers["location"] == "/events"
    assert visitor.post("/events/undo").headers["location"] == "/events?state=added"
    assert visitor.get(address).status_code == 404 and visitor.context.reviews.added() == []
    assert contents(station) == before


def test_events_that_cannot_be_are_not_added(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"station": "XX_LUN", "start": day_time(visitor, 2.0), "stop": "", "class": "", "note": ""}
    for change in (
        {"station": ""}, {"station": "XX_*"}, {"station": "../run"}, {"start": ""}, {"start": "soon"},
        {"start": "2031-01-01 00:00"}, {"stop": "1971-01-01"}, {"stop": "2031-01-01"}, {"class": "<b>"},
        {"note": "x" * 2001},
    ):  # fmt: skip
        answer = visitor.post("/events/add", good | change)
        assert answer.status_code == 400 and "Not added" in answer.text, change
    assert visitor.context.reviews.added() == []
    monkeypatch.setattr("edgequake.serve.web.events_page.MOST_ADDED", 1)
    assert [visitor.post("/events/add", good | {"start": day_time(visitor, 1.0 + i)}).status_code for i in (0, 1)] == [
        303, 400,
    ]  # fmt: skip


def test_a_request_is_the_one_that_the_command_writes(visitor: Visitor, station: Path) -> None:
    before = contents(station)
    fields = {"start": "1973-06-30 01:00:00", "stop": "1973-06-30T01:10:00Z", "station": "XX_LUN", "channel": "00.MHZ"}
    assert visitor.post("/ground/request", fields).status_code == 303
    new = contents(station).keys() - before.keys()
    assert len(new) == 1 and all(before[name] == contents(station)[name] for name in before)
    command = ["request", str(station), "1973-06-30T01:00:00", "1973-06-30T01:10:00", "--station", "XX_LUN"]
    assert edge_main([*command, "--channels", "MHZ", "--send"]) == 0
    spans = [Request.read(path).span for path in (station / "requests").glob("*.json")]
    assert len(spans) == 2 and spans[0] == spans[1]
    assert visitor.get("/ground").text.count("waiting</td>") == 2


def test_requests_that_cannot_be_are_refused(visitor: Visitor, station: Path) -> None:
    good = {"start": "1973-06-30 01:00", "stop": "1973-06-30 01:10", "station": "XX_LUN", "channel": ""}
    for change in (
        {"start": "soon"}, {"start": ""}, {"stop": "1973-06-30 00:10"}, {"stop": "1993-06-30"}, {"station": "../x"},
        {"station": "XX_*"}, {"channel": "../../x"}, {"channel": "M*"}, {"channel": "M" * 40},
    ):  # fmt: skip
        assert visitor.post("/ground/request", good | change).status_code == 400, change
    assert not list((station / "requests").glob("*")) if (station / "requests").exists() else True


def test_requests_do_not_pile_up(visitor: Visitor, station: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgequake.serve.station.ground.MOST_WAITING", 2)
    good = {"start": "1973-06-30 01:00", "stop": "1973-06-30 01:10"}
    assert [visitor.post("/ground/request", good).status_code for _ in range(3)] == [303, 303, 400]
    assert len(list((station / "requests").glob("*.json"))) == 2


def test_acknowledging_deletes_the_selected_files_only(visitor: Visitor, station: Path) -> None:
    def numbers() -> list[str]:
        return sorted(path.name for path in (station / "outbox").glob("*"))

    before = numbers()
    for bad in (["99999"], ["1", "99999"], ["x"], ["1/../2"], []):
        assert visitor.post("/ground/acknowledge", [("number", one) for one in bad]).status_code in (400, 409), bad
    assert numbers() == before
    assert visitor.post("/ground/acknowledge", {"number": "1"}).status_code == 303
    assert numbers() == [name for name in before if not name.startswith("00000001.")]


def test_pages_write_nothing_into_the_run_folder(visitor: Visitor, station: Path) -> None:
    before = contents(station)
    evid = visitor.evids()[0]
    for address in ("/now", "/now/data", "/days", "/days/data", "/events", f"/events/{evid}", "/ground"):
        visitor.get(address)
    for part in ("data", "probability"):
        visitor.get(f"/events/{evid}/{part}")
    visitor.post("/events/review", {"action": "accept", "event": evid})
    assert contents(station) == before


def test_a_list_by_its_address() -> None:
    from starlette.datastructures import QueryParams

    listing = listing_of(
        QueryParams("station=XX_LUN&class=-&from=1973-06-30&peak=0.5&state=open&order=doubtful&page=3")
    )
    assert (listing.wanted.station_id, listing.wanted.mq_type, listing.wanted.least_peak) == ("XX_LUN", "", 0.5)
    assert listing.wanted.start_ns == parse_time("1973-06-30T00:00:00") and listing.wanted.stop_ns is None
    assert (listing.wanted.state, listing.order, listing.page, listing.problem) == (0, "doubtful", 3, "")
    assert listing_of(QueryParams(listing.address())) == listing
    odd: Any = listing_of(QueryParams("from=x&peak=2&order=up&page=-1&size=9999&state=none&station=%00"))
    assert (odd.order, odd.page, odd.size, odd.wanted.state) == ("newest", 1, 50, None)
    assert "x" in odd.problem and "peak" in odd.problem
