"""`edgequake bench`: measure accuracy and latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgequake.terminal import progress_bar, to_json

bench = typer.Typer(
    help="Measure accuracy, latency and what the runner survives.", no_args_is_help=True, rich_markup_mode=None
)

Model = Annotated[str, typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")]
Variant = Annotated[str | None, typer.Option(help="float32, dynamic, int8 or int16x8; by default the manifest's.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure to this file.")]


@bench.command()
def accuracy(
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv and catalog.csv.")],
    model: Model = "moon",
    variant: Variant = None,
    split: Annotated[str | None, typer.Option(help="train, val or test; by default val.", show_default=False)] = None,
    fold: Annotated[str | None, typer.Option(metavar="K/N", help="What this fold holds out, not a split.")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts; 0 begins each record at its own start.")] = 5,
    sensitivity: Annotated[str, typer.Option(help="low, normal or high.")] = "normal",
    baselines: Annotated[bool, typer.Option(help="Score the three baselines too.")] = True,
    curves: Annotated[bool, typer.Option(help="Sweep the thresholds: recall against kept.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Score a model and three baselines on continuous records."""
    from edgequake.benchmarks.accuracy import bench_accuracy
    from edgequake.edge.errors import ConfigError
    from edgequake.folds import Fold

    if split and fold:
        raise ConfigError("a split and a fold were named; choose one of --split and --fold")
    with progress_bar() as show:
        report = bench_accuracy(
            model,
            data,
            split or "val",
            variant,
            seeds,
            fold=Fold.parse(fold) if fold else None,
            sensitivity=sensitivity,
            baselines=baselines,
            curves=curves,
            progress=lambda share, doing: show(doing, share),
        )
    _print_and_keep(report, json_file)


@bench.command()
def folds(
    models: Annotated[
        list[str], typer.Argument(metavar="MANIFEST:K/N...", help="A model, and the fold that was held out from it.")
    ],
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv and catalog.csv.")],
    variant: Variant = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts; 0 begins each record at its own start.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """Judge models of a cross-validation by the records held out from them, pooled over the folds."""
    from edgequake.benchmarks.cross_validation import cross_validate
    from edgequake.benchmarks.fold_models import FoldModel

    parsed = [FoldModel.parse(text) for text in models]
    with progress_bar() as show:
        result = cross_validate(
            parsed, data, variant=variant, seeds=seeds, progress=lambda share, doing: show(doing, share)
        )
    _print_and_keep(result, json_file)


@bench.command()
def latency(
    model: Model = "moon",
    variant: Variant = None,
    steps: Annotated[int, typer.Option(min=100, help="Steps of the graph to time.")] = 5000,
    day_runs: Annotated[int, typer.Option(min=0, help="Processes to run over a synthesised day.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Time a model's single steps, and a synthesised lunar day as a whole process."""
    from edgequake.benchmarks.latency import bench_latency

    with progress_bar() as show:
        report = bench_latency(
            model, variant, n_steps=steps, n_day_runs=day_runs, progress=lambda share, doing: show(doing, share)
        )
    _print_and_keep(report, json_file)


def _print_and_keep(report: Any, json_file: Path | None) -> None:
    """Print a report's table, and write all of it to a file where one is named."""
    from edgequake.edge.atomic import write_bytes_atomically

    typer.echo(report.table())
    if json_file is not None:
        write_bytes_atomically(json_file, (to_json(report.to_json()) + "\n").encode())
