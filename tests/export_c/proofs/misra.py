"""Which MISRA C:2012 rules cppcheck reports of exports, and which the page of deviations lists."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from edgequake.export_c.exporter import export_model

# Without the definitions that a compiler makes, cppcheck takes the sources for ones that it must not compile.
_COMMAND = (
    "cppcheck --addon=misra --std=c99 --enable=warning,style,portability -D__GNUC__ -DDBL_MANT_DIG=53 "
    "-DFLT_MANT_DIG=24 -DFLT_EVAL_METHOD=0"
).split()
_LINE = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<kind>\w+): .*\[(?P<name>[\w.-]+)\]$", re.M)
_RULE = "misra-c2012-"


def has_addon(folder: Path) -> bool:
    """Return whether cppcheck finds its MISRA addon; it is a package of its own in some distributions."""
    (folder / "empty.c").write_text("int unused;\n")
    done = subprocess.run([*_COMMAND, "empty.c"], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "Did not find addon" not in done.stdout + done.stderr


def reports(model: str, folder: Path) -> set[tuple[str, str, str]]:
    """Export a model and return what cppcheck reports, each as (rule or check, file, place)."""
    export_model(model, folder)
    done = subprocess.run([*_COMMAND, f"eq_{model}.c"], cwd=folder, capture_output=True, text=True, check=True)
    found = set()
    for match in _LINE.finditer(done.stderr):
        file = Path(match["file"]).name.replace(f"_{model}_", "_NAME_").removeprefix("eq_")
        found.add((match["name"], file, f"{match['line']}:{match['column']}"))
    return found


def by_rule(found: set[tuple[str, str, str]]) -> dict[str, Counter[str]]:
    """Return the number of reports of each rule by file."""
    counts: dict[str, Counter[str]] = {}
    for name, file, _ in found:
        if name.startswith(_RULE):
            counts.setdefault(name.removeprefix(_RULE), Counter())[file] += 1
    return counts


def listed(page: str) -> dict[str, set[str]]:
    """Return the files that the page's table names for each rule."""
    rows = re.findall(r"^\| (\d+\.\d+) \| \w+ \| \d+ \| ([^|]+) \|", page, re.MULTILINE)
    return {rule: {part.split()[0] for part in files.split(", ")} for rule, files in rows}
