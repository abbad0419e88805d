"""`edgequake bench all`: every benchmark, a file of results each in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.bench_results import Report, compare, judge, keep, read_result
from edgequake.commands.cost_commands import Also, Pythons, graph_work, interpreters
from edgequake.commands.terminal import Show, progress_bar

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
    from edgequake.edge.base.errors import DataError

    if reference is not None and not reference.is_dir():
        raise DataError(f"{reference} is no folder: expected one that `bench all` wrote, or docs/results")
    names = []
    with progress_bar() as show:
        for name, measure in _costs(also or [], interpreters(python), rounds):  # one by one, nothing else running
            report = measure(lambda share, doing, name=name: show(f"{name}: {doing}", share))  # type: ignore[misc]
            typer.echo(f"== {name}")
            keep(report, out / f"{name}.json")
            names.append(name)
        if data is not None:
            names += _score(_accuracy_commands(data, also or [], seeds, out), show)
    if reference is not None:
        judge([line for name in names for line in _compared(out / f"{name}.json", reference)], reference)


def _compared(path: Path, reference: Path) -> list[str]:
    if not (reference / path.name).exists():
        typer.echo(f"{path.name}: no such file in {reference}: not compared", err=True)
        return []
    return compare(read_result(path), read_result(reference / path.name), path.name)


def _costs(also: list[str], pythons: list[str], rounds: int) -> Iterator[tuple[str, Measure]]:
    """Yield the name of each file of results, and what measures it."""
    from edgequake.benchmarks.cost.energy import bench_energy
    from edgequake.benchmarks.cost.footprint import bench_footprint
    from edgequake.benchmarks.cost.latency_runs import bench_latency
    from edgequake.benchmarks.cost.latency_tasks import processor_time
    from edgequake.convert.inspection.inspection import inspect_model

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


def _accuracy_commands(data: Path, also: list[str], seeds: int, out: Path) -> dict[str, list[str]]:
    """Return what scores each shipped model on each split of its body's records, by the name of the file of results."""
    from edgequake.benchmarks.detectors.detectors import NamedModel
    from edgequake.edge.manifest.manifest import shipped_models

    bodies = {text: NamedModel.parse(text).body for text in also}
    commands = {}
    for model in shipped_models():
        body = NamedModel.find(model).body
        beside = [word for text in also if bodies[text] == body for word in ("--also", text)]
        for split in SPLITS:
            name = f"{model}-{split}"
            options = ["--model", model, "--data", str(data), "--split", split, "--seeds", str(seeds), "--curves"]
            commands[name] = ["bench", "accuracy", *options, *beside, "--json", str(out / f"{name}.json")]
    return commands


def _score(commands: dict[str, list[str]], show: Show) -> list[str]:
    """Run the commands, as many at once as there are processors: what they find does not depend on how fast."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {name: pool.submit(_run, command) for name, command in commands.items()}
        for i, (name, result) in enumerate(running.items()):
            show(f"accuracy: {name}", i / len(running))
            typer.echo(f"== {name}\n{result.result()}")
    return list(commands)


def _run(arguments: list[str]) -> str:
    """Run a command of ours in a process and return what it printed.

    Raises
    ------
    DataError
        It fails; the message is the command's own.
    """
    from edgequake.edge.base.errors import DataError

    done = subprocess.run([sys.executable, "-m", "edgequake.cli", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataError(f"edgequake {' '.join(arguments[:4])}: {said[-1].removeprefix('edgequake: error: ')}")
    return done.stdout
