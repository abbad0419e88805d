"""`edgequake-edge`: the command line on the device (argparse; `edgequake run` hands its arguments to the same main)."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from edgequake._version import __version__
from edgequake.edge.base.control import PIPE_CLOSED, Control, Heart, beating, flush_output, signal_handlers
from edgequake.edge.base.errors import EdgequakeError, Stopped, unforeseen
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.base.layout import CHECKPOINT, HEARTBEAT
from edgequake.edge.run_options import RunOptions
from edgequake.edge.runner import RunConfig, run

_GROUND_COMMANDS = {  # module of edgequake.edge that has add_NAME_arguments and NAME_command, and its purpose
    "status": ("operation.status", "print the status of a run"),
    "install": ("operation.install", "check a new model and have a run switch to it"),
    "request": ("downlink.requests", "extract any time span that is still stored, or have it sent"),
    "acknowledge": ("downlink.outbox", "delete sent files from the outbox"),
}
EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143


def main(argv: Sequence[str] | None = None, program: str = "edgequake-edge") -> int:
    """Run the command line and return its exit code.

    0 done (a live run that was asked to end by SIGTERM is done), 1 an error of ours, 2 usage, 130 interrupted by
    Ctrl-C, 141 nobody reads its output any more, 143 stopped by SIGTERM before the end of the files.
    """
    words = sys.argv[1:] if argv is None else argv
    control = Control(log=lambda line: _say(f"{program}: {line}"))

    def command() -> int:
        arguments = _parser(program, words).parse_args(words)
        with signal_handlers(control):
            return int(arguments.command(arguments, control))

    return _exit_code(command, program, control)


def _exit_code(command: Callable[[], int], program: str, control: Control) -> int:
    """Return the exit code of a command, and print what has ended it as one line."""
    try:
        code = command()
        return code if flush_output() else PIPE_CLOSED
    except BrokenPipeError:
        flush_output()
        return PIPE_CLOSED
    except SystemExit:  # after --help
        if not flush_output():
            return PIPE_CLOSED
        raise
    except Stopped as stopped:
        _say(f"{program}: {stopped}")
        return EXIT_INTERRUPTED if control.interrupted else EXIT_TERMINATED
    except EdgequakeError as error:
        return _refuse(program, str(error))
    except OSError as error:  # a disk that vanishes, a path too long: not an error of ours, but no traceback either
        return _refuse(program, f"{error.filename or 'input or output'}: {error.strerror or error}")
    except Exception as problem:
        return _refuse(program, unforeseen(problem))
    except KeyboardInterrupt:
        _say(f"{program}: interrupted; events found so far are in the catalogue")
        return EXIT_INTERRUPTED


def _refuse(program: str, message: str) -> int:
    _say(f"{program}: error: {' '.join(message.split())}")
    return EXIT_ERROR


def _say(text: str) -> None:
    """Print a line for people, without anything that a terminal would obey: it may name files and stations."""
    with suppress(OSError, ValueError):  # whoever reads it has gone: no reason to end
        print(one_line(text), file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    """A parser, also of each command, whose errors quote the command line inertly."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with code 2."""
        super().error(one_line(message))


def run_command(arguments: argparse.Namespace, control: Control) -> int:
    """Run a model over records and print the summary."""
    given: RunOptions = arguments.options
    values = given.merged(vars(arguments))
    config = RunConfig(**{field.name: values[field.name] for field in dataclasses.fields(RunConfig)})
    path, as_json = config.out / HEARTBEAT, values["json"]
    if values["watchdog_s"] is None:
        with beating(Heart(path)):
            return _run(config, as_json, control)
    from edgequake.edge.operation.watchdog import supervise

    earlier = _version_of(config.out / CHECKPOINT)

    def run_in_child(heart: Heart, is_again: bool) -> int:
        # With --force, a process that has hung before it replaced the earlier results has left nothing to resume.
        has_begun = is_again and not (config.force and _version_of(config.out / CHECKPOINT) in (None, earlier))
        mine = dataclasses.replace(config, force=False, resume=True) if has_begun else config
        with beating(heart):
            code = _exit_code(lambda: _run(mine, as_json, control), arguments.program, control)
        sys.stdout.flush()
        return code

    return supervise(run_in_child, path, values["watchdog_s"], control)


def _version_of(path: Path) -> tuple[int, int] | None:
    """Return what differs between two files that were written to a path; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _run(config: RunConfig, as_json: bool, control: Control) -> int:
    summary = run(config, _show_progress if sys.stderr.isatty() else None, control)
    for warning in summary.warnings:
        _say(f"warning: {warning}")
    print(
        summary.to_json() if as_json else f"{summary.text()}\nin {one_line(str(config.out))}",
        end="" if as_json else "\n",
    )
    return EXIT_INTERRUPTED if control.interrupted else EXIT_DONE


def _show_progress(share: float) -> None:
    print(f"\r{100 * share:3.0f} %", end="\n" if share >= 1.0 else "", file=sys.stderr, flush=True)


def _parser(program: str, words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description="Detect quakes in seismic records and keep the waveforms around them.")
    parser.add_argument("--version", action="version", version=f"edgequake {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    purpose = "detect events in records and keep their waveforms"
    form = argparse.RawDescriptionHelpFormatter
    runner = commands.add_parser(
        "run", help=purpose, description=purpose, epilog=_examples(program), formatter_class=form
    )
    runner.set_defaults(command=run_command, program=program, options=RunOptions(runner))
    for name, (module, purpose) in _GROUND_COMMANDS.items():
        subparser = commands.add_parser(name, help=purpose, description=purpose)
        if name in words:  # a run imports none of them
            command = import_module(f"edgequake.edge.{module}")
            getattr(command, f"add_{name}_arguments")(subparser)
            subparser.set_defaults(command=getattr(command, f"{name}_command"))
    return parser


def _examples(program: str) -> str:
    lines = (
        "day.mseed --out kept",
        "records --model mars --sensitivity high --out kept",
        "shake://0.0.0.0:8888/AM_R1234 --out /data --archive-bytes 2000000000",
        "- --out /data --resume --budget 20000 < stream.mseed",
        "--config /etc/edgequake/run.conf",
    )
    return "\n".join(["examples:", *(f"  {program} run {line}" for line in lines)])


if __name__ == "__main__":
    sys.exit(main())
