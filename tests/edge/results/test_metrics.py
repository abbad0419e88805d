"""The text file for Prometheus, read with Prometheus' own parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.results.metrics import MetricsFile, metrics_text
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

parser = pytest.importorskip("prometheus_client.parser")


def samples_of(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    families = list(parser.text_string_to_metric_families(text))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


def test_the_figures_of_a_run_are_those_of_its_summary(tmp_path: Path) -> None:
    made = synthetic_dataset.synthetic_record(np.random.default_rng(1), 7200.0, (3000.0,), ratios=(25.0,))
    path = synthetic_dataset.write_miniseed(made, tmp_path / "a.mseed")
    summary = run(RunConfig((str(path),), tmp_path / "out", model="moon", metrics=tmp_path / "run.prom"))
    found = samples_of((tmp_path / "run.prom").read_text())
    assert found["edgequake_events_total", ()] == summary.n_events == 1
    assert found["edgequake_samples_total", ()] == summary.samples_in
    assert found["edgequake_running", ()] == found["edgequake_degraded", ()] == found["edgequake_deaf", ()] == 0
    lasts = {
        names[0]: value for (name, names), value in found.items() if name.endswith("last_sample_timestamp_seconds")
    }
    assert len(lasts) == 3 and all("_MH" in name.replace("_M_H_", "_MH") for name in lasts)
    stop_ns = max(made.sample_time_ns(made.samples.shape[1]), 0)
    assert max(lasts.values()) == pytest.approx(stop_ns / 1e9, abs=0.5)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mseed", "out", "run.prom"}  # nothing temporary is left


NAME = 'FDSN:XX_"a\\b\n_00_E_H_Z'
STATUS: dict[str, Any] = {
    "state": "running", "written_at": "2024-01-01T00:00:01.5Z", "heard_at": None, "last_sample": {
    NAME: "2024-01-01T00:00:00Z"}, "events": 3, "rises_let_go": 0, "samples_in": 1 << 53,
    "edgequake_version": "1", "model": "earth", "graph_sha256": "ab" * 32, "degraded": "x", "deaf": "y",
    "peak_memory_bytes": 5_000_000, "warnings": ["a"], "downlink": {"bytes_waiting": 7, "handed_bytes": 9},
}  # fmt: skip


def test_names_are_quoted_and_alarms_are_told() -> None:
    found = samples_of(metrics_text(json.loads(json.dumps(STATUS))))
    assert found["edgequake_last_sample_timestamp_seconds", (NAME,)] == 1_704_067_200
    assert found["edgequake_written_timestamp_seconds", ()] == 1_704_067_201.5
    assert ("edgequake_heard_timestamp_seconds", ()) not in found
    assert found["edgequake_info", ("1", "earth", "ab" * 6)] == 1 and found["edgequake_samples_total", ()] == 2.0**53
    alarms = [found[f"edgequake_{one}", ()] for one in ("running", "degraded", "deaf", "warnings")]
    assert alarms == [1, 1, 1, 1]
    assert (found["edgequake_downlink_waiting_bytes", ()], found["edgequake_downlink_bytes_total", ()]) == (7, 9)


def test_a_live_run_goes_on_without_the_file_and_says_so_once(tmp_path: Path) -> None:
    path, said = tmp_path / "node-exporter" / "run.prom", []
    live = MetricsFile(path, True, said.append)
    for _ in range(2):
        live.write(STATUS, None)
    assert len(said) == 1 and str(path) in said[0] and "detection goes on" in said[0]
    path.parent.mkdir()
    live.write(STATUS, None)
    assert samples_of(path.read_text())["edgequake_events_total", ()] == 3
    path.unlink()
    path.parent.rmdir()
    live.write(STATUS, None)
    assert len(said) == 2  # it had been there
    with pytest.raises(DataError, match="make its folder"):
        MetricsFile(path, False, said.append).write(STATUS, None)
