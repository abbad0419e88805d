"""The image of the runner: its recipe copies what the build needs; with a builder and a base at hand it is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BASE = os.environ.get("EDGEQUAKE_CONTAINER_BASE")  # an image that is on this machine, where no registry answers
CHECKS = {"podman": ["info"], "buildah": ["info"], "docker": ["info"]}  # fails without a daemon or rights


@pytest.fixture(scope="module")
def recipe(root: Path) -> str:
    return (root / "Containerfile").read_text(encoding="utf-8")


def copied(recipe: str) -> set[str]:
    lines = [line.split()[1:-1] for line in recipe.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return {name for names in lines for name in names}


def test_it_copies_what_the_build_needs(root: Path, recipe: str) -> None:
    setup: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {folder.partition("/")[0] for folder in setup["package-dir"].values()}
    names = copied(recipe)
    assert packages | {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert all((root / name).exists() for name in names)
    assert '"edge' in (root / "pyproject.toml").read_text(encoding="utf-8") and "'.[edge]'" in recipe


def test_nothing_else_is_sent_to_the_builder(root: Path, recipe: str) -> None:
    for file in (".containerignore", ".dockerignore"):
        lines = (root / file).read_text(encoding="utf-8").splitlines()
        assert lines[0] == "*" and {line[1:] for line in lines if line.startswith("!")} == copied(recipe)


def test_the_command_and_the_port_are_those_of_the_pages(root: Path, recipe: str) -> None:
    assert re.search(r'^ENTRYPOINT \["edgequake-edge"\]$', recipe, re.MULTILINE)
    (port,) = re.findall(r"^EXPOSE (\d+)/udp$", recipe, re.MULTILINE)
    assert f"shake://0.0.0.0:{port}/" in (root / "docs/install.md").read_text(encoding="utf-8")


def builder() -> list[str]:
    """Return the words that build an image; skip where there is none that works."""
    reasons = []
    for name, words in CHECKS.items():
        if shutil.which(name) is None:
            continue
        found = subprocess.run([name, *words], capture_output=True, text=True)
        if found.returncode == 0:
            return [name, "bud" if name == "buildah" else "build"]
        reasons.append(f"{name}: {(found.stderr or found.stdout).strip().splitlines()[-1]}")
    pytest.skip("no builder of images: " + ("; ".join(reasons) or "neither podman nor buildah nor docker"))


@pytest.mark.slow
def test_the_image_is_built_and_runs(root: Path, tmp_path: Path) -> None:
    program, build = builder()
    base = BASE or "docker.io/library/python:3.11-slim-bookworm"
    pulled = subprocess.run([program, "pull", "-q", base], capture_output=True, text=True)
    if pulled.returncode != 0:
        pytest.skip(f"the base image {base} is not to be had: {pulled.stderr.strip().splitlines()[-1]}")
    tag = "localhost/edgequake-test"
    words = [program, build, "--build-arg", f"BASE={base}", "--file", "Containerfile", "--tag", tag, "."]
    built = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    if program == "buildah":
        made = subprocess.run([program, "from", tag], capture_output=True, text=True, check=True).stdout.strip()
        run = [program, "run", made, "--", "edgequake-edge"]
    else:
        run = [program, "run", "--rm", tag]
    said = subprocess.run([*run, "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.startswith("edgequake "), said.stderr
