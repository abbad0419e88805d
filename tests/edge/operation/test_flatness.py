"""No cost of a live run grows with its history: a folder with many rows against an empty one.

    EDGEQUAKE_CATALOG_ROWS=1000000 pytest -s tests/edge/operation/test_flatness.py      (`make flatness`)

prints the figures of a million rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow, Segment, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.results.ledger import event_id

N_ROWS = int(os.environ.get("EDGEQUAKE_CATALOG_ROWS", "20000"))
RUN = """
import json, sys, time
from pathlib import Path
from edgequake.edge.operation.run_folder import RunFolder
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.runner import RunConfig, run
times = {"resume": [], "write": []}
def timed(kind, name, method):
    before = getattr(kind, method)
    def call(self, *arguments):
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        try:
            return before(self, *arguments)
        finally:
            times[name].append((time.process_time() - begun_cpu_s, time.perf_counter() - begun_s))
    setattr(kind, method, call)
timed(RunFolder, "resume", "resume")
timed(Ledger, "write", "write")
run(RunConfig(("-",), Path(sys.argv[1]), "moon", resume=True, budget_bytes=20_000))
from edgequake.edge.base.memory import peak_memory_bytes
peak_bytes = peak_memory_bytes()
resume, write = times["resume"][0], max(times["write"])
print(json.dumps({"resume_cpu_s": resume[0], "resume_s": resume[1], "write_cpu_s": write[0], "write_s": write[1],
                  "peak_bytes": peak_bytes}))
"""


@dataclass(frozen=True)
class Cost:
    """What a live run with one new event cost."""

    # To continue what is in the folder, with the first checkpoint: time of the processor, and by the clock.
    resume_cpu_s: float
    resume_s: float
    write_cpu_s: float  # to append the event: likewise, the first without the wait for the disk
    write_s: float
    peak_bytes: int
    checkpoint_bytes: int
    written_bytes: int  # to the two files of the catalogue
    n_events: int  # by status.json


def cost_of(out: Path, record: Path) -> Cost:
    files = [out / "catalog.csv", out / "catalog.check"]
    before_bytes = sum(path.stat().st_size for path in files if path.exists())
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(out)], input=record.read_bytes(), capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    return Cost(
        **found,
        checkpoint_bytes=(out / "checkpoint.edgequake").stat().st_size,
        written_bytes=sum(path.stat().st_size for path in files) - before_bytes,
        n_events=json.loads((out / "status.json").read_bytes())["events"],
    )


def fill(out: Path, n_rows: int) -> None:
    """Write a catalogue of events, a minute apart, that were sent long ago."""
    out.mkdir()
    files = CatalogFiles(out)
    assert files.open()
    for first in range(0, n_rows, 10_000):
        files.append([entry(i) for i in range(first, min(first + 10_000, n_rows))])
        files.complete()


def entry(i: int) -> tuple[Segment, tuple[CatalogRow]]:
    onset_ns = i * 60 * NS_PER_S
    name = f"segments/{event_id('XX_LUN', onset_ns)}.mseed"
    row = CatalogRow(
        filename="-", onset_ns=onset_ns, time_rel_s=1.5, evid=event_id("XX_LUN", onset_ns), mq_type="deep_mq",
        station_id="XX_LUN", channels=("MH1", "MH2", "MHZ"), stop_ns=onset_ns + NS_PER_S, peak_probability=0.75,
        priority=0.5, segment=name, n_samples=60, size_bytes=512, onset_uncertainty_s=60.0,
    )  # fmt: skip
    return Segment(name, "XX_LUN", onset_ns, onset_ns + NS_PER_S, 60, 512), (row,)


@pytest.mark.slow
def test_a_folder_with_a_long_history_costs_what_an_empty_one_does(quake_file: Path, tmp_path: Path) -> None:
    fill(tmp_path / "long", N_ROWS)
    empty, first = cost_of(tmp_path / "empty", quake_file), cost_of(tmp_path / "long", quake_file)
    again = cost_of(tmp_path / "long", quake_file)  # from its checkpoint; what comes again is no event
    for name, cost in (("no row", empty), (f"{N_ROWS} rows", first), ("again", again)):
        print(f"{name}: {cost}")
    assert (empty.n_events, first.n_events, again.n_events) == (1, N_ROWS + 1, N_ROWS + 1)
    assert first.peak_bytes < empty.peak_bytes + 12e6 and first.peak_bytes < 64e6
    # At most 4096 offsets of the send queue and 512 names of recent segments, however many events there were.
    assert first.checkpoint_bytes < empty.checkpoint_bytes + 96 * 1024
    assert first.written_bytes - empty.written_bytes < 200 and first.written_bytes < 4096 and again.written_bytes == 0
    assert len(read_catalog(tmp_path / "long" / "catalog.csv")) == N_ROWS + 1
    if N_ROWS >= 1_000_000:
        assert first.resume_cpu_s < 1.0 and first.write_cpu_s < 0.005  # other programs may be running
