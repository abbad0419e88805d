"""Which lines and branches of the fixed C sources the tests run: gcov over several exports, merged."""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgequake.edge.detection.c_core import CDetector, CLibrary
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.export_c.exporter import export_files, host_files, write_files
from edgequake.export_c.options import ExportOptions, exact_rates_hz

_CORNERS = Path(__file__).parent / "corners.c"
# gcov's functions are hidden in every library: the library writes its own counts.
_UNIT = """#include "host/eq_log.h"
#include "eq_{name}.c"
#include "eq_{name}_selftest.c"
#include "host/eq_host.c"
#include "{corners}"
void __gcov_dump(void);
void eq_host_dump(void);
void eq_host_dump(void)
{{
    __gcov_dump();
}}
"""


@dataclass
class Coverage:
    """Runs of each line, and of each branch, by file and line number.

    An export leaves parts of the sources out, and constants decide branches, so a line may have other branches in one
    export than in another: they are counted apart, by their number.
    """

    lines: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    branches: dict[tuple[str, int, int], list[int]] = field(default_factory=dict)

    def add(self, folder: Path, unit: str) -> None:
        """Add the counts that a library left in its folder."""
        command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", unit]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for file in json.loads(done.stdout)["files"]:
            name = Path(file["file"]).name
            if "core/" in file["file"]:
                for line in file["lines"]:
                    self._add_line(name, line["line_number"], line["count"], line["branches"])

    def _add_line(self, name: str, number: int, count: int, branches: list[dict[str, int]]) -> None:
        self.lines[name, number] += count
        if branches:
            so_far = self.branches.setdefault((name, number, len(branches)), [0] * len(branches))
            so_far[:] = [a + branch["count"] for a, branch in zip(so_far, branches, strict=True)]

    def missed_lines(self) -> list[str]:
        """Return the lines that no test ran, as file:number."""
        return [f"{name}:{number}" for (name, number), count in sorted(self.lines.items()) if not count]

    def missed_branches(self) -> list[str]:
        """Return the lines with branches that no test took, and how many of theirs."""
        return [
            f"{name}:{number} ({counts.count(0)} of {n})" for (name, number, n), counts in sorted(self.branches.items())
            if 0 in counts
        ]  # fmt: skip

    def share_of_branches(self) -> float:
        """Return the share of branches that tests took."""
        counts = [count for branches in self.branches.values() for count in branches]
        return sum(count > 0 for count in counts) / len(counts)


def without_catch_up(name: str, folder: Path) -> Path:
    """Write a shipped model whose background does not catch up with steps of the noise; return its manifest's file.

    The shipped models all do; what the sources do for one that does not is run with this one.
    """
    manifest, source = load_manifest(name)
    variant, graph = read_graph(manifest, source, "int8")
    background = replace(manifest.front_end.background, catch_up=None)
    plain: Manifest = replace(
        manifest, front_end=replace(manifest.front_end, background=background), variants={"int8": variant}
    )
    folder.mkdir()
    (folder / variant.file).write_bytes(graph)
    path = folder / f"{name}.json"
    path.write_text(plain.to_json(), encoding="utf-8")
    return path


class CoveredExport:
    """A library with counters of a model, or of a manifest's file, for a number of channels."""

    def __init__(self, model: str, channels: int, is_plain: bool, folder: Path) -> None:
        self.manifest, _ = load_manifest(model)
        name = self.manifest.name
        rates = () if is_plain else exact_rates_hz(self.manifest)
        # moon and mars refine onsets at their own rates alone.
        options = ExportOptions(channels, rates, 3600.0 if channels > 1 else None, is_plain or name == "earth")
        manifest, files = export_files(model, options)
        write_files(files | host_files(manifest), folder)
        (folder / "cover.c").write_text(f'#define EQ_HOST_MODEL "{name}"\n' + _UNIT.format(name=name, corners=_CORNERS))
        command = "gcc -std=c99 -O0 --coverage -DEQ_PLAIN_C -ffp-contract=off -fPIC -shared cover.c -o cover.so"
        subprocess.run(command.split(), cwd=folder, check=True)
        self.folder = folder
        self.library = CLibrary(folder / "cover.so")

    def detector(self, threshold: float) -> CDetector:
        return CDetector(self.library, threshold)

    def check_corners(self) -> int:
        """Run corners.c; return the line of the first check that failed, or 0."""
        return int(ctypes.CDLL(str(self.folder / "cover.so")).check_corners())

    def run(self, records: list[Trace], threshold: float) -> int:
        """Run records in pieces, with the state saved and restored in between; return the number of events."""
        c, n = self.detector(threshold), 0
        for i, record in enumerate(records):
            if i % 7 == 0:
                state, c = c.state(), self.detector(threshold)
                c.restore(state)
            n += len(c.push(record))
        return n + len(c.finish())

    def counted(self, coverage: Coverage) -> None:
        """Add what was run so far."""
        ctypes.CDLL(str(self.folder / "cover.so")).eq_host_dump()
        coverage.add(self.folder, "cover.so-cover.c" if (self.folder / "cover.so-cover.gcda").exists() else "cover.c")
