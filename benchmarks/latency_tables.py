"""The report of `bench latency` as text."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.benchmarks.cost.latency import BaselineLatency, LatencyReport, ModelLatency
from edgequake.benchmarks.cost.measured import Measured, significant
from edgequake.benchmarks.text_tables import align

PARTS = {
    "loading": "load model", "reading": "read", "front_end": "front end", "graph": "graph", "trigger": "trigger",
    "onset": "onset", "writing": "write", "rest": "rest",
}  # fmt: skip


def latency_text(report: LatencyReport) -> str:
    """Return the report as text for people."""
    where = report.provenance
    head = (
        f"{where.processor} ({where.machine}, {where.n_processors} processors); medians of {report.n_rounds} rounds, "
        f"in brackets the smallest and the largest; fixed work {report.kernel_us.text(significant)} us"
    )
    parts = [head, *report.notes]
    if report.models:
        parts += [_steps(report.models), *_days(report.models), *_starts(report.models)]
    if report.baselines:
        parts.append(_baselines(report.baselines))
    parts += dict.fromkeys(model.operators for model in report.models)
    return "\n\n".join(parts)


def _steps(models: Sequence[ModelLatency]) -> str:
    names = ("p50", "p95", "p99", "max")
    rows = [["one step of the graph [us]", "threads", *names, "signal [s]", "mean per second of signal"]]
    for model in models:
        for step in model.steps:
            rows.append(
                [_title(model), str(step.n_threads), *(_us(step.us_per_step[name]) for name in names),
                 f"{step.signal_s:.3g}", _us(step.us_per_signal_s["mean"])]
            )  # fmt: skip
    return align(rows)


def _days(models: Sequence[ModelLatency]) -> list[str]:
    found = [model for model in models if model.day is not None and model.process is not None]
    if not found:
        return []
    parts = [["a run over made-up signal [us per second of it]", *PARTS.values(), "detection in all"]]
    wholes = [["the same as one process", "signal [h]", "wall [s]", "CPU [s]", "peak memory [MB]"]]
    for model in found:
        day, process = model.day, model.process
        assert day is not None and process is not None
        parts.append(
            [_title(model), *(significant(day.us_per_signal_s[name].value) for name in PARTS),
             _us(day.detection_us_per_signal_s)]
        )  # fmt: skip
        wholes.append(
            [_title(model), f"{process.signal_s / 3600:g}", _us(process.wall_s), _us(process.cpu_s),
             process.peak_rss_bytes.scaled(1e-6).text(lambda value: f"{value:.1f}")]
        )  # fmt: skip
    return [align(parts) + "\n(detection: front end, graph and trigger; three channels)", align(wholes)]


def _starts(models: Sequence[ModelLatency]) -> list[str]:
    rows = [["cold start [ms since the process was started]", "imported", "model loaded", "first samples processed"]]
    for model in models:
        start = model.cold_start
        if start is not None:
            times = (start.imported_s, start.loaded_s, start.processed_s)
            rows.append([_title(model), *(_us(one.scaled(1e3)) for one in times)])
    return [align(rows)] if len(rows) > 1 else []


def _baselines(baselines: Sequence[BaselineLatency]) -> str:
    rows = [["baselines, in this environment", "us per second of signal", "wall [s]", "CPU [s]", "peak memory [MB]"]]
    rows += [
        [f"{one.name}, {one.body}", _us(one.detection_us_per_signal_s), _us(one.process.wall_s), _us(one.process.cpu_s),
         one.process.peak_rss_bytes.scaled(1e-6).text(lambda value: f"{value:.0f}")]
        for one in baselines
    ]  # fmt: skip
    return align(rows) + "\n(reading and detection, without the imports; then the whole process over a day)"


def _title(model: ModelLatency) -> str:
    windows = ", windows" if model.mode == "windowed" else ""
    return f"{model.model.name} {model.model.variant}{windows}, {model.runtime}"


def _us(measured: Measured) -> str:
    return measured.text(significant)
