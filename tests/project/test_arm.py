"""The aarch64 wheels, under user-mode emulation, give the results of the x86-64 wheels in the tests' own Python.

`make arm` builds the guest (tests/project/arm_userland.sh), names its Python in EDGEQUAKE_ARM_PYTHON and prints what
was the same. Nothing here says how fast a board is: emulated times mean nothing.
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
from edgequake.edge.results.catalog import read_catalog
from edgequake.synthetic.synthetic_dataset import write_day

REAL_RECORD = Path("moon") / "xa.s14.00.1973-06-30.mseed"  # three channels, gaps, three events
# A rounding tie in the graph changes an int8 probability by one or two units in a few steps (measured: 4 of 8 941).
UNIT = 1 / 256
LARGEST_TIE_UNITS = 2
SHARE_OF_TIES = 0.005

PROBABILITIES = """
import sys
from pathlib import Path
import numpy as np
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.detection import network
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.features.front_end import station_rows

manifest, folder = load_manifest("moon")
variant, graph = read_graph(manifest, folder, "int8")
index = index_file(Path(sys.argv[1]))
traces = read_indexed(index, index.headers, Diagnostics())
rows = station_rows(manifest.front_end, manifest.sampling_rate_hz, traces).rows
steps = rows.reshape(-1, manifest.network.rows_per_step, manifest.network.n_features)
default = network.StepNetwork(manifest, graph, variant).run(steps)

def load_with_reference_kernels(graph, n_threads=1):
    module, name = import_runtime()
    kernels = module.OpResolverType.BUILTIN_REF
    interpreter = module.Interpreter(model_content=graph, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter, name

network.load_interpreter = load_with_reference_kernels
reference = network.StepNetwork(manifest, graph, variant).run(steps[:2000])
np.savez(sys.argv[2], rows=rows, default=default, reference=reference)
"""


@pytest.fixture(scope="module")
def guest() -> str:
    """Return the guest's Python; without one, the tests are skipped with instructions."""
    python = os.environ.get("EDGEQUAKE_ARM_PYTHON", "")
    if not Path(python).is_file():
        pytest.skip(f"no aarch64 Python in EDGEQUAKE_ARM_PYTHON ({python or 'not set'}): `make arm` builds one")
    return python


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic lunar day: three channels, four moonquakes, gaps, spikes."""
    return write_day(tmp_path_factory.mktemp("synthesised") / "day", seed=1)


def run_python(python: str, *arguments: str) -> str:
    """Run an interpreter outside the checkout and without this environment's paths; return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd="/", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_same_events(python: str, record: Path, folder: Path) -> None:
    """Run a record here and there; the same events, and segments byte for byte where a tie did not move their ends.

    Prints whether catalogue and segments are the same bytes, and each row that is not.
    """
    ours, theirs = folder / "here", folder / "there"
    for interpreter, out in ((sys.executable, ours), (python, theirs)):
        command = ("-m", "edgequake.edge", "run", str(record), "--variant", "int8", "--out", str(out))
        run_python(interpreter, *command)
    manifest, _ = load_manifest("moon")
    frame_ns = manifest.front_end.hop_samples / manifest.sampling_rate_hz * 1e9
    rows, found = read_catalog(ours / "catalog.csv"), read_catalog(theirs / "catalog.csv")
    assert len(found) == len(rows) >= 1
    for mine, row in zip(rows, found, strict=True):
        assert row.station_id == mine.station_id and row.channels == mine.channels
        assert abs(row.onset_ns - mine.onset_ns) <= frame_ns
        assert abs(row.stop_ns - mine.stop_ns) <= frame_ns
        assert row.peak_probability == pytest.approx(mine.peak_probability, abs=LARGEST_TIE_UNITS * UNIT)
        if (row.onset_ns, row.stop_ns) == (mine.onset_ns, mine.stop_ns):
            assert (theirs / row.segment).read_bytes() == (ours / mine.segment).read_bytes()
    summary = json.loads((theirs / "summary.json").read_text())
    same = (ours / "catalog.csv").read_bytes() == (theirs / "catalog.csv").read_bytes()
    n_same = sum(_same_bytes(path, theirs / "segments" / path.name) for path in (ours / "segments").iterdir())
    print(f"{record.name}, {summary['runtime']}: {len(rows)} events; catalog.csv", "the same" if same else "differs")
    print(f"segments: {n_same} of {len(summary['segments'])} the same, byte for byte")
    for mine, row in zip(rows, found, strict=True):
        if row != mine:
            print(f"here  {mine}\nthere {row}")


def _same_bytes(path: Path, other: Path) -> bool:
    return other.is_file() and path.read_bytes() == other.read_bytes()


def test_the_guest_has_the_versions_of_a_board(guest: str) -> None:
    script = (
        "import json, platform; from importlib.metadata import version;"
        "import edgequake.edge.formats.miniseed, edgequake.edge;"
        "from edgequake.edge.detection.network import import_runtime;"
        "print(json.dumps([platform.machine(), import_runtime()[1], version('numpy'), edgequake.edge.__file__]))"
    )
    machine, runtime, numpy, package = json.loads(run_python(guest, "-c", script))
    assert machine == "aarch64"
    assert runtime.startswith("tflite-runtime 2.14") and numpy.startswith("1.")
    assert Path(package).is_relative_to(Path(guest).parent)


def test_rows_are_identical_and_probabilities_differ_only_by_ties(guest: str, day: Path, tmp_path: Path) -> None:
    arrays = {}
    for name, python in (("here", sys.executable), ("there", guest)):
        run_python(python, "-c", PROBABILITIES, str(day), str(tmp_path / f"{name}.npz"))
        arrays[name] = np.load(tmp_path / f"{name}.npz")
    ours, theirs = arrays["here"], arrays["there"]
    assert ours["rows"].dtype == np.float32 and len(ours["rows"]) > 8000
    np.testing.assert_array_equal(theirs["rows"], ours["rows"])
    assert len(np.unique(ours["reference"])) > 10
    np.testing.assert_array_equal(theirs["reference"], ours["reference"])
    differences = np.abs(theirs["default"] - ours["default"])
    n_ties = int((differences > 0).any(axis=1).sum())
    print(
        f"front end: {ours['rows'].size} values, reference kernels: {len(ours['reference'])} steps, all the same bits"
    )
    print(f"default kernels: {n_ties} of {len(differences)} steps differ, by {differences.max() / UNIT:g}/256 at most")
    assert n_ties <= SHARE_OF_TIES * len(differences)
    assert differences.max() <= LARGEST_TIE_UNITS * UNIT


def test_a_synthetic_day(guest: str, day: Path, tmp_path: Path) -> None:
    assert_same_events(guest, day, tmp_path)


@pytest.mark.records
def test_a_recorded_lunar_day(guest: str, records_dir: Path, tmp_path: Path) -> None:
    assert_same_events(guest, records_dir / REAL_RECORD, tmp_path)
