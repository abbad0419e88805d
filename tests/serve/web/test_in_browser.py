"""The pages in a real browser. The short form opens each once; the long one, `make pages`, works with them.

The long form has a simulated Raspberry Shake sending to a live run, two reviewers, a catalogue of a million rows, all
screens at two widths in dark and light, and axe-core (https://github.com/dequelabs/axe-core), the file of which
EDGEQUAKE_AXE names.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.benchmarks.robustness.shake_signal import STATION, shake_signal
from edgequake.edge.results.catalog import HEADER
from edgequake.serve.reviews.review_store import ReviewStore

from ...browser import Browser, find_browser

LONG = bool(os.environ.get("EDGEQUAKE_LONG_PAGES"))
PICTURES = os.environ.get("EDGEQUAKE_PICTURES")  # folder for pictures of all screens
AXE = os.environ.get("EDGEQUAKE_AXE")
WAIT_S = 60.0
N_MANY = 1_000_000
MOST_LIST_S = 0.2
long_form = pytest.mark.skipif(not LONG, reason="long form: make pages")
DRAWN = {
    "/now": "document.getElementById('plots').dataset.drawn",
    "/days": "document.getElementById('day').dataset.drawn",
    "/events": "document.querySelector('#list table')",
    "/ground": "document.getElementById('outbox')",
}
EVENT_DRAWN = "document.getElementById('plots').dataset.probability"


@contextmanager
def served(run: Path) -> Iterator[tuple[str, int]]:
    """Serve a run folder in a process of its own; yield its address and the process."""
    command = [sys.executable, "-m", "edgequake.cli", "serve", str(run), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"http://\S+:\d+", process.stderr.readline())
        assert found is not None
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait(10.0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = find_browser()
    with Browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@contextmanager
def without_complaints(browser: Browser, width: int = 1280) -> Iterator[Browser]:
    """Check that a browser has nothing to complain about, and asks nobody else for anything."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.set_width(width)
    yield browser
    complaints = list(browser.complaints)
    browser.open("about:blank")  # no page goes on asking a server that has gone
    assert complaints == []
    assert [url for url in browser.requests if not url.startswith(("http://127.0.0.1", "data:", "about:"))] == []


def first_event(browser: Browser, address: str) -> str:
    browser.open(f"{address}/events")
    return str(browser.evaluate("document.querySelector('#list tbody a').href"))


@pytest.mark.slow
def test_every_page_is_drawn_without_a_complaint(browser: Browser, station: Path) -> None:
    with served(station) as (address, _), without_complaints(browser):
        for page, drawn in DRAWN.items():
            browser.open(f"{address}{page}")
            browser.wait_until(drawn)
            assert browser.evaluate("document.querySelectorAll('h1').length") == 1
            names = browser.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
            assert len(names) == len(set(names))
        browser.open(first_event(browser, address))
        browser.wait_until(EVENT_DRAWN)
        assert browser.evaluate("document.querySelectorAll('#plots canvas').length") == 5
        browser.press("r")  # reviews, and leads to the next event
        browser.wait_until("document.querySelector('#previous') && document.querySelector('#review')")
        assert ReviewStore.beside(station).counts() == {"accept": 0, "reject": 1}


@long_form
def test_all_screens_fit_and_are_accessible(browser: Browser, station: Path) -> None:
    axe = Path(AXE).read_text(encoding="utf-8") if AXE else None
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
    with served(station) as (address, _):
        screens = {page.strip("/"): (f"{address}{page}", drawn) for page, drawn in DRAWN.items()}
        screens["now-day"] = (f"{address}/now?minutes=1440", DRAWN["/now"])
        screens["event"] = (first_event(browser, address), EVENT_DRAWN)
        screens["missing"] = (f"{address}/nothing", "true")
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                browser.call("Emulation.setEmulatedMedia", features=features)
                browser.set_width(width)
                for name, (url, drawn) in screens.items():
                    browser.open(url)
                    browser.wait_until(drawn)
                    assert browser.evaluate("document.documentElement.scrollWidth") <= width, name
                    if PICTURES:
                        browser.picture(Path(PICTURES) / f"{name}-{width}-{scheme}.png")
                    if axe is not None:
                        assert serious(browser, axe) == [], (name, width, scheme)
        browser.call("Emulation.setEmulatedMedia", features=[])
        if axe is not None:  # without this the absence of findings would prove nothing
            browser.evaluate("document.querySelector('main').append(document.createElement('select'))")
            assert [one[1] for one in serious(browser, axe)] == ["select-name"]
    if axe is None:
        pytest.skip("screens fit; EDGEQUAKE_AXE names no axe.min.js: accessibility is not checked")


def serious(browser: Browser, axe: str) -> list[Any]:
    """Return what axe-core finds that is serious or critical, with the elements."""
    browser.call("Runtime.evaluate", expression=axe)
    found = browser.evaluate(
        "axe.run(document).then(result => result.violations.map("
        "one => [one.impact, one.id, one.nodes.map(node => node.html.slice(0, 150)).slice(0, 3)]))"
    )
    return [one for one in found if one[0] in ("serious", "critical")]


@long_form
def test_reviewing_by_keyboard_and_by_mouse(browser: Browser, station: Path) -> None:
    def judged() -> dict[str, int]:
        return ReviewStore.beside(station).counts()

    with served(station) as (address, _), without_complaints(browser):
        browser.open(f"{address}/events/next?order=newest&state=open")
        first = browser.evaluate("document.getElementById('plots').dataset.event")
        browser.wait_until(EVENT_DRAWN)
        browser.press("ArrowRight", "ArrowRight", "ArrowLeft")
        browser.wait_until("document.getElementById('onset').value.length === 23")
        browser.press("Enter")
        browser.wait_until("document.getElementById('plots').dataset.moved")
        moved = ReviewStore.beside(station).of(first)
        onset = float(browser.evaluate("document.getElementById('plots').dataset.onset"))
        assert abs((moved.onset_ns or 0) / 1e9 - onset - 0.1) < 2e-3
        browser.press("a")
        browser.wait_until(f"document.getElementById('plots')?.dataset.event !== '{first}'")
        assert judged() == {"accept": 1, "reject": 0}
        browser.evaluate("document.body.dataset.before = 'undo'")
        browser.press("u")
        browser.wait_until("!document.body.dataset.before && document.getElementById('verdict')")
        # By mouse: the boxes and buttons of the list.
        browser.open(f"{address}/events")
        click(browser, ".select-all")
        browser.wait_until("document.querySelector('.n-selected').textContent === '2 selected'")
        click(browser, "#bulk button[value=reject]")
        browser.wait_until("document.querySelectorAll('tbody .verdict.bad').length === 2")
        assert judged() == {"accept": 0, "reject": 2}
        click(browser, "#bulk button[formaction='/events/undo']")
        browser.wait_until("document.querySelectorAll('tbody .verdict.bad').length < 2")
        assert judged()["reject"] == 0
        # The filter changes the list without loading the page again.
        browser.evaluate("window.isSame = true")
        browser.evaluate("(() => { const s = document.querySelector('[name=state]'); s.value = 'rejected';"
                         " s.dispatchEvent(new Event('change', {bubbles: true})); })()")  # fmt: skip
        browser.wait_until("location.search.includes('state=rejected') && !document.querySelector('#list table')")
        assert browser.evaluate("window.isSame") is True


def click(browser: Browser, selector: str) -> None:
    """Click in the middle of an element, as a mouse does, as soon as it is there."""
    browser.wait_until(f"document.querySelector({selector!r})")
    at = browser.evaluate(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)


@long_form
def test_a_span_is_selected_and_requested(browser: Browser, station: Path) -> None:
    with served(station) as (address, _), without_complaints(browser):
        browser.open(f"{address}/days")
        browser.wait_until(DRAWN["/days"])
        box = browser.evaluate("(b => [b.x, b.y, b.width])(document.getElementById('day').getBoundingClientRect())")
        y = box[1] + 22 + 1.5 * 30  # the line of 01:00
        for kind, share in (("mousePressed", 0.25), ("mouseMoved", 0.4), ("mouseReleased", 0.5)):
            x = box[0] + 52 + share * (box[2] - 64)
            browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        start, stop = browser.evaluate("['start', 'stop'].map(id => document.getElementById(id).value)")
        assert start[11:16] == "01:15" and stop[11:16] == "01:30"
        click(browser, "#request button")
        browser.wait_until("location.pathname === '/ground' && document.querySelector('section table')")
        assert len(list((station / "requests").glob("*.json"))) == 1
        assert start in browser.evaluate("document.body.textContent")


@long_form
def test_a_missed_event_is_added_by_mouse(browser: Browser, station: Path) -> None:
    def stands() -> list[float]:
        return [one.added.onset_ns / 1e9 for one in ReviewStore.beside(station).added() if one.added]

    with served(station) as (address, _), without_complaints(browser):
        browser.open(f"{address}/days")
        browser.wait_until(DRAWN["/days"])
        box = browser.evaluate("(b => [b.x, b.y, b.width])(document.getElementById('day').getBoundingClientRect())")
        at = {"x": box[0] + 52 + 0.25 * (box[2] - 64), "y": box[1] + 22 + 2.5 * 30}  # 02:15
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, **at, button="left", buttons=1, clickCount=1)
        start, stop = browser.evaluate("['add-start', 'add-stop'].map(id => document.getElementById(id).value)")
        assert start[11:16] == "02:15" and stop == ""
        click(browser, "#add button")
        browser.wait_until(f"location.search === '?state=added' && ({EVENT_DRAWN})")
        assert len(stands()) == 1
        browser.press("u")
        browser.wait_until("document.querySelector('#list') && !document.querySelector('#list table')")
        assert stands() == []
        # On "Now", by a click into a trace, which the next renewal keeps.
        browser.open(f"{address}/now?minutes=30")
        browser.wait_until(DRAWN["/now"])
        click(browser, "#plots .u-over")
        browser.wait_until("document.getElementById('add-start').value.length === 23")
        middle = browser.evaluate("(d => (Number(d.stop) - 900))(document.getElementById('plots').dataset)")
        click(browser, "#add button")
        browser.wait_until(f"location.search === '?state=added' && ({EVENT_DRAWN})")
        assert abs(stands()[0] - middle) < 5.0


@long_form
def test_two_browsers_review_at_once(browser: Browser, station: Path, tmp_path: Path) -> None:
    with served(station) as (address, _), Browser(find_browser(), tmp_path / "other") as other:
        for one, name in ((browser, "ann"), (other, "bob")):
            one.set_width(1280)
            one.open(f"{address}/events")
            one.evaluate(f"document.querySelector('footer [name=name]').value = '{name}'")
            one.evaluate("document.body.dataset.before = 'name'")
            click(one, "footer button")
            one.wait_until(
                f"!document.body.dataset.before && document.querySelector('footer [name=name]').value === '{name}'"
            )
            one.wait_until("document.querySelectorAll('#bulk [name=event]').length > 1")
        browser.evaluate("document.querySelectorAll('#bulk [name=event]')[0].click()")
        other.evaluate("document.querySelectorAll('#bulk [name=event]')[1].click()")
        click(browser, "#bulk button[value=accept]")
        click(other, "#bulk button[value=reject]")
        browser.wait_until("document.querySelector('tbody .verdict.good')")
        other.wait_until("document.querySelector('tbody .verdict.bad')")
        store = ReviewStore.beside(station)
        assert sorted((one.judge, one.verdict) for one in store.all().values()) == [
            ("ann", "accept"),
            ("bob", "reject"),
        ]


@long_form
def test_the_trace_goes_on_while_a_shake_sends(browser: Browser, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    signal, out = shake_signal(np.random.default_rng(1), 240.0), tmp_path / "run"
    datagrams = [data for _, data in signal.datagrams()]
    name = "_".join(STATION.split("_")[:2])
    command = [
        sys.executable,
        "-m",
        "edgequake.edge",
        "run",
        f"shake://127.0.0.1:{port}/{name}",
        "--out",
        str(out),
        "--monitor",
    ]
    runner = subprocess.Popen([*command, "--model", "earth"], stderr=subprocess.DEVNULL)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shake:
            send(shake, port, datagrams[:1200], lambda: any((out / "monitor").rglob("*.mseed")))
            with served(out) as (address, _), without_complaints(browser):
                browser.open(f"{address}/now?minutes=2")
                browser.wait_until(DRAWN["/now"])
                browser.evaluate("window.isSame = true")
                stops = [float(browser.evaluate("document.getElementById('plots').dataset.stop"))]
                for first in (1200, 1800):
                    send(shake, port, datagrams[first : first + 600], None)
                    browser.wait_until(f"Number(document.getElementById('plots').dataset.stop) > {stops[-1]} + 20")
                    stops.append(float(browser.evaluate("document.getElementById('plots').dataset.stop")))
                assert browser.evaluate("window.isSame") is True
                browser.wait_until("document.querySelector('#health').textContent.includes('well')")
    finally:
        runner.terminate()
        runner.wait(30.0)


def send(shake: socket.socket, port: int, datagrams: list[bytes], is_heard: Callable[[], bool] | None) -> None:
    """Send datagrams, not too many at once for a buffer; until they are heard, where that is asked for."""
    deadline = time.monotonic() + WAIT_S
    while True:
        for i, data in enumerate(datagrams):
            shake.sendto(data, ("127.0.0.1", port))
            if i % 60 == 59:
                time.sleep(0.02)  # a socket's buffer holds some hundred datagrams
        if is_heard is None or is_heard():
            return
        assert time.monotonic() < deadline, "the run hears nothing"


@long_form
def test_a_million_events_are_listed_at_once(browser: Browser, tmp_path: Path) -> None:
    out = tmp_path / "many"
    out.mkdir()
    with (out / "catalog.csv").open("wb") as file:
        file.write(HEADER)
        times = np.datetime_as_string(np.datetime64("2000-01-01T00:00:00.000000") + 60_000_007 * np.arange(N_MANY))
        for i, text in enumerate(times.tolist()):
            file.write(
                f"-,{text},{i}.000000,AM_R{i % 7}_{i},{('', 'local', 'deep_mq')[i % 3]},AM_R{i % 7},EHZ,{text},"
                f"1.000,0.{i * 7919 % 10000:04d},0.5000,segments/{i}.mseed,1000,4000\n".encode()
            )
    with served(out) as (address, pid), without_complaints(browser):
        browser.open(f"{address}/events")  # the first answer reads the catalogue
        queries = [f"page={n}&size=200" for n in (1, 2500, 5000)]
        queries += ["station=AM_R3&class=local&peak=0.5", "order=doubtful", "order=random&state=open&page=777"]
        for query in queries:
            fetched = f"fetch('/events?{query}').then(r => r.text()).then(t => t.includes('of 1000000'))"
            assert browser.evaluate(fetched) is True  # once to sort
            took = [browser.evaluate(f"(async () => {{ const t = performance.now(); await {fetched}; "
                                     "return performance.now() - t; })()") for _ in range(5)]  # fmt: skip
            print(f"{query}: {min(took):.0f} ms")
            assert min(took) / 1e3 < MOST_LIST_S
        browser.open(f"{address}/events?page=5000&size=200")
        browser.evaluate("document.querySelector('#list tbody a').click()")
        browser.wait_until("document.querySelector('h1').textContent.startsWith('AM_R')")
        print(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split("\n")[0])
