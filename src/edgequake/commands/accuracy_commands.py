"""`edgequake bench accuracy|folds`: how much of what there is is found, and how much else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.bench_results import JsonFile, Reference, keep, show_and_judge
from edgequake.commands.terminal import progress_bar

bench = typer.Typer(
    help="Measure accuracy, cost and what the runner survives.", no_args_is_help=True, rich_markup_mode=None
)

Model = Annotated[str, typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")]
Variant = Annotated[str | None, typer.Option(help="float32, dynamic, int8 or int16x8; by default the manifest's.")]


@bench.command()
def accuracy(
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv, or NASA's packet.")],
    model: Model = "moon",
    variant: Variant = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|MANIFEST[:VARIANT]", help="A further model on the same records; repeatable."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val or test; by default val, or all of a packet.", show_default=False)
    ] = None,
    fold: Annotated[str | None, typer.Option(metavar="K/N", help="What this fold holds out, not a split.")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts; 0 begins each record at its own start.")] = 5,
    sensitivity: Annotated[str, typer.Option(help="low, normal or high.")] = "normal",
    baselines: Annotated[bool, typer.Option(help="Score the clock, STA/LTA and z-detectors too.")] = True,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", metavar="phasenet|eqtransformer[:WEIGHTS]", help="A picker of SeisBench's too; repeatable."
        ),
    ] = None,
    curves: Annotated[bool, typer.Option(help="Sweep the thresholds: recall against kept.")] = False,
    window_s: Annotated[
        float | None, typer.Option(help="Seconds in a window; by default 900 Moon, 300 Mars, 30 Earth.")
    ] = None,
    json_file: JsonFile = None,
    check: Reference = None,
) -> None:
    """Score models and baselines on continuous records: by events, onsets, windows, classes and stations."""
    from edgequake.benchmarks.accuracy.accuracy import bench_accuracy
    from edgequake.data.folds import Fold

    with progress_bar() as show:
        report = bench_accuracy(
            model,
            data,
            split,
            variant,
            seeds,
            fold=Fold.parse(fold) if fold else None,
            sensitivity=sensitivity,
            baselines=baselines,
            curves=curves,
            also=also or (),
            peers=peers or (),
            window_s=window_s,
            progress=lambda share, doing: show(doing, share),
        )
    show_and_judge(report, json_file, check)


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
    from edgequake.benchmarks.tuning.cross_validation import FoldModel, cross_validate

    parsed = [FoldModel.parse(text) for text in models]
    with progress_bar() as show:
        result = cross_validate(
            parsed, data, variant=variant, seeds=seeds, progress=lambda share, doing: show(doing, share)
        )
    keep(result, json_file)
