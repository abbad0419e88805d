"""`edgequake-edge`: the device's command line (argparse; `edgequake run` hands its arguments to the same main)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from edgequake import __version__
from edgequake.edge.base.control import Control, heeding_signals
from edgequake.edge.base.errors import EdgequakeError, Stopped
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.edge.runner import RunConfig, run

_GROUND_COMMANDS = {  # module of edgequake.edge that has add_NAME_arguments and NAME_command, and what it is for
    "status": ("operation.status", "say how a run is doing"),
    "request": ("downlink.requests", "ask for any span of time that is still held"),
    "acknowledge": ("downlink.outbox", "take files out of the outbox"),
}
EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143


def main(argv: Sequence[str] | None = None, program: str = "edgequake-edge") -> int:
    """Run the command line and return its exit code.

    0 done (a live run that was asked to end by SIGTERM is done), 1 an error of ours, 2 usage, 130 interrupted by
    Ctrl-C, 143 stopped by SIGTERM before the end of the files.
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser(program, words).parse_args(words)
    control = Control(tell=lambda line: print(f"{program}: {line}", file=sys.stderr, flush=True))
    try:
        with heeding_signals(control):
            return int(arguments.command(arguments, control))
    except Stopped as stopped:
        print(f"{program}: {stopped}", file=sys.stderr)
        return EXIT_INTERRUPTED if control.interrupted else EXIT_TERMINATED
    except EdgequakeError as error:
        return _refuse(program, str(error))
    except OSError as error:  # a disk that vanishes, a path too long: nothing of ours, but no traceback either
        return _refuse(program, f"{error.filename or 'input or output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"{program}: interrupted; events found so far are in the catalogue", file=sys.stderr)
        return EXIT_INTERRUPTED


def _refuse(program: str, message: str) -> int:
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_ERROR


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run`."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="miniSEED file, packet .csv, folder, - for a stream, udp://HOST:PORT or shake://HOST:PORT/NET_STA",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where catalogue and segments go")
    parser.add_argument("--model", default="moon", help="a shipped model's name or a manifest file (default: moon)")
    parser.add_argument("--variant", help="which graph of the model (default: the manifest's)")
    parser.add_argument("--sensitivity", default="normal", choices=SENSITIVITIES, help="default: normal")
    parser.add_argument("--threshold", type=float, help="onset probability that declares an event, instead")
    parser.add_argument("--start", metavar="TIME", help="use samples from this UTC time on, as 1971-04-13T12:00:00")
    parser.add_argument("--stop", metavar="TIME", help="... and before this one")
    parser.add_argument(
        "--channels", metavar="CODES", help="channel codes or patterns, as 'MH?,BHZ' (default: the model's)"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier run's results in DIR")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR after a stop or power loss")
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="what a power loss may cost (default: 60)",
    )
    parser.add_argument("--follow", action="store_true", help="INPUT is one folder that is still being written")
    parser.add_argument(
        "--poll", type=float, default=1.0, metavar="SECONDS", help="how often to look at it (default: 1)"
    )
    parser.add_argument(
        "--raw", metavar="RATE,DTYPE,ID,START", help="- is raw samples, as 6.625,int32,FDSN:XX_LUN_00_M_H_Z,now"
    )
    parser.add_argument(
        "--idle-stop", type=float, metavar="SECONDS", help="end when a live input is silent for so long"
    )
    parser.add_argument(
        "--stall-after", type=float, metavar="SECONDS", help="say so when a live input is silent so long"
    )
    parser.add_argument("--model-copy", metavar="MANIFEST", help="what to use when the model's files are damaged")
    _add_store_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_store_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive-bytes", type=int, metavar="N", help="keep all samples too, the newest N bytes of them (SDS)"
    )
    parser.add_argument("--summary-channel", action="store_true", help="keep an account of how loud the signal is")
    parser.add_argument("--budget", type=int, metavar="BYTES", help="hand over to DIR/outbox so much a UTC day")
    parser.add_argument(
        "--pass-every", type=float, default=3600.0, metavar="SECONDS", help="time between hand-overs (default: 3600)"
    )
    parser.add_argument("--priority", metavar="MODULE:FUNCTION", help="what ranks events, in place of our formula")
    parser.add_argument("--on-event", metavar="COMMAND", help="run for each event, which it gets as JSON on its stdin")
    parser.add_argument(
        "--on-event-timeout", type=float, default=10.0, metavar="SECONDS", help="for each command (default: 10)"
    )


def run_command(arguments: argparse.Namespace, control: Control) -> int:
    """Run a model over records and print the summary."""
    config = RunConfig(
        inputs=tuple(arguments.inputs),
        out=arguments.out,
        model=arguments.model,
        variant=arguments.variant,
        sensitivity=arguments.sensitivity,
        threshold=arguments.threshold,
        start_ns=None if arguments.start is None else parse_time(arguments.start),
        stop_ns=None if arguments.stop is None else parse_time(arguments.stop),
        channels=None if arguments.channels is None else tuple(code.strip() for code in arguments.channels.split(",")),
        force=arguments.force,
        resume=arguments.resume,
        checkpoint_s=arguments.checkpoint_every,
        follow=arguments.follow,
        raw=arguments.raw,
        poll_s=arguments.poll,
        idle_stop_s=arguments.idle_stop,
        stall_after_s=arguments.stall_after,
        model_copy=arguments.model_copy,
        archive_bytes=arguments.archive_bytes,
        summary_channel=arguments.summary_channel,
        budget_bytes=arguments.budget,
        pass_s=arguments.pass_every,
        priority=arguments.priority,
        on_event=arguments.on_event,
        on_event_timeout_s=arguments.on_event_timeout,
    )
    summary = run(config, _show_progress if sys.stderr.isatty() else None, control)
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(
        summary.to_json() if arguments.json else f"{summary.text()}\nin {config.out}",
        end="" if arguments.json else "\n",
    )
    return EXIT_INTERRUPTED if control.interrupted else EXIT_DONE


def _show_progress(share: float) -> None:
    print(f"\r{100 * share:3.0f} %", end="\n" if share >= 1.0 else "", file=sys.stderr, flush=True)


def _parser(program: str, words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Detect quakes in seismic records, keep flagged segments."
    )
    parser.add_argument("--version", action="version", version=f"edgequake {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    runner = commands.add_parser("run", help="detect events in records and keep their samples")
    add_run_arguments(runner)
    runner.set_defaults(command=run_command)
    for name, (module, purpose) in _GROUND_COMMANDS.items():
        subparser = commands.add_parser(name, help=purpose, description=purpose)
        if name in words:  # a run loads none of them
            command = import_module(f"edgequake.edge.{module}")
            getattr(command, f"add_{name}_arguments")(subparser)
            subparser.set_defaults(command=getattr(command, f"{name}_command"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
