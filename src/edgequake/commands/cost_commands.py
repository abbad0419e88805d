"""`edgequake bench latency|footprint|energy|all`: what detection costs, and every benchmark at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.bench_results import JsonFile, Reference, show_and_judge
from edgequake.commands.terminal import progress_bar

if TYPE_CHECKING:
    from edgequake.benchmarks.cost.energy import GraphWork
    from edgequake.benchmarks.cost.workload import Subject

ENVIRONMENTS = "EDGEQUAKE_LANDER_PYTHONS"  # NAME=INTERPRETER or NAME=WHY NOT, joined by ';', as `make landers` prints

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME|MANIFEST", help="Repeatable; by default all shipped models.", show_default=False
    ),
]
Variant = Annotated[str | None, typer.Option(help="float32, dynamic, int8 or int16x8; by default all that there are.")]
Also = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|MANIFEST[:VARIANT]", help="A further model, to compare with; repeatable."),
]
Pythons = Annotated[
    list[Path] | None,
    typer.Option(
        "--python",
        metavar="INTERPRETER",
        help=f"Of an environment to measure in; repeatable; by default those that {ENVIRONMENTS} names, else this one.",
    ),
]


def latency(
    model: Models = None,
    variant: Variant = None,
    also: Also = None,
    python: Pythons = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, help="Repeatable; by default 1 and 2.")] = None,
    steps: Annotated[int, typer.Option(min=100, help="Steps of the graph to time in each round.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured; the spread is theirs.")] = 5,
    days: Annotated[bool, typer.Option(help="Run days of signal, too: parts, whole processes, cold start.")] = True,
    baselines: Annotated[bool, typer.Option(help="Run STA/LTA and z-detectors over the same days.")] = True,
    json_file: JsonFile = None,
    check: Reference = None,
) -> None:
    """Time steps of the graph, the parts of a day's run, whole processes and their start; baselines beside them."""
    from edgequake.benchmarks.cost.latency_runs import THREADS, bench_latency

    with progress_bar() as show:
        report = bench_latency(
            model or (),
            variant,
            also=also or (),
            pythons=interpreters(python),
            threads=tuple(threads or THREADS),
            n_steps=steps,
            n_rounds=rounds,
            whole_days=days,
            baselines=baselines,
            progress=lambda share, doing: show(doing, share),
        )
    show_and_judge(report, json_file, check)


def footprint(
    model: Models = None,
    variant: Variant = None,
    also: Also = None,
    python: Pythons = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs over a day whose memory is looked at.")] = 3,
    json_file: JsonFile = None,
    check: Reference = None,
) -> None:
    """Measure graphs, states, arenas, the memory of the device's process, and what its environment has installed."""
    from edgequake.benchmarks.cost.footprint import bench_footprint
    from edgequake.convert.inspection.inspection import inspect_model

    with progress_bar() as show:
        report = bench_footprint(
            model or (),
            variant,
            also=also or (),
            pythons=interpreters(python),
            n_rounds=rounds,
            planned_arena=lambda model, variant: inspect_model(model, variant).arena_bytes,
            progress=lambda share, doing: show(doing, share),
        )
    show_and_judge(report, json_file, check)


def energy(
    model: Models = None,
    variant: Variant = None,
    also: Also = None,
    measure: Annotated[
        bool, typer.Option(help="Measure the runner's processor time here, for devices that can run it.")
    ] = True,
    json_file: JsonFile = None,
    check: Reference = None,
) -> None:
    """Estimate energy for named devices, from counted arithmetic, bytes moved and time awake: an estimate only."""
    from edgequake.benchmarks.cost.energy import bench_energy
    from edgequake.benchmarks.cost.latency_tasks import processor_time

    with progress_bar() as show:

        def runner_time(subject: Subject) -> float:
            show(f"running {subject.title}", None)
            return processor_time(subject)

        report = bench_energy(
            graph_work, model or (), variant, also=also or (), cpu_s_per_s=runner_time if measure else None
        )
    show_and_judge(report, json_file, check)


def graph_work(model: str, variant: str) -> GraphWork:
    """Count what a step of a graph does."""
    from edgequake.benchmarks.cost.energy import GraphWork
    from edgequake.convert.inspection.inspection import inspect_model

    graph = inspect_model(model, variant)
    moved_bytes = graph.weights_bytes + graph.scales_bytes + 2 * graph.state_bytes + graph.arena_bytes
    return GraphWork(graph.macs_per_step, graph.elementwise_per_step, moved_bytes)


def interpreters(given: list[Path] | None) -> list[str]:
    """Return the interpreters to measure with: those given, those of the environment variable, or none."""
    if given:
        return [str(path) for path in given]
    named = (item.partition("=")[2] for item in os.environ.get(ENVIRONMENTS, "").split(";"))
    return [path for path in named if Path(path).is_file()]
