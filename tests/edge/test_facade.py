"""The names of `edgequake.edge`: each one resolves, and importing the package imports none of their modules."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import edgequake.edge as edge
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.row_network import RowNetwork
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, load_manifest
from edgequake.edge.runner import RunConfig, run

NAMES = {
    "Detector": Detector,
    "Manifest": Manifest,
    "RowNetwork": RowNetwork,
    "RunConfig": RunConfig,
    "Trace": Trace,
    "load_manifest": load_manifest,
    "run": run,
}


def test_every_name_is_that_of_its_module() -> None:
    assert sorted(edge.__all__) == sorted(NAMES)
    for name, value in NAMES.items():
        assert getattr(edge, name) is value and name in dir(edge)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'edgequake\.edge' has no attribute 'nothing'"):
        edge.nothing  # noqa: B018


def test_no_module_has_one_of_these_names() -> None:
    assert not {module.name for module in pkgutil.iter_modules(edge.__path__)} & set(NAMES)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import edgequake.edge", {"edgequake", "edgequake._version", "edgequake.edge"}),
        ("from edgequake.edge import *; import sys; assert callable(run)", {"edgequake.edge.runner", "numpy"}),
    ],
)
def test_importing_the_package_imports_nothing_else(statement: str, expected: set[str]) -> None:
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in answer.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    if "*" in statement:
        assert loaded >= expected
    else:
        assert loaded == expected
