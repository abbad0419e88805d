"""A run folder of edgequake 0.1.0 is read, its archive is continued, and a live run resumes in it.

The texts are those of a run of that version; obspy writes the waveforms.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import get_waveforms
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.downlink.journal import read_journal, sent_segments
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.catalog import COLUMNS, OLD_COLUMNS, CatalogRow, Segment, catalog_text, read_catalog
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run

NAME = "segments/XX_LUN_20300101T010043.056.mseed"
GRAPH = "0ca6d11ec48d0606e70295439d419c7f1b848c52fe15885d256046488103ed43"
CATALOG = (
    "filename,time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),evid,mq_type,station_id,channels,stop_abs,"
    "onset_uncertainty_s,peak_probability,priority,segment,n_samples,size_bytes,sent\n"
    "quake,2030-01-01T01:06:47.056604,4007.056604,XX_LUN_20300101T010647.056,impact_mq,XX_LUN,MH1 MH2 MHZ,"
    f"2030-01-01T01:44:10.264151,6.083,0.9961,0.7264,{NAME},54168,40960,0\n"
)
SUMMARY = {
    "edgequake_version": "0.1.0", "model": "moon", "variant": "int8", "graph_sha256": GRAPH,
    "runtime": "tflite-runtime 2.14.0", "onset_threshold": 0.5, "inputs": ["quake.mseed"], "stations": ["XX_LUN"],
    "samples_in": 178722, "bytes_in": 130560, "samples_kept": 54168, "bytes_kept": 40960, "record_s": 9000.000000302,
    "kept_s": 2727.207547169, "kept_fraction": 0.30302306078638747, "tears_bridged": 12, "samples_bridged": 213,
    "restarts": 0, "fill_samples": 60, "not_finite_samples": 0, "overlap_samples": 0, "unreadable_bytes": 0,
    "ignored_channels": [], "warnings": [], "resumed": 0, "wall_s": 0.12, "cpu_s": 0.11, "peak_memory_bytes": 51044352,
    "segments": [{"file": NAME, "station_id": "XX_LUN", "start_ns": 1893459643056603774,
                  "stop_ns": 1893462370264150943, "n_samples": 54168, "size_bytes": 40960}],
    "n_events": 1,
}  # fmt: skip
JOURNAL = (
    '{"number":1,"clock_ns":1893463200000000000,"day":21915,"files":[{"name":"00000001.csv","size_bytes":68,"sha256":'
    '"cd1bbf075873d202f11cf50c37c1c00ff79d33c5224970bbe93b8bbbf2bdd923"},{"name":"00000001.mseed","size_bytes":1536,'
    '"sha256":"41c75addac292d753755bb234f1f6292d5808e6e9e9e32f4c9a93317b2e53f7e"}],"sent":[{"source":"'
    f'{NAME}","first":0,"stop":4,"again":false}}]}}\n'
)
STATUS = {
    "state": "ended", "written_at": "2026-11-27T02:24:05.394021Z", "edgequake_version": "0.1.0", "model": "moon",
    "graph_sha256": GRAPH, "onset_threshold": 0.5, "mission_time": "2030-01-01T02:30:00.000000Z",
    "heard_at": "2026-11-27T02:24:05.377284Z", "stall_after_s": None, "checkpoint_every_s": 60.0,
    "last_sample": {"FDSN:XX_LUN_00_M_H_Z": "2030-01-01T02:30:00.000000Z"}, "samples_in": 178722, "events": 1,
    "rises_let_go": 0, "peak_memory_bytes": 51044352, "downlink": None, "warnings": [],
}  # fmt: skip
RATE_HZ = 6.625
START_NS = parse_time("2030-01-01T01:00:43.056604")
ARCHIVED = np.cumsum(np.random.default_rng(3).integers(-9, 10, 40_000)).astype(np.int32)
Write = Callable[..., Path]


def write_steim2(path: Path, samples: np.ndarray, start_ns: int, channel: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"network": "XX", "station": "LUN", "location": "00", "channel": channel, "sampling_rate": RATE_HZ,
              "starttime": obspy.UTCDateTime(ns=start_ns)}  # fmt: skip
    trace = obspy.Trace(samples, header)
    with path.open("ab") as file:
        trace.write(file, format="MSEED", encoding="STEIM2", reclen=512)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the old run folder."""
    out = tmp_path / "old"
    out.mkdir()
    (out / "catalog.csv").write_text(CATALOG)
    (out / "summary.json").write_text(json.dumps(SUMMARY, indent=1) + "\n")
    (out / "downlink.log").write_text(JOURNAL)
    (out / "status.json").write_text(json.dumps(STATUS) + "\n")
    (out / "outbox").mkdir()
    for i, channel in enumerate(("MH1", "MH2", "MHZ")):
        write_steim2(out / NAME, ARCHIVED[i : i + 18_056], START_NS, channel)
    write_steim2(out / "archive/2030/XX/LUN/MHZ.D/XX.LUN.00.MHZ.D.2030.001", ARCHIVED, START_NS, "MHZ")
    return out


def test_catalogue_and_summary(out: Path) -> None:
    (row,) = rows = read_catalog(out / "catalog.csv")
    assert row == CatalogRow(
        filename="quake", onset_ns=1893460007056604000, time_rel_s=4007.056604, evid="XX_LUN_20300101T010647.056",
        mq_type="impact_mq", station_id="XX_LUN", channels=("MH1", "MH2", "MHZ"), stop_ns=1893462250264151000,
        peak_probability=0.9961, priority=0.7264, segment=NAME, n_samples=54168, size_bytes=40960,
        onset_uncertainty_s=6.083,
    )  # fmt: skip
    assert OLD_COLUMNS == (*COLUMNS, "sent") and catalog_text(rows) == CATALOG.splitlines()[1][: -len(",0")] + "\n"
    summary = Summary.read(out / "summary.json")
    assert json.loads(summary.to_json()) == {name: value for name, value in SUMMARY.items() if name != "segments"}
    assert summary.segments == (Segment(NAME, "XX_LUN", 1893459643056603774, 1893462370264150943, 54168, 40960),)


def test_journal_and_status(out: Path) -> None:
    (done,) = read_journal(out / "downlink.log")
    assert done.line().decode() == JOURNAL
    assert (done.number, done.day, done.size_bytes, done.sent[0].source) == (1, 21915, 1604, NAME)
    status = read_status(out)
    assert (status["health"], status["archive"]["files"], status["outbox"]["files"]) == ("ended", 1, 0)


def test_the_archive_is_read_and_continued(out: Path) -> None:
    before = next((out / "archive").rglob("*.D.*")).read_bytes()
    archive = Archive(out / "archive", 10**6, Diagnostics())
    more = np.arange(5000, dtype=np.int32) % 97
    archive.push(Trace("FDSN:XX_LUN_00_M_H_Z", START_NS, RATE_HZ, ARCHIVED[-30_000:] * 0))  # other samples, same time
    archive.close()
    (whole,) = [
        trace
        for trace in get_waveforms(out / "archive", START_NS, START_NS + 86_400 * NS_PER_S, "LUN", ("MHZ",))
        if trace.samples[0] == ARCHIVED[0]
    ]
    np.testing.assert_array_equal(whole.samples, ARCHIVED)
    archive.push(Trace("FDSN:XX_LUN_00_M_H_Z", whole.stop_ns, RATE_HZ, more))
    archive.push(whole)  # a duplicate
    archive.close()
    path = next((out / "archive").rglob("*.D.*"))
    assert path.read_bytes().startswith(before)
    total = sum(len(trace) for trace in obspy.read(str(path)))
    assert total == len(ARCHIVED) + 30_000 + len(more)


def test_a_live_run_resumes_from_catalogue_and_journal(
    out: Path, write: Write, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is of the old format: it is set aside, and what was sent is not sent again."""
    (out / "checkpoint.edgequake").write_bytes(b"edgequake checkpoint 2\n" + b"0" * 64 + b"\n2\n{}")
    data = write("later.mseed", noise, start_ns=START_NS + 7200 * NS_PER_S).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    lines: list[str] = []
    summary = run(
        RunConfig(("-",), out, "moon", resume=True, budget_bytes=1_000_000), control=Control(log=lines.append)
    )
    assert lines == [
        f"{out}/checkpoint.edgequake is no checkpoint that this edgequake reads: expected 'edgequake checkpoint 5', "
        f"got 'edgequake checkpoint 2'; set aside as checkpoint.edgequake.set-aside-1: the detector starts cold, and "
        f"the run continues with what is in its folder, no action is needed",
        f"{out}/catalog.csv was written by an earlier version; it has been converted and is complete",
    ]
    assert (out / "checkpoint.edgequake.set-aside-1").read_bytes().startswith(b"edgequake checkpoint 2\n")
    assert [row.evid for row in summary.events] == ["XX_LUN_20300101T010647.056"] and summary.resumed == 0
    old, *new = read_journal(out / "downlink.log")
    assert old.line().decode() == JOURNAL and [done.number for done in new] == list(range(2, 2 + len(new)))
    sent = [(part.first, part.stop) for done in new for part in done.sent if part.source == NAME]
    assert sent[0][0] == 4 and sent[-1][1] == (out / NAME).stat().st_size // 512 + 1
    assert not (out / "outbox" / "00000001.mseed").exists()  # the radio deleted it long ago
    rows = read_catalog(out / "catalog.csv")
    assert sent_segments(out / "downlink.log", rows) == {NAME}
    assert (out / "catalog.csv").read_text().splitlines()[0] == ",".join(COLUMNS)  # written anew, without `sent`
