"""Fixtures for the tests of what flies: the shipped model, a synthesised quake, and a writer of odd records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymseed
import pytest

from edgequake import synthetic
from edgequake.edge.manifest import Manifest, Variant, load_manifest, read_graph, shipped_models

T0_NS = synthetic.DAY_START_NS
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def moon_path() -> Path:
    """Return the path of the shipped moon model's manifest."""
    return shipped_models()["moon"]


@pytest.fixture(scope="session")
def moon(moon_path: Path) -> tuple[Manifest, bytes, Variant]:
    """Return the shipped moon model: manifest, graph, variant."""
    manifest, folder = load_manifest(moon_path)
    variant, graph = read_graph(manifest, folder)
    return manifest, graph, variant


@pytest.fixture(scope="session")
def quake() -> synthetic.SyntheticRecord:
    """Return three channels, two and a half hours, with tears, lost samples, spikes and one strong moonquake."""
    return synthetic.synthetic_record(np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)


@pytest.fixture(scope="session")
def quake_file(quake: synthetic.SyntheticRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of `quake`; tests must not change it."""
    return synthetic.write_miniseed(quake, tmp_path_factory.mktemp("quake") / "xx.lun.00.2030-01-01.mseed")


@pytest.fixture
def noise() -> np.ndarray:
    """Return 50 minutes of quiet, int32, at 6.625 Hz."""
    return np.rint(512 + 3 * np.random.default_rng(1).standard_normal(20_000)).astype(np.int32)


@pytest.fixture
def loud(quake: synthetic.SyntheticRecord) -> np.ndarray:
    """Return one channel of `quake`: two and a half hours at 6.625 Hz, int32, that hold an event for any model."""
    return quake.samples[0]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes or appends one channel's samples to a miniSEED file under `tmp_path`."""

    def write_one(
        name: str,
        samples: np.ndarray,
        *,
        start_ns: int = T0_NS,
        rate_hz: float = synthetic.SAMPLING_RATE_HZ,
        source_id: str = "FDSN:XX_LUN_00_M_H_Z",
        record_bytes: int = 512,
        version: int = 2,
    ) -> Path:
        sample_type, encoding = {
            "int32": ("i", pymseed.DataEncoding.STEIM2),
            "float32": ("f", pymseed.DataEncoding.FLOAT32),
            "float64": ("d", pymseed.DataEncoding.FLOAT64),
        }[samples.dtype.name]
        record = pymseed.MS3Record(reclen=record_bytes, encoding=encoding)
        record.formatversion, record.sourceid, record.samprate, record.starttime = version, source_id, rate_hz, start_ns
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(record.generate(samples, sample_type)))
        return path

    return write_one
