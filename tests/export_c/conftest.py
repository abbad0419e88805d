"""Fixtures for the tests of the C export: each shipped model, as exported and as a library for this machine."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequake.edge.detection.c_library import CLibrary
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions, exact_rates_hz

from .exports import Exported


@pytest.fixture(scope="session")
def compiler() -> str:
    """Return a C compiler; the tests are skipped without one, unless EDGEQUAKE_REQUIRE_C says that it must be there."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        assert not os.environ.get("EDGEQUAKE_REQUIRE_C"), "no C compiler, and EDGEQUAKE_REQUIRE_C is set"
        pytest.skip("no C compiler")
    return found


@pytest.fixture(scope="session")
def exported(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Return a function that exports and compiles a model, once."""
    made: dict[str, Exported] = {}

    def export(name: str) -> Exported:
        if name not in made:
            manifest, source = load_manifest(name)
            variant, graph = read_graph(manifest, source, "int8")
            folder = tmp_path_factory.mktemp(name)
            options = ExportOptions(3, exact_rates_hz(manifest), 3600.0, refinement=False)
            result = export_model(name, folder, options, build=True)
            assert result.library is not None
            plain = dataclasses.replace(manifest, classes=None)
            made[name] = Exported(plain, variant, graph, CLibrary(Path(result.library)), folder)
        return made[name]

    return export
