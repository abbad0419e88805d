"""Environments like that of a lander (numpy, a TFLite runtime, pymseed and the wheel) give the same results.

`make test` builds them and names their interpreters in EDGEQUAKE_LANDER_PYTHONS, as NAME=PATH or NAME=REASON, joined
by ';' (tests/project/lander_environments.sh). The environment of the tests themselves is compared with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

LANDERS = ("tflite-runtime", "ai-edge-litert")
# pymseed brings cffi and orjson; ai-edge-litert has so many dependencies that only the smaller environment is listed.
ALLOWED = {
    "tflite-runtime": {
        "edgequake",
        "numpy",
        "tflite-runtime",
        "pymseed",
        "cffi",
        "orjson",
        "pycparser",
        "pip",
        "setuptools",
    },
}
PROBABILITIES = """
import hashlib, json, sys
import numpy as np
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.detection.network import StepNetwork

manifest, folder = load_manifest("moon")
variant, graph = read_graph(manifest, folder)
network = StepNetwork(manifest, graph, variant)
probabilities = np.stack([network.step(rows) for rows in np.load(sys.argv[1])])
print(json.dumps([network.runtime, np.__version__, hashlib.sha256(probabilities.tobytes()).hexdigest()]))
"""


def interpreter_of(lander: str) -> str:
    """Return the Python of a lander environment; without one, the test is skipped with the reason."""
    listed = dict(item.partition("=")[::2] for item in os.environ.get("EDGEQUAKE_LANDER_PYTHONS", "").split(";"))
    python = listed.get(lander, "EDGEQUAKE_LANDER_PYTHONS does not name it; `make test` builds it")
    if not Path(python).is_file():
        pytest.skip(f"no environment with {lander}: {python}")
    return python


def run_python(python: str, *arguments: str) -> str:
    """Run an interpreter outside the checkout and without this environment's paths; return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd="/", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six hours with two clear moonquakes, gaps and spikes."""
    made = synthetic_record(np.random.default_rng(11), 6 * 3600.0, [5400.0, 14400.0], ratios=[20.0, 10.0])
    return write_miniseed(made, tmp_path_factory.mktemp("record") / "record.mseed")


@pytest.fixture(scope="module")
def reference(record: Path, tmp_path_factory: pytest.TempPathFactory) -> list[CatalogRow]:
    """Return the catalogue of this environment."""
    return catalogue(sys.executable, record, tmp_path_factory.mktemp("reference"))


def catalogue(python: str, record: Path, out: Path) -> list[CatalogRow]:
    run_python(python, "-m", "edgequake.edge", "run", str(record), "--out", str(out))
    return read_catalog(out / "catalog.csv")


@pytest.mark.parametrize("lander", LANDERS)
def test_a_lander_environment_finds_the_same_events(
    lander: str, record: Path, reference: list[CatalogRow], tmp_path: Path
) -> None:
    found = catalogue(interpreter_of(lander), record, tmp_path)
    manifest, _ = load_manifest("moon")
    frame_ns = manifest.front_end.hop_samples / manifest.sampling_rate_hz * 1e9
    assert len(reference) >= 1
    assert len(found) == len(reference)
    for ours, theirs in zip(reference, found, strict=True):
        assert theirs.station_id == ours.station_id
        assert abs(theirs.onset_ns - ours.onset_ns) <= frame_ns
        assert abs(theirs.stop_ns - ours.stop_ns) <= frame_ns
        assert theirs.peak_probability == pytest.approx(ours.peak_probability, abs=0.05)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert lander in summary["runtime"]
    assert len(list((tmp_path / "segments").glob("*.mseed"))) == len({row.segment for row in found})


def test_int8_probabilities_are_identical_in_both(tmp_path: Path) -> None:
    manifest, _ = load_manifest("moon")
    if manifest.default_variant != "int8":
        pytest.skip(f"the shipped variant is {manifest.default_variant}: only int8 promises the same bits")
    network = manifest.network
    rng = np.random.default_rng(12)
    rows = rng.normal(0.0, 0.5, (2000, network.rows_per_step, network.n_features)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    answers = [
        json.loads(run_python(python, "-c", PROBABILITIES, str(tmp_path / "rows.npy")))
        for python in (sys.executable, *map(interpreter_of, LANDERS))
    ]
    assert len({runtime.partition(" ")[0] for runtime, _, _ in answers}) == 2
    assert {int(numpy.partition(".")[0]) for _, numpy, _ in answers[1:]} == {1, 2}
    assert len({digest for _, _, digest in answers}) == 1


@pytest.mark.parametrize("lander", sorted(ALLOWED))
def test_a_lander_environment_contains_nothing_else(lander: str) -> None:
    listed = json.loads(run_python(interpreter_of(lander), "-m", "pip", "list", "--format", "json"))
    assert {package["name"].lower().replace("_", "-") for package in listed} <= ALLOWED[lander]
