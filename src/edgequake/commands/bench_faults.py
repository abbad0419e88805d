"""`edgequake bench faults|soak|shake|flood`: crashes, damage, long runs and bad networks, in their long form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.bench_output import ResultsFile, output
from edgequake.commands.options import AsJson
from edgequake.commands.terminal import progress_bar

if TYPE_CHECKING:
    from edgequake.results.robustness import FaultTest

Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same instants and damage.")]


def faults(
    kills: Annotated[
        int, typer.Option(min=0, metavar="N", help="Random instants at which a run is killed; 0: none.")
    ] = 200,
    mutations: Annotated[
        int, typer.Option(min=0, metavar="N", help="Damaged copies of a record to run; 0: none.")
    ] = 10_000,
    calls: Annotated[
        int, typer.Option(min=0, metavar="N", help="Live runs in which system calls fail; 0: none. Needs Linux and cc.")
    ] = 0,
    graphs: Annotated[
        int, typer.Option(min=0, metavar="N", help="Mutated graphs, offered to install and to runs; 0: none.")
    ] = 0,
    power_loss: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="States after a power loss from which runs are resumed; 0: none. As --calls."
        ),
    ] = 0,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE",
            help="Folder with records.csv: use its Moon records; or a miniSEED file, for --power-loss.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 1,
    out: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Kill runs, cut power, damage records and graphs, have system calls fail. Exit code 3 if anything is lost."""
    from edgequake.benchmarks.robustness.fault_reports import bench_faults

    with progress_bar() as show:
        report = bench_faults(kills, mutations, data, seed, show, calls, graphs, power_loss)
    _output_and_judge(report, out, as_json)


def soak(
    days: Annotated[
        int, typer.Option(min=2, metavar="N", help="Synthetic days in one stream; memory growth is counted from day 1.")
    ] = 100,
    everything: Annotated[
        bool, typer.Option("--everything", help="With archive, SSAM channel, downlink and event hook.")
    ] = False,
    seed: Seed = 1,
    out: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a long stream to one live run. Exit code 3 if its memory grows by 1 MB (--everything: 3) after day 1."""
    from edgequake.benchmarks.robustness.fault_reports import bench_soak

    with progress_bar() as show:
        report = bench_soak(days, seed, everything, show)
    _output_and_judge(report, out, as_json)


def shake(
    minutes: Annotated[
        float, typer.Option(min=10.0, metavar="MINUTES", help="Minutes of signal, with a quake about every 150 s.")
    ] = 30.0,
    speed: Annotated[
        float, typer.Option(min=1.0, metavar="FACTOR", help="How many times faster than real time packets are sent.")
    ] = 20.0,
    seed: Seed = 1,
    out: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a Raspberry Shake on a bad network. Exit code 3 if the live run misses an event of a run on the file."""
    from edgequake.benchmarks.robustness.shake import bench_shake

    with progress_bar() as show:
        report = bench_shake(minutes, speed, seed, show)
    _output_and_judge(report, out, as_json)


def flood(
    stations: Annotated[int, typer.Option(min=1, metavar="N", help="Forged stations.")] = 5000,
    packets: Annotated[
        float, typer.Option(min=1.0, metavar="N", help="Datagrams a second, of all of them.")
    ] = 10_000.0,
    minutes: Annotated[
        float, typer.Option(min=3.0, metavar="MINUTES", help="Minutes of the true station, with a quake every 150 s.")
    ] = 5.0,
    speed: Annotated[
        float, typer.Option(min=1.0, metavar="FACTOR", help="How many times faster than real time it is sent.")
    ] = 5.0,
    named: Annotated[bool, typer.Option(help="Give the run the true station by --station.")] = True,
    seed: Seed = 1,
) -> None:
    """Flood a live run with forged stations. Exit code 3 if it misses an event, or takes more than 64 MB."""
    from edgequake.benchmarks.robustness.flood import flood as run_flood
    from edgequake.edge.base.errors import GateError

    with progress_bar() as show:
        result = run_flood(60.0 * minutes, speed, stations, packets, named, seed, show)
    typer.echo(result.text())
    if result.failed:
        raise GateError("; ".join(result.failed))


def _output_and_judge(report: FaultTest, out: Path | None, as_json: bool) -> None:
    """Print and write a report.

    Raises
    ------
    GateError
        A figure is beyond its limit.
    """
    from edgequake.edge.base.errors import GateError

    output(report, out, as_json)
    if report.failed:
        raise GateError("; ".join(report.failed))
