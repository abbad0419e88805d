"""`edgequake run|status|plot|export|report`: run a model on records, and present what a run found."""

from __future__ import annotations

import dataclasses
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edgequake.commands.options import AsJson, RunFolder
from edgequake.commands.terminal import print_result, progress_bar, say
from edgequake.edge.base.errors import ConfigError, EdgequakeError
from edgequake.edge.base.inert_text import one_line
from edgequake.scan.storage.scan_folder import is_scan

Inputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--input", metavar="PATH", help="A record or folder that was run; repeatable; by default those the run names."
    ),
]


def run(context: typer.Context) -> None:
    """Run a model on records and keep the segments with events; as `edgequake-edge run`, and from seedlink://HOST/..."""
    from edgequake.edge.__main__ import main
    from edgequake.seedlink import SCHEME, run_seedlink

    arguments = with_core_library(context.args)
    if not any(argument.startswith(SCHEME) for argument in arguments):
        inputs = _configured(context.args).get("inputs", ())
        arguments += [name for name in inputs if name.startswith(SCHEME)]
    if any(argument.startswith(SCHEME) for argument in arguments):
        raise typer.Exit(run_seedlink(arguments, lambda line: say(one_line(f"edgequake: {line}"), err=True)))
    raise typer.Exit(main(["run", *arguments], program="edgequake"))


class _Quiet(ArgumentParser):
    """A parser that leaves it to the runner to say what is wrong with a command line."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(message)


def _configured(arguments: list[str]) -> dict[str, Any]:
    """Return the values of all options where a file gives some of them; nothing without one, and where one is wrong."""
    from edgequake.edge.run_options import RunOptions

    if not any(name == "--config" for name, _ in _options(arguments)):
        return {}
    parser = _Quiet(add_help=False)
    options = RunOptions(parser)
    try:
        return options.merged(vars(parser.parse_known_args(arguments)[0]))
    except ConfigError:
        return {}


def with_core_library(arguments: list[str]) -> list[str]:
    """Return the arguments of `run`, for `--core c` with a folder of libraries, which are built if need be."""
    configured = {f"--{name}": value for name, value in _configured(arguments).items() if value is not None}
    options = {**configured, **dict(_options(arguments))}
    if options.get("--core") != "c" or not {"--core-library", "--core_library"}.isdisjoint(options):
        return arguments
    from edgequake.edge.inputs.model_choice import AUTO, BODIES
    from edgequake.export_c.library_cache import cached_libraries

    named = str(options.get("--model", AUTO))
    return [*arguments, "--core-library", str(cached_libraries(BODIES if named == AUTO else (named,)))]


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        yield name, value if equals else following


def plot(
    run_dir: RunFolder,
    inputs: Inputs = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="The picture; by default picture.png in RUN_DIR.")
    ] = None,
    station: Annotated[
        str | None, typer.Option(metavar="NET_STA", help="NET_STA; by default the station with most events.")
    ] = None,
) -> None:
    """Draw the records of a run, with the segments shaded and the onsets marked."""
    from edgequake.report.charts.picture import draw_run

    if is_scan(run_dir):
        raise ConfigError(f"{run_dir} is a scan: `edgequake report {run_dir}` shows it; expected the --out of a run")
    with progress_bar() as show:
        drawn = draw_run(run_dir, out or run_dir / "picture.png", inputs or (), station, show)
    say(f"drawn: {drawn}")


def status(
    run_dir: RunFolder,
    as_json: AsJson = False,
) -> None:
    """Print the state of a run, one that goes on or one that has ended; as `edgequake-edge status`."""
    from edgequake.edge.__main__ import main

    raise typer.Exit(main(["status", str(run_dir), *(["--json"] if as_json else [])], program="edgequake"))


def export(
    run_dir: RunFolder,
    quakeml: Annotated[bool, typer.Option("--quakeml", help="Events with picks as QuakeML 1.2.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Events as a table.")] = False,
    snuffler: Annotated[bool, typer.Option("--snuffler", help="Events as markers of Pyrocko's Snuffler.")] = False,
    sac: Annotated[bool, typer.Option("--sac", help="Segments as SAC files with the onsets marked.")] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Reviewed events, with the records around them, as a labelled data folder.")
    ] = False,
    stations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --quakeml: StationXML; each event gets an origin at its station, for programs that need one.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="File, for SAC or several formats the folder; by default in RUN_DIR.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export a run's events or segments for other programs, in one or several formats."""
    from edgequake.export.exporting import export_run

    if labels:
        if quakeml or csv or snuffler or sac or out is None:
            raise typer.BadParameter("it goes alone, and needs --out FOLDER", param_hint="--labels")
        _export_labels(run_dir, out, as_json)
        return
    wanted = {"quakeml": quakeml, "csv": csv, "snuffler": snuffler, "sac": sac}
    forms = [form for form, is_wanted in wanted.items() if is_wanted]
    if not forms:
        raise typer.BadParameter("name at least one format", param_hint="--quakeml|--csv|--snuffler|--sac|--labels")
    with progress_bar() as show:
        results = export_run(run_dir, forms, out, force, show, stations)
    text = "\n".join(result.text() for result in results)
    made = [dataclasses.asdict(result) for result in results]
    print_result(made[0] if len(made) == 1 else {"exports": made}, text, as_json)


def _export_labels(run_dir: Path, out: Path, as_json: bool) -> None:
    from edgequake.serve.reviews.labelled_folder import export_reviews
    from edgequake.serve.reviews.review_store import ReviewStore, folder_beside

    store = ReviewStore.of_folder(folder_beside(run_dir))
    with progress_bar() as show:
        written = export_reviews(store, out, progress=show)
    print_result({**dataclasses.asdict(written), "folder": str(written.folder)}, written.text(), as_json)


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR|FILE.json...",
            help="Output folder of a run or a scan, or results of bench.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="The page; by default report.html in RUN_DIR, or FILE.html beside a single FILE.json.",
        ),
    ] = None,
    inputs: Inputs = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|MANIFEST", help="The run's model; by default the shipped model of that name."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME|7d|24h", help="Of a run: leave out earlier events; a time in UTC, or so long ago."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Of a run: draw N events, of highest priority (default: 30).")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write results as Markdown tables, to --out or to the terminal.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Put the headline table between the marks in this file.")
    ] = None,
) -> None:
    """Write a run, a scan, or results of bench, as one self-contained HTML page; results also as Markdown."""
    folders = [path for path in paths if path.is_dir()]
    if folders and (markdown or readme or len(paths) > 1):
        raise ConfigError(f"{folders[0]} is a folder: a run is reported alone and as HTML; expected files of results")
    if (inputs or model or since or limit is not None) and not folders:
        raise ConfigError("--input, --model, --since and --limit need the folder of a run; got files of results")
    if markdown or readme:
        _write_markdown(paths, out, readme, whole_page=markdown)
    elif folders and is_scan(folders[0]):
        if inputs or model or since or limit is not None:
            raise ConfigError(f"--input, --model, --since and --limit are of a run; {folders[0]} is a scan")
        _write_scan(folders[0], out or folders[0] / "report.html")
    elif folders:
        _write_run(folders[0], out or folders[0] / "report.html", inputs or [], model, since, limit)
    else:
        _write_results(paths, out)


def _write_run(
    folder: Path, out: Path, inputs: list[Path], model: str | None, since: str | None, limit: int | None
) -> None:
    from edgequake.report.pages.run_page import page_name, run_report
    from edgequake.report.recording.recorded_run import MOST_DRAWN

    since_ns, most = None if since is None else _since_ns(since, folder), MOST_DRAWN if limit is None else limit
    with progress_bar() as show:
        report = run_report(folder, inputs, model, show, since_ns, most, out.name)
    for number, html in enumerate(report.more, start=2):
        _write(out.with_name(page_name(out.name, number)), html)
    _write(out, report.html)
    for note in report.notes:
        say(f"note: {note}", err=True)


def _since_ns(text: str, folder: Path) -> int:
    """Return a time in ns: UTC, or so many days or hours before now, of a run that has ended before its last event.

    Raises
    ------
    ConfigError
        Neither of the two.
    DataError
        No run there.
    """
    from edgequake.edge.formats.waveforms import NS_PER_S, parse_time

    if found := re.fullmatch(r"(\d+)([dh])", text.strip()):
        return _last_ns(folder) - int(found[1]) * {"d": 86_400, "h": 3_600}[found[2]] * NS_PER_S
    try:
        return parse_time(text)
    except (ValueError, EdgequakeError) as problem:
        raise ConfigError(f"--since {text}: expected a time in UTC, or days or hours ago, as 7d or 24h") from problem


def _last_ns(folder: Path) -> int:
    """Return when the last event of a run that has ended stopped: its records may be of any year; else, return now."""
    from edgequake.results.finished_run import read_run, summary_so_far

    ended = read_run(folder).events if summary_so_far(folder) is None else ()
    return max((event.stop_ns for event in ended), default=time.time_ns())


def _write_scan(folder: Path, out: Path) -> None:
    from edgequake.report.pages.scan_page import scan_report

    _write(out, scan_report(folder))


def _write_results(paths: list[Path], out: Path | None) -> None:
    from edgequake.report.pages.bench_page import bench_report

    if out is None and len(paths) > 1:
        raise ConfigError(f"{len(paths)} files of results: name the page with --out")
    _write(out or paths[0].with_suffix(".html"), bench_report(paths))


def _write_markdown(paths: list[Path], out: Path | None, readme: Path | None, whole_page: bool) -> None:
    from edgequake.report.pages.bench_page import fill_file, headline, results_page

    if whole_page:
        page = results_page(paths)
        if out is None:
            say(page.rstrip("\n"))
        else:
            _write(out, page)
    if readme is not None:
        fill_file(readme, headline(paths))
        say(f"filled in: {readme}")


def _write(path: Path, text: str) -> None:
    from edgequake.edge.base.atomic_files import write_bytes_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, text.encode())
    say(f"written: {path}")
