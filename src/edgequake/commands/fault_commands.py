"""`edgequake bench faults|soak|shake`: what the runner must survive, in its long form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.terminal import progress_bar, to_json

if TYPE_CHECKING:
    from edgequake.benchmarks.robustness.fault_reports import FaultReport, SoakReport
    from edgequake.benchmarks.robustness.shake import ShakeReport

JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure to this file.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same instants and damage.")]


def faults(
    kills: Annotated[int, typer.Option(min=0, help="Random instants at which a run is killed; 0: none.")] = 200,
    mutations: Annotated[int, typer.Option(min=0, help="Damaged copies of a record to run; 0: none.")] = 10_000,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with records.csv: its Moon records, not synthesised ones.", show_default=False),
    ] = None,
    seed: Seed = 1,
    json_file: JsonFile = None,
) -> None:
    """Kill runs at random instants and resume them; run damaged records. Exit code 3 when anything is lost or fails."""
    from edgequake.benchmarks.robustness.fault_reports import bench_faults

    with progress_bar() as show:
        report = bench_faults(kills, mutations, data, seed, lambda share, doing: show(doing, share))
    _judge(report, json_file)


def soak(
    days: Annotated[
        int, typer.Option(min=2, help="Synthesised days in one stream; growth is counted from day 1.")
    ] = 100,
    everything: Annotated[
        bool, typer.Option("--everything", help="With archive, summary channel, downlink and hook on.")
    ] = False,
    seed: Seed = 1,
    json_file: JsonFile = None,
) -> None:
    """Feed a long stream to one live run. Exit code 3 when its memory grows by 1 MB (--everything: 3) after day 1."""
    from edgequake.benchmarks.robustness.fault_reports import bench_soak

    with progress_bar() as show:
        report = bench_soak(days, seed, everything, lambda share, doing: show(doing, share))
    _judge(report, json_file)


def shake(
    minutes: Annotated[float, typer.Option(min=10.0, help="Of signal, with a quake about every 150 s.")] = 30.0,
    speed: Annotated[float, typer.Option(min=1.0, help="How many times as fast as a Shake it is sent.")] = 20.0,
    seed: Seed = 1,
    json_file: JsonFile = None,
) -> None:
    """Simulate a Raspberry Shake on a bad network. Exit code 3 when a live run misses an event of the file's run."""
    from edgequake.benchmarks.robustness.shake import bench_shake

    with progress_bar() as show:
        report = bench_shake(minutes, speed, seed, lambda share, doing: show(doing, share))
    _judge(report, json_file)


def _judge(report: FaultReport | SoakReport | ShakeReport, json_file: Path | None) -> None:
    """Print a report's table, write all of it to a file where one is named, and fail where a limit is passed."""
    from edgequake.edge.base.atomic_files import write_bytes_atomically
    from edgequake.edge.base.errors import GateError

    typer.echo(report.table())
    if json_file is not None:
        write_bytes_atomically(json_file, (to_json(report.to_json()) + "\n").encode())
    if report.failed:
        raise GateError("; ".join(report.failed))
