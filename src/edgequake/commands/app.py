"""The typer application `edgequake`: the list of its commands, in the order in which the data pass through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from edgequake._version import __version__
from edgequake.commands import bench_accuracy, bench_cost, bench_faults, models, records, runs, scans
from edgequake.commands.bench_all import everything

app = typer.Typer(
    name="edgequake",
    help="Detect quakes on a lander: train a compact network, convert it, run it on records, and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(
    help="Measure accuracy, cost and the robustness of the runner.", no_args_is_help=True, rich_markup_mode=None
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


def _add(group: typer.Typer, *commands: Callable[..., None]) -> None:
    for command in commands:
        group.command()(command)


_add(app, records.synth, records.fetch, models.train, models.convert, models.inspect, models.tune, models.export_c)
app.command(  # the runner parses the options
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(runs.run)
_add(app, scans.scan, runs.plot, runs.export, runs.report)
_add(bench, bench_accuracy.accuracy, bench_accuracy.folds, bench_accuracy.budget)
_add(bench, bench_cost.latency, bench_cost.footprint, bench_cost.energy)
_add(bench, bench_faults.faults, bench_faults.soak, bench_faults.shake, bench_faults.flood)
bench.command("all")(everything)
app.add_typer(bench, name="bench")
