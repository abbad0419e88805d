"""`edgequake bench all`: every benchmark, a file of results each in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgequake.bench_results import Report, compare, judge, keep, read_result
from edgequake.cost_commands import Also, Pythons, graph_work, interpreters
from edgequake.terminal import progress_bar, to_json

Progress = Callable[[float, str], None]
Measure = Callable[[Progress], Report]

SPLITS = ("val", "test")


def everything(
    out: Annotated[Path, typer.Option(help="Folder for the files of results.")],
    data: Annotated[
        Path | None,
        typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv; without it accuracy is left out."),
    ] = None,
    also: Also = None,
    python: Pythons = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts of each record.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How often costs are measured; the spread is theirs.")] = 5,
    reference: Annotated[
        Path | None,
        typer.Option("--check", metavar="DIR", help="Folder of results to compare with; exit code 3 where worse."),
    ] = None,
) -> None:
    """Measure accuracy, latency, footprint and energy of all shipped models, a file of results each."""
    from edgequake.edge.errors import DataError

    if reference is not None and not reference.is_dir():
        raise DataError(f"{reference} is no folder: expected one that `bench all` wrote, or docs/results")
    worse: list[str] = []
    for name, measure in _benchmarks(data, also or [], interpreters(python), seeds, rounds):
        typer.echo(f"== {name}")
        with progress_bar() as show:
            report = measure(lambda share, doing, name=name: show(f"{name}: {doing}", share))
        keep(report, out / f"{name}.json")
        typer.echo()
        if reference is not None:
            worse += _compared(report, reference / f"{name}.json")
    if reference is not None:
        judge(worse, reference)


def _compared(report: Report, reference: Path) -> list[str]:
    import json

    if not reference.exists():
        typer.echo(f"{reference.name}: no such file in {reference.parent}: not compared", err=True)
        return []
    new: Any = json.loads(to_json(report.to_json()))
    return compare(new, read_result(reference), reference.name)


def _benchmarks(
    data: Path | None, also: list[str], pythons: list[str], seeds: int, rounds: int
) -> Iterator[tuple[str, Measure]]:
    """Yield the name of each file of results, and what measures it: costs first, while nothing else has run."""
    from edgequake.benchmarks.energy import bench_energy
    from edgequake.benchmarks.footprint import bench_footprint
    from edgequake.benchmarks.latency_rounds import bench_latency
    from edgequake.benchmarks.latency_tasks import processor_time
    from edgequake.convert.inspection import inspect_model

    yield "latency", lambda tell: bench_latency(also=also, pythons=pythons, n_rounds=rounds, progress=tell)
    yield (
        "footprint",
        lambda tell: bench_footprint(
            also=also,
            pythons=pythons,
            n_rounds=min(rounds, 3),
            planned_arena=lambda model, variant: inspect_model(model, variant).arena_bytes,
            progress=tell,
        ),
    )
    yield "energy", lambda tell: bench_energy(graph_work, also=also, cpu_s_per_s=processor_time)
    if data is not None:
        yield from _of_accuracy(data, also, seeds)


def _of_accuracy(data: Path, also: list[str], seeds: int) -> Iterator[tuple[str, Measure]]:
    from edgequake.benchmarks.accuracy import bench_accuracy
    from edgequake.benchmarks.entrants import NamedModel
    from edgequake.edge.manifest import shipped_models

    for model in shipped_models():
        body = NamedModel.find(model).body
        beside = [text for text in also if NamedModel.parse(text).body == body]
        for split in SPLITS:

            def measure(tell: Progress, model: str = model, split: str = split, beside: list[str] = beside) -> Report:
                return bench_accuracy(model, data, split, seeds=seeds, curves=True, also=beside, progress=tell)

            yield f"{model}-{split}", measure
