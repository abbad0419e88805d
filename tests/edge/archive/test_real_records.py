"""The Moon's test records, one after the other as a live stream, under a budget of 20 000 bytes a day."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.data.dataset import load
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.downlink.send_queue import record_weight
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run

BUDGET = 20_000
DAY_NS = 86_400 * NS_PER_S


@pytest.fixture(scope="module")
def finished(records_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run over all test records of the Moon, in the order of their times."""
    files = {record.file for record in load(records_dir, "moon") if record.split == "test"}
    records: list[tuple[int, str, bytes]] = []
    for path in files:
        data = path.read_bytes()
        headers = index_file(path).headers
        records += [(h.start_ns, h.source_id, data[h.offset : h.offset + h.size_bytes]) for h in headers]
    stream = b"".join(data for *_, data in sorted(records))
    out = tmp_path_factory.mktemp("moon") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream)))
        summary = run(RunConfig(("-",), out, budget_bytes=BUDGET, archive_bytes=10**7, summary_channel=True))
    assert len(summary.events) >= 6
    return out


@pytest.mark.slow
@pytest.mark.records
def test_no_utc_day_gets_more_than_the_budget(finished: Path) -> None:
    by_day: dict[int, int] = {}
    for done in read_journal(finished / "downlink.log"):
        n_bytes = sum((finished / "outbox" / file.name).stat().st_size for file in done.files)
        assert done.day == (done.clock_ns - 1) // DAY_NS
        by_day[done.day] = by_day.get(done.day, 0) + n_bytes
        share = (done.clock_ns - done.day * DAY_NS) / DAY_NS
        assert by_day[done.day] <= BUDGET * share
    assert len(by_day) >= 3 and max(by_day.values()) > BUDGET / 4


@pytest.mark.slow
@pytest.mark.records
def test_higher_ranks_are_sent_first(finished: Path) -> None:
    """A record precedes one of higher rank only if the event of the latter was reported in a later pass."""
    rows = read_catalog(finished / "catalog.csv")
    window_ns = round(load_manifest("moon")[0].trigger.pre_roll_s * NS_PER_S)
    reported: dict[str, int] = {}
    sent: list[tuple[int, float, str]] = []  # pass, rank, segment
    owners = {}
    for row in rows:
        data = (finished / row.segment).read_bytes()
        owners |= {data[i : i + 512]: row.segment for i in range(0, len(data), 512)}
    for done in read_journal(finished / "downlink.log"):
        for part in done.sent:
            reported.setdefault(part.source, done.number)
        path = finished / "outbox" / f"{done.number:08d}.mseed"
        if not path.exists():
            continue
        data = path.read_bytes()
        ranks = []
        for header in sorted(index_file(path).headers, key=lambda header: header.offset):
            segment = owners.get(data[header.offset : header.offset + header.size_bytes])
            if segment is None:  # of an SSAM channel
                ranks.append(-1.0)
                continue
            own = [row for row in rows if row.segment == segment]
            weight = record_weight(header, [row.onset_ns for row in own], window_ns)
            ranks.append(weight * max(row.priority for row in own))
            sent.append((done.number, ranks[-1], segment))
        assert ranks == sorted(ranks, reverse=True)
    assert len({segment for *_, segment in sent}) >= 3
    for number, rank, _ in sent:
        for later, higher, segment in sent:
            assert not (later > number and higher > rank + 1e-12 and reported[segment] <= number)


@pytest.mark.slow
@pytest.mark.records
def test_the_outbox_has_the_samples_of_the_records(finished: Path, records_dir: Path) -> None:
    """Every record in the outbox has samples of the source, as obspy reads both."""
    source = obspy.Stream()
    for path in {record.file for record in load(records_dir, "moon") if record.split == "test"}:
        source += obspy.read(str(path))
    handed = obspy.Stream()
    for path in sorted((finished / "outbox").glob("*.mseed")):
        handed += obspy.read(str(path))
    n_checked = 0
    for trace in handed:
        if trace.stats.location[:1] in "LMH" and trace.stats.location:
            continue
        slack_s = 2 * trace.stats.delta  # obspy dates a sample from the start of its trace, we from that of its record
        around = source.select(id=trace.id).slice(trace.stats.starttime - slack_s, trace.stats.endtime + slack_s)
        assert any(
            np.array_equal(one.data[first : first + len(trace)], trace.data) for one in around for first in range(5)
        )
        n_checked += len(trace)
    assert n_checked > 3000
