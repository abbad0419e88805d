"""Costs as tables: steps, runs, processes, their start, sizes, and estimates of energy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edgequake.report.costs import PERCENTILES, BaselineCost, Energy, Footprint, Installed, Latency, Process, Spread
from edgequake.report.results import Result
from edgequake.results.tables.table import Table
from edgequake.results.tables.words import number, size, thousands

NONE = "–"
PARTS = {
    "reading": "read", "front_end": "front end", "graph": "graph", "trigger": "trigger", "onset": "onset",
    "writing": "write",
}  # fmt: skip
N_PACKAGES = 4  # named in a table; all are in the JSON
ROUNDS = "Medians of several rounds; in brackets the smallest and the largest."


def latency_table(results: Sequence[Result]) -> Table | None:
    """Return what a step of each model costs, or None without a result of `bench latency`."""
    found = [result for result in results if isinstance(result, Latency)]
    if not found:
        return None
    columns = (
        "model", "parameters", "size", "runtime", "threads", *(f"{name} [us]" for name in PERCENTILES),
        "signal in a step [s]", "us per second of signal",
    )  # fmt: skip
    rows = tuple(
        (
            one.title, thousands(one.model.parameters), size(one.model.size_bytes), one.runtime,
            str(one.n_threads), *(_spread(one.spreads_us[name]) for name in PERCENTILES), f"{one.signal_s:.3g}",
            f"{one.us_per_signal_s:.3g}",
        )
        for one in found
    )  # fmt: skip
    note = f"Wall time of one step of the graph, its states included. {ROUNDS} {_where(found)}"
    return Table(
        "What a step costs", columns, rows, (note, *dict.fromkeys(words for one in found for words in one.notes))
    )


def run_tables(results: Sequence[Result]) -> list[Table]:
    """Return where the time of a run goes, whole processes (baselines among them), and how long they take to start."""
    models = [result for result in results if isinstance(result, Latency) and result.run]
    baselines = [result for result in results if isinstance(result, BaselineCost)]
    tables = []
    if models:
        tables.append(_parts_table(models))
    if models or baselines:
        tables.append(_processes_table(models, baselines))
    if models:
        tables.append(_starts_table(models))
    return tables


def footprint_tables(results: Sequence[Result]) -> list[Table]:
    """Return what models take, and what environments have installed."""
    models = [result for result in results if isinstance(result, Footprint)]
    environments = [result for result in results if isinstance(result, Installed)]
    tables = []
    if models:
        columns = (
            "model", "sha256", "runtime", "graph", "manifest", "state", "arena", "memory: interpreter", "imported",
            "loaded", "most in a run",
        )  # fmt: skip
        rows = tuple(
            (
                one.model.title, one.model.sha256[:12], one.runtime,
                *(size(n) for n in (one.model.size_bytes, one.manifest_bytes)),
                f"{one.state_bytes} bytes", f"{one.arena_bytes} bytes",
                *(size(one.resident_bytes[stage]) for stage in ("interpreter", "imported", "loaded")),
                _spread(one.peak_bytes, size),
            )
            for one in models
        )  # fmt: skip
        note = f"Arena: {models[0].arena_method}. Memory: resident, of the device's own process."
        tables.append(Table("What a model takes", columns, rows, (note,)))
    if environments:
        rows = tuple((one.runtime, size(one.total_bytes), *_largest(one.sizes_bytes)) for one in environments)
        note = "All files of the distributions that the process imports from; Python itself is not counted."
        tables.append(Table("What is installed", ("runtime", "in all", "of it", "further packages"), rows, (note,)))
    return tables


def energy_tables(results: Sequence[Result]) -> list[Table]:
    """Return the estimates, a table for each device."""
    found = [result for result in results if isinstance(result, Energy)]
    columns = (
        "detector", "awake", "front end's share of it", "awake [J/day]", "memory [J/day]", "asleep [J/day]",
        "mean power [mW]", "awake, as Python [J/day]",
    )  # fmt: skip
    return [
        Table(
            f"Estimate, not measured: {device}",
            columns,
            tuple(_energy_row(one) for one in found if one.device == device),
            (f"{found[0].label}; `edgequake bench energy` prints each with its source.",),
        )
        for device in dict.fromkeys(one.device for one in found)
    ]


def _energy_row(one: Energy) -> tuple[str, ...]:
    joules = (one.awake_j_per_day, one.memory_j_per_day, one.asleep_j_per_day, one.mean_mw)
    return (
        f"{one.detector}, {one.body}", f"{number(100 * one.duty_cycle)} %", f"{100 * one.front_end_share:.0f} %",
        *map(number, joules), NONE if one.python_j_per_day is None else number(one.python_j_per_day),
    )  # fmt: skip


def _parts_table(models: Iterable[Latency]) -> Table:
    columns = ("model", "runtime", *(f"{words} [us]" for words in PARTS.values()), "detection in all [us]")
    rows = tuple(
        (one.title, one.runtime, *(number(one.run.parts_us[part].value) for part in PARTS),
         _spread(one.run.detection_us))
        for one in models
        if one.run
    )  # fmt: skip
    note = (
        f"One thread; for a second of made-up signal, three channels. Detection: front end, graph and trigger. {ROUNDS}"
    )
    return Table("Where the time of a run goes", columns, rows, (note,))


def _processes_table(models: Iterable[Latency], baselines: Iterable[BaselineCost]) -> Table:
    columns = ("detector", "runtime", "signal [h]", "wall [s]", "CPU [s]", "peak memory")
    rows = [(one.title, one.runtime, *_process(one.run.process)) for one in models if one.run]
    rows += [(f"{one.name}, {one.body}", one.library, *_process(one.process)) for one in baselines]
    note = f"From the start of the interpreter to its exit. {ROUNDS}"
    return Table("The same as one process", columns, tuple(rows), (note,))


def _starts_table(models: Iterable[Latency]) -> Table:
    columns = ("model", "runtime", "imported [ms]", "model loaded [ms]", "first samples processed [ms]")
    rows = tuple(
        (
            one.title,
            one.runtime,
            *(_spread(at_s, lambda s: number(1e3 * s)) for at_s in one.run.cold_start_s.values()),
        )
        for one in models
        if one.run
    )
    return Table("Cold start", columns, rows, (f"Since the process was started. {ROUNDS}",))


def _largest(sizes_bytes: Mapping[str, int]) -> tuple[str, str]:
    """Return the largest packages, and how many more there are."""
    names = sorted(sizes_bytes, key=lambda name: -sizes_bytes[name])
    shown = ", ".join(f"{name} {size(sizes_bytes[name])}" for name in names[:N_PACKAGES])
    return shown, str(len(names[N_PACKAGES:]))


def _where(models: Iterable[Latency]) -> str:
    """Say what the rows' environments are."""
    environments = dict.fromkeys(f"{one.provenance.computer} with {one.stack}" for one in models)
    return f"Measured on {'; '.join(environments)}."


def _process(process: Process) -> tuple[str, ...]:
    times = (_spread(process.wall_s), _spread(process.cpu_s))
    return (f"{process.signal_s / 3600:g}", *times, _spread(process.memory_bytes, size))


def _spread(spread: Spread, shown: Callable[[float], str] | None = None) -> str:
    words = shown or number
    low, high = words(spread.low), words(spread.high)
    return words(spread.value) if low == high else f"{words(spread.value)} ({low} to {high})"
