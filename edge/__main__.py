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
from edgequake.edge.base.control import Control, Heart, beating, flush_output, signal_handlers
from edgequake.edge.base.errors import EdgequakeError, Stopped, unforeseen
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.base.layout import CHECKPOINT, HEARTBEAT
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.inputs.model_choice import AUTO
from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.edge.operation.config import CORES, USUAL_HOURS
from edgequake.edge.runner import RunConfig, run

_GROUND_COMMANDS = {  # module of edgequake.edge that has add_NAME_arguments and NAME_command, and its purpose
    "status": ("operation.status", "print the status of a run"),
    "install": ("operation.install", "check a new model and have a run switch to it"),
    "request": ("downlink.requests", "extract any time span that is still stored, or have it sent"),
    "acknowledge": ("downlink.outbox", "delete sent files from the outbox"),
}
EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_TERMINATED = 0, 1, 130, 141, 143


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
        return code if flush_output() else EXIT_PIPE_CLOSED
    except BrokenPipeError:
        flush_output()
        return EXIT_PIPE_CLOSED
    except SystemExit:  # after --help
        if not flush_output():
            return EXIT_PIPE_CLOSED
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


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run`: each is stored under the name of its field in `RunConfig`."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="miniSEED file, packet .csv, folder, - for a stream, udp://HOST:PORT or shake://HOST:PORT/NET_STA",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for catalogue and segments")
    parser.add_argument(
        "--model",
        default=AUTO,
        help="name of a shipped model (moon, mars, earth), or a manifest file (default: auto, one for each station)",
    )
    parser.add_argument("--variant", help="graph of the model (default: the manifest's)")
    parser.add_argument("--core", default="python", choices=CORES, help="code of the detector (default: python)")
    parser.add_argument(
        "--core-library",
        type=Path,
        metavar="DIR",
        help="for --core c: folder of the models' libraries (default: the cache)",
    )
    parser.add_argument("--sensitivity", default="normal", choices=SENSITIVITIES, help="default: normal")
    parser.add_argument("--threshold", type=float, help="onset probability that declares an event, instead")
    parser.add_argument(
        "--start", dest="start_ns", type=parse_time, metavar="TIME", help="UTC time of the first sample to process"
    )
    parser.add_argument(
        "--stop", dest="stop_ns", type=parse_time, metavar="TIME", help="UTC time of the first sample after those"
    )
    parser.add_argument(
        "--channels",
        type=_codes,
        metavar="CODES",
        help="channel codes or patterns, as 'MH?,BHZ' (default: those of each model)",
    )
    parser.add_argument(
        "--station",
        dest="stations",
        action="append",
        metavar="PATTERN",
        help="run only stations that match, as XA_S12 or 'XA_*'; may be repeated (default: any)",
    )
    parser.add_argument("--force", action="store_true", help="replace the results of an earlier run in DIR")
    parser.add_argument("--resume", action="store_true", help="continue the run in DIR after a stop or a power loss")
    _add_seconds(parser, "--checkpoint-every", "checkpoint_s", "longest time that a power loss may undo", 60.0)
    parser.add_argument("--follow", action="store_true", help="INPUTs are folders and files still being written")
    _add_seconds(parser, "--poll", "poll_s", "time between two looks at them", 1.0)
    parser.add_argument(
        "--raw", metavar="RATE,DTYPE,ID,START", help="- is raw samples, as 6.625,int32,FDSN:XX_LUN_00_M_H_Z,now"
    )
    parser.add_argument(
        "--spool-bytes",
        type=int,
        default=64 << 20,
        metavar="N",
        help="bytes of recorded data from - that are stored to sort them; 0: take them as they come (default: 64 MiB)",
    )
    _add_seconds(parser, "--idle-stop", "idle_stop_s", "end when a live input is silent for so long")
    _add_seconds(parser, "--stall-after", "stall_after_s", "report a live input that is silent for so long")
    parser.add_argument("--model-copy", metavar="MANIFEST", help="model to use when the files of --model are damaged")
    parser.add_argument(
        "--public-key",
        type=Path,
        metavar="FILE",
        help="run no model but the shipped ones without a signature by this key (default: DIR/model-key.pub, if any)",
    )
    parser.add_argument("--archive-bytes", type=int, metavar="N", help="archive all samples (SDS), the newest N bytes")
    parser.add_argument("--summary-channel", action="store_true", help="record the signal's spectral amplitude (SSAM)")
    parser.add_argument(
        "--monitor",
        dest="monitor_h",
        nargs="?",
        const=USUAL_HOURS,
        type=_hours,
        metavar="HOURS",
        help=f"keep samples and probabilities of the last hours for the station's page (alone: {USUAL_HOURS:g})",
    )
    parser.add_argument(
        "--budget", dest="budget_bytes", type=int, metavar="BYTES", help="deliver so much to DIR/outbox per UTC day"
    )
    _add_seconds(parser, "--pass-every", "pass_s", "time between two deliveries", 3600.0)
    parser.add_argument("--priority", metavar="MODULE:FUNCTION", help="function that ranks events, instead of ours")
    parser.add_argument("--on-event", metavar="COMMAND", help="run for each event, with the event as JSON on its stdin")
    _add_seconds(parser, "--on-event-timeout", "on_event_timeout_s", "time limit of each command", 10.0)
    _add_seconds(parser, "--watchdog", "watchdog_s", "restart the run when it gives no sign of life for so long")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_seconds(
    parser: argparse.ArgumentParser, option: str, field: str, purpose: str, default: float | None = None
) -> None:
    suffix = "" if default is None else f" (default: {default:g})"
    parser.add_argument(option, dest=field, type=float, default=default, metavar="SECONDS", help=f"{purpose}{suffix}")


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected hours, as --monitor=24, got '{one_line(text)}'") from None


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip() for code in text.split(","))


def run_command(arguments: argparse.Namespace, control: Control) -> int:
    """Run a model over records and print the summary."""
    options = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(RunConfig)}
    stations = None if arguments.stations is None else tuple(arguments.stations)
    config = RunConfig(**{**options, "inputs": tuple(arguments.inputs), "stations": stations})
    path = config.out / HEARTBEAT
    if arguments.watchdog_s is None:
        with beating(Heart(path)):
            return _run(config, arguments.json, control)
    from edgequake.edge.operation.watchdog import supervise

    earlier = _version_of(config.out / CHECKPOINT)

    def run_in_child(heart: Heart, is_again: bool) -> int:
        # With --force, a process that has hung before it replaced the earlier results has left nothing to resume.
        has_begun = is_again and not (config.force and _version_of(config.out / CHECKPOINT) in (None, earlier))
        mine = dataclasses.replace(config, force=False, resume=True) if has_begun else config
        with beating(heart):
            code = _exit_code(lambda: _run(mine, arguments.json, control), arguments.program, control)
        sys.stdout.flush()
        return code

    return supervise(run_in_child, path, arguments.watchdog_s, control)


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
    add_run_arguments(runner)
    runner.set_defaults(command=run_command, program=program)
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
    )
    return "\n".join(["examples:", *(f"  {program} run {line}" for line in lines)])


if __name__ == "__main__":
    sys.exit(main())
