"""Footprint: sizes compared with the files, the arena with a plan, memory with other measurements."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.cost.footprint import bench_footprint
from edgequake.benchmarks.cost.footprint_process import installed_bytes, largest_extent
from edgequake.convert.inspection.inspection import inspect_model
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.results.tables.report_text import report_text

DTYPE_BYTES = {"int8": 1, "int16": 2, "float32": 4}


@pytest.mark.long
def test_the_shipped_model_s_footprint() -> None:
    report = bench_footprint(["moon"], n_rounds=1, planned_arena=lambda *model: inspect_model(*model).arena_bytes)
    (found,) = report.models
    manifest, folder = load_manifest("moon")
    described, graph = read_graph(manifest, folder)
    assert found.model.size_bytes == len(graph)
    assert found.manifest_bytes == (folder / "moon.json").stat().st_size
    by_hand = sum(
        int(np.prod(state.shape)) * DTYPE_BYTES[described.quantization[described.state_inputs[state.name]].dtype]
        for state in manifest.network.states
    )
    assert found.state_bytes == by_hand
    assert found.planned_arena_bytes is not None
    assert 0.5 * found.planned_arena_bytes < found.arena_bytes < 2 * found.planned_arena_bytes
    stages = [found.resident_bytes[stage] for stage in ("interpreter", "imported", "loaded")]
    assert stages == sorted(stages) and stages[0] < 30e6 and found.peak_rss_bytes.value > 0.9 * stages[-1]
    (environment,) = report.environments
    assert {"numpy", "pymseed", "edgequake"} < set(environment.imported_bytes)
    assert "pytest" in environment.beside_bytes  # installed here, and not imported on board
    assert report.baselines is not None and "scipy" in report.baselines.imported_bytes
    text = report_text(report)
    assert "extent of the addresses" in text and f"{found.state_bytes} bytes" in text and "obspy" in text


def test_size_of_a_distribution_is_that_of_its_folders() -> None:
    found = installed_bytes([np])["imported"]
    package = Path(np.__file__).parent
    folders = [package, package.with_name("numpy.libs"), package.with_name(f"numpy-{np.__version__}.dist-info")]
    on_disk = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    assert found["numpy"] == pytest.approx(on_disk, rel=0.1)
    assert set(found) == {"numpy", "edgequake"}  # edgequake is what asks


def test_modules_without_a_distribution_are_not_counted() -> None:
    assert set(installed_bytes([sys, pytest])["imported"]) == {"pytest", "edgequake"}


@pytest.mark.parametrize(
    ("places", "length"),
    [
        ([], 0),
        ([(1000, 1016)], 16),
        ([(1016, 1032), (1000, 1016)], 32),
        ([(1000, 1016), (1010, 1012), (1020, 1060)], 60),  # one inside another, a gap of 4
        ([(1000, 1016), (5000, 5100), (5100, 5101)], 101),  # two extents: the longer one
    ],
)
def test_largest_extent_of_addresses_by_hand(places: list[tuple[int, int]], length: int) -> None:
    assert largest_extent(places, apart=100) == length
