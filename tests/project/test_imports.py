"""What the packages load: `edge` only what a lander has, and each program only what it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

RUNTIMES = {"tflite_runtime", "ai_edge_litert"}
ON_BOARD = set(sys.stdlib_module_names) | {"numpy", "pymseed"} | RUNTIMES
DESKTOP = "typer rich click scipy obspy matplotlib tensorflow keras tf_keras pandas h5py hypothesis pytest".split()
PARTS = ("train", "convert", "benchmarks")

GUARDED_IMPORT = """
import importlib, pkgutil, sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        ours = name.startswith("edgequake.") and not name.startswith(("edgequake.edge", "edgequake._version"))
        if ours or name.partition(".")[0] in sys.argv[1].split(","):
            raise ImportError(f"{name} must not be imported on a lander")

sys.meta_path.insert(0, Guard())
import edgequake.edge
for module in pkgutil.walk_packages(edgequake.edge.__path__, "edgequake.edge."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
import edgequake.edge.__main__
"""
RUN = """
import sys
from edgequake.edge.__main__ import main
assert main(["run", sys.argv[1], "--out", sys.argv[2]]) == 0
print(*(name for name in sys.modules if name.startswith("edgequake.")))
"""
# What only runs with live input, an archive, SSAM channels, a budget or an event hook load.
OPTIONAL = ("archive.", "downlink.", "inputs.live", "inputs.udp", "inputs.stdin", "inputs.folder", "inputs.datagrams",
            "inputs.ordering", "operation.status", "operation.event_hook")  # fmt: skip


def imported_names(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each absolute name that a module imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def test_edge_names_only_the_standard_library_numpy_pymseed_and_a_runtime(root: Path) -> None:
    paths = sorted((root / "edge").rglob("*.py"))
    assert len(paths) > 5
    for path in paths:
        for name, _ in imported_names(path):
            ours = name.startswith("edgequake.edge") or name == "edgequake._version.__version__"
            assert ours or name.partition(".")[0] in ON_BOARD, f"{path}: imports {name}"


def test_every_module_of_edge_imports_under_a_guard() -> None:
    command = [sys.executable, "-W", "error", "-c", GUARDED_IMPORT, ",".join(DESKTOP)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "edgequake.edge.manifest.manifest" in done.stdout.split()
    assert done.stderr == ""


def test_a_run_over_files_loads_neither_live_input_nor_archive_nor_downlink(tmp_path: Path) -> None:
    record = write_miniseed(synthetic_record(np.random.default_rng(1), 1800.0), tmp_path / "record.mseed")
    command = [sys.executable, "-c", RUN, str(record), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "edgequake.edge.runner" in loaded
    assert [name for name in loaded if name.removeprefix("edgequake.edge.").startswith(OPTIONAL)] == []


def test_shared_packages_load_heavy_packages_only_inside_functions(root: Path) -> None:
    heavy = {"scipy", "obspy", "matplotlib", "tensorflow", "keras"}
    parts = tuple(f"edgequake.{part}" for part in PARTS)
    for path in sorted((root / "src/edgequake").rglob("*.py")):
        for name, at_top in imported_names(path):
            assert not at_top or (name.partition(".")[0] not in heavy and not name.startswith(parts)), f"{path}: {name}"


def test_import_edgequake_is_silent_and_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import edgequake; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['edgequake', 'edgequake._version']"
    assert done.stderr == ""


def test_help_of_the_command_line_loads_no_part() -> None:
    code = (
        "import sys; from edgequake.cli import main; main(['--help']); "
        "print([n for n in sys.modules if n.partition('.')[0] in ('numpy', 'tensorflow', 'scipy', 'obspy', 'pymseed')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
