"""How the help of a command looks: groups of commands, arguments by their names, examples."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

# By the words that call a command: lines that work as they stand once the files that they name are there.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "edgequake run day.mseed --out kept",
        "edgequake run shake://0.0.0.0:8888/AM_R1234 --out /data",
        "edgequake run records --model mars --sensitivity high --out kept",
    ),
    "status": ("edgequake status /data", "edgequake status /data --json"),
    "plot": ("edgequake plot kept", "edgequake plot kept --station XA_S12 --out day.png"),
    "export": (
        "edgequake export kept --quakeml --csv",
        "edgequake export kept --quakeml --stations stations.xml --out events.xml",
        "edgequake export kept --sac",
        "edgequake export kept --labels --out reviewed",
    ),
    "report": (
        "edgequake report kept",
        "edgequake report --markdown docs/results/moon-test.json --out results.md",
    ),
    "serve": ("edgequake serve /data", "edgequake serve /data --host 0.0.0.0 --token-file token.txt"),
    "synth": ("edgequake synth --out day", "edgequake synth --kind dataset --seed 7 --out data"),
    "fetch": (
        "edgequake fetch moon --station S12 --start 1971-04-17 --stop 1971-04-24 --out archive",
        "edgequake fetch mars --start 2021-08-25 --stop 2021-08-26 --out archive",
    ),
    "scan": (
        "edgequake scan /data/sds --out scan --model moon --dry-run",
        "edgequake scan /data/sds --out scan --model moon --workers 4",
    ),
    "labels": (
        "edgequake labels events.xml --records archive",
        "edgequake labels catalogue.xml --records archive --stations stations.xml",
    ),
    "train": (
        "edgequake train tiny --data data --out runs/tiny",
        "edgequake train moon --data data --set fit.epochs=3 --out runs/moon",
        "edgequake train earth --reviewed kept-reviews --out runs/mine",
    ),
    "rows": ("edgequake rows data --describe mine.toml --out rows.npz",),
    "convert": (
        "edgequake convert runs/tiny/tiny.keras --out models",
        "edgequake convert mine.keras --describe mine.toml --quantize int8 --out models",
    ),
    "inspect": ("edgequake inspect earth", "edgequake inspect models/tiny.json --variant int8 --json"),
    "tune": (
        "edgequake tune --model moon --data data --out tuned",
        "edgequake tune --model earth --reviewed kept-reviews --out tuned",
        "edgequake tune --model earth --data archive --false-per-day 1 --out tuned",
    ),
    "export-c": ("edgequake export-c moon --out flight", "edgequake export-c earth --channels 3 --rate 100 --out c"),
    "bench accuracy": (
        "edgequake bench accuracy --model moon --data data --split test",
        "edgequake bench accuracy --model earth --data data --curves --out earth.json",
    ),
    "bench folds": ("edgequake bench folds runs/0/moon.json:0/2 runs/1/moon.json:1/2 --data data",),
    "bench budget": (
        "edgequake bench budget --data data --budgets 2000 20000",
        "edgequake bench budget --data data --mission lems",
    ),
    "bench latency": ("edgequake bench latency --model moon --no-days", "edgequake bench latency --out latency.json"),
    "bench footprint": ("edgequake bench footprint --model moon --variant int8",),
    "bench energy": ("edgequake bench energy --model moon", "edgequake bench energy --no-measure --json"),
    "bench faults": ("edgequake bench faults --kills 20 --mutations 100",),
    "bench soak": ("edgequake bench soak --days 10", "edgequake bench soak --everything"),
    "bench shake": ("edgequake bench shake --minutes 10 --speed 20",),
    "bench flood": ("edgequake bench flood --stations 100 --packets 1000",),
    "bench all": ("edgequake bench all --out results --check docs/results",),
}


def examples_of(words: str) -> str | None:
    """Return the examples of a command as the last paragraph of its help; None where it has none."""
    lines = EXAMPLES.get(words)
    return None if lines is None else "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


class CommandWithExamples(TyperCommand):
    """A command whose help names arguments by what they are, and not by their types in Python."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: arguments by their names, in brackets those that may be left out."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        names = [(one.metavar or str(one.name).upper(), one.required) for one in arguments]
        return [self.options_metavar or "", *(name if is_required else f"[{name}]" for name, is_required in names)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                parts["Arguments"].append((parameter.metavar or str(parameter.name).upper(), _in_words(record[1])))
            else:
                parts["Options"].append((record[0], _in_words(record[1])))
        for title, records in parts.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class CommandGroups(TyperGroup):
    """A group of commands, listed under the titles that each was added with."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, title by title, in the order in which they were added."""
        titles: dict[str, list[tuple[str, Any]]] = {}
        for name in self.commands:
            command = self.commands[name]
            title = getattr(command, "rich_help_panel", None)
            if not command.hidden:
                titles.setdefault(title if isinstance(title, str) else "Commands", []).append((name, command))
        width = max(len(name) for name in self.commands)
        for title, commands in titles.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", _first_sentence(one)) for name, one in commands])


def _in_words(text: str) -> str:
    """Return the help of a parameter with its limits in words: `[x>=1]` becomes `[at least 1]`."""
    text = re.sub(r"(-?[0-9.]+)<=x<=(-?[0-9.]+)", r"\1 to \2", text)
    return re.sub(r"\bx>=(-?[0-9.]+)", lambda found: f"at least {float(found[1]):g}", text)


def _first_sentence(command: Any) -> str:
    """Return what a command does, whole: formatters break lines, click cuts them off."""
    words = " ".join((command.help or "").partition("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".")
