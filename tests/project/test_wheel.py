"""The wheel contains what a lander needs and nothing else, and the packages in pyproject.toml are the folders."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
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
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source distribution, unpacked; built in a copy, which the build may write into."""
    pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools >= 77")
    source = tmp_path_factory.mktemp("source")
    for name in (*FOLDERS, "docs", "examples", "studies", "tests", ".ci"):
        ignored = ["__pycache__", "*.egg-info", "golden.json", *(["results"] if name == "docs" else [])]
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns(*ignored))
    for path in root.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, source / path.name)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    built = subprocess.run([sys.executable, "-c", build, "dist"], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (archive,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(source / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = (source / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel_names(sdist: Path) -> list[str]:
    """Return the names in the wheel that is built from the source distribution."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    built = subprocess.run(command, cwd=sdist, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (sdist / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_source_distribution_has_what_the_pages_name(root: Path, sdist: Path) -> None:
    for name in ("Makefile", "mkdocs.yml", "Containerfile", "CITATION.cff", ".ci/run", "tests/conftest.py"):
        assert (sdist / name).is_file(), name
    for folder in ("docs", "examples", "studies", "train/models"):
        expected = {path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file()}
        expected = {path for path in expected if not {"__pycache__", "results"} & {*path.parts}}
        assert {path for path in expected if not (sdist / path).is_file()} == set()


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
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"edgequake"}


def test_the_wheel_has_every_module_the_models_and_the_recipes(root: Path, wheel_names: list[str]) -> None:
    source = root / "src"
    expected = {path.relative_to(source).as_posix() for path in (source / "edgequake").rglob("*.py")}
    templates = (source / "edgequake" / "report" / "templates").iterdir()
    expected |= {"edgequake/py.typed", *(path.relative_to(source).as_posix() for path in templates)}
    for folder in FOLDERS[1:]:
        expected |= {f"edgequake/{path.relative_to(root).as_posix()}" for path in (root / folder).rglob("*.py")}
    patterns = ("edge/models/*.json", "edge/models/*.tflite", "train/recipes/*.toml", "benchmarks/robustness/*.c")
    patterns = (*patterns, *(f"train/models/{name}/*" for name in ("moon", "mars", "earth")))
    pages = ("serve/templates/*.j2", "serve/static/*.*", "serve/static/vendor/*")
    for pattern in (*patterns, *pages, "export_c/sources/**/*.[ch]"):
        expected |= {f"edgequake/{path.relative_to(root).as_posix()}" for path in root.glob(pattern)}
    packed = {name for name in wheel_names if name.startswith("edgequake/")}
    assert packed == expected
    assert "edgequake/edge/models/moon.json" in packed
    assert any(name.startswith("edgequake/edge/models/moon.") and name.endswith(".tflite") for name in packed)
    assert "edgequake/train/recipes/tiny.toml" in packed


def test_the_wheel_has_the_networks_to_fine_tune_and_no_test(wheel_names: list[str]) -> None:
    keras = {name for name in wheel_names if name.endswith(".keras")}
    assert keras == {f"edgequake/train/models/{name}/{name}.keras" for name in ("moon", "mars", "earth")}
    parts = [part for name in wheel_names for part in name.split("/")]
    assert not [part for part in parts if part == "tests" or part.startswith(("test_", "conftest"))]


def test_the_wheel_brings_the_service_and_the_examples_to_share(root: Path, wheel_names: list[str]) -> None:
    shared = {Path(name).name for name in wheel_names if "/data/share/edgequake/" in name}
    examples = {path.name for path in (root / "examples").iterdir() if path.is_file()}
    assert shared == {*examples, "CITATION.cff", *(path.name for path in (root / "docs").glob("*.service"))}
    assert "edgequake-edge.service" in shared


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
    assert f"\nversion: {__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
