"""The structure of the source: layers in the order of the data, small folders and modules, and no name used twice."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from .layers import PACKAGES, circle, find_modules, violations

MAX_MODULES = 16  # in a folder
MAX_LINES = 420  # of a module


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, Path]:
    found = find_modules(root)
    assert len(found) > 100
    return found


def test_every_import_follows_the_layers_of_contributing(root: Path) -> None:
    assert violations(root, (root / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []


LAYERS = """```layers
edgequake: _version < edge < train, convert
edge: low, beside < high
edge: alone
```"""
FORBIDDEN = {
    "at the top": "from edgequake.edge.high import x\n",
    "as a module": "import edgequake.edge.high\n",
    "from the package": "from edgequake.edge import high\n",
    "under another name": "from edgequake.edge import low, high as x\n",
    "inside a function": "def f():\n    from edgequake.edge.high import x\n",
    "for type checking": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edgequake.edge.high import x\n",
    "of the same layer": "from edgequake.edge.beside import x\n",
    "of another chain": "from edgequake.edge.alone import x\n",
    "of another package": "from edgequake.train import x\n",
    "of the facade": "from edgequake.edge import Detector\n",
    "of the facade of all": "from edgequake import load_model\n",
    "by import_module": "import_module('edgequake.edge.high')\n",
    "as a process": "run([python, '-m', 'edgequake.train'])\n",
    "as a command line": "run('nice python -m edgequake.train --help', shell=True)\n",
    "by an f-string": "NAMES = ('high',)\nimport_module(f'edgequake.edge.{name}')\n",
    "by an f-string of constants": "PARENT = 'edgequake.edge'\nNAMES = ('high',)\nimport_module(f'{PARENT}.{name}')\n",
    "by a template": "PROCESS = 'edgequake.edge.{}gh'\nrun(PROCESS.format('hi'))\n",
    "by an open template": "def f(name):\n    import_module(f'edgequake.edge.{name}')\n",
}


def write_tree(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small source tree that follows its layers."""
    empty = ["src/edgequake/__init__", "src/edgequake/_version", "train/__init__", "convert/__init__"]
    empty += [f"edge/{name}" for name in ("__init__", "low", "beside", "alone")]
    high = (
        "from edgequake.edge.low import x\nfrom edgequake.edge import beside\n"
        "NAMES = ('low',)\nimport_module(f'edgequake.edge.{name}')\nimport_module(f'{__name__}.{name}')\n"
    )
    write_tree(tmp_path, {f"{name}.py": "" for name in empty} | {"edge/high/__init__.py": high, "edge/high/low.py": ""})
    assert violations(tmp_path, LAYERS) == [] == circle(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_a_forbidden_import_is_found(kind: str, tree: Path) -> None:
    write_tree(tree, {"edge/low.py": FORBIDDEN[kind]})
    assert len(violations(tree, LAYERS)) == 1


def test_a_relative_import_is_found(tree: Path) -> None:
    write_tree(tree, {"edge/low.py": "from .high import x\n"})
    with pytest.raises(AssertionError, match="relative import"):
        violations(tree, LAYERS)


def test_differences_between_layers_and_folders_are_found(tree: Path) -> None:
    write_tree(tree, {"edge/extra.py": ""})
    assert violations(tree, LAYERS.replace("< high", "< high < top")) == [
        "edge: extra is in no layer of CONTRIBUTING.md",
        "edge: top of CONTRIBUTING.md does not exist",
    ]


def test_a_circle_is_found(tree: Path) -> None:
    write_tree(tree, {"edge/low.py": "def f():\n    from edgequake.edge.beside import x\n"})
    write_tree(tree, {"edge/beside.py": "import_module('edgequake.edge.low')\n"})
    assert set(circle(tree)) == {"edge.low", "edge.beside"}


def test_no_modules_import_each_other_in_a_circle(root: Path) -> None:
    assert circle(root) == []


def test_folders_hold_few_modules(root: Path, modules: dict[str, Path]) -> None:
    beside = [path for folder in ("studies", "tests") for path in (root / folder).rglob("*.py")]
    counts = Counter(path.parent for path in (*modules.values(), *beside) if path.name != "__init__.py")
    assert {str(folder): n for folder, n in counts.items() if n > MAX_MODULES} == {}


def test_modules_are_short(modules: dict[str, Path]) -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules.values()}
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


def test_no_two_classes_have_the_same_name(modules: dict[str, Path]) -> None:
    places = defaultdict(list)
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_two_files_of_a_package_have_the_same_name(root: Path) -> None:
    for folder in PACKAGES:
        places = defaultdict(list)
        for path in (root / folder).rglob("*.py"):
            place = path.relative_to(root / folder).as_posix()
            if path.name != "__init__.py" and not place.startswith("results/tables/"):  # tables/X shows results/X
                places[path.name].append(place)
        assert {name: where for name, where in places.items() if len(where) > 1} == {}, folder


def test_every_package_says_what_comes_in_what_goes_out_and_what_to_read_first(modules: dict[str, Path]) -> None:
    for path in modules.values():
        if path.name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            assert len(docstring.splitlines()) >= 3, path
            first = re.search(r"(?:Start with|[Rr]ead)\s+`([\w./]+?)(?:\.py)?`", docstring)
            assert first is not None, f"{path}: which file to read first?"
            assert (path.parent / f"{first.group(1).replace('.', '/')}.py").is_file(), f"{path}: no {first.group(1)}"
