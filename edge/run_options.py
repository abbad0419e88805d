"""The options of `run`: declared once, given on the command line, in a configuration file, or both."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ConfigError, EdgequakeError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.inputs.model_choice import AUTO
from edgequake.edge.inputs.source import is_address
from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.edge.operation.config import CORES, USUAL_HOURS

SHAKE_STALLED_S = 60.0  # a Shake that sends four times a second is not heard any more
_SHAKE = "shake://"
_SEVERAL = ("inputs", "channels", "stations")  # fields that hold a tuple


class RunOptions:
    """The options of `run`; each is stored under the name of its field in `RunConfig`.

    In a configuration file an option is named as on the command line, without its dashes, and the records are `inputs`.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options in a parser, which then returns only those that are given."""
        parser.add_argument(
            "--config", type=Path, metavar="FILE", help="options in a file, TOML or JSON; those given here go before it"
        )
        self._parser, actions = parser, _declare(parser)
        self._fields = {_name(action): action for action in actions}
        self._defaults = {action.dest: action.default for action in actions}
        for action in actions:
            action.default = argparse.SUPPRESS

    @property
    def names(self) -> tuple[str, ...]:
        """The keys of a configuration file."""
        return tuple(self._fields)

    def merged(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all options: those given, else those of the file, else the defaults.

        Raises
        ------
        ConfigError
            The file cannot be read, or names an option or a value that there is not.
        SystemExit
            Inputs or folder are missing.
        """
        values = {**self._defaults, **({} if given["config"] is None else self._of_file(given["config"]))}
        # The parser returns an empty list where no record is given.
        values |= {name: given[name] for name in values if name in given and given[name] != []}
        if missing := [name for name, field in (("INPUT", "inputs"), ("--out", "out")) if not values[field]]:
            self._parser.error(f"missing: {', '.join(missing)}; expected run INPUT... --out DIR, or --config FILE")
        if all(map(is_address, values["inputs"])):  # what was sent does not come again: a second start can but go on
            values["resume"] = values["resume"] or not values["force"]
        if values["stall_after_s"] is None and any(name.startswith(_SHAKE) for name in values["inputs"]):
            values["stall_after_s"] = SHAKE_STALLED_S
        return {name: _as_tuple(value) if name in _SEVERAL else value for name, value in values.items()}

    def _of_file(self, path: Path) -> dict[str, Any]:
        from edgequake.edge.base.config_file import read_config

        return {
            self._fields[key].dest: _value(self._fields[key], value, f"{path}: {key}")
            for key, value in read_config(path, self.names).items()
        }


def _name(action: argparse.Action) -> str:
    """Return the key of an option in a file."""
    return action.option_strings[0].removeprefix("--") if action.option_strings else action.dest


def _as_tuple(values: Any) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _value(action: argparse.Action, value: Any, where: str) -> Any:
    """Return a value of a file as the command line would give it.

    Raises
    ------
    ConfigError
        It is none that the option takes.
    """
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: expected true or false, got {value!r}")
        return value
    if action.dest in _SEVERAL:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{where}: expected text, or a list of texts, got {value!r}")
        return _codes(",".join(items)) if action.dest == "channels" else items
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{where}: expected text or a number, got {value!r}")
    try:
        converted = value if action.type is None else action.type(str(value))  # type: ignore[operator]
    except (ValueError, argparse.ArgumentTypeError, EdgequakeError) as problem:
        raise ConfigError(f"{where}: {problem}") from problem
    if action.choices is not None and converted not in action.choices:
        raise ConfigError(f"{where}: expected one of {', '.join(action.choices)}, got {value!r}")
    return converted if action.type is not None else str(converted)


def _declare(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Declare every option that a configuration file may hold."""
    actions: list[argparse.Action] = []

    def add(*names: str, **details: Any) -> None:
        actions.append(parser.add_argument(*names, **details))

    add_seconds = partial(_add_seconds, add)
    add(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="miniSEED file, packet .csv, folder, - for a stream, udp://HOST:PORT or shake://HOST:PORT/NET_STA",
    )
    add("--out", type=Path, metavar="DIR", help="folder for catalogue and segments")
    add(
        "--model",
        default=AUTO,
        metavar="NAME|MANIFEST",
        help="name of a shipped model (moon, mars, earth), or a manifest file (default: auto, one for each station)",
    )
    add("--variant", metavar="NAME", help="graph of the model (default: the manifest's)")
    add("--core", default="python", choices=CORES, help="code of the detector (default: python)")
    add(
        "--core-library",
        type=Path,
        metavar="DIR",
        help="for --core c: folder of the models' libraries (default: the cache)",
    )
    add("--sensitivity", default="normal", choices=SENSITIVITIES, help="default: normal")
    add("--threshold", type=float, metavar="P", help="onset probability that declares an event, instead")
    add("--start", dest="start_ns", type=parse_time, metavar="TIME", help="UTC time of the first sample to process")
    add("--stop", dest="stop_ns", type=parse_time, metavar="TIME", help="UTC time of the first sample after those")
    add(
        "--channels",
        type=_codes,
        metavar="CODES",
        help="channel codes or patterns, as 'MH?,BHZ' (default: those of each model)",
    )
    add(
        "--station",
        dest="stations",
        action="append",
        metavar="PATTERN",
        help="run only stations that match, as XA_S12 or 'XA_*'; may be repeated (default: any)",
    )
    add("--force", action="store_true", help="replace the results of an earlier run in DIR")
    add(
        "--resume",
        action="store_true",
        help="continue the run in DIR after a stop or a power loss (from addresses: always)",
    )
    add_seconds("--checkpoint-every", "checkpoint_s", "longest time that a power loss may undo", 60.0)
    add("--follow", action="store_true", help="INPUTs are folders and files still being written")
    add_seconds("--poll", "poll_s", "time between two looks at them", 1.0)
    add("--raw", metavar="RATE,DTYPE,ID,START", help="- is raw samples, as 6.625,int32,FDSN:XX_LUN_00_M_H_Z,now")
    add(
        "--spool-bytes",
        type=int,
        default=64 << 20,
        metavar="N",
        help="bytes of recorded data from - that are stored to sort them; 0: take them as they come (default: 64 MiB)",
    )
    add_seconds("--idle-stop", "idle_stop_s", "end when a live input is silent for so long")
    add_seconds("--stall-after", "stall_after_s", "report a live input that is silent for so long (shake://: 60)")
    add("--model-copy", metavar="MANIFEST", help="model to use when the files of --model are damaged")
    add(
        "--public-key",
        type=Path,
        metavar="FILE",
        help="run no model but the shipped ones without a signature by this key (default: DIR/model-key.pub, if any)",
    )
    add("--archive-bytes", type=int, metavar="N", help="archive all samples (SDS), the newest N bytes")
    add("--summary-channel", action="store_true", help="record the signal's spectral amplitude (SSAM)")
    add(
        "--monitor",
        dest="monitor_h",
        nargs="?",
        const=USUAL_HOURS,
        type=_hours,
        metavar="HOURS",
        help=f"keep samples and probabilities of the last hours for the station's page (alone: {USUAL_HOURS:g})",
    )
    add("--budget", dest="budget_bytes", type=int, metavar="BYTES", help="deliver so much to DIR/outbox per UTC day")
    add_seconds("--pass-every", "pass_s", "time between two deliveries", 3600.0)
    add("--priority", metavar="MODULE:FUNCTION", help="function that ranks events, instead of ours")
    add("--on-event", metavar="COMMAND", help="run for each event, with the event as JSON on its stdin")
    add_seconds("--on-event-timeout", "on_event_timeout_s", "time limit of each command", 10.0)
    add_seconds("--watchdog", "watchdog_s", "restart the run when it gives no sign of life for so long")
    add("--metrics", type=Path, metavar="FILE", help="write figures for Prometheus there, with each checkpoint")
    add("--json", action="store_true", help="print one JSON object instead of text")

    return actions


def _add_seconds(add: Callable[..., None], option: str, field: str, purpose: str, default: float | None = None) -> None:
    suffix = "" if default is None else f" (default: {default:g})"
    add(option, dest=field, type=float, default=default, metavar="SECONDS", help=f"{purpose}{suffix}")


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected hours, as --monitor=24, got '{one_line(text)}'") from None


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip() for code in text.split(","))
