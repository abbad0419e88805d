"""`edgequake synth|fetch|labels`: data folders, synthesised or from the archives, and their labels."""

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
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write into.")],
    kind: Annotated[
        SyntheticKind, typer.Option(metavar="day|dataset", help="One lunar day, or a small labelled data folder.")
    ] = (SyntheticKind.day),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same samples.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Synthesise lunar records with moonquakes, spikes and gaps."""
    from edgequake.synthetic import synthetic_dataset

    write = synthetic_dataset.write_day if kind is SyntheticKind.day else synthetic_dataset.write_dataset
    result = {"kind": kind.value, "seed": seed, "written": str(write(out, seed))}
    print_result(result, f"synthesised a {kind.value}: {result['written']}", as_json)


def fetch(
    body: Annotated[
        Body, typer.Argument(metavar="moon|mars", help="moon: Apollo, network XA; mars: InSight, network XB.")
    ],
    start: Annotated[str, typer.Option(metavar="TIME", help="First day, or a time in it, ISO 8601 UTC.")],
    stop: Annotated[str, typer.Option(metavar="TIME", help="First day that is not fetched, ISO 8601 UTC.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Data folder; days that it holds are not requested again.")
    ],
    station: Annotated[
        str | None, typer.Option(metavar="STA", help="By default S12 or ELYSE.", show_default=False)
    ] = None,
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


def labels(
    documents: Annotated[
        list[Path],
        typer.Argument(metavar="EVENTS.xml...", help="QuakeML of SeisComP, the Marsquake Service, the USGS, obspy."),
    ],
    records: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of miniSEED files; gets catalog.csv, and records.csv.")
    ],
    stations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="StationXML: predict P where an event has no pick at a station.", show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="train|val|test", help="Of all records; by default as it is, or val.", show_default=False),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(metavar="moon|mars|earth", help="By default by network code and rate.", show_default=False),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Of picks without an uncertainty; by default 1 (Earth), 20 (Mars), 60 (Moon).",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the labels that the folder has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn the picks of QuakeML documents into the catalogue of a folder of records, to score, tune or train with."""
    from edgequake.data.quakeml_labels import label_records
    from edgequake.export.stations import read_places

    places = {} if stations is None else read_places(stations)
    known = {station_id: (place.latitude_deg, place.longitude_deg) for station_id, place in places.items()}
    place_of = None if stations is None else known.get
    result = label_records(documents, records, split, body, precision, place_of, force)
    print_result(result, result.text(), as_json)
