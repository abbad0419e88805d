"""`edgequake tune`: choose a model's trigger on one's own records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.terminal import progress_bar, tell


def tune(
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder of records, labelled or not.")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned copy: NAME.json, its graphs and tuning.json.")],
    model: Annotated[str, typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")] = "moon",
    false_per_day: Annotated[
        float | None,
        typer.Option(metavar="X", help="Choose thresholds for this rate of false alarms; needs no labels."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test; by default val.", show_default=False)] = None,
    fold: Annotated[str | None, typer.Option(metavar="K/N", help="What this fold holds out, not a split.")] = None,
    stations: Annotated[
        list[str] | None, typer.Option("--station", metavar="ID", help="STA or NET_STA; repeatable; by default all.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="float32, dynamic, int8 or int16x8; by default the manifest's.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts; 0 begins each record at its own start.")] = 5,
    prefer: Annotated[
        str, typer.Option(help="Of equally good settings take the one with fewest false alarms (quiet) or most recall.")
    ] = "quiet",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Choose a model's trigger thresholds on labelled records, or for a rate of false alarms on any."""
    from edgequake.benchmarks.tuning.false_alarm_tuning import RateTuning, tune_to_rate
    from edgequake.benchmarks.tuning.label_tuning import LabelTuning, tune_to_labels
    from edgequake.data.folds import Fold
    from edgequake.data.selection import Selection

    selection = Selection(split, Fold.parse(fold) if fold else None, tuple(stations or ()))
    result: LabelTuning | RateTuning
    with progress_bar() as show:
        if false_per_day is None:
            result = tune_to_labels(
                model, data, out, selection,
                variant=variant, seeds=seeds, prefer=prefer, progress=lambda share, doing: show(doing, share),
            )  # fmt: skip
        else:
            result = tune_to_rate(
                model, data, out, selection, false_per_day,
                variant=variant, seeds=seeds, progress=lambda share, doing: show(doing, share),
            )  # fmt: skip
    tell(result.to_json(), result.table(), as_json)
