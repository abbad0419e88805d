"""Every graph is invoked in tflite-runtime 2.14, in a process of its own, where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgequake.convert.verification import runtime_check
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import load_manifest


def shipped_graph() -> Path:
    manifest, folder = load_manifest("moon")
    return folder / manifest.variants[manifest.default_variant].file


def test_a_graph_is_invoked_and_the_runtime_named() -> None:
    pytest.importorskip("tflite_runtime")
    assert runtime_check.invoke([shipped_graph()]) == "tflite-runtime 2.14.0"


def test_a_graph_that_the_runtime_refuses_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tflite_runtime")
    cut = tmp_path / "cut.int8.tflite"
    cut.write_bytes(shipped_graph().read_bytes()[:500])
    with pytest.raises(
        ModelError, match=r"^tflite-runtime in .* cannot run cut\.int8\.tflite: .*; convert another"
    ) as caught:
        runtime_check.invoke([shipped_graph(), cut])
    assert "\n" not in str(caught.value)


def test_a_graph_that_the_runtime_refuses_is_left_out_alone(tmp_path: Path) -> None:
    pytest.importorskip("tflite_runtime")
    cut, left_out = tmp_path / "cut.int8.tflite", dict[Path, str]()
    cut.write_bytes(shipped_graph().read_bytes()[:500])
    assert runtime_check.invoke([cut, shipped_graph()], left_out) == "tflite-runtime 2.14.0"
    assert list(left_out) == [cut] and "cannot run cut.int8.tflite" in left_out[cut]


def test_a_lander_interpreter_is_used_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_check, "find_spec", lambda name: None)
    monkeypatch.setenv(runtime_check.LANDERS, f"tflite-runtime={sys.executable};ai-edge-litert=/nowhere/python")
    assert runtime_check.runtime_python() == sys.executable
    monkeypatch.setenv(runtime_check.LANDERS, "tflite-runtime=no Python 3.11 here;ai-edge-litert=/nowhere/python")
    assert runtime_check.runtime_python() is None
    monkeypatch.delenv(runtime_check.LANDERS)
    assert runtime_check.invoke([shipped_graph()]) is None


def test_an_abort_of_the_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_check, "find_spec", lambda name: True)
    monkeypatch.setattr(
        runtime_check, "_SCRIPT", "import os, sys; print(sys.argv[1], file=sys.stderr, flush=True); os.abort()"
    )
    with pytest.raises(ModelError, match=r"cannot run moon\..*\.tflite: signal 6; convert another variant"):
        runtime_check.invoke([shipped_graph()])
