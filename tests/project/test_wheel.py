"""The wheel contains what a lander needs and nothing else, and the packages in pyproject.toml are the folders."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDERS = ("src", "edge", "train", "convert", "export_c", "scan", "serve", "benchmarks")


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel_names(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pytest.importorskip("setuptools", minversion="77", reason="building the wheel needs setuptools >= 77")
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(root / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_packages_are_the_folders(root: Path, pyproject: dict[str, Any]) -> None:
    setuptools = pyproject["tool"]["setuptools"]
    packages = set()
    for name, folder in setuptools["package-dir"].items():
        for init in (root / folder).rglob("__init__.py"):
            packages.add(".".join((name, *init.parent.relative_to(root / folder).parts)))
    assert packages == set(setuptools["packages"])
    assert len(setuptools["packages"]) == len(packages)


def test_the_wheel_has_one_top_level_name(wheel_names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edgequake"}


def test_the_wheel_has_every_module_the_models_and_the_recipes(root: Path, wheel_names: list[str]) -> None:
    source = root / "src"
    expected = {path.relative_to(source).as_posix() for path in (source / "edgequake").rglob("*.py")}
    templates = (source / "edgequake" / "report" / "templates").iterdir()
    expected |= {"edgequake/py.typed", *(path.relative_to(source).as_posix() for path in templates)}
    for folder in FOLDERS[1:]:
        expected |= {f"edgequake/{path.relative_to(root).as_posix()}" for path in (root / folder).rglob("*.py")}
    patterns = ("edge/models/*.json", "edge/models/*.tflite", "train/recipes/*.toml", "benchmarks/robustness/*.c")
    pages = ("serve/templates/*.j2", "serve/static/*.*", "serve/static/vendor/*")
    for pattern in (*patterns, *pages, "export_c/sources/**/*.[ch]"):
        expected |= {f"edgequake/{path.relative_to(root).as_posix()}" for path in root.glob(pattern)}
    packed = {name for name in wheel_names if name.startswith("edgequake/")}
    assert packed == expected
    assert "edgequake/edge/models/moon.json" in packed
    assert any(name.startswith("edgequake/edge/models/moon.") and name.endswith(".tflite") for name in packed)
    assert "edgequake/train/recipes/tiny.toml" in packed


def test_the_wheel_has_no_keras_file_and_no_test(wheel_names: list[str]) -> None:
    assert not [name for name in wheel_names if name.endswith(".keras") or name.startswith("edgequake/train/models")]
    parts = [part for name in wheel_names for part in name.split("/")]
    assert not [part for part in parts if part == "tests" or part.startswith(("test_", "conftest"))]


def test_the_wheel_contains_the_licence(root: Path, wheel_names: list[str], pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (root / "LICENSE").read_text(encoding="utf-8")[:200]
    assert [name for name in wheel_names if name.endswith("LICENSE")]


def test_the_wheel_is_small_enough_to_send_to_a_lander(root: Path) -> None:
    models = [path for path in (root / "edge" / "models").iterdir() if path.suffix in (".json", ".tflite")]
    assert sum(path.stat().st_size for path in models) < 400_000


def test_the_version_is_the_newest_of_the_changelog(root: Path) -> None:
    from edgequake import __version__

    headings = [line for line in (root / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line[:4] == "## ["]
    assert headings[0] == "## [Unreleased]"
    assert __version__ in "".join(headings[:2]) or len(headings) == 1
