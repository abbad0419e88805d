"""`edgequake train|rows|convert|inspect|tune`: from labelled records to a model that the runner takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from edgequake.commands.options import AsJson, HeldOut, Model, OptionalData, Reviewed, Seeds, Split, Variant
from edgequake.commands.terminal import native_stderr_silenced, print_result, progress_bar


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|NETWORK",
            help="A bundled recipe (moon, tiny, seed, ...) or a TOML file; with --reviewed NAME.keras, or its folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for NAME.keras, train.json and calibration.npz.")],
    data: OptionalData = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a recipe field; repeatable.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K/N", help="Cross-validation: hold out fold K, counted from 0, of N.")
    ] = None,
    reviewed: Reviewed = None,
    folds: Annotated[
        int, typer.Option(metavar="N", min=0, help="With --reviewed: folds that show whether it has helped; 0: none.")
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Train a network on labelled records, or fine-tune one on the reviewed events of a station."""
    overrides = _parse_changes(changes)
    if reviewed is not None:
        if overrides or fold:
            raise typer.BadParameter("it takes neither --set nor --fold", param_hint="--reviewed")
        _learn(recipe, reviewed, out, folds, as_json)
        return
    if data is None:
        raise _missing_data()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():  # no setting turns off what TensorFlow prints when it is imported
        from edgequake.train.trainer import train as train_network

    with progress_bar() as show:
        result = train_network(recipe, data, out, overrides, show, fold)
    print_result(result, result.table(), as_json)


def _learn(network: str, reviewed: Path, out: Path, folds: int, as_json: bool) -> None:
    from edgequake.serve.reviews.learning import learn

    with progress_bar() as show:
        learned = learn(network, reviewed, out, folds, progress=show)
    print_result(learned.to_json(), learned.text(), as_json)


def _missing_data() -> typer.BadParameter:
    return typer.BadParameter("missing: name a folder of records, or reviews with --reviewed", param_hint="--data")


def rows(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of records, with or without labels, or one file.")
    ],
    describe: Annotated[
        Path, typer.Option(metavar="FILE.toml", help="TOML file that describes the rows, as for `edgequake convert`.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="File for the arrays.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the description; repeatable."),
    ] = None,
    window_rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Rows of a window; by default those of the description, or 512."),
    ] = None,
    hop_rows: Annotated[int | None, typer.Option(metavar="N", min=1, help="Rows from one window to the next.")] = None,
    event: Annotated[
        float | None,
        typer.Option("--event", metavar="SECONDS", min=0, help="Length of an event in the rows' labels."),
    ] = None,
    arrivals: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="CSV with a column `time`, of records without labels.", show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="train, val or test; by default all.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the rows that the device computes of records, with labels and split, for a notebook."""
    from edgequake.convert import device_rows

    plan = device_rows.plan_windows(describe, _parse_changes(changes), window_rows, hop_rows, event)
    made, left_out = device_rows.rows_of_folder(data, plan, arrivals, split)
    made.save(out)
    counts = {name: int((made.split == name).sum()) for name in device_rows.SPLITS}
    missing, n = plan.missing(made), len(made.rows)
    result = {"written": str(out), "shape": list(made.rows.shape), "windows": counts, "missing": missing}
    lines = [f"{name}: 0 throughout in {count} of {n} windows (no channel matches)" for name, count in missing.items()]
    text = "\n".join([made.table(str(out)), plan.columns(), *lines, *left_out])
    print_result({**result, "left_out": left_out}, text, as_json)


def convert(
    model: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="NAME.keras or NAME.h5, with train.json.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for NAME.json and the graphs.")],
    quantize: Annotated[str, typer.Option(metavar="VARIANT", help="float32, dynamic, int8, int16x8 or all.")] = "all",
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder of records, or rows.npz; by default calibration.npz beside NETWORK."),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare the graphs with Keras over a long sequence.")] = True,
    describe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file that describes the input rows of a network trained elsewhere."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of that description; repeatable."),
    ] = None,
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help="Keep the names of the graphs' inner tensors: a kilobyte or two.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Convert a network to one-step TFLite graphs and their manifest."""
    from edgequake.convert.converter import convert_model

    with progress_bar() as show:
        result = convert_model(
            model, out, quantize, calibration, verify, describe, _parse_changes(changes), keep_names,
            progress=lambda stage: show(None, stage),
        )  # fmt: skip
    print_result(result, result.table(), as_json)


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|GRAPH", help="NAME.VARIANT.tflite, a manifest or a shipped model's name.", show_default=False
        ),
    ],
    variant: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="Of a manifest; by default its default variant.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a graph's operators, tensors, sizes, work and state, and the oldest runtime that runs it."""
    from edgequake.convert.inspection.inspection import inspect_model

    result = inspect_model(model, variant)
    print_result(result, result.table(), as_json)


def tune(
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the tuned copy: NAME.json, its graphs and tuning.json.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="EDGEQUAKE_DATA", metavar="FOLDER", help="Folder of records, with or without labels."),
    ] = None,
    reviewed: Reviewed = None,
    model: Model = "moon",
    false_per_day: Annotated[
        float | None,
        typer.Option(metavar="X", help="Choose thresholds for this rate of false alarms; needs no labels."),
    ] = None,
    split: Split = None,
    fold: HeldOut = None,
    stations: Annotated[
        list[str] | None, typer.Option("--station", metavar="ID", help="STA or NET_STA; repeatable; by default all.")
    ] = None,
    variant: Variant = None,
    seeds: Seeds = 5,
    prefer: Annotated[
        str,
        typer.Option(
            metavar="quiet|recall",
            help="Among equally good settings: quiet (fewest false alarms) or recall (most recall).",
        ),
    ] = "quiet",
    as_json: AsJson = False,
) -> None:
    """Choose a model's trigger thresholds on labelled records, or for a rate of false alarms on any records."""
    from edgequake.benchmarks.tuning.false_alarm_tuning import tune_to_rate
    from edgequake.benchmarks.tuning.label_tuning import tune_to_labels
    from edgequake.data.selection import Fold, Selection
    from edgequake.results.tables.report_text import report_text
    from edgequake.results.tuning import LabelTuning, RateTuning

    selection = Selection(split, Fold.parse(fold) if fold else None, tuple(stations or ()))
    result: LabelTuning | RateTuning
    with progress_bar() as show:
        common: dict[str, Any] = {"variant": variant, "seeds": seeds, "progress": show}
        if reviewed is not None:
            data, common["intervals"] = _reviewed_records(reviewed, model, out), True
        if data is None:
            raise _missing_data()
        if false_per_day is None:
            result = tune_to_labels(model, data, out, selection, prefer=prefer, **common)
        else:
            result = tune_to_rate(model, data, out, selection, false_per_day, **common)
    print_result(result.to_json(), report_text(result), as_json)


def _reviewed_records(reviewed: Path, model: str, out: Path) -> Path:
    """Write the reviewed events as a labelled data folder in `out`, and return it."""
    from edgequake.edge.manifest.manifest import load_manifest
    from edgequake.serve.reviews.labelled_folder import export_reviews
    from edgequake.serve.reviews.review_store import ReviewStore

    return export_reviews(ReviewStore.of_folder(reviewed), out / "reviewed", load_manifest(model)[0].body).folder


def _parse_changes(changes: list[str] | None) -> dict[str, Any]:
    """Read FIELD=VALUE pairs; a value is read as JSON where possible, else as text."""
    overrides: dict[str, Any] = {}
    for change in changes or ():
        field, equals, text = change.partition("=")
        if not (field and equals):
            raise typer.BadParameter(f"expected FIELD=VALUE, got '{change}'", param_hint="--set")
        try:
            overrides[field] = json.loads(text)
        except ValueError:
            overrides[field] = text
    return overrides


def export_c(
    model: Annotated[str, typer.Argument(metavar="NAME|MANIFEST", help="A shipped model, or a manifest file.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the C files.")],
    channels: Annotated[int, typer.Option(metavar="N", help="Channels of the station, at most.")] = 1,
    rates: Annotated[
        list[float] | None,
        typer.Option(
            "--rate", metavar="HZ", help="A sampling rate of the channels; repeatable; by default the model's."
        ),
    ] = None,
    lead: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How far a channel may be ahead of the others.", show_default=False),
    ] = None,
    refinement: Annotated[
        bool, typer.Option("--refinement/--no-refinement", help="Refine the onsets from the samples.")
    ] = True,
    build: Annotated[bool, typer.Option("--build", help="Compile a library for this machine, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the detector of a model as C99 source, for hardware without Python."""
    from edgequake.export_c.exporter import export_model
    from edgequake.export_c.options import ExportOptions

    options = ExportOptions(channels, tuple(rates or ()), lead, refinement)
    result = export_model(model, out, options, force, build)
    print_result(result, result.text(), as_json)
