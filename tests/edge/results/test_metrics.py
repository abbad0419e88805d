"""The text file for Prometheus, read with Prometheus' own parser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.results.metrics import metrics_text
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


def test_names_are_quoted_and_alarms_are_told(tmp_path: Path) -> None:
    name = 'FDSN:XX_"a\\b\n_00_E_H_Z'
    status = {
        "state": "running", "written_at": "2024-01-01T00:00:01.5Z", "heard_at": None, "last_sample": {
            name: "2024-01-01T00:00:00Z"}, "events": 3, "rises_let_go": 0, "samples_in": 1 << 53,
        "edgequake_version": "1", "model": "earth", "graph_sha256": "ab" * 32, "degraded": "x", "deaf": "y",
        "peak_memory_bytes": 5_000_000, "warnings": ["a"], "downlink": {"bytes_waiting": 7, "handed_bytes": 9},
    }  # fmt: skip
    found = samples_of(metrics_text(json.loads(json.dumps(status))))
    assert found["edgequake_last_sample_timestamp_seconds", (name,)] == 1_704_067_200
    assert found["edgequake_written_timestamp_seconds", ()] == 1_704_067_201.5
    assert ("edgequake_heard_timestamp_seconds", ()) not in found
    assert found["edgequake_info", ("1", "earth", "ab" * 6)] == 1 and found["edgequake_samples_total", ()] == 2.0**53
    alarms = [found[f"edgequake_{one}", ()] for one in ("running", "degraded", "deaf", "warnings")]
    assert alarms == [1, 1, 1, 1]
    assert (found["edgequake_downlink_waiting_bytes", ()], found["edgequake_downlink_bytes_total", ()]) == (7, 9)
