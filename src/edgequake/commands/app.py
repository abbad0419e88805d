"""The typer application `edgequake`: the list of its commands, those that people use every day first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from edgequake._version import __version__
from edgequake.commands import bench_accuracy, bench_cost, bench_faults, models, records, runs, scans, serving
from edgequake.commands.bench_all import everything
from edgequake.commands.help_pages import CommandGroups, CommandWithExamples, examples_of

RUNS, RECORDS, MODELS, MEASURE = "Detect quakes", "Records and labels", "Models", "Measure"

app = typer.Typer(
    name="edgequake",
    cls=CommandGroups,
    help="Detect quakes on the Moon, Mars and Earth, on a lander or a Raspberry Pi, and keep the records around them.",
    epilog="Begin with: edgequake synth --out day, then edgequake run day --out kept, then edgequake report kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(
    cls=CommandGroups,
    help="Measure accuracy, cost and the robustness of the runner.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


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


def _add(group: typer.Typer, title: str, *commands: Callable[..., None], prefix: str = "", **options: Any) -> None:
    for command in commands:
        name = options.pop("name", command.__name__.replace("_", "-"))
        epilog = examples_of(f"{prefix}{name}")
        group.command(name, cls=CommandWithExamples, rich_help_panel=title, epilog=epilog, **options)(command)


# The runner parses its own options.
_PASSED_ON: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
}
_add(app, RUNS, runs.run, **_PASSED_ON)
_add(app, RUNS, runs.status, runs.plot, runs.export, runs.report, serving.serve, scans.scan)
_add(app, RECORDS, records.synth, records.fetch, records.labels)
_add(app, MODELS, models.rows, models.train, models.convert, models.inspect, models.tune, models.export_c)
_BENCH: dict[str, tuple[Callable[..., None], ...]] = {
    "Accuracy": (bench_accuracy.accuracy, bench_accuracy.folds, bench_accuracy.budget),
    "Cost": (bench_cost.latency, bench_cost.footprint, bench_cost.energy),
    "Robustness": (bench_faults.faults, bench_faults.soak, bench_faults.shake, bench_faults.flood),
}
for _title, _commands in _BENCH.items():
    _add(bench, _title, *_commands, prefix="bench ")
_add(bench, "Everything", everything, prefix="bench ", name="all")
app.add_typer(bench, name="bench", rich_help_panel=MEASURE)
