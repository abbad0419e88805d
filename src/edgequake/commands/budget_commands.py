"""`edgequake bench budget`: how much comes home for so many bytes a day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.bench_results import JsonFile, keep
from edgequake.commands.terminal import progress_bar


def budget(
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv, or NASA's packet.")],
    more: Annotated[
        list[int] | None, typer.Argument(metavar="BYTES...", help="Further budgets, behind --budgets or alone.")
    ] = None,
    budgets: Annotated[
        list[int] | None,
        typer.Option(
            metavar="BYTES...",
            help="Bytes of a UTC day, several of them; by default 2000 5000 10000 20000 50000.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")] = "moon",
    variant: Annotated[
        str | None, typer.Option(help="float32, dynamic, int8 or int16x8; by default the manifest's.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val or test; by default val, or all of a packet.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Random starts; 0 begins each record at its own start.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """Measure recall against the downlink's budget: what a model and STA/LTA bring home for so many bytes a day."""
    from edgequake.benchmarks.downlink.budget import BUDGETS, bench_budget

    # An option takes one value: `--budgets 2000 5000` reaches us as an option and an argument.
    chosen = [*(budgets or ()), *(more or ())] or BUDGETS
    with progress_bar() as show:
        report = bench_budget(
            model, data, split, chosen, seeds, variant=variant, progress=lambda share, doing: show(doing, share)
        )
    keep(report, json_file)
