"""`edgequake synth|fetch`: data folders, synthesised or from the archives."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.options import AsJson
from edgequake.commands.terminal import print_result, progress_bar


class SyntheticKind(str, Enum):
    """What `edgequake synth` writes."""

    day = "day"
    dataset = "dataset"


class Body(str, Enum):
    """Whose records `edgequake fetch` requests."""

    moon = "moon"
    mars = "mars"


def synth(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    kind: Annotated[SyntheticKind, typer.Option(help="One lunar day, or a small labelled data folder.")] = (
        SyntheticKind.day
    ),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Synthesise lunar records with moonquakes, spikes and gaps."""
    from edgequake.synthetic import synthetic_dataset

    write = synthetic_dataset.write_day if kind is SyntheticKind.day else synthetic_dataset.write_dataset
    result = {"kind": kind.value, "seed": seed, "written": str(write(out, seed))}
    print_result(result, f"synthesised a {kind.value}: {result['written']}", as_json)


def fetch(
    body: Annotated[Body, typer.Argument(help="moon: Apollo, network XA; mars: InSight, network XB.")],
    start: Annotated[str, typer.Option(help="First day, or a time in it, ISO 8601 UTC.")],
    stop: Annotated[str, typer.Option(help="First day that is not fetched, ISO 8601 UTC.")],
    out: Annotated[Path, typer.Option(help="Data folder; days that it holds are not requested again.")],
    station: Annotated[str | None, typer.Option(help="By default S12 or ELYSE.", show_default=False)] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="By default MH? or BH?.", show_default=False)
    ] = None,
    location: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="By default any, for InSight 02.", show_default=False)
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another FDSN data centre; by default EarthScope's.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Request and replace days that the folder holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch whole days of Apollo or InSight records from an FDSN data centre into a data folder."""
    from edgequake.fetch.fetching import fetch_days, plan_request

    request = plan_request(body.value, start, stop, station, channel, location, base_url)
    with progress_bar() as show:
        result = fetch_days(request, out, force, show)
    print_result(result, result.text(), as_json)
