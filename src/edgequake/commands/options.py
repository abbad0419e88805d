"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="Output folder of `edgequake run`.", show_default=False)
]
LabelledData = Annotated[
    Path,
    typer.Option(
        envvar="EDGEQUAKE_DATA", metavar="FOLDER", help="Folder with records.csv, or the NASA Space Apps packet."
    ),
]
OptionalData = Annotated[
    Path | None,
    typer.Option(
        envvar="EDGEQUAKE_DATA", metavar="FOLDER", help="Folder with records.csv, or the NASA Space Apps packet."
    ),
]
Reviewed = Annotated[
    Path | None,
    typer.Option(
        "--reviewed",
        metavar="REVIEWS",
        help="Use the reviewed events of a run instead of --data: the folder RUN-reviews of `edgequake serve`.",
        show_default=False,
    ),
]
Model = Annotated[str, typer.Option(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")]
Variant = Annotated[
    str | None, typer.Option(metavar="VARIANT", help="float32, dynamic, int8 or int16x8; by default the manifest's.")
]
MoreModels = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="NAME|MANIFEST[:VARIANT]", help="A further model, to compare with; repeatable."),
]
Split = Annotated[
    str | None,
    typer.Option(metavar="SPLIT", help="train, val or test; by default val, or all of a packet.", show_default=False),
]
HeldOut = Annotated[
    str | None, typer.Option("--fold", metavar="K/N", help="The records that fold K of N holds out, not a split.")
]
Seeds = Annotated[
    int, typer.Option(min=0, metavar="N", help="Random start times per record; 0: only the record's own start.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
