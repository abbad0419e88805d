"""Saved states of the detector in C: what is damaged is refused, and the state stays as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.export_c.host_library import FLAGS

from .exports import Exported
from .scenes import Scene, facts, traces

Export = Callable[[str], Exported]


def with_core(state: dict[str, Any], core: bytes) -> dict[str, Any]:
    """Return a state with other bytes of the detector in C."""
    return {**state, "core": np.frombuffer(core, np.uint8)}


@pytest.fixture(scope="module")
def halfway(exported: Export) -> tuple[Exported, dict[str, Any]]:
    """Return a model, and the state of its detector in the middle of a record."""
    model = exported("earth")
    c = model.c_detector(0.4)
    c.push(*traces(Scene(21, 300, rates=(5, 1)), model.manifest))
    return model, dict(c.state())


def test_every_flipped_byte_is_refused(halfway: tuple[Exported, dict[str, Any]]) -> None:
    model, state = halfway
    core = state["core"].tobytes()
    c = model.c_detector(0.9)
    before = c.state()["core"].tobytes()
    rng = np.random.default_rng(5)
    places = {*range(64), *rng.integers(0, len(core), 100).tolist(), len(core) - 1}
    for place in places:
        damaged = bytearray(core)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(ModelError, match="damaged, or of another model"):
            c.restore(with_core(state, bytes(damaged)))
    assert c.state()["core"].tobytes() == before


def test_every_other_length_is_refused(halfway: tuple[Exported, dict[str, Any]]) -> None:
    model, state = halfway
    core = state["core"].tobytes()
    for n in (0, 1, 19, 20, 21, len(core) // 2, len(core) - 1):
        with pytest.raises(ModelError):
            model.c_detector(0.9).restore(with_core(state, core[:n]))
    with pytest.raises(ModelError):
        model.c_detector(0.9).restore(with_core(state, core + b"\0"))


def test_another_models_state_is_refused(halfway: tuple[Exported, dict[str, Any]], exported: Export) -> None:
    with pytest.raises(ModelError):
        exported("moon").c_detector(0.5).restore(halfway[1])


def test_a_state_taken_over_goes_on_as_the_first(halfway: tuple[Exported, dict[str, Any]]) -> None:
    model, state = halfway
    later = [
        replace(trace, start_ns=trace.start_ns + 200 * NS_PER_S)
        for trace in traces(Scene(22, 500, rates=(5, 1)), model.manifest)
    ]
    found = []
    for _ in range(2):
        c = model.c_detector(0.4)
        c.restore(state)
        assert c.state()["core"].tobytes() == state["core"].tobytes()
        found.append(facts([*c.push(*later), *c.finish()]))
    assert found[0] == found[1] != []


@pytest.mark.parametrize("name", ["mars", "earth"])
def test_plain_c_and_the_hosts_vector_code_leave_the_same_state(name: str, exported: Export, tmp_path: Path) -> None:
    """Bit for bit: the vector code is another order of the same operations (without AVX2 both are plain C)."""
    model = exported(name)
    for path in model.folder.rglob("*.[ch]"):
        to = tmp_path / path.relative_to(model.folder)
        to.parent.mkdir(exist_ok=True, parents=True)
        to.write_bytes(path.read_bytes())
    flags = [*FLAGS[:1], "-O1", *FLAGS[2:], "-DEQ_PLAIN_C", "-fPIC", "-shared"]
    subprocess.run(["cc", *flags, f"eq_{name}_host.c", "-o", "plain.so"], cwd=tmp_path, check=True)
    records = traces(Scene(6, 220), model.manifest)
    states = []
    for library in (model.library, CLibrary(tmp_path / "plain.so")):
        c = CDetector(library, 0.1)
        c.push(*records)
        states.append(c.state()["core"].tobytes())
    assert states[0] == states[1]
