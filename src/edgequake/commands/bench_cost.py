"""`edgequake bench latency|footprint|energy`: processor time, memory and energy of detection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.bench_output import Reference, ResultsFile, output_and_check
from edgequake.commands.options import AsJson, MoreModels
from edgequake.commands.terminal import progress_bar

if TYPE_CHECKING:
    from edgequake.benchmarks.cost.energy import GraphWork
    from edgequake.benchmarks.cost.workload import MeasuredGraph

# NAME=INTERPRETER, or NAME=REASON where there is none, joined by ';', as `make landers` prints
ENVIRONMENTS = "EDGEQUAKE_LANDER_PYTHONS"

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME|MANIFEST", help="Repeatable; by default all shipped models.", show_default=False
    ),
]
AllVariants = Annotated[
    str | None,
    typer.Option("--variant", metavar="VARIANT", help="float32, dynamic, int8 or int16x8; by default all variants."),
]
Pythons = Annotated[
    list[Path] | None,
    typer.Option(
        "--python",
        metavar="INTERPRETER",
        help=f"Of an environment to measure in; repeatable; by default those in {ENVIRONMENTS}, else this one.",
    ),
]


def latency(
    model: Models = None,
    variant: AllVariants = None,
    also: MoreModels = None,
    python: Pythons = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Repeatable; by default 1 and 2.")
    ] = None,
    steps: Annotated[int, typer.Option(min=100, metavar="N", help="Steps of the graph to time in each round.")] = 2000,
    rounds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of repetitions; the spread is taken over them.")
    ] = 5,
    days: Annotated[
        bool, typer.Option(help="Also run days of signal: parts of the runner, whole processes, cold start.")
    ] = True,
    baselines: Annotated[bool, typer.Option(help="Run STA/LTA and z-detectors on the same days.")] = True,
    out: ResultsFile = None,
    as_json: AsJson = False,
    check: Reference = None,
) -> None:
    """Time steps of the graph, the parts of a day's run, whole processes and their start, and the baselines."""
    from edgequake.benchmarks.cost.latency_runs import THREADS, bench_latency

    with progress_bar() as show:
        report = bench_latency(
            model or (), variant,
            also=also or (), pythons=interpreters(python), threads=tuple(threads or THREADS), n_steps=steps,
            n_rounds=rounds, whole_days=days, baselines=baselines, progress=show,
        )  # fmt: skip
    output_and_check(report, out, check, as_json)


def footprint(
    model: Models = None,
    variant: AllVariants = None,
    also: MoreModels = None,
    python: Pythons = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs over a day whose memory is measured.")] = 3,
    out: ResultsFile = None,
    as_json: AsJson = False,
    check: Reference = None,
) -> None:
    """Measure graphs, states, arenas, the memory of the runner's process, and the size of its environment."""
    from edgequake.benchmarks.cost.footprint import bench_footprint

    with progress_bar() as show:
        report = bench_footprint(
            model or (), variant,
            also=also or (), pythons=interpreters(python), n_rounds=rounds, planned_arena=planned_arena, progress=show,
        )  # fmt: skip
    output_and_check(report, out, check, as_json)


def energy(
    model: Models = None,
    variant: AllVariants = None,
    also: MoreModels = None,
    measure: Annotated[
        bool, typer.Option(help="Measure the runner's processor time here, for devices that can run it.")
    ] = True,
    out: ResultsFile = None,
    as_json: AsJson = False,
    check: Reference = None,
) -> None:
    """Estimate (not measure) the energy on named devices from counted operations, bytes moved and time awake."""
    from edgequake.benchmarks.cost.energy import bench_energy, processor_time

    with progress_bar() as show:

        def runner_time(graph: MeasuredGraph) -> float:
            show(None, f"running {graph.title}")
            return processor_time(graph)

        report = bench_energy(
            graph_work, model or (), variant, also=also or (), cpu_s_per_s=runner_time if measure else None
        )
    output_and_check(report, out, check, as_json)


def planned_arena(model: str, variant: str) -> int | None:
    """Return the size in bytes of a graph's planned arena."""
    from edgequake.convert.inspection.inspection import inspect_model

    return inspect_model(model, variant).arena_bytes


def graph_work(model: str, variant: str) -> GraphWork:
    """Count the operations and the bytes moved in a step of a graph."""
    from edgequake.benchmarks.cost.energy import GraphWork
    from edgequake.convert.inspection.inspection import inspect_model

    graph = inspect_model(model, variant)
    moved_bytes = graph.weights_bytes + graph.scales_bytes + 2 * graph.state_bytes + graph.arena_bytes
    return GraphWork(graph.macs_per_step, graph.elementwise_per_step, moved_bytes)


def interpreters(given: list[Path] | None) -> list[str]:
    """Return the interpreters to measure with: the given ones, else those in the environment variable, else none."""
    if given:
        return [str(path) for path in given]
    named = (item.partition("=")[2] for item in os.environ.get(ENVIRONMENTS, "").split(";"))
    return [path for path in named if Path(path).is_file()]
