"""The pages in a real browser: no requests, no errors, every event reached by link and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgequake import cli

from ...browser import Browser, find_browser, outside

RESULTS = ("footprint", "latency", "mars-test", "mars-val", "moon-val-budget")  # of each kind of table one
EVENT_LINKS = "[...document.querySelectorAll('#events tbody a')]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = find_browser()
    with Browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_page(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "report.html"
    assert cli.main(["report", str(finished_run), "--out", str(page)]) == 0
    return page


@pytest.fixture(scope="module")
def bench_page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "bench.html"
    files = [str(root / "docs" / "results" / f"{name}.json") for name in RESULTS]
    assert cli.main(["report", *files, "--out", str(page)]) == 0
    return page


@pytest.fixture(params=["run_page", "bench_page"])
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def opened(browser: Browser, page: Path) -> Browser:
    browser.complaints.clear()
    browser.requests.clear()
    browser.set_width(1200)
    browser.open(page)
    return browser


@pytest.mark.slow
def test_browser_sees_what_a_page_fetches_and_what_goes_wrong(browser: Browser, tmp_path: Path) -> None:
    """Without this the absence of errors in the tests below would prove nothing."""
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://127.0.0.1:9/x.png"><script>console.error("no"); nothing.there</script>')
    opened(browser, bad)
    assert outside(browser.requests) == ["http://127.0.0.1:9/x.png"]
    assert any("no" in complaint for complaint in browser.complaints)
    assert any("ReferenceError" in complaint for complaint in browser.complaints)


@pytest.mark.slow
def test_page_renders_without_errors_and_fetches_nothing(browser: Browser, page: Path) -> None:
    opened(browser, page)
    assert browser.complaints == []
    assert browser.requests[0] == page.as_uri()
    assert outside(browser.requests) == []
    browser.evaluate(  # those of events are decoded when they come into view
        "Promise.all([...document.images].map(i => (i.loading = 'eager', i.decode()))).then(() => 0)"
    )
    images = browser.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth, image.alt])")
    assert len(images) >= 2
    assert all(complete and width > 300 and len(alt) > 40 for complete, width, alt in images)


def test_page_forbids_fetching(browser: Browser, run_page: Path) -> None:
    opened(browser, run_page)
    failed = browser.evaluate("fetch('http://127.0.0.1:9/x').then(() => 'fetched', () => 'refused')")
    assert failed == "refused"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


def test_page_has_a_language_a_title_one_heading_and_names_only_once(browser: Browser, page: Path) -> None:
    opened(browser, page)
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.title").startswith("edgequake: ")
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    names = browser.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(names) == len(set(names))
    targets = browser.evaluate("[...document.links].map(link => link.getAttribute('href'))")
    assert {target[1:] for target in targets} <= set(names)
    labelled = browser.evaluate(
        "[...document.querySelectorAll('[aria-labelledby]')].map(e => e.ariaLabelledByElements.length)"
    )
    assert labelled and set(labelled) == {1}


def test_every_event_links_to_its_panel_and_back(browser: Browser, run_page: Path) -> None:
    opened(browser, run_page)
    assert browser.evaluate(f"{EVENT_LINKS}.length") == 2
    for i in range(2):
        onset = browser.evaluate(f"{EVENT_LINKS}[{i}].textContent")
        browser.evaluate(f"{EVENT_LINKS}[{i}].click()")
        assert browser.evaluate("location.hash") == f"#event-{i + 1}"
        heading = browser.evaluate("document.querySelector(':target h3').textContent")
        assert onset in heading and f"Event {i + 1}:" in heading
        assert browser.evaluate("document.querySelector(':target img').naturalHeight") > 300
        top = browser.evaluate("document.querySelector(':target').getBoundingClientRect().top")
        assert -5 <= top <= 100
        browser.evaluate("document.querySelector(':target .back a').click()")
        assert browser.evaluate("document.querySelector(':target').textContent").split()[0] == str(i + 1)


def test_events_are_reached_by_keyboard_alone(browser: Browser, run_page: Path) -> None:
    opened(browser, run_page)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "content"
    reached: list[str] = []
    for _ in range(4):  # the table's scrolling frame, then its links
        browser.press("Tab")
        reached.append(
            browser.evaluate("document.activeElement.getAttribute('href') || document.activeElement.ariaLabel")
        )
    assert reached[:3] == ["Table of events", "#event-1", "#event-2"]
    outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("width", [1200, 480])
def test_page_is_no_wider_than_the_window(browser: Browser, page: Path, width: int) -> None:
    opened(browser, page)
    browser.set_width(width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_page_prints_without_what_only_a_screen_needs(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        # Nothing is cut off at the right of A4 with margins of 1 cm: 190 mm at 96 pixels an inch.
        browser.set_width(718)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 718
        assert browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.7)["data"].startswith("JVBER")  # %PDF
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_dark_and_light_both_have_contrast(browser: Browser, run_page: Path) -> None:
    """Contrast of text at 7 : 1 or more (WCAG 2.2, level AAA), of links at 4.5 : 1."""
    opened(browser, run_page)
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        ground = luminance(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        text = luminance(browser.evaluate("getComputedStyle(document.body).color"))
        link = luminance(browser.evaluate(f"getComputedStyle({EVENT_LINKS}[0]).color"))
        assert (ground > 0.5) == (scheme == "light")
        assert contrast(text, ground) >= 7 and contrast(link, ground) >= 4.5
    browser.call("Emulation.setEmulatedMedia", features=[])


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)", by WCAG 2.2."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
