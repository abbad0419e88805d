"""The site of docs/: built strictly, so that no link and no anchor leads nowhere, with every page in a group."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import typer

from edgequake.commands.app import app

GROUPS = ("Tutorials", "How to", "Reference", "Explanation")
REQUIRED = "EDGEQUAKE_REQUIRE_SITE"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _tools() -> None:
    """Skip the tests where the site cannot be built, unless it must be."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        if not os.environ.get(REQUIRED):
            pytest.importorskip(name, reason="building the site needs: pip install 'edgequake[docs]'")
        importlib.import_module(name)


def build(root: Path, out: Path) -> Path:
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    config = load_config(str(root / "mkdocs.yml"), site_dir=str(out))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        mkdocs_build(config)
    finally:
        config.plugins.on_shutdown()
    return out


@pytest.mark.slow
def test_every_page_is_built_and_in_a_group(root: Path, tmp_path: Path) -> None:
    """In one test, so that the site is built once; a warning of a link or an anchor ends the build."""
    site = build(root, tmp_path)
    pages = {path.stem for path in (root / "docs").glob("*.md")} | {"cli"}
    assert {path.stem for path in site.glob("*.html")} == pages | {"404"}
    listed = (root / "docs/index.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", listed, re.MULTILINE)
    assert tuple(titles) == GROUPS
    groups = re.split(
        r"^  - (.*):$", (root / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2], flags=re.M
    )
    assert tuple(groups[1::2]) == GROUPS
    sections = re.split(r"^## .*$", listed, flags=re.MULTILINE)[1:]
    for section, pages_of_group in zip(sections, groups[2::2], strict=True):
        assert set(re.findall(r"\(([\w-]+\.md)[)#]", section)) == set(re.findall(r"- ([\w-]+\.md)", pages_of_group))
    _check_pages_from_the_source(site)


def _check_pages_from_the_source(site: Path) -> None:
    text = (site / "cli.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f'id="edgequake-{name}"' in text
        subcommands = getattr(command, "commands", {})
        assert all(f'id="edgequake-{name}-{sub}"' in text for sub in subcommands)
    assert "--archive-bytes" in text and "--false-per-day" in text
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in ("load_model", "QuakeModel.classify", "Detector.feed", "EventList.to_catalog", "rows"):
        assert re.search(rf'id="edgequake\.[\w.]*{name}"', api), name
    assert "onset probability that declares an event, 0..1, in their place." in api


def test_a_link_that_leads_nowhere_is_refused(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the rules of mkdocs.yml, and a theme that is built faster."""
    from mkdocs.exceptions import MkDocsException

    text = (root / "mkdocs.yml").read_text(encoding="utf-8")
    assert "\nstrict: true\n" in text
    (rules,) = re.findall(r"(?<=\n)validation:\n(?:  .*\n)+", text)
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\nstrict: true\n{rules}nav: [index.md]\nplugins: []\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Title\n\n[a](nowhere.md) [b](index.md#no-heading)\n")
    (tmp_path / "docs/omitted.md").write_text("# In no group\n")
    with pytest.raises(MkDocsException, match="3 warnings in strict mode"):
        build(tmp_path, tmp_path / "site")
    assert all(name in caplog.text for name in ("nowhere.md", "#no-heading", "omitted.md"))


def test_a_link_out_of_the_pages_needs_its_file(root: Path) -> None:
    from mkdocs.exceptions import PluginError

    hooks, config = (
        load(root / "docs/site_hooks.py"),
        SimpleNamespace(config_file_path=root / "mkdocs.yml", repo_url=""),
    )
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    assert hooks.on_page_markdown("see [the runner](../edge/runner.py)", page, config, ()) == "see `the runner`"
    with pytest.raises(PluginError, match=r"index\.md: \.\./nowhere\.py does not exist"):
        hooks.on_page_markdown("see [c](../nowhere.py)", page, config, ())


def test_docstrings_say_what_parameters_are(root: Path) -> None:
    numpydoc: Callable[[str], Any] = load(root / "docs/site_docstrings.py").numpydoc
    text = "Do it.\n\nParameters\n----------\na, b : what they\n    are.\nRaises\n------\nE\n    not: this"
    assert numpydoc(text) == text.replace("a, b : what they", "a, b\n    what they")
