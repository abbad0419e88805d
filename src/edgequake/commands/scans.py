"""`edgequake scan`: a model over years of many stations."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgequake.commands.options import AsJson
from edgequake.commands.terminal import print_result, say
from edgequake.edge.base.durations import duration

if TYPE_CHECKING:
    from edgequake.scan.driving import Progress

_SHOWN_S = 10.0  # between two lines of progress
_HOUR_S = 3600.0


def scan(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="ARCHIVE",
            help="SDS or any folder of records, or an address: s3://BUCKET/PREFIX.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder of the scan; the same command goes on in it.", show_default=False),
    ],
    model: Annotated[
        str, typer.Option(metavar="auto|NAME|MANIFEST", help="By default one of the shipped models for each station.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes here; by default one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler that is running, as tcp://HOST:8786.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Use samples from this time on, ISO 8601 UTC.")
    ] = None,
    stop: Annotated[str | None, typer.Option(metavar="TIME", help="Use samples before this time.")] = None,
    station: Annotated[
        list[str] | None, typer.Option(metavar="NET_STA", help="Only these stations; patterns; repeatable.")
    ] = None,
    shard_days: Annotated[int, typer.Option(metavar="N", min=1, help="Days of a piece of work at most.")] = 30,
    parallel_in_time: Annotated[
        bool, typer.Option("--parallel-in-time", help="Begin each piece cold, after a lead-in: for few stations.")
    ] = False,
    lead_in: Annotated[
        float, typer.Option(metavar="HOURS", help="Run before each piece, with --parallel-in-time.")
    ] = 24,
    segments: Annotated[bool, typer.Option("--segments", help="Keep the samples of the events too, as SDS.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it would cost.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run pieces again that have failed.")] = False,
    core: Annotated[str, typer.Option(metavar="python|c", help="The detector's code: python or c.")] = "python",
    threshold: Annotated[
        float | None, typer.Option(metavar="P", help="Onset probability that declares an event, 0 to 1.")
    ] = None,
    check_seams: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Boundaries of pieces to look at again; by default one to four."),
    ] = None,
    seam_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Events that may differ there with --parallel-in-time, for each one; else exit code 3.",
        ),
    ] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Run a model over an archive of many stations and years, on all cores or a cluster: the events of one run."""
    from edgequake.edge.base.control import Control, signal_handlers
    from edgequake.edge.formats.waveforms import parse_time
    from edgequake.scan.estimate import estimate
    from edgequake.scan.preparation import ScanConfig
    from edgequake.scan.scanning import scan as run_scan

    config = ScanConfig(
        archive=archive,
        out=out,
        model=model,
        n_workers=workers,
        scheduler=scheduler,
        start_ns=None if start is None else parse_time(start),
        stop_ns=None if stop is None else parse_time(stop),
        stations=tuple(station) if station else None,
        shard_days=shard_days,
        lead_in_s=lead_in * _HOUR_S if parallel_in_time else None,
        keeps_segments=segments,
        retries_failed=retry_failed,
        core=core,
        core_library=_core_library(core, model),
        threshold=threshold,
        n_seams=check_seams,
        most_differing=seam_share,
    )
    control = Control(log=lambda line: say(f"edgequake: {line}", err=True))
    if dry_run:
        expected = estimate(config, control.log)
        print_result(expected, expected.text(), as_json)
        return
    with signal_handlers(control):
        result = run_scan(config, control, _progress_lines())
    print_result(result, result.text(), as_json)


def _core_library(core: str, model: str) -> Path | None:
    if core != "c":
        return None
    from edgequake.edge.inputs.model_choice import AUTO, BODIES
    from edgequake.export_c.library_cache import cached_libraries

    return Path(cached_libraries(BODIES if model == AUTO else (model,)))


def _progress_lines() -> Callable[[Progress], None]:
    """Return what writes a line on stderr when the scan begins, and then every few seconds."""
    shown_s = [-_SHOWN_S]

    def show(progress: Progress) -> None:
        now_s = time.monotonic()
        if shown_s[0] < 0 and progress.dashboard:
            say(f"edgequake: dashboard {progress.dashboard}", err=True)
        if now_s - shown_s[0] >= _SHOWN_S:
            shown_s[0] = now_s
            say(f"edgequake: {_line(progress)}", err=True)
            sys.stderr.flush()

    return show


def _line(progress: Progress) -> str:
    left_s = progress.left_s
    left = "" if left_s is None else f", {duration(left_s)} left"
    failed = f", {progress.n_failed} failed" if progress.n_failed else ""
    return (
        f"{progress.n_workers} worker(s), {progress.n_done} of {progress.n_pieces} shard(s) done{failed}, "
        f"{progress.n_events} new event(s), {progress.rate / 86_400 * 60:.1f} station-days a minute{left}"
    )
