"""Renew the golden hashes from the present output of edgequake, and record why it has changed."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from pathlib import Path

if __package__:
    from .golden import GOLDEN, GROUPS, collect, machine, read_golden, skipped
else:  # run as a script
    from golden import GOLDEN, GROUPS, collect, machine, read_golden, skipped

CHANGES = GOLDEN.with_name("golden_changes.md")
TITLE = "# Changes of the golden hashes\n\nWritten by `renew_golden.py`, the newest at the end.\n"


def main() -> int:
    """Recompute the hashes, write golden.json, and append to golden_changes.md what changed and why."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--why", required=True, help="the change of edgequake that alters its output")
    parser.add_argument("--group", nargs="+", choices=GROUPS, default=list(GROUPS), help="by default all")
    arguments = parser.parse_args()
    why = " ".join(arguments.why.split())
    if not why:
        parser.error("--why is empty: say why the hashes change")
    golden_machine, old = read_golden() if GOLDEN.exists() else (machine(), {})
    is_whole = set(arguments.group) == set(GROUPS)  # only then may the hashes become those of another machine
    if not is_whole and (unlike := set(skipped(golden_machine)) & set(arguments.group)):
        parser.error(f"{', '.join(sorted(unlike))} cannot be compared on this machine: renew all groups together")
    with tempfile.TemporaryDirectory() as folder:
        found = collect(Path(folder), arguments.group)
    kept = {
        name: value for name, value in old.items() if name.partition("/")[0] not in arguments.group and not is_whole
    }
    lines = changes(old, {**kept, **found})
    if not lines:
        print("nothing changed")
        return 0
    golden = {"hashes": {**kept, **found}, "machine": machine() if is_whole else golden_machine}
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    write_down(why, lines)
    print("\n".join(lines))
    return 0


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return a line for each name that changed, appeared or disappeared."""
    lines = [f"changed: {name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    lines += [f"appeared: {name}" for name in sorted(new.keys() - old.keys())]
    return lines + [f"disappeared: {name}" for name in sorted(old.keys() - new.keys())]


def write_down(why: str, lines: list[str]) -> None:
    """Append an entry to golden_changes.md."""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    text = CHANGES.read_text(encoding="utf-8") if CHANGES.exists() else TITLE
    entry = "\n".join([f"## {today}: {why}", "", *(f"- {line}" for line in lines)])
    CHANGES.write_text(f"{text}\n{entry}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
