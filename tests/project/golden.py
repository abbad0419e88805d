"""Golden hashes of everything that edgequake writes for fixed inputs: they show whether a change of the code alters it.

    python tests/project/golden.py [--group NAME ...]       compare with golden.json; exit code 1 if they differ
    python tests/project/renew_golden.py --why TEXT         renew the hashes that differ, and record why

Only commands are used, so that the comparison does not depend on module names. With `PYTHONPATH=FOLDER` it compares a
copy of the package installed in FOLDER with `pip install --no-deps --target FOLDER .`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from .golden_commands import Workplace
    from .golden_desktop import DESKTOP
    from .golden_groups import DEVICE
else:  # run as a script
    from golden_commands import Workplace
    from golden_desktop import DESKTOP
    from golden_groups import DEVICE

__all__ = ["GOLDEN", "GROUPS", "SLOW", "collect", "compare", "machine", "read_golden", "skipped"]

GROUPS = DEVICE | DESKTOP
SLOW = GROUPS.keys() - {"faults", "rates"}  # longer than two seconds

GOLDEN = Path(__file__).with_name("golden.json")

# Groups whose bytes depend on more than edgequake; on other machines they are skipped, and listed.
NEEDS = {
    "convert": ("cpu", "keras", "numpy", "tensorflow"),
    "train": ("cpu", "keras", "numpy", "tensorflow"),
    "accuracy": ("numpy", "scipy"),
    "tune": ("numpy", "scipy"),
    "pages": ("cpu", "matplotlib", "numpy"),
}
PACKAGES = ("keras", "matplotlib", "numpy", "scipy", "tensorflow")


def machine() -> dict[str, str]:
    """Return the processor features and package versions on which the bytes of some groups depend."""
    extensions: dict[str, Any] = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-arg, index]
    features = sorted({*extensions.get("baseline", ()), *extensions.get("found", ())})
    found = {"cpu": hashlib.sha256(" ".join(features).encode()).hexdigest()[:16]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def read_golden() -> tuple[dict[str, str], dict[str, str]]:
    """Return the machine on which the golden hashes were made, and the hashes."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return golden["machine"], golden["hashes"]


def skipped(golden_machine: dict[str, str]) -> dict[str, str]:
    """Return the groups that cannot be compared on this machine, and the reason."""
    here = machine()
    differing = {
        group: ", ".join(name for name in names if here[name] != golden_machine[name]) for group, names in NEEDS.items()
    }
    return {group: names for group, names in differing.items() if names}


def collect(folder: Path, groups: Iterable[str]) -> dict[str, str]:
    """Run groups, each in a folder of its own below `folder`, and return the hash of every artefact by name."""
    found: dict[str, str] = {}
    for group in groups:
        place = Workplace(folder / group, group)
        begun_s = time.monotonic()
        GROUPS[group](place)
        print(f"{group}: {len(place.found)} hashes, {time.monotonic() - begun_s:.1f} s", file=sys.stderr, flush=True)
        found |= place.found
    return found


def compare(expected: dict[str, str], found: dict[str, str], groups: Iterable[str]) -> list[str]:
    """Return a line for each name of `groups` that differs."""
    wanted = {name: value for name, value in expected.items() if name.partition("/")[0] in set(groups)}
    lines = [f"gone: {name}" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"new: {name}" for name in sorted(found.keys() - wanted.keys())]
    return lines + [f"differs: {name}" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]


def main() -> int:
    """Compare with golden.json; return 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", nargs="+", choices=GROUPS, default=list(GROUPS), help="by default all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the files of the commands in DIR")
    arguments = parser.parse_args()
    golden_machine, expected = read_golden()
    left_out = skipped(golden_machine)
    groups = [group for group in arguments.group if group not in left_out]
    for group in sorted(set(arguments.group) - set(groups)):
        print(f"skipped: {group} (not the same here: {left_out[group]})")
    with tempfile.TemporaryDirectory() as folder:
        lines = compare(expected, collect(arguments.keep or Path(folder), groups), groups)
    print("\n".join(lines) or "all equal")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
