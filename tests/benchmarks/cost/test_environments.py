"""Environments to measure in: their runtimes, of which only one is used at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgequake.benchmarks.cost import environments
from edgequake.benchmarks.cost.environments import PythonEnvironment, code_sha256, find_environments
from edgequake.edge.base.errors import ConfigError, ModelError
from edgequake.edge.detection.network import import_runtime


def test_this_environment_has_the_runtime_that_a_run_uses() -> None:
    first = find_environments()[0]
    assert first.python == sys.executable
    assert first.runtime == import_runtime()[1]
    assert first.versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert {"numpy", "pymseed", "edgequake"} <= set(first.packages)


def test_each_of_two_runtimes_is_hidden_from_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    described = {
        "code": code_sha256(),
        "runtimes": {"tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"},
        "versions": {},
        "packages": [],
    }
    monkeypatch.setattr(environments, "_ask", lambda python: described)
    found = {device.runtime: device.hidden for device in find_environments(["some/python"])}
    assert found == {"tflite-runtime 2.14.0": ("ai_edge_litert",), "ai-edge-litert 2.3.0": ("tflite_runtime",)}


def test_a_hidden_runtime_cannot_be_imported(tmp_path: Path) -> None:
    """The step process finds no runtime if all are hidden, and reports what to install."""
    none = PythonEnvironment(sys.executable, "none", tuple(environments.IMPORT_NAMES.values()), {}, ())
    with pytest.raises(ModelError, match="no TFLite runtime is installed"):
        none.measure("step", "moon", "int8", "100", "1")
    (module,) = [
        name for name in environments.IMPORT_NAMES.values() if name == import_runtime()[0].__name__.split(".")[0]
    ]
    others = tuple(name for name in environments.IMPORT_NAMES.values() if name != module)
    one = PythonEnvironment(sys.executable, "one", others, {}, ())
    raw = one.measure("step", "moon", "int8", "100", "1")
    assert raw["runtime"] == import_runtime()[1]
    assert raw["steps"]["1"]["p50"] > 0 and raw["kernel_us"] > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"code": "0" * 64}, "has another edgequake than this one"), ({"runtimes": {}}, "has no TFLite runtime")],
)
def test_unusable_environments_are_refused(
    changes: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = {"code": code_sha256(), "runtimes": {"tflite-runtime": "2.14.0"}, "versions": {}, "packages": []}
    monkeypatch.setattr(environments, "_ask", lambda python: described | changes)
    with pytest.raises(ConfigError, match=words):
        find_environments(["some/python"])


def test_no_interpreter_and_no_edgequake_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere cannot be run"):
        find_environments([str(tmp_path / "nowhere")])
    deaf = tmp_path / "python"
    deaf.write_text("#!/bin/sh\necho 'No module named edgequake' >&2\nexit 1\n")
    deaf.chmod(0o755)
    with pytest.raises(ConfigError, match=r"cannot be used as an environment: .* No module named edgequake"):
        find_environments([str(deaf)])
