"""PhaseNet's forward pass gives the outputs that its own TensorFlow graph gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.detectors.phasenet import PhaseNet, PickCurve, normalised
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

WEIGHTS, GOLDEN = "phasenet_190703_weights.npz", "phasenet_190703_golden.npz"


@pytest.fixture(scope="module")
def peers(records_dir: Path) -> Path:
    folder = records_dir.parent / "peers"
    if not (folder / WEIGHTS).is_file():
        pytest.skip(f"no weights of PhaseNet in {folder}")
    return folder


@pytest.mark.slow
@pytest.mark.records
def test_outputs_are_those_of_the_published_graph(peers: Path, records_dir: Path) -> None:
    network = PhaseNet.load(peers / WEIGHTS)
    with np.load(peers / GOLDEN) as golden:
        inputs = {"out_random": golden["in_random"]}
        for name in golden.files:
            if name.endswith(".npz"):
                with np.load(records_dir / "earth" / "phasenet" / name.removeprefix("out_")) as file:
                    inputs[name] = normalised(np.asarray(file["data"][1500:4500], np.float32)[None])[0]
        assert len(inputs) == 5
        for name, windows in inputs.items():
            assert np.max(np.abs(network.probabilities(windows[None])[0] - golden[name])) < 1e-4, name


def test_a_pick_is_the_peak_of_p_and_what_is_kept_covers_p_and_s() -> None:
    values = np.zeros((3000, 2), np.float32)
    values[1000:1011, 0] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1]
    values[1500:1503, 1] = 0.6
    found = PickCurve("earth", 5 * NS_PER_S, values).at(0.3)
    assert found.onsets_ns == (round(15.05 * NS_PER_S),)
    assert found.kept == (
        (round(10.02 * NS_PER_S), round(25.09 * NS_PER_S)),  # 5 s before to 10 s after
        (round(15.0 * NS_PER_S), round(30.03 * NS_PER_S)),
    )


def test_a_file_without_the_weights_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", kernel=np.zeros(3))
    with pytest.raises(DataError, match="holds no weights of PhaseNet"):
        PhaseNet.load(tmp_path / "other.npz")
    with pytest.raises(DataError, match="cannot be read as PhaseNet's weights"):
        PhaseNet.load(tmp_path / "missing.npz")
