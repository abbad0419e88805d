"""`edgequake bench all`: every benchmark of the shipped models, one file of results each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.bench_cost import Pythons, graph_work, interpreters, planned_arena
from edgequake.commands.bench_output import find_worse, output, require_none_worse
from edgequake.commands.options import MoreModels, Seeds
from edgequake.commands.terminal import progress_bar, say
from edgequake.results.progress import Progress
from edgequake.results.provenance import Report

Measure = Callable[[Progress], Report]

SPLITS = ("val", "test")


def everything(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the files of results.")],
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEQUAKE_DATA", metavar="FOLDER", help="Folder with records.csv; without it accuracy is left out."
        ),
    ] = None,
    also: MoreModels = None,
    python: Pythons = None,
    seeds: Seeds = 5,
    rounds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of cost measurements; the spread is taken over them.")
    ] = 5,
    reference: Annotated[
        Path | None,
        typer.Option("--check", metavar="DIR", help="Folder of reference results; exit code 3 if a figure is worse."),
    ] = None,
) -> None:
    """Measure accuracy, latency, footprint and energy of all shipped models; write one file of results each."""
    from edgequake.edge.base.errors import DataError

    if reference is not None and not reference.is_dir():
        raise DataError(f"{reference} is not a folder: expected one that `bench all` wrote, or docs/results")
    names = []
    with progress_bar() as show:
        for name, measure in _costs(also or [], interpreters(python), rounds):  # in turn, with nothing else running
            report = measure(lambda share, doing, name=name: show(share, f"{name}: {doing}"))  # type: ignore[misc]
            say(f"== {name}")
            output(report, out / f"{name}.json")
            names.append(name)
        if data is not None:
            names += _score(context.obj, _accuracy_commands(data, also or [], seeds, out), show)
    if reference is not None:
        require_none_worse([line for name in names for line in _find_worse(out / f"{name}.json", reference)], reference)


def _find_worse(path: Path, reference: Path) -> list[str]:
    if not (reference / path.name).exists():
        say(f"{path.name}: no such file in {reference}: not compared", err=True)
        return []
    from edgequake.results.reader import read_json

    return find_worse(read_json(path), read_json(reference / path.name), path.name)


def _costs(also: list[str], pythons: list[str], rounds: int) -> Iterator[tuple[str, Measure]]:
    """Yield the name of each file of cost results, and the function that measures them."""
    from edgequake.benchmarks.cost.energy import bench_energy, processor_time
    from edgequake.benchmarks.cost.footprint import bench_footprint
    from edgequake.benchmarks.cost.latency_runs import bench_latency

    yield "latency", lambda progress: bench_latency(also=also, pythons=pythons, n_rounds=rounds, progress=progress)
    yield (
        "footprint",
        lambda progress: bench_footprint(
            also=also, pythons=pythons, n_rounds=min(rounds, 3), planned_arena=planned_arena, progress=progress
        ),
    )
    yield "energy", lambda progress: bench_energy(graph_work, also=also, cpu_s_per_s=processor_time)


def _accuracy_commands(data: Path, also: list[str], seeds: int, out: Path) -> dict[str, list[str]]:
    """Return the commands that score each shipped model on the splits of its body, by the name of the results."""
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
            commands[name] = ["bench", "accuracy", *options, *beside, "--out", str(out / f"{name}.json")]
    return commands


def _score(program: Sequence[str], commands: dict[str, list[str]], show: Progress) -> list[str]:
    """Run commands, as many at a time as there are processors: their results do not depend on speed."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {name: pool.submit(_run, program, command) for name, command in commands.items()}
        for i, (name, result) in enumerate(running.items()):
            show(i / len(running), f"accuracy: {name}")
            say(f"== {name}\n{result.result()}")
    return list(commands)


def _run(program: Sequence[str], arguments: list[str]) -> str:
    """Run a subcommand in a process and return what it printed; `program` is the command that starts `edgequake`.

    Raises
    ------
    DataError
        The command fails; the message is the command's own.
    """
    from edgequake.edge.base.errors import DataError

    done = subprocess.run([*program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataError(f"edgequake {' '.join(arguments[:4])}: {lines[-1].removeprefix('edgequake: error: ')}")
    return done.stdout
