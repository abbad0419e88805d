"""The subcommands of `edgequake`: each parses its options, calls one function, prints, and sets the exit code.

The packages behind them are imported inside the commands: `edgequake run` on a lander-like environment never loads
TensorFlow, and `edgequake --help` loads nothing at all.
"""

from __future__ import annotations

import json
import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgequake._version import __version__
from edgequake.commands.accuracy_commands import bench
from edgequake.commands.bench_all import everything
from edgequake.commands.budget_commands import budget
from edgequake.commands.cost_commands import energy, footprint, latency
from edgequake.commands.export_commands import export, fetch
from edgequake.commands.fault_commands import faults, shake, soak
from edgequake.commands.report_commands import report
from edgequake.commands.terminal import native_stderr_silenced, progress_bar, tell
from edgequake.commands.tune_commands import tune

app = typer.Typer(
    name="edgequake",
    help="Detect quakes on a lander: train a compact network, convert it, run it on records, and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench.command()(latency)
bench.command()(footprint)
bench.command()(energy)
bench.command()(budget)
bench.command("all")(everything)
bench.command()(faults)
bench.command()(soak)
bench.command()(shake)
app.add_typer(bench, name="bench")
app.command()(tune)
app.command()(export)
app.command()(fetch)
app.command()(report)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class SyntheticKind(str, Enum):
    """What `edgequake synth` writes."""

    day = "day"
    dataset = "dataset"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgequake {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    kind: Annotated[SyntheticKind, typer.Option(help="One lunar day, or a small labelled data folder.")] = (
        SyntheticKind.day
    ),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same samples.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Synthesise lunar records with moonquakes, spikes and gaps."""
    from edgequake.synthetic import synthetic_dataset

    write = synthetic_dataset.write_day if kind is SyntheticKind.day else synthetic_dataset.write_dataset
    written = write(out, seed)
    tell({"kind": kind.value, "seed": seed, "written": str(written)}, f"synthesised a {kind.value}: {written}", as_json)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def run(context: typer.Context) -> None:
    """Run a model on records and keep the flagged segments; as `edgequake-edge run`, and from seedlink://HOST/..."""
    from edgequake.edge.__main__ import main
    from edgequake.seedlink import SCHEME, run_seedlink

    if any(argument.startswith(SCHEME) for argument in context.args):
        raise typer.Exit(run_seedlink(context.args, lambda line: typer.echo(f"edgequake: {line}", err=True)))
    raise typer.Exit(main(["run", *context.args], program="edgequake"))


@app.command()
def plot(
    run_dir: Annotated[Path, typer.Argument(help="What `edgequake run` wrote.", show_default=False)],
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="A record or folder that was run; repeatable; by default what the run names."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture; by default picture.png in RUN_DIR.")] = None,
    station: Annotated[str | None, typer.Option(help="NET_STA; by default the one with most samples.")] = None,
) -> None:
    """Draw what a run heard and shade what it kept."""
    from edgequake.report.charts.picture import draw_run

    typer.echo(f"drawn: {draw_run(run_dir, out or run_dir / 'picture.png', inputs or (), station)}")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A bundled recipe (moon, tiny, seed, ...) or a TOML file.")],
    data: Annotated[Path, typer.Option(envvar="EDGEQUAKE_DATA", help="Folder with records.csv and catalog.csv.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.keras, train.json and calibration.npz.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a recipe field; repeatable.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K/N", help="Cross-validation: hold out fold K, counted from 0, of N.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network on labelled records."""
    overrides = _parse_changes(changes or [])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():  # TensorFlow's greetings, which no setting turns off
        from edgequake.train.trainer import train as train_network

    with progress_bar() as show:
        result = train_network(recipe, data, out, overrides, show, fold)
    tell(result, result.table(), as_json)


@app.command()
def convert(
    model: Annotated[Path, typer.Argument(help="NAME.keras or NAME.h5, with train.json.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for NAME.json and the graphs.")],
    quantize: Annotated[str, typer.Option(metavar="VARIANT", help="float32, dynamic, int8, int16x8 or all.")] = "all",
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of records; by default calibration.npz beside MODEL.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare the graphs with Keras over a long sequence.")] = True,
    describe: Annotated[
        Path | None, typer.Option(help="TOML file that says what the rows of a network from elsewhere mean.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Describe one thing of it; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a network to one-step TFLite graphs and their manifest."""
    from edgequake.convert.converter import convert_model

    with progress_bar() as show:
        result = convert_model(
            model,
            out,
            quantize,
            calibration,
            verify,
            describe,
            _parse_changes(changes or []),
            progress=lambda stage: show(stage, None),
        )
    tell(result, result.table(), as_json)


@app.command()
def inspect(
    model: Annotated[
        str, typer.Argument(help="NAME.VARIANT.tflite, a manifest or a shipped model's name.", show_default=False)
    ],
    variant: Annotated[str | None, typer.Option(help="Of a manifest; by default its default variant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a graph's operators, tensors, sizes, work and state, and the oldest runtime that runs it."""
    from edgequake.convert.inspection.inspection import inspect_model

    result = inspect_model(model, variant)
    tell(result, result.table(), as_json)


def _parse_changes(changes: list[str]) -> dict[str, Any]:
    """Read FIELD=VALUE pairs; a value is JSON where it can be read as that, else text."""
    overrides: dict[str, Any] = {}
    for change in changes:
        field, equals, text = change.partition("=")
        if not (field and equals):
            raise typer.BadParameter(f"expected FIELD=VALUE, got '{change}'", param_hint="--set")
        try:
            overrides[field] = json.loads(text)
        except ValueError:
            overrides[field] = text
    return overrides
