"""`edgequake bench accuracy|folds|budget`: recall and false alarms on labelled records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.bench_output import Reference, ResultsFile, output, output_and_check
from edgequake.commands.options import AsJson, HeldOut, LabelledData, Model, MoreModels, Seeds, Split, Variant
from edgequake.commands.terminal import progress_bar
from edgequake.results.provenance import Report


def accuracy(
    data: LabelledData,
    model: Model = "moon",
    variant: Variant = None,
    also: MoreModels = None,
    split: Split = None,
    fold: HeldOut = None,
    seeds: Seeds = 5,
    sensitivity: Annotated[str, typer.Option(metavar="low|normal|high", help="low, normal or high.")] = "normal",
    baselines: Annotated[bool, typer.Option(help="Score periodic alarms, STA/LTA and z-detectors too.")] = True,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", metavar="phasenet|eqtransformer[:WEIGHTS]", help="Score a SeisBench picker too; repeatable."
        ),
    ] = None,
    curves: Annotated[bool, typer.Option(help="Vary the thresholds: recall against the share of data kept.")] = False,
    window_s: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Window length in seconds; by default 900 (Moon), 300 (Mars), 30 (Earth)."
        ),
    ] = None,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Events a day on continuous hours against recall, at all thresholds.")
    ] = False,
    phasenet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --continuous: weights of PhaseNet, to be measured too.")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --continuous: keep the model's rows of features here, for the next."),
    ] = None,
    out: ResultsFile = None,
    as_json: AsJson = False,
    check: Reference = None,
) -> None:
    """Score models and baselines on continuous records: by events, onsets, windows, classes and stations."""
    if continuous:
        _continuous(model, data, split, variant, seeds, fold, baselines, phasenet, rows, out, as_json)
        return
    from edgequake.benchmarks.accuracy.accuracy import bench_accuracy
    from edgequake.data.selection import Fold

    with progress_bar() as show:
        report = bench_accuracy(
            model, data, split, variant, seeds,
            fold=Fold.parse(fold) if fold else None, sensitivity=sensitivity, baselines=baselines, curves=curves,
            also=also or (), peers=peers or (), window_s=window_s, progress=show,
        )  # fmt: skip
    output_and_check(report, out, check, as_json)


def _continuous(
    model: str,
    data: Path,
    split: str | None,
    variant: str | None,
    seeds: int,
    fold: str | None,
    baselines: bool,
    phasenet: Path | None,
    rows: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from edgequake.benchmarks.accuracy.continuous_hours import bench_continuous
    from edgequake.data.selection import Fold

    with progress_bar() as show:
        report = bench_continuous(
            model, data, split, variant, seeds,
            fold=Fold.parse(fold) if fold else None, baselines=baselines, phasenet=phasenet, rows=rows, progress=show,
        )  # fmt: skip
    output(report, out, as_json)


def folds(
    models: Annotated[
        list[str], typer.Argument(metavar="MANIFEST:K/N...", help="A model, and the fold held out from its training.")
    ],
    data: LabelledData,
    variant: Variant = None,
    seeds: Seeds = 5,
    out: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Score the models of a cross-validation on the records held out from them, pooled over the folds."""
    from edgequake.benchmarks.tuning.cross_validation import FoldModel, cross_validate

    parsed = [FoldModel.parse(text) for text in models]
    with progress_bar() as show:
        result = cross_validate(parsed, data, variant=variant, seeds=seeds, progress=show)
    output(result, out, as_json)


def budget(
    data: LabelledData,
    more: Annotated[
        list[int] | None, typer.Argument(metavar="BYTES...", help="Further budgets, after --budgets or alone.")
    ] = None,
    budgets: Annotated[
        list[int] | None,
        typer.Option(
            "--budgets",
            "--budget",
            metavar="BYTES...",
            help="Bytes per UTC day, one or more; by default 2000 5000 10000 20000 50000, or the mission's.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file; by default the body's."),
    ] = None,
    variant: Variant = None,
    split: Split = None,
    seeds: Seeds = 5,
    mission: Annotated[
        str | None,
        typer.Option(metavar="lems|insight|farside", help="When events come home over this mission's link."),
    ] = None,
    contact_every_h: Annotated[
        float | None, typer.Option("--contact-every", metavar="HOURS", help="With --mission: between contacts.")
    ] = None,
    look_every_days: Annotated[
        float | None, typer.Option("--look-every", metavar="DAYS", help="With --mission: between routine looks.")
    ] = None,
    stored_sps: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="With --mission: samples a second stored, of all channels together."),
    ] = None,
    out: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure recall against the daily downlink budget, for a model and for STA/LTA."""
    from edgequake.benchmarks.downlink.budget import BUDGETS, bench_budget
    from edgequake.benchmarks.downlink.missions import bench_mission
    from edgequake.edge.base.errors import ConfigError

    # An option takes one value: `--budgets 2000 5000` arrives as an option and an argument.
    chosen = [*(budgets or ()), *(more or ())]
    of_mission = {"contact-every": contact_every_h, "look-every": look_every_days, "stored-sps": stored_sps}
    if mission is None and (given := [name for name, value in of_mission.items() if value is not None]):
        raise ConfigError(f"--{given[0]} belongs to --mission; name the mission, or leave it out")
    report: Report
    with progress_bar() as show:
        if mission is None:
            report = bench_budget(
                model or "moon", data, split, chosen or BUDGETS, seeds, variant=variant, progress=show
            )
        else:
            report = bench_mission(
                mission, data, split, chosen, seeds, model=model, variant=variant, stored_sps=stored_sps,
                contact_every_s=None if contact_every_h is None else contact_every_h * 3600.0,
                look_every_s=None if look_every_days is None else look_every_days * 86_400.0, progress=show,
            )  # fmt: skip
    output(report, out, as_json)
