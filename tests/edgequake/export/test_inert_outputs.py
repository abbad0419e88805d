"""Hostile text through every writer: no formula, no control character and no markup comes out."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import obspy
import pymseed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgequake import cli
from edgequake.commands import terminal
from edgequake.data.tables import read_table, table_bytes
from edgequake.edge.__main__ import main
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import cell, lines, one_line, text_of
from edgequake.edge.downlink.send_queue import event_report
from edgequake.edge.operation.announcements import event_fields
from edgequake.edge.operation.status import status_text
from edgequake.edge.results.catalog import CatalogRow
from edgequake.export.exporting import to_csv, to_snuffler
from edgequake.export.quakeml import quakeml
from edgequake.report.pages.page import render
from edgequake.results.finished_run import FinishedRun, RunEvent, read_run
from edgequake.results.tables.table import Table

from .run_folder import write_run

HOSTILE = (
    "=cmd|'/C calc'!A0", "+1+cmd|'x'!A", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "a,b;=c", 'quo"te', "''=1+1",
    "\x1b[2J\x1b]0;owned\x07", "a\x00b\x08\x7f", "one\nerror: two", "\u202egnp.exe", "a\u2066b\u2069", "\u200b\ufeff",
    "line\u2028line\u2029", "\x85\x9b31m", "<script>alert(1)</script>", "]]>&amp;<!--", "{{ 7 * 7 }}", "\ud800\udcff",
)  # fmt: skip
_FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories: control, format, surrogate, separators of lines


def assert_printable(text: str, allowed: str = "") -> None:
    """Check, by Unicode's own categories, that a text moves no cursor and turns no direction."""
    found = [c for c in text if unicodedata.category(c) in _FORBIDDEN and c not in allowed]
    assert found == [], ascii(text)


def assert_no_formula(text: str) -> None:
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text.strip("-"):
        float(text)  # a number may begin so
    assert_printable(text)


def cells(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode(), newline="")))


def event(text: str) -> RunEvent:
    """Return an event with a text wherever one can stand."""
    values: dict[str, Any] = {
        "filename": text, "onset_ns": 10**18, "time_rel_s": -1.5, "evid": text, "mq_type": text,
        "station_id": f"{text}_{text}", "channels": (text, "Z"), "stop_ns": 10**18 + 10**11, "peak_probability": 0.5,
        "priority": 0.25, "segment": text, "n_samples": 5, "size_bytes": 512, "sent": False, "onset_uncertainty_s": 1.5,
    }  # fmt: skip
    return RunEvent(**values, name=text, location=text)


def row(text: str) -> CatalogRow:
    values = {name: getattr(event(text), name) for name in CatalogRow.__dataclass_fields__}
    return CatalogRow(**values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("run") / "out"
    write_run(folder)
    return read_run(folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_tables(text: str) -> None:
    (_, written), (report,) = cells(to_csv([event(text)])), cells(event_report([row(text)]))
    assert len(written) == 11 and len(report) == 7
    for one in (*written, *report):
        assert_no_formula(one)
    assert report[1:4] == ["100", "0.5000", "1.500"] and report[5:] == ["0.2500", "512"]
    (found,) = read_back(text)
    assert found["number"] == "-1.5" and found["text"] == one_line(text)


def read_back(text: str) -> list[dict[str, str]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(table_bytes(("text", "number"), [{"text": text, "number": -1.5}]))
        for line in cells(path.read_bytes()):
            for one in line:
                assert_no_formula(one)
        return read_table(path, ("text", "number"))


@given(st.text())
def test_any_cell_is_inert_and_comes_back(text: str) -> None:
    assert_no_formula(cell(text))
    assert text_of(cell(text)) == one_line(text) and cell(text_of(cell(text))) == cell(text)
    assert one_line(one_line(text)) == one_line(text) and one_line(lines(text)) == one_line(text)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_stay_numbers(number: float) -> None:
    assert cell(str(number)) == str(number) and cell(f"{number:+.3f}") == f"{number:+.3f}"


@pytest.mark.parametrize("text", HOSTILE)
def test_quakeml(text: str, finished: FinishedRun) -> None:
    station_id = finished.events[0].station_id
    summary = replace(finished.summary, edgequake_version=text, models=())
    events = (replace(finished.events[0], mq_type=text, segment=text, name=text, location=text, channels=(text,)),)
    document = quakeml(replace(finished, summary=summary, events=events))
    for element in ElementTree.fromstring(document).iter():
        assert_printable("".join([element.text or "", *element.attrib.values()]), allowed="\n")
    (found,) = obspy.read_events(io.BytesIO(document))
    assert f"class={one_line(text)}" in [comment.text for comment in found.comments]
    assert found.picks[0].waveform_id.station_code == station_id.partition("_")[2]


@pytest.mark.parametrize("text", HOSTILE)
def test_markers(text: str) -> None:
    head, pick, span = to_snuffler([event(text)]).decode().split("\n")[:-1]
    plain = to_snuffler([event("x")]).decode().split("\n")
    assert head == plain[0]
    assert [len(line.split(" ")) for line in (pick, span)] == [len(line.split(" ")) for line in plain[1:3]]
    assert span.count(",") == plain[2].count(",")
    for line in (pick, span):
        assert_printable(line)


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.texts += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(text: str) -> Page:
    """Return a page of results with a text in every place."""
    table = Table(text, ("file", text), ((text, text),), (text,))
    names = ("accuracy", "details", "curves", "peers", "latency", "footprint", "energy")
    names += ("hours", "missions", "others", "provenance")
    texts = dict.fromkeys(("curves_chart", "curves_alt", "latency_chart", "latency_alt", "title"), text)
    return Page(render("bench.html.j2", **texts, **dict.fromkeys(names, (table,))))


@pytest.mark.parametrize("text", HOSTILE)
def test_html(text: str) -> None:
    found, plain = page(text), page("x")
    assert found.tags == plain.tags  # nothing of the text has become a tag
    for one in found.texts:
        assert_printable(one, allowed="\n")
    if "\n" not in text:
        assert one_line(text) in "".join(found.texts)


@pytest.mark.parametrize("text", HOSTILE)
def test_terminal_and_logs(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics = Diagnostics()
    diagnostics.warn(text)
    diagnostics.count(text)
    diagnostics.skip_record(text, text, 5)
    for one in diagnostics.texts():
        assert_printable(one)
    table = Table("title", ("file", "n"), ((text, "1"),))
    assert table.text().count("\n") == 2 and table.markdown().count("\n") == 2
    assert_printable(table.text(), allowed="\n")
    assert_printable(table.markdown(), allowed="\n")
    terminal.say(text)
    terminal.print_result({"text": text}, text, as_json=True)
    assert_printable(capsys.readouterr().out, allowed="\n")
    status = {
        "health": text, "age_s": 1.0, "mission_time": text, "models": [], "edgequake_version": text, "events": 1,
        "rises_let_go": 0, "samples_in": 1, "peak_memory_bytes": 1, "downlink": None, "archive": None,
        "last_sample": {text: text}, "warnings": [text],
    }  # fmt: skip
    assert_printable(status_text(status), allowed="\n")
    assert status_text(status).count("\n") == 4


@pytest.mark.parametrize("text", HOSTILE)
def test_the_event_hook(text: str) -> None:
    sent = json.dumps(event_fields(row(text)))
    assert sent.isascii() and sent.isprintable()
    for value in json.loads(sent).values():
        if isinstance(value, str):
            assert_printable(value)


COMMANDS: dict[str, Callable[[str], int]] = {
    "edgequake-edge run": lambda name: main(["run", name, "--out", "/nonexistent/out"]),
    "edgequake-edge status": lambda name: main(["status", name]),
    "edgequake-edge": lambda name: main([name]),
    "edgequake run": lambda name: cli.main(["run", name, "--out", "/nonexistent/out"]),
    "edgequake export": lambda name: cli.main(["export", name, "--csv"]),
    "edgequake report": lambda name: cli.main(["report", f"{name}.json"]),
    "edgequake inspect": lambda name: cli.main(["inspect", name]),
    "edgequake": lambda name: cli.main([name]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "text", [text for text in HOSTILE if "\0" not in text and not text.startswith(("-", "\ud800"))]
)
def test_errors(command: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        code = COMMANDS[command](text)
    except SystemExit as stopped:  # argparse's usage
        code = int(stopped.code or 0)
    said = capfd.readouterr().err
    assert code in (1, 2) and said
    assert_printable(said, allowed="\n")
    if code == 1:
        assert said.count("\n") == 1


CODES = ("A\x01B", "\x1b[31m", "A\rB", "A\nB", "=1+1", "A B", "a/../b", "A.B", "Ä\u202eB", "A\x7f", "A,B;C")


@pytest.mark.parametrize("code", CODES)
def test_a_station_of_any_code_is_detected_and_exported(
    code: str, quake_samples: np.ndarray[Any, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.mseed", tmp_path / "out"
    path.write_bytes(record_of(f"FDSN:X_{code}_00_M_H_Z", quake_samples))
    assert main(["run", str(path), "--out", str(out)]) == 0
    (found,) = read_run(out).events
    assert re.fullmatch(r"[A-Za-z0-9-]+", found.station) and (out / found.segment).is_file()
    for form in ("--quakeml", "--csv", "--snuffler", "--sac"):
        assert cli.main(["export", str(out), form]) == 0
    assert len(obspy.read_events(str(out / "events.xml"))) == 1
    for line in cells((out / "events.csv").read_bytes()):
        for one in line:
            assert_no_formula(one)
    said = capfd.readouterr()
    assert_printable(said.out + said.err, allowed="\n")
    assert f"are used as FDSN:X_{found.station}_00_M_H_Z" in said.err


@pytest.fixture(scope="module")
def quake_samples() -> np.ndarray[Any, Any]:
    from edgequake.synthetic.synthetic_dataset import synthetic_record

    record = synthetic_record(np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)
    return np.asarray(record.samples[2], np.int32)


def record_of(source_id: str, samples: np.ndarray[Any, Any]) -> bytes:
    """Return samples as miniSEED 3, which has room for any code."""
    record = pymseed.MS3Record(reclen=512, encoding=pymseed.DataEncoding.STEIM2)
    record.formatversion, record.sourceid, record.samprate, record.starttime = (
        3,
        source_id,
        6.625,
        1_893_456_000 * 10**9,
    )
    return b"".join(record.generate(samples, "i"))


def test_different_codes_stay_different_and_damaged_ones_are_left_out() -> None:
    from edgequake.edge.formats.source_ids import usable_source_id

    names = [usable_source_id(f"FDSN:X_{code}_00_M_H_Z") for code in CODES]
    assert len(set(names)) == len(CODES)
    assert usable_source_id("FDSN:XX_LUN_00_M_H_Z") == "FDSN:XX_LUN_00_M_H_Z"
    for bad in ("XFDSN:X_A_00_M_H_Z", "FDSN:X_A", f"FDSN:X_{'=' * 30}_00_M_H_Z"):
        with pytest.raises(DataError, match="source identifier"):
            usable_source_id(bad)
