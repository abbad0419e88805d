"""Rows of any kind through a network: the same outputs however they are divided, and the rows that they are about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgequake.edge import RowNetwork
from edgequake.edge.base.errors import DataError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.manifest.tables import RowsConfig

Moon = tuple[Manifest, bytes, Variant]
ROWS = np.random.default_rng(7).normal(0.0, 0.5, (60, 64)).astype(np.float32)


def rows_model(moon: Moon, **network: object) -> Manifest:
    """Return the model as one that takes rows from elsewhere."""
    manifest = moon[0]
    n = manifest.network.n_features
    front_end = replace(manifest.front_end, kind="rows", gap_flag=False, rows=RowsConfig(n), contrast=None)
    changed = replace(manifest.network, **network)  # type: ignore[arg-type]
    return replace(manifest, front_end=front_end, network=changed, classes=None)


def test_outputs_do_not_depend_on_how_rows_are_divided(moon: Moon) -> None:
    manifest = rows_model(moon)
    rows = ROWS[:, : manifest.network.n_features]
    network = RowNetwork(manifest, *moon[1:])
    whole = network.push(rows)
    plain = StepNetwork(manifest, *moon[1:]).run(rows[:, np.newaxis])
    np.testing.assert_array_equal([output.values for output in whole], plain)
    assert [(output.start_row, output.stop_row) for output in whole] == [(i, i + 1) for i in range(60)]
    assert network.finish() == [] and network.outputs == manifest.network.outputs
    parts = [*network.push(rows[:7]), *network.push(rows[7:7])]
    resumed = RowNetwork(manifest, *moon[1:])
    resumed.restore(network.state())
    assert [*parts, *resumed.push(rows[7:].tolist())] == whole


def test_a_late_network_gives_its_last_outputs_at_the_end(moon: Moon) -> None:
    rows = ROWS[:, : moon[0].network.n_features]
    network = RowNetwork(rows_model(moon, lag_rows=5), *moon[1:])
    first = network.push(rows)
    last = network.finish()
    assert [output.stop_row for output in (*first, *last)] == list(range(1 - 5, 61))
    zeros = RowNetwork(rows_model(moon), *moon[1:]).push(np.concatenate([rows, np.zeros((5, rows.shape[1]))]))
    assert [output.values for output in last] == [output.values for output in zeros[-5:]]
    assert network.push(rows) == first and network.finish() == last  # begun anew


def test_outputs_of_windows_are_about_the_window(moon: Moon) -> None:
    rows = ROWS[:, : moon[0].network.n_features]
    model = rows_model(moon, mode="windowed", window_rows=20, window_hop_rows=15)
    made = RowNetwork(model, *moon[1:]).push(rows)
    assert [(output.start_row, output.stop_row) for output in made] == [(0, 20), (15, 35), (30, 50)]
    alone = RowNetwork(rows_model(moon), *moon[1:]).push(rows[15:35])
    assert made[1].values == alone[-1].values


def test_it_is_loaded_by_name_and_refuses_other_rows() -> None:
    network = RowNetwork.load("moon")
    n = network.n_features
    with pytest.raises(DataError, match=rf"rows of shape \(3, {n + 1}\): the network takes \(n_rows, {n}\)"):
        network.push(np.zeros((3, n + 1)))
    with pytest.raises(DataError, match="not finite"):
        network.push(np.full((3, n), np.nan))


def test_a_detector_refuses_a_network_of_rows(moon: Moon) -> None:
    with pytest.raises(ManifestError, match=r"takes rows, not samples .* feed it rows with edgequake\.edge"):
        Detector(rows_model(moon), *moon[1:], 0.5)
