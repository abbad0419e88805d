"""Latency: rounds made by hand, a stopwatch with an artificial clock, and measured processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgequake.benchmarks.cost.day_process import Stopwatch
from edgequake.benchmarks.cost.environments import measure_process
from edgequake.benchmarks.cost.latency_runs import (
    BaselineTask,
    ModelTask,
    bench_latency,
    summarise_day,
    summarise_steps,
)
from edgequake.benchmarks.cost.step_process import N_WARMUP_STEPS, percentiles_us, time_steps
from edgequake.benchmarks.cost.workload import write_signal_day
from edgequake.benchmarks.detectors.baselines import NASA_NOTEBOOK
from edgequake.data.dataset import load
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.results.cost import Measured
from edgequake.results.tables.cost_tables import measured
from edgequake.results.tables.report_text import report_text
from edgequake.results.words import number

PARTS_S = {"reading": 1.0, "front_end": 4.0, "graph": 2.0, "trigger": 1.0, "writing": 0.5, "rest": 0.1}


def manifest(**network: object) -> Any:
    """Stand in for a manifest: hops of 64 samples at 6.4 Hz, a row each."""
    defaults = {"rows_per_step": 1, "n_features": 9, "window_rows": None, "window_hop_rows": None}
    return SimpleNamespace(
        sampling_rate_hz=6.4,
        front_end=SimpleNamespace(hop_samples=64, rows_per_block=1),
        network=SimpleNamespace(**defaults | network),
    )


def steps(us: float, kernel_us: float = 1000.0) -> dict[str, Any]:
    """Return what `step_process` prints, every percentile the same."""
    return {"kernel_us": kernel_us, "steps": {"1": dict.fromkeys(("p50", "p95", "p99", "max", "mean"), us)}}


def test_percentiles_by_hand() -> None:
    found = percentiles_us(np.arange(1, 102, dtype=np.float64) * 1e-6)  # 1..101 us: percentile p is p + 1
    assert found == pytest.approx({"p50": 51, "p95": 96, "p99": 100, "max": 101, "mean": 51})


def test_a_figure_is_the_median_of_its_rounds_and_their_range() -> None:
    step = summarise_steps([steps(30.0), steps(20.0, 2000.0), steps(22.0)], 1, 100, manifest())
    assert step.us_per_step["p95"] == Measured(22.0, 20.0, 30.0, 3)
    assert step.signal_s == pytest.approx(10)  # 64 samples at 6.4 Hz
    assert step.us_per_signal_s["mean"].value == pytest.approx(2.2)
    assert step.p50_per_kernel == Measured(0.022, 0.01, 0.03, 3)  # each round by its own kernel


def test_overlapping_windows_step_each_row_again() -> None:
    step = summarise_steps([steps(20.0)], 1, 100, manifest(rows_per_step=2, window_rows=100, window_hop_rows=50))
    assert step.signal_s == pytest.approx(20)
    assert step.us_per_signal_s["mean"].value == pytest.approx(2.0)  # 20 us for 20 s, twice


def test_a_row_of_a_waveform_is_a_sample() -> None:
    waveform = manifest(rows_per_step=2)
    waveform.front_end.rows_per_block = 64
    assert summarise_steps([steps(20.0)], 1, 100, waveform).signal_s == pytest.approx(2 / 6.4)


def test_parts_of_a_day_by_hand() -> None:
    raw = {"kernel_us": 100.0, "parts_s": PARTS_S, "n_events": 4, "kept_bytes": 512}
    twice = raw | {"parts_s": {name: 2 * seconds for name, seconds in PARTS_S.items()}}
    day = summarise_day([raw, twice, raw], signal_s=1000.0)
    assert day.us_per_signal_s["reading"] == Measured(1000.0, 1000.0, 2000.0, 3)
    assert day.detection_us_per_signal_s.value == pytest.approx(7000)  # front end, graph, trigger: 7 s for 1000 s
    assert day.detection_per_kernel.high == pytest.approx(140)
    assert day.graph_per_front_end == Measured(0.5, 0.5, 0.5, 3)
    assert (day.n_events, day.kept_bytes) == (4, 512)


def test_a_baseline_by_hand() -> None:
    task = BaselineTask("STA/LTA", SimpleNamespace(body="moon", signal_s=100.0))  # type: ignore[arg-type]
    task.detections = [{"detect_s": 1.0, "kernel_us": 10.0, "settings": "x", "n_onsets": 3}]
    task.processes = [{"wall_s": 10.0, "cpu_s": 9.0, "peak_rss_bytes": 5e8}]
    found = task.summarise()
    assert found.detection_us_per_signal_s.value == pytest.approx(10_000)
    assert found.detection_per_kernel.value == pytest.approx(1000)
    assert found.process.peak_rss_bytes.value == 5e8


@pytest.mark.slow
def test_a_measured_baseline_finds_the_same_onsets_as_in_the_accuracy_benchmark(tmp_path: Path) -> None:
    manifest, _ = load_manifest("moon")
    task = BaselineTask("STA/LTA, NASA notebook", write_signal_day(tmp_path / "day", manifest))
    task.measure()
    found = task.summarise()
    (record,) = load(tmp_path / "day", "moon")
    assert found.n_onsets == len(NASA_NOTEBOOK(record, record.start_ns).onsets_ns)
    assert found.settings == repr(NASA_NOTEBOOK)
    assert 0 < found.detection_us_per_signal_s.value * 86_400 / 1e6 < found.process.wall_s.value


def test_figures_have_three_digits_and_no_exponent() -> None:
    shown = [number(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.1234, 0.01234)]
    assert shown == ["12346", "123", "12.3", "1.23", "0.12", "0.012"]
    assert measured(Measured(12.34, 12.0, 13.0, 5)) == "12.3 (12.0 to 13.0)"
    assert measured(Measured(12.34, 12.34, 12.34, 1)) == "12.3"


def test_steps_are_timed_one_by_one_after_a_warm_up() -> None:
    shapes: list[tuple[int, ...]] = []
    times_s = time_steps(lambda rows: shapes.append(rows.shape), manifest(rows_per_step=2), n_steps=20)
    assert len(times_s) == 20
    assert (times_s > 0).all()
    assert set(shapes) == {(2, 9)}
    assert len(shapes) == 20 + N_WARMUP_STEPS


class Work:
    """Takes time by a clock that only this class advances."""

    now_s = 0.0

    def outer(self) -> None:
        Work.now_s += 1.0
        self.inner()
        Work.now_s += 2.0

    def inner(self) -> None:
        Work.now_s += 10.0

    def values(self) -> Iterator[int]:
        for value in range(3):
            Work.now_s += 0.5
            yield value


def test_each_moment_is_counted_for_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("outer", "inner", "values"):
        monkeypatch.setattr(Work, name, getattr(Work, name))  # put back afterwards
    watch = Stopwatch("rest", clock=lambda: Work.now_s)
    watch.watch(Work, Work.outer, "outside")
    watch.watch(Work, Work.inner, "inside")
    watch.watch_iterator(Work, Work.values, "reading")
    work = Work()
    for _ in work.values():
        work.outer()
    Work.now_s += 7.0
    assert watch.stop() == {"rest": 7.0, "reading": 1.5, "outside": 9.0, "inside": 30.0}


def test_a_part_that_raises_is_ended() -> None:
    watch = Stopwatch("rest", clock=lambda: Work.now_s)
    with pytest.raises(ValueError, match="no"), watch.part("part"):
        Work.now_s += 1.0
        raise ValueError("no")
    Work.now_s += 2.0
    assert watch.stop() == {"rest": 2.0, "part": 1.0}


def test_a_slow_graph_runs_fewer_whole_hours() -> None:
    task = ModelTask(
        SimpleNamespace(manifest=manifest()),
        None,
        SimpleNamespace(signal_s=86_400.0),
        (1,),
        100,
        None,  # type: ignore[arg-type]
    )
    bearable_h = {}
    for us in (10.0, 2000.0, 1e6):  # 10 s of signal a step: 0.09, 17 and 8640 s for a day
        task.steps = [steps(us)]
        bearable_h[us] = task.bearable_s() / 3600
    assert bearable_h == {10.0: 24.0, 2000.0: 11.0, 1e6: 1.0}


def test_a_process_is_measured_whole() -> None:
    work = "import time; held = bytearray(b'x') * 120_000_000; time.sleep(0.3); print('held')"
    large = measure_process([sys.executable, "-c", work])
    assert large["wall_s"] > 0.3 and large["output"] == "held\n"
    assert large["peak_rss_bytes"] > 120e6


def test_a_small_process_is_not_charged_for_a_large_benchmark() -> None:
    held = np.ones(40_000_000)  # 320 MB in this process
    small = measure_process([sys.executable, "-c", "pass"])
    assert len(held) and small["peak_rss_bytes"] < 60e6
    assert small["wall_s"] > small["cpu_s"] * 0.5 > 0


def test_a_failing_process_is_reported_with_its_last_output() -> None:
    with pytest.raises(ModelError, match="gave exit code 3: no such model"):
        measure_process([sys.executable, "-c", "import sys; print('no such model', file=sys.stderr); sys.exit(3)"])


@pytest.mark.long
def test_the_shipped_model_is_measured_whole() -> None:
    """Detection is the sum of its three parts, and the process takes longer than all parts of the run in it."""
    done: list[float | None] = []
    report = bench_latency(
        ["moon"], n_rounds=1, n_steps=100, baselines=False, progress=lambda share, doing: done.append(share)
    )
    (model,) = report.models
    day, process, start = model.day, model.process, model.cold_start
    assert day is not None and process is not None and start is not None
    assert [step.n_threads for step in model.steps] == [1, 2]
    for step in model.steps:
        us = [step.us_per_step[name].value for name in ("p50", "p95", "p99", "max")]
        assert 0 < us[0] and us == sorted(us)
    parts_us = {name: one.low for name, one in day.us_per_signal_s.items()}
    detection_us = sum(parts_us[name] for name in ("front_end", "graph", "trigger"))
    assert day.detection_us_per_signal_s.low == pytest.approx(detection_us)
    assert all(us > 0 for us in parts_us.values())
    assert (day.n_events, process.signal_s) == (4, 86_400.0)
    # The whole is measured in another process than its parts, perhaps under another load.
    assert process.wall_s.high * 1e6 / 86_400 > 0.3 * sum(parts_us.values())
    assert 20e6 < process.peak_rss_bytes.value < 200e6
    assert 0 < start.imported_s.low < start.loaded_s.high and start.loaded_s.low < start.processed_s.high
    assert done[0] == 0.0 and done == sorted(done)
    text = report_text(report)
    assert model.runtime in text and "Cold start" in text and "no times by operator" in text
    assert Path(model.model.name).name == "moon"
