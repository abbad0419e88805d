"""`edgequake-edge`: the device's command line (argparse; `edgequake run` hands its arguments to the same main)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgequake import __version__
from edgequake.edge.errors import EdgequakeError
from edgequake.edge.manifest import SENSITIVITIES
from edgequake.edge.piece import parse_time
from edgequake.edge.runner import RunConfig, run

EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None, program: str = "edgequake-edge") -> int:
    """Run the command line and return its exit code: 0 done, 1 an error of ours, 2 usage, 130 interrupted."""
    arguments = _parser(program).parse_args(argv)
    try:
        return int(arguments.command(arguments))
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
        "inputs", nargs="+", metavar="INPUT", help="miniSEED file, packet .csv, folder, or - for a stream"
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
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run_command(arguments: argparse.Namespace) -> int:
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
    )
    summary = run(config, _show_progress if sys.stderr.isatty() else None)
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(
        summary.to_json() if arguments.json else f"{summary.text()}\nin {config.out}",
        end="" if arguments.json else "\n",
    )
    return EXIT_DONE


def _show_progress(share: float) -> None:
    print(f"\r{100 * share:3.0f} %", end="\n" if share >= 1.0 else "", file=sys.stderr, flush=True)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Detect quakes in seismic records, keep flagged segments."
    )
    parser.add_argument("--version", action="version", version=f"edgequake {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    runner = commands.add_parser("run", help="detect events in records and keep their samples")
    add_run_arguments(runner)
    runner.set_defaults(command=run_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
