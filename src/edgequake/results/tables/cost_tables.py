"""Costs as tables: steps, runs, processes and their start; sizes; estimates of energy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from edgequake.results.cost import (
    Constant,
    Consumer,
    EnergyReport,
    Estimate,
    FootprintReport,
    LatencyReport,
    Measured,
    ModelFootprint,
    ModelLatency,
    ProcessCost,
)
from edgequake.results.tables.table import Table
from edgequake.results.words import NONE, number, size, thousands

PERCENTILES_SHOWN = ("p50", "p95", "p99", "max")
PARTS = {
    "reading": "read", "front_end": "front end", "graph": "graph", "trigger": "trigger", "onset": "onset",
    "writing": "write",
}  # fmt: skip
OTHER_PARTS = {"loading": "load model", "rest": "rest"}  # of a run, no part of the work on the signal
N_PACKAGES = 4  # named in a table; all are in the JSON
ROUNDS = "Medians of several rounds; in brackets the smallest and the largest."


def steps_table(reports: Sequence[LatencyReport]) -> Table | None:
    """Return the cost of a step of each model, or None where none was measured."""
    columns = (
        "model", "parameters", "size", "runtime", "threads", *(f"{name} [us]" for name in PERCENTILES_SHOWN),
        "signal in a step [s]", "us per second of signal",
    )  # fmt: skip
    models = [model for report in reports for model in report.models]
    rows = tuple(
        (
            model.title, thousands(model.model.parameters), size(model.model.size_bytes), model.runtime,
            str(step.n_threads), *(measured(step.us_per_step[name]) for name in PERCENTILES_SHOWN),
            f"{step.signal_s:.3g}", f"{step.us_per_signal_s['mean'].value:.3g}",
        )
        for model in models
        for step in model.steps
    )  # fmt: skip
    if not rows:
        return None
    where = dict.fromkeys(f"{one.provenance.computer} with {model.stack}" for one in reports for model in one.models)
    warnings = dict.fromkeys(note for report in reports for note in report.notes)
    note = f"Wall time of one step of the graph, its states included. {ROUNDS} Measured on {'; '.join(where)}."
    return Table("What a step costs", columns, rows, (note, *warnings))


def run_tables(reports: Sequence[LatencyReport], every_part: bool = False) -> list[Table]:
    """Return how the time of a run is spent, whole processes (baselines among them), and how long they take to start.

    With `every_part` also the parts that do not work on the signal.
    """
    models = [model for report in reports for model in report.models if model.day]
    parts = PARTS | (OTHER_PARTS if every_part else {})
    tables = (_parts_table(models, parts), _processes_table(models, reports), _starts_table(models))
    return [table for table in tables if table.rows]


def baselines_table(report: LatencyReport) -> Table:
    """Return the time that baselines take for detection."""
    rows = tuple((f"{one.name}, {one.body}", measured(one.detection_us_per_signal_s)) for one in report.baselines)
    note = "Reading and detection, without the imports."
    return Table("Baselines, in this environment", ("detector", "us per second of signal"), rows, (note,))


def conditions_table(report: LatencyReport) -> Table:
    """Return what the times were measured with, and why there are no times by operator."""
    where = report.provenance
    row = (
        f"{where.computer}, {where.n_processors} processors", str(report.n_rounds), measured(report.kernel_us),
        f"{report.load_before:.2g}",
    )  # fmt: skip
    columns = ("machine", "rounds", "fixed work [us]", "load before")
    return Table("Conditions", columns, (row,), tuple(dict.fromkeys(model.operators for model in report.models)))


def footprint_tables(reports: Sequence[FootprintReport]) -> list[Table]:
    """Return the sizes and memory of models, and of the packages that are installed for them."""
    models = [model for report in reports for model in report.models]
    environments = [environment for report in reports for environment in report.all_environments]
    tables = []
    if models:
        columns = (
            "model", "sha256", "runtime", "graph", "manifest", "state", "arena", "memory: interpreter", "imported",
            "loaded", "most in a run",
        )  # fmt: skip
        note = f"Arena: {models[0].arena_method}. Memory: resident, of the device's own process."
        tables.append(Table("What a model takes", columns, tuple(map(_footprint_row, models)), (note,)))
    if environments:
        rows = tuple((one.runtime, size(one.total_bytes), *_largest(one.imported_bytes)) for one in environments)
        note = "All files of the distributions that the process imports from; Python itself is not counted."
        tables.append(Table("What is installed", ("runtime", "in all", "of it", "further packages"), rows, (note,)))
    return tables


def packages_table(report: FootprintReport) -> Table:
    """Return every package of each environment, and the size of those that are never imported."""
    rows: list[tuple[str, ...]] = []
    for environment in report.all_environments:
        rows += [(environment.runtime, name, size(of_it)) for name, of_it in environment.imported_bytes.items()]
        if beside := environment.beside_bytes:
            rows.append((environment.runtime, f"never imported: {len(beside)}", size(sum(beside.values()))))
    return Table("Packages", ("runtime", "package", "size"), tuple(rows))


def energy_tables(reports: Sequence[EnergyReport]) -> list[Table]:
    """Return the estimates, a table for each device."""
    columns = (
        "detector", "awake", "front end's share of it", "awake [J/day]", "memory [J/day]", "asleep [J/day]",
        "mean power [mW]", "awake, as Python [J/day]",
    )  # fmt: skip
    by_device: dict[str, list[tuple[str, ...]]] = {}
    for report in reports:
        for consumer in report.consumers:
            for estimate in consumer.estimates:
                by_device.setdefault(estimate.device, []).append(_energy_row(consumer, estimate))
    return [
        Table(
            f"Estimate, not measured: {device}",
            columns,
            tuple(rows),
            (f"{reports[0].label}; `edgequake bench energy` prints each with its source.",),
        )
        for device, rows in by_device.items()
    ]


def work_table(report: EnergyReport) -> Table:
    """Return the arithmetic that the estimates are based on."""
    columns = ("detector", "MACs", "elementwise", "front end operations", "bytes moved")
    rows = tuple(
        (one.title, *(f"{amount:.0f}" for amount in (one.work.macs_per_s, one.work.elementwise_per_s,
         one.work.front_end_operations_per_s, one.work.bytes_per_s)))
        for one in report.consumers
    )  # fmt: skip
    return Table("Work for a second of signal, three channels", columns, rows)


def constants_table(report: EnergyReport) -> Table:
    """Return every constant of each device with its source."""
    rows = tuple(
        (profile.name, field.name, f"{constant.value:.4g}", "read" if constant.read else "recalled", constant.source)
        for profile in report.profiles
        for field in fields(profile)
        if isinstance(constant := getattr(profile, field.name), Constant)
    )
    note = "Read: seen in the source or in a copy of it. Recalled: from memory, or a guess."
    return Table("Constants", ("device", "constant", "value", "how", "source"), rows, (note, report.label))


def measured(figure: Measured, shown: Callable[[float], str] = number) -> str:
    """Return a median and, in brackets, the range of its rounds."""
    low, high = shown(figure.low), shown(figure.high)
    return shown(figure.value) if low == high else f"{shown(figure.value)} ({low} to {high})"


def _parts_table(models: Iterable[ModelLatency], parts: Mapping[str, str]) -> Table:
    columns = ("model", "runtime", *(f"{words} [us]" for words in parts.values()), "detection in all [us]")
    rows = tuple(
        (model.title, model.runtime, *(number(model.day.us_per_signal_s[part].value) for part in parts),
         measured(model.day.detection_us_per_signal_s))
        for model in models
        if model.day
    )  # fmt: skip
    note = (
        f"One thread; for a second of made-up signal, three channels. Detection: front end, graph and trigger. {ROUNDS}"
    )
    return Table("Where the time of a run goes", columns, rows, (note,))


def _processes_table(models: Iterable[ModelLatency], reports: Iterable[LatencyReport]) -> Table:
    columns = ("detector", "runtime", "signal [h]", "wall [s]", "CPU [s]", "peak memory")
    rows = [(model.title, model.runtime, *_process(model.process)) for model in models if model.process]
    for report in reports:
        obspy = f"obspy {report.provenance.versions.get('obspy', '?')}"  # detects, in place of a runtime
        rows += [(f"{one.name}, {one.body}", obspy, *_process(one.process)) for one in report.baselines]
    note = f"From the start of the interpreter to its exit. {ROUNDS}"
    return Table("The same as one process", columns, tuple(rows), (note,))


def _process(process: ProcessCost) -> Iterator[str]:
    yield f"{process.signal_s / 3600:g}"
    yield from map(measured, (process.wall_s, process.cpu_s))
    yield measured(process.peak_rss_bytes, size)


def _starts_table(models: Iterable[ModelLatency]) -> Table:
    columns = ("model", "runtime", "imported [ms]", "model loaded [ms]", "first samples processed [ms]")
    rows = tuple(
        (model.title, model.runtime, *(measured(one.scaled(1e3)) for one in (start.imported_s, start.loaded_s,
         start.processed_s)))
        for model in models
        if (start := model.cold_start)
    )  # fmt: skip
    return Table("Cold start", columns, rows, (f"Since the process was started. {ROUNDS}",))


def _footprint_row(one: ModelFootprint) -> tuple[str, ...]:
    return (
        one.model.title, one.model.sha256[:12], one.runtime, size(one.model.size_bytes), size(one.manifest_bytes),
        f"{one.state_bytes} bytes", f"{one.arena_bytes} bytes",
        *(size(one.resident_bytes[stage]) for stage in ("interpreter", "imported", "loaded")),
        measured(one.peak_rss_bytes, size),
    )  # fmt: skip


def _largest(sizes_bytes: Mapping[str, int]) -> tuple[str, str]:
    """Return the largest packages, and the number of the others."""
    names = sorted(sizes_bytes, key=lambda name: -sizes_bytes[name])
    shown = ", ".join(f"{name} {size(sizes_bytes[name])}" for name in names[:N_PACKAGES])
    return shown, str(len(names[N_PACKAGES:]))


def _energy_row(consumer: Consumer, one: Estimate) -> tuple[str, ...]:
    joules = (one.awake_j_per_day, one.memory_j_per_day, one.asleep_j_per_day, one.mean_mw)
    return (
        consumer.title, f"{number(100 * one.duty_cycle)} %", f"{100 * one.front_end_share:.0f} %",
        *map(number, joules), NONE if one.python_j_per_day is None else number(one.python_j_per_day),
    )  # fmt: skip
