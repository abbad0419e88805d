"""`edgequake report`: a run or measurements as one HTML page, measurements as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgequake.commands.terminal import progress_bar
from edgequake.edge.base.errors import ConfigError


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR|FILE.json...", help="What a run wrote, or results of bench.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; by default report.html in RUN_DIR, or FILE.html beside a single FILE.json."),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="A record or folder that was run; repeatable; by default what the run names."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|MANIFEST", help="The run's model; by default the shipped one of that name."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write results as Markdown tables: to --out, else to the terminal.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Put the headline table between the marks in this file.")
    ] = None,
) -> None:
    """Write a run, or results of bench, as one self-contained HTML page; results also as Markdown."""
    folders = [path for path in paths if path.is_dir()]
    if folders and (markdown or readme or len(paths) > 1):
        raise ConfigError(f"{folders[0]} is a folder: a run is reported alone and as HTML; expected files of results")
    if (inputs or model) and not folders:
        raise ConfigError("--input and --model are of a run; expected its folder, got files of results")
    if markdown or readme:
        _write_markdown(paths, out, readme, whole_page=markdown)
    elif folders:
        _write_run(folders[0], out or folders[0] / "report.html", inputs or [], model)
    else:
        _write_results(paths, out)


def _write_run(folder: Path, out: Path, inputs: list[Path], model: str | None) -> None:
    from edgequake.report.pages.run_page import run_report

    with progress_bar() as show:
        page = run_report(folder, inputs, model, show)
    _write(out, page.html)
    for note in page.notes:
        typer.echo(f"note: {note}", err=True)


def _write_results(paths: list[Path], out: Path | None) -> None:
    from edgequake.report.pages.bench_page import bench_report

    if out is None and len(paths) > 1:
        raise ConfigError(f"{len(paths)} files of results: name the page with --out")
    _write(out or paths[0].with_suffix(".html"), bench_report(paths))


def _write_markdown(paths: list[Path], out: Path | None, readme: Path | None, whole_page: bool) -> None:
    from edgequake.report.pages.markdown import fill_file, headline, results_page

    if whole_page:
        page = results_page(paths)
        if out is None:
            typer.echo(page, nl=False)
        else:
            _write(out, page)
    if readme is not None:
        fill_file(readme, headline(paths))
        typer.echo(f"filled in: {readme}")


def _write(path: Path, text: str) -> None:
    from edgequake.edge.base.atomic_files import write_bytes_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, text.encode())
    typer.echo(f"written: {path}")
