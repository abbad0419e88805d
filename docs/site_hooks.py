"""Hooks of the site: the page of the command line from the commands themselves, and links that leave `docs/`.

MkDocs calls these functions by their names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)]*)?\)")
_RESULTS = re.compile(r"\[([^\]]*)\]\((results/[^)]*)\)")
CLI_PAGE = "cli.md"


def on_startup(command: str, dirty: bool) -> None:
    """Show mkdocstrings the packages as they are installed: it reads files, and `edgequake.edge` lies in `edge/`."""
    root = Path(__file__).resolve().parents[1]
    package = root / "out" / "site-source" / "edgequake"
    package.mkdir(parents=True, exist_ok=True)
    folders = [root / name for name in ("edge", "convert") if (root / name).is_dir()]
    for path in (*(root / "src" / "edgequake").iterdir(), *folders):
        link = package / path.name
        if not link.is_symlink():
            link.symlink_to(path.resolve())


def on_files(files: Any, config: Any) -> Any:
    """Put the page of the command line in the place of the one that a checkout has."""
    from mkdocs.structure.files import File

    if in_checkout := files.get_file_from_path(CLI_PAGE):
        files.remove(in_checkout)
    files.append(File.generated(config, CLI_PAGE, content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files of the checkout that are no pages into their names; one that leads nowhere is an error."""
    from mkdocs.exceptions import PluginError

    root = Path(config.config_file_path).parent

    def named(link: re.Match[str]) -> str:
        target = (root / "docs" / page.file.src_uri).parent / link[2]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: {link[2]} does not exist")
        text = link[1] if "`" in link[1] else f"`{link[1]}`"
        return f"[{text}]({config.repo_url}{link[2].lstrip('./')})" if config.repo_url else text

    return _RESULTS.sub(named, _LINK.sub(named, markdown))


def command_line() -> str:
    """Return the help of every command as a page, in the groups of `edgequake --help`."""
    import typer

    from edgequake.commands.app import app

    root = typer.main.get_command(app)
    parts = [
        "# The command line",
        "Written from the commands themselves: `edgequake COMMAND --help` prints the same.",
        f"```text\n{_help(root, 'edgequake')}\n```",
    ]
    for name, command in root.commands.items():
        parts += _commands(command, f"edgequake {name}")
    parts += ["## edgequake-edge", "The same program for the device, without typer.", f"```text\n{_edge_help()}\n```"]
    return "\n\n".join(parts) + "\n"


def _commands(command: Any, words: str) -> list[str]:
    subcommands = getattr(command, "commands", {})
    text = _run_help() if words == "edgequake run" else _help(command, words)
    parts = [f"## {words}", f"```text\n{text}\n```"]
    for name, sub in subcommands.items():
        parts += _commands(sub, f"{words} {name}")
    return parts


def _help(command: Any, words: str) -> str:
    context = command.make_context(words, [], resilient_parsing=True)
    return str(command.get_help(context)).rstrip()


def _run_help() -> str:
    return _parser("edgequake", "run")


def _edge_help() -> str:
    names = ("run", "status", "install", "request", "acknowledge")
    return "\n\n".join(_parser("edgequake-edge", name) for name in names)


def _parser(program: str, name: str) -> str:
    import contextlib
    import io

    from edgequake.edge.__main__ import main

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([name, "--help"], program=program)
    return text.getvalue().rstrip()
