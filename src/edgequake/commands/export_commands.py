"""`edgequake export` and `edgequake fetch`: results out to the tools of the field, records in from the archives."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.terminal import progress_bar, tell

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class Body(str, Enum):
    """Whose archive `edgequake fetch` asks."""

    moon = "moon"
    mars = "mars"


def export(
    run_dir: Annotated[Path, typer.Argument(help="What `edgequake run` wrote.", show_default=False)],
    quakeml: Annotated[bool, typer.Option("--quakeml", help="Events with picks as QuakeML 1.2.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Events as a table.")] = False,
    snuffler: Annotated[
        bool, typer.Option("--snuffler", help="Events as a marker file of Pyrocko's Snuffler.")
    ] = False,
    sac: Annotated[bool, typer.Option("--sac", help="Kept samples as SAC files with the onsets marked.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="File, or folder for SAC; by default under RUN_DIR.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export a run's events, or its kept samples, for other programs."""
    from edgequake.export.exporting import export_run

    wanted = {"quakeml": quakeml, "csv": csv, "snuffler": snuffler, "sac": sac}
    forms = [form for form, is_wanted in wanted.items() if is_wanted]
    if len(forms) != 1:
        raise typer.BadParameter(f"name one form, got {len(forms)}", param_hint="--quakeml|--csv|--snuffler|--sac")
    with progress_bar() as show:
        result = export_run(run_dir, forms[0], out, force, lambda share: show("exporting", share))
    tell(result, result.text(), as_json)


def fetch(
    body: Annotated[Body, typer.Argument(help="moon: Apollo, network XA; mars: InSight, network XB.")],
    start: Annotated[str, typer.Option(help="First day, or a time in it, ISO 8601 UTC.")],
    stop: Annotated[str, typer.Option(help="Days from here on are left out, ISO 8601 UTC.")],
    out: Annotated[Path, typer.Option(help="Data folder; days that it has already are not asked for again.")],
    station: Annotated[str | None, typer.Option(help="By default S12 or ELYSE.", show_default=False)] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="By default MH? or BH?.", show_default=False)
    ] = None,
    location: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="By default any, of InSight 02.", show_default=False)
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of another FDSN service than EarthScope's.", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask again for days that are there, and replace them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch whole days of Apollo or InSight records from an FDSN archive into a data folder."""
    from edgequake.fetch.fetching import fetch_days, plan_request

    request = plan_request(body.value, start, stop, station, channel, location, base_url)
    with progress_bar() as show:
        result = fetch_days(request, out, force, lambda share, doing: show(doing, share))
    tell(result, result.text(), as_json)
