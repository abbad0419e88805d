"""Environments to measure in: which runtimes they have, and that only one of them is used at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgequake.benchmarks.cost import environments
from edgequake.benchmarks.cost.environments import Device, code_sha256, find_devices
from edgequake.edge.base.errors import ConfigError, ModelError
from edgequake.edge.detection.network import import_runtime


def test_this_environment_is_a_device_of_the_runtime_that_a_run_takes() -> None:
    first = find_devices()[0]
    assert first.python == sys.executable
    assert first.runtime == import_runtime()[1]
    assert first.versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert {"numpy", "pymseed", "edgequake"} <= set(first.packages)


def test_each_of_two_runtimes_is_hidden_from_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "code": code_sha256(),
        "runtimes": {"tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"},
        "versions": {},
        "packages": [],
    }
    monkeypatch.setattr(environments, "_ask", lambda python: told)
    found = {device.runtime: device.hidden for device in find_devices(["some/python"])}
    assert found == {"tflite-runtime 2.14.0": ("ai_edge_litert",), "ai-edge-litert 2.3.0": ("tflite_runtime",)}


def test_what_is_hidden_cannot_be_imported(tmp_path: Path) -> None:
    """The process of the step timer finds no runtime where all are hidden, and says what to install."""
    none = Device(sys.executable, "none", tuple(environments.IMPORT_NAMES.values()), {}, ())
    with pytest.raises(ModelError, match="no TFLite runtime is installed"):
        none.measure("edgequake.benchmarks.cost.step_process", "moon", "int8", "100", "1")
    (module,) = [
        name for name in environments.IMPORT_NAMES.values() if name == import_runtime()[0].__name__.split(".")[0]
    ]
    others = tuple(name for name in environments.IMPORT_NAMES.values() if name != module)
    one = Device(sys.executable, "one", others, {}, ())
    raw = one.measure("edgequake.benchmarks.cost.step_process", "moon", "int8", "100", "1")
    assert raw["runtime"] == import_runtime()[1]
    assert raw["steps"]["1"]["p50"] > 0 and raw["kernel_us"] > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"code": "0" * 64}, "has another edgequake than this one"), ({"runtimes": {}}, "has no TFLite runtime")],
)
def test_environments_that_do_not_do_are_refused(
    changes: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"code": code_sha256(), "runtimes": {"tflite-runtime": "2.14.0"}, "versions": {}, "packages": []}
    monkeypatch.setattr(environments, "_ask", lambda python: told | changes)
    with pytest.raises(ConfigError, match=words):
        find_devices(["some/python"])


def test_no_interpreter_and_no_edgequake_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere cannot be run"):
        find_devices([str(tmp_path / "nowhere")])
    deaf = tmp_path / "python"
    deaf.write_text("#!/bin/sh\necho 'No module named edgequake' >&2\nexit 1\n")
    deaf.chmod(0o755)
    with pytest.raises(ConfigError, match=r"does not do for a device: .* No module named edgequake"):
        find_devices([str(deaf)])
