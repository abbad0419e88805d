"""Processes killed (SIGKILL) while a model is installed and a run of two stations switches to it; a windowed model too.

    EDGEQUAKE_SWITCH_KILLS=60 pytest tests/edge/operation/models/test_switch_kills.py

kills so many processes; by default a few.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.detection.self_test import golden_vector
from edgequake.edge.formats.miniseed import index_file, read_indexed, records_of
from edgequake.edge.formats.waveforms import NS_PER_S, parse_time
from edgequake.edge.manifest.manifest import GoldenVector, load_manifest, read_graph
from edgequake.edge.operation.install import stage
from edgequake.edge.operation.model_check import read_candidate
from edgequake.edge.operation.model_store import ModelStore
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic.synthetic_dataset import write_day

from .other_models import moon_model, other_graph, write_model
from .test_model_switch import found, require_each_sample_once

N_KILLS = int(os.environ.get("EDGEQUAKE_SWITCH_KILLS", "4"))
SEED_MODEL = Path(__file__).parents[4] / "train" / "models" / "seed-spectrogram" / "seed-spectrogram.json"
EDGE = (sys.executable, "-m", "edgequake.edge")
STATIONS = ("XX_LUN", "XX_LUM")
NEVER_NS = 1 << 62

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the same lunar day of two stations, the second 50 minutes later: their quakes do not coincide."""
    folder = tmp_path_factory.mktemp("days")
    first = write_day(folder / "lun", seed=1)
    index = index_file(first)
    later = [
        dataclasses.replace(
            trace, source_id=trace.source_id.replace("LUN", "LUM"), start_ns=trace.start_ns + 3000 * NS_PER_S
        )
        for trace in read_indexed(index, index.headers)
    ]
    second = folder / "lum.mseed"
    second.write_bytes(b"".join(record for trace in later for record in records_of(trace)))
    return first, second


def windowed_model(folder: Path) -> Path:
    """Write the textbook classifier, which takes whole windows, with a golden vector of its own."""
    manifest, source = load_manifest(SEED_MODEL)
    variant, graph = read_graph(manifest, source)
    n_rows = 64 * manifest.network.rows_per_step
    rows = np.random.default_rng(3).normal(0, 0.5, (n_rows, manifest.network.n_features)).astype(np.float32)
    golden = golden_vector(manifest, variant, graph, rows)
    described = dataclasses.replace(variant, golden=GoldenVector("golden.json", hashlib.sha256(golden).hexdigest()))
    named = dataclasses.replace(manifest, name="windows", variants={manifest.default_variant: described})
    folder.mkdir()
    (folder / variant.file).write_bytes(graph)
    (folder / "golden.json").write_bytes(golden)
    (folder / "windows.json").write_text(named.to_json(), encoding="utf-8")
    return folder / "windows.json"


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    with suppress(OSError):
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(one for child in children for one in descendants(child))]
    return []


def is_killed(command: list[str], after_s: float | None, with_children: bool) -> bool:
    """Run a command and kill it after a while, its self-test too or not; return whether it was."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, said = process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            for pid in [process.pid, *(descendants(process.pid) if with_children else [])]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()
            return True
    assert process.returncode == 0 and b"Traceback" not in said, said.decode()[-800:]
    return False


def from_ns(out: Path) -> dict[str, int]:
    """Return by station from when on the new model has detected.

    The switch names the stations that were being processed. Of another one all events are one model's: the old one's if
    its record had ended before the switch, the new one's if it began after it.
    """
    (entry,) = json.loads((out / "models" / "active.json").read_text())["moon"]["history"]
    at_ns = {station: parse_time(text) for station, text in entry["from"].items()}
    finders: dict[str, set[str]] = {}
    for block in CatalogFiles(out).blocks(0):
        finders.setdefault(block.rows[0].station_id, set()).add(block.found_by.partition(" ")[0])
    for station in set(STATIONS) - set(at_ns):
        (finder,) = finders[station]
        at_ns[station] = 0 if finder else NEVER_NS
    return at_ns


def test_kills_of_install_and_of_a_run_of_two_stations_that_switches(days: tuple[Path, Path], tmp_path: Path) -> None:
    """Whatever was killed when: in the end the new model runs, and each event is there once, of the right model."""
    manifest, _, graph = moon_model()
    other, inputs = write_model(tmp_path / "other", manifest, other_graph(graph, 10), name="moon2"), [*map(str, days)]
    alone = []
    begun_s = time.monotonic()
    for name in ("moon", str(other)):
        alone.append(read_catalog(run(RunConfig(tuple(inputs), tmp_path / Path(name).stem, name)).out / "catalog.csv"))
    run_s = (time.monotonic() - begun_s) / 2
    out, rng, n_left = tmp_path / "out", np.random.default_rng(5), N_KILLS
    install = [*EDGE, "install", str(other), "--out", str(out)]
    detect = [*EDGE, "run", *inputs, "--model", "moon", "--out", str(out), "--resume", "--checkpoint-every", "0"]
    is_killed(detect, 0.6 * run_s, False)  # the first station is being processed when the model is offered
    for command, n_kills, longest_s in ((install, N_KILLS // 2, 1.5), (detect, N_KILLS - N_KILLS // 2, 3 * run_s)):
        for _ in range(n_kills):
            n_left -= is_killed(command, float(rng.uniform(0.0, longest_s)), bool(rng.integers(2)))
        assert not is_killed(command, None, False)
    assert n_left < N_KILLS
    store = ModelStore(out)
    at_ns, rows = from_ns(out), read_catalog(out / "catalog.csv")
    expected = [row for row in alone[0] if row.onset_ns < at_ns[row.station_id]]
    expected += [row for row in alone[1] if row.onset_ns >= at_ns[row.station_id]]
    assert len(rows) >= 6 and sorted(found(rows)) == sorted(found(expected))
    assert store.offer() is None and store.trial() is None and store.slots()["moon"].next is None
    require_each_sample_once(out)
    marks = {block.found_by.partition(" ")[0] for block in CatalogFiles(out).blocks(0)}
    assert marks <= {"", "moon2"} and "moon2" in marks


@pytest.mark.skipif(
    "EDGEQUAKE_SWITCH_KILLS" not in os.environ, reason="takes 17 s of processor time: with EDGEQUAKE_SWITCH_KILLS only"
)
def test_live_two_stations_switch_to_a_windowed_model(days: tuple[Path, Path], tmp_path: Path) -> None:
    """Five hours of both come, the model is installed, then five more: each station's events are one model's, and once.

    The textbook classifier has another front end and takes whole windows, which begin when it does.
    """
    windows, out = windowed_model(tmp_path / "windows"), tmp_path / "out"
    headers = sorted(
        ((header, path.read_bytes()) for path in days for header in index_file(path).headers),
        key=lambda pair: (pair[0].start_ns, pair[0].source_id),
    )
    begin_ns = headers[0][0].start_ns
    parts = [b"", b""]
    for header, data in headers:
        hours = (header.start_ns - begin_ns) / (3600 * NS_PER_S)
        if hours < 10:
            parts[hours >= 5] += data[header.offset : header.offset + header.size_bytes]
    command, alone = [*EDGE, "run", "-", "--spool-bytes", "0"], []
    for name in ("moon", str(windows)):
        single = tmp_path / Path(name).stem
        done = subprocess.run(
            [*command, "--model", name, "--out", str(single)], input=b"".join(parts), capture_output=True
        )
        assert done.returncode == 0, done.stderr
        alone.append(read_catalog(single / "catalog.csv"))
    command += ["--model", "moon", "--out", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(parts[0])
        process.stdin.flush()
        while not (out / "status.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        stage(out, read_candidate(windows))
        for line in process.stderr:
            if b"has passed its self-test" in line:
                break
        process.stdin.write(parts[1])
        process.stdin.close()
        rest = process.stderr.read().decode()
        assert process.wait() == 0 and rest.count("detects from now on") == 1, rest
    at_ns, rows = from_ns(out), read_catalog(out / "catalog.csv")
    assert all(begin_ns < one < begin_ns + 10 * 3600 * NS_PER_S for one in at_ns.values())
    before, expected = ([row for row in some if row.onset_ns < at_ns[row.station_id]] for some in (rows, alone[0]))
    assert found(before) == found(expected) and before
    after, expected = ([row for row in some if row.onset_ns >= at_ns[row.station_id]] for some in (rows, alone[1]))
    assert len(after) == len(expected) > 0
    for row, other in zip(after, expected, strict=True):
        assert row.station_id == other.station_id and abs(row.onset_ns - other.onset_ns) < 700 * NS_PER_S
    require_each_sample_once(out)
    marks = {block.rows[0].evid: block.found_by.partition(" ")[0] for block in CatalogFiles(out).blocks(0)}
    assert all(marks[row.evid] == ("windows" if row in after else "") for row in rows)
