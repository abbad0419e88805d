"""Imports form a star: what flies imports nothing heavy, the parts import `edge` and never each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNTIMES = {"tflite_runtime", "ai_edge_litert"}
FLYING = set(sys.stdlib_module_names) | {"numpy", "pymseed"} | RUNTIMES
GROUND = "typer rich click scipy obspy matplotlib tensorflow keras tf_keras pandas h5py hypothesis pytest".split()

GUARDED_IMPORT = """
import importlib, pkgutil, sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN or name.startswith(FORBIDDEN_PARTS):
            raise ImportError(f"{name} must not be imported on a lander")

FORBIDDEN = set(sys.argv[1].split(","))
FORBIDDEN_PARTS = tuple(f"edgequake.{part}" for part in ("train", "convert", "benchmarks", "cli", "commands"))
sys.meta_path.insert(0, Guard())
import edgequake.edge
for module in pkgutil.walk_packages(edgequake.edge.__path__, "edgequake.edge."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
import edgequake.edge.__main__
"""


def imported_names(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each absolute name that a module imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def modules(root: Path, folder: str) -> list[Path]:
    return sorted((root / folder).rglob("*.py"))


def test_edge_names_only_the_standard_library_numpy_pymseed_and_a_runtime(root: Path) -> None:
    paths = modules(root, "edge")
    assert len(paths) > 5
    for path in paths:
        for name, _ in imported_names(path):
            ours = name.startswith("edgequake.edge") or name == "edgequake.__version__"
            assert ours or name.partition(".")[0] in FLYING, f"{path}: imports {name}"


def test_every_module_of_edge_imports_under_a_guard() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARDED_IMPORT, ",".join(GROUND)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "edgequake.edge.manifest.manifest" in done.stdout.split()
    assert done.stderr == ""


@pytest.mark.parametrize("part", ["train", "convert", "benchmarks"])
def test_parts_import_edge_and_never_each_other(root: Path, part: str) -> None:
    others = {"train", "convert", "benchmarks"} - {part}
    forbidden = tuple(f"edgequake.{name}" for name in (*others, "cli", "commands"))
    for path in modules(root, part):
        for name, _ in imported_names(path):
            assert not name.startswith(forbidden), f"{path}: imports {name}"


def test_parent_package_loads_the_parts_only_inside_functions(root: Path) -> None:
    heavy = {"scipy", "obspy", "matplotlib", "tensorflow", "keras"}
    parts = ("edgequake.train", "edgequake.convert", "edgequake.benchmarks")
    for path in modules(root, "src/edgequake"):
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
