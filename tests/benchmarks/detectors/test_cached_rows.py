"""Decisions on cached rows are those of the runner's detector."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.benchmarks.detectors.cached_rows import CachedTracer, KerasTracer, RowCache
from edgequake.benchmarks.detectors.replay import DecisionTrace, DecisionTracer
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.synthetic import synthetic_dataset


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledRecord]:
    folder = tmp_path_factory.mktemp("rows") / "data"
    return load(synthetic_dataset.write_dataset(folder, seed=4, n_train=1, n_val=3, n_test=1), split="val")[1:]


def partial_of(model: str) -> dict[str, Any]:
    """Return the manifest of a shipped model as training began it."""
    values = json.loads(load_manifest(model)[0].to_json())
    for name in ("format", "format_version", "variants", "default_variant"):
        values.pop(name)
    return values


def assert_same(one: DecisionTrace, other: DecisionTrace) -> None:
    assert len(one.streams) == len(other.streams)
    for mine, theirs in zip(one.streams, other.streams, strict=True):
        assert len(mine.runs) == len(theirs.runs) > 0
        for run, expected in zip(mine.runs, theirs.runs, strict=True):
            for field in dataclasses.fields(run):
                np.testing.assert_array_equal(getattr(run, field.name), getattr(expected, field.name), field.name)
        np.testing.assert_array_equal(mine.spans.stop_ns, theirs.spans.stop_ns)


def test_a_converted_model_decides_alike_on_cached_rows(records: list[LabelledRecord], tmp_path: Path) -> None:
    plain, cached = DecisionTracer("moon"), CachedTracer("moon", rows=RowCache(tmp_path))
    for record in records:
        start_ns = random_start_ns(record, 0)
        expected = plain(record, start_ns)
        assert_same(cached(record, start_ns), expected)
        assert_same(cached(record, start_ns), expected)  # from the file
        rise_ns = int(expected.streams[0].runs[0].start_ns[500])
        refined = [trace.streams[0].refine for trace in (cached(record, start_ns), expected)]
        assert refined[0] and refined[1] and refined[0](rise_ns) == refined[1](rise_ns)
    assert len(list(tmp_path.glob("*.npz"))) == len(records)


def test_other_settings_of_the_front_end_have_rows_of_their_own(records: list[LabelledRecord], tmp_path: Path) -> None:
    manifest = load_manifest("moon")[0]
    other = dataclasses.replace(manifest, front_end=dataclasses.replace(manifest.front_end, bridge_s=1.0))
    for one in (manifest, other, manifest):
        RowCache(tmp_path).rows(one, records[0], records[0].start_ns)
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_a_network_in_batches_gives_each_record_its_own_outputs(records: list[LabelledRecord], tmp_path: Path) -> None:
    def running_mean(rows: Any) -> Any:
        """Stand in for a causal network: the outputs depend on all rows so far."""
        mean = np.cumsum(rows[..., 0], axis=1, dtype=np.float64) / np.arange(1, rows.shape[1] + 1)
        return np.stack([mean, -mean], axis=2)

    cache = RowCache(tmp_path)
    tracer = KerasTracer(running_mean, partial_of("moon"), cache)
    starts = [(record, record.start_ns) for record in records]
    tracer.prepare(starts)
    for record, start_ns in starts:
        trace = tracer(record, start_ns)
        (stream,) = cache.rows(tracer.manifest, record, start_ns)
        first = stream.rows.rows[: len(trace.streams[0].runs[0].onset), 0, 0].astype(np.float64)
        expected = np.cumsum(first) / np.arange(1, len(first) + 1)
        np.testing.assert_allclose(trace.streams[0].runs[0].onset, expected, rtol=1e-9)
        np.testing.assert_array_equal(
            trace.streams[0].runs[0].stop_ns, DecisionTracer("moon")(record, start_ns).streams[0].runs[0].stop_ns
        )


def test_a_windowed_network_must_be_converted_first(tmp_path: Path) -> None:
    partial = partial_of("moon")
    partial["network"] |= {"mode": "windowed", "window_rows": 60, "window_hop_rows": 10}
    with pytest.raises(ConfigError, match="a windowed network must be converted first"):
        KerasTracer(lambda rows: rows, partial, RowCache(tmp_path))
