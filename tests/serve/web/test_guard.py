"""The server attacked as a stranger would: names, paths, forged forms, floods, huge selections. Refused, and logged."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from edgequake.serve.web.limits import MOST_BODY_BYTES, MOST_SELECTED, Rate, RefusalLog
from edgequake.serve.web.sessions import COOKIE, Sessions

from ..conftest import HOST, Visitor, visit

TOKEN = "correct-horse-battery-staple"


def contents(folder: Path) -> dict[str, str]:
    """Return a checksum of every file in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8321", "127.0.0.1@evil.example", "", "[::1", "a b"]
)
def test_another_name_in_the_host_header_is_refused_and_logged(reader: Visitor, host: str) -> None:
    n_logged = len(reader.logged)
    answer = reader.get("/events", host=host)
    assert answer.status_code == 421
    assert "catalog" not in answer.text and COOKIE not in answer.headers.get("set-cookie", "")
    assert "refused: 198.51.100.7: GET /events: the Host header" in reader.logged[n_logged]


@pytest.mark.parametrize("host", [HOST, f"{HOST}:8321", "LOCALHOST:1", "[::1]:8321"])
def test_its_own_names_are_taken_with_any_port(finished_station: Path, host: str) -> None:
    assert visit(finished_station, names=(HOST, "localhost", "::1")).get("/events", host=host).status_code == 200


PATHS = (
    "/static/../web/server.py", "/static/%2e%2e/web/server.py", "/static/..%2f..%2fpyproject.toml",
    "/static//etc/passwd",
    "/static/vendor/../../__init__.py", "/events/..%2f..%2fcatalog.csv", "/events/%00", "/events/segments%2fx.mseed",
    "/events/../../etc/passwd/data", "/catalog.csv", "/segments/", "/.git/config", "/events/" + "x" * 1000,
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(reader: Visitor, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text and "import" not in answer.text and "peak_probability" not in answer.text


def test_a_segment_outside_its_folder_is_not_read(visitor: Visitor, station: Path, tmp_path: Path) -> None:
    """Whoever can write the catalogue still cannot have the server read other files."""
    secret = tmp_path / "secret.mseed"
    visitor.evids()
    first = visitor.context.index.row(0)
    secret.write_bytes((station / first.segment).read_bytes())
    catalog = station / "catalog.csv"
    for name in ("../secret.mseed", str(secret), "segments/link.mseed"):
        (station / "segments" / "link.mseed").unlink(missing_ok=True)
        (station / "segments" / "link.mseed").symlink_to(secret)
        text = catalog.read_text().replace(first.segment, name)
        changed = visit(station.parent / "run")
        catalog.write_text(text)
        answer = changed.get(f"/events/{first.evid}/data").json()
        catalog.write_text(text.replace(name, first.segment))
        assert answer["traces"] == [] and "not in the run folder" in answer["problem"]


def test_every_answer_says_what_browsers_may_do(reader: Visitor) -> None:
    for address in ("/now", "/static/style.css", "/nothing", "/now/data"):
        headers = reader.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    cookie = visit(reader.context.out).get("/now").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert reader.get("/nothing", host="evil.example").headers["content-security-policy"]


def test_pages_have_no_script_or_style_of_their_own(reader: Visitor) -> None:
    """The policy would keep browsers from running them: so there is nothing to allow."""
    evid = reader.evids()[0]
    for address in ("/now", "/days", "/events", f"/events/{evid}", "/ground"):
        text = reader.get(address).text
        assert text.count("<script") == text.count('<script src="/static/')
        assert "<style" not in text and " style=" not in text and " onclick" not in text and "javascript:" not in text


FORMS = {
    "/events/review": {"action": "reject"},
    "/events/undo": {},
    "/events/add": {"station": "XX_LUN", "start": "1973-06-30 02:00", "stop": ""},
    "/ground/request": {"start": "2022-01-02 00:00", "stop": "2022-01-02 00:10"},
    "/ground/acknowledge": {"number": "1"},
    "/reviewer": {"name": "eve"},
    "/logout": {},
}


@pytest.mark.parametrize("address", FORMS)
def test_a_forged_form_changes_nothing(visitor: Visitor, station: Path, address: str) -> None:
    fields = FORMS[address] | ({"event": visitor.evids()[0]} if address == "/events/review" else {})
    before, reviews = contents(station), contents(visitor.context.reviews.folder)
    stranger = visit(station)
    secret = visitor.secret()
    forged = [
        visitor.post(address, fields, secret=""),
        visitor.post(address, fields, secret="0" * 64),
        visitor.post(address, fields, secret=stranger.secret()),  # of another process
        visitor.post(address, fields, secret=secret, origin="http://evil.example"),
        visitor.post(address, fields, secret=secret, origin="null"),
        visitor.post(address, fields, secret=secret, **{"sec-fetch-site": "cross-site"}),
        visitor.post(address, fields, secret=secret, **{"sec-fetch-site": "same-site"}),
    ]
    assert [answer.status_code for answer in forged] == [403] * len(forged)
    assert visitor.get(address + "?" + "&".join(f"{k}={v}" for k, v in fields.items())).status_code in (404, 405)
    assert contents(station) == before and contents(visitor.context.reviews.folder) == reviews
    assert sum(line.startswith("refused:") for line in visitor.logged) == len(forged)


def test_a_secret_of_another_session_of_the_same_server_is_refused(visitor: Visitor) -> None:
    secret = visitor.secret()
    visitor.client.cookies.clear()
    assert visitor.post("/events/undo", secret=secret).status_code == 403


def test_uploads_and_large_and_odd_bodies_are_refused(visitor: Visitor) -> None:
    secret = visitor.secret()
    post = visitor.client.post
    assert post("/events/undo", files={"secret": ("x", secret.encode())}).status_code == 415
    assert post("/events/undo", json={"secret": secret}).status_code == 415
    assert visitor.post("/events/undo", {"x": "y" * MOST_BODY_BYTES}).status_code == 413
    kind = {"content-type": "application/x-www-form-urlencoded"}
    unending = (b"x" * 8192 for _ in range(100))  # without a length
    assert post("/events/undo", content=unending, headers=kind).status_code == 413
    assert post("/events/undo", content=b"\xff\xfe=1", headers=kind).status_code == 400
    assert post("/events/undo", content=b"a=1&" * 2000, headers=kind).status_code == 400
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert visitor.client.request(method, "/events").status_code == 405
    assert visitor.get("/events?x=" + "y" * 5000).status_code == 414


def test_a_huge_selection_is_refused_whole(visitor: Visitor) -> None:
    fields = [("action", "reject"), *(("event", f"XA_S12_{i}") for i in range(MOST_SELECTED + 1))]
    answer = visitor.post("/events/review", fields)
    assert answer.status_code == 400 and "expected 1 to" in answer.text
    evids = visitor.evids()
    assert (
        visitor.post("/events/review", [("action", "reject"), ("event", evids[0]), ("event", "no")]).status_code == 400
    )
    assert visitor.context.reviews.all() == {}


def test_reviews_that_are_none_are_refused(visitor: Visitor) -> None:
    evid = visitor.evids()[0]
    for action, value in (
        ("drop", ""), ("undo", ""), ("class", "<script>"), ("onset", "yesterday"), ("onset", "1999-01-01"),
        ("note", "x" * 5000), ("", ""),
    ):  # fmt: skip
        answer = visitor.post("/events/review", {"action": action, "value": value, "event": evid})
        assert answer.status_code == 400, (action, value)
    assert visitor.context.reviews.all() == {}


def test_texts_of_others_come_back_as_text(visitor: Visitor) -> None:
    evid, evil = visitor.evids()[0], '"><img src=x onerror=alert(1)>'
    assert visitor.post("/events/review", {"action": "note", "value": evil, "event": evid}).status_code == 303
    for address in (f"/events/{evid}", "/events", f"/events?from={evil}&class={evil}&back={evil}"):
        text = visitor.get(address).text
        assert "<img" not in text
    assert "&lt;img" in visitor.get(f"/events/{evid}").text


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/events\\@evil", "/ground", "/events\r\nX: y"]
)
def test_a_form_leads_to_no_other_site(visitor: Visitor, back: str) -> None:
    answer = visitor.post("/events/review", {"action": "accept", "event": visitor.evids()[0], "back": back})
    assert answer.headers["location"] == "/events"


def test_a_flood_is_refused_and_its_log_stays_short(finished_station: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgequake.serve.web.guard._READS_A_SECOND", 0.0)
    monkeypatch.setattr("edgequake.serve.web.guard._READS_AT_ONCE", 10.0)
    monkeypatch.setattr("edgequake.serve.web.limits._LOGGED_A_SECOND", 0.0)
    visitor = visit(finished_station)
    answers = [visitor.get("/static/icon.svg") for _ in range(60)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 50
    assert answers[-1].headers["retry-after"] == "10" and len(visitor.logged) == 20


def test_a_rate_allows_its_burst_and_then_so_many_a_second() -> None:
    now_s = 100.0
    rate = Rate(2.0, 3.0, lambda: now_s)
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]
    assert rate.allows("b")
    now_s += 0.5
    assert [rate.allows("a") for _ in range(2)] == [True, False]
    now_s += 1000.0
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]


def test_refusals_that_are_not_logged_are_counted() -> None:
    now_s, lines = 0.0, list[str]()
    log = RefusalLog(lines.append, lambda: now_s)
    for _ in range(100):
        log.refused("1.2.3.4", "GET /", "no")
    assert len(lines) == 20 and log.n_refused == 100
    now_s += 1.0
    log.refused("1.2.3.4", "GET /", "no")
    assert lines[-1].endswith("(and 80 more refusals before)")


def test_without_the_token_nothing_is_seen(finished_station: Path) -> None:
    stranger = visit(finished_station, token=TOKEN)
    for address in ("/now", "/days", "/events", "/ground", "/nothing"):
        answer = stranger.get(address, accept="text/html")
        assert answer.status_code == 303 and answer.headers["location"] == "/login"
    for address in ("/now/data", "/days/data", "/events/x/data"):
        assert stranger.get(address).status_code == 401
    login = stranger.get("/login").text
    assert "XX_LUN" not in login and "/events" not in login and f" {finished_station.name}<" not in login


def test_logging_in_needs_the_token_and_gives_a_new_session(
    finished_station: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgequake.serve.web.login_page._WRONG_S", 0.0)
    visitor = visit(finished_station, token=TOKEN)

    def log_in(token: str) -> int:
        page = visitor.get("/login").text
        secret = page.partition('name="secret" value="')[2][:64]
        return int(visitor.post("/login", {"token": token}, secret=secret).status_code)

    assert log_in("") == log_in(TOKEN + "x") == log_in(TOKEN[:-1]) == 403
    before = visitor.client.cookies[COOKIE]
    assert log_in(f" {TOKEN} ") == 303
    assert visitor.client.cookies[COOKIE] != before
    assert visitor.get("/events").status_code == 200
    assert any("a wrong token" in line for line in visitor.logged)
    assert not any(TOKEN in line for line in visitor.logged)
    assert visitor.post("/logout").status_code == 303
    assert visitor.get("/events").status_code == 401


def test_tokens_cannot_be_tried_fast(finished_station: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgequake.serve.web.login_page._WRONG_S", 0.0)
    stranger = visit(finished_station, token=TOKEN)
    secret = stranger.get("/login").text.partition('name="secret" value="')[2][:64]
    codes = [stranger.post("/login", {"token": str(i)}, secret=secret).status_code for i in range(10)]
    assert codes == [403] * 5 + [429] * 5


def test_a_forged_or_old_cookie_is_no_session() -> None:
    now_s = time.time()
    sessions, other = Sessions(TOKEN, lambda: now_s), Sessions(TOKEN)
    session = sessions.new(is_in=True)
    cookie = sessions.cookie(session)
    assert sessions.read(cookie) == session and not sessions.new().is_in
    outsider = sessions.cookie(sessions.new())
    name, until, is_in, signature = outsider.split(".")
    assert is_in == "0" and sessions.read(f"{name}.{until}.1.{signature}") is None
    assert other.read(cookie) is None
    for bad in ("", "x", cookie[:-1], cookie + "0", cookie.upper(), "\n" + cookie):
        assert sessions.read(bad) is None
    now_s += 31 * 86_400
    assert sessions.read(cookie) is None
