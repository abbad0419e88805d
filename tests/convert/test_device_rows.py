"""`edgequake rows`: the rows are the runner's, labels and split are those of the tables or of the times given."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import edgequake
from edgequake.commands.app import app
from edgequake.convert import device_rows
from edgequake.data import dataset
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.synthetic import synthetic_dataset

HOP_S = 64 / 6.625
TOML = """
name = "mine"
body = "moon"
sampling_rate_hz = 6.625
[front_end]
kind = "spectrogram"
hop_samples = 64
fill_values = [-1]
[front_end.spectrogram]
window_samples = 128
band_edges_hz = [0.3, 0.8, 1.5, 2.6]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    synthetic_dataset.write_dataset(folder / "data", seed=3, n_train=2, n_val=1, n_test=1)
    (folder / "mine.toml").write_text(TOML, encoding="utf-8")
    return folder


def traces_of(path: Path) -> list[Any]:
    index = index_file(path)
    return list(read_indexed(index, index.headers))


def test_windows_labels_and_split_of_a_labelled_folder(folder: Path) -> None:
    plan = device_rows.plan_windows(folder / "mine.toml", {}, 100, 50, event_s=900.0)
    made, left_out = device_rows.rows_of_folder(folder / "data", plan)
    assert not left_out and made.rows.shape[1:] == (100, 4) and made.rows.dtype == np.float32
    records = {record.file.name: record for record in dataset.load(folder / "data", "moon")}
    assert set(made.source) == set(records)
    for i in range(len(made.rows)):
        record = records[str(made.source[i])]
        arrivals = [arrival.time_ns for arrival in record.arrivals]
        inside = [ns for ns in arrivals if made.start_ns[i] <= ns < made.stop_ns[i]]
        near = [ns for ns in arrivals if made.start_ns[i] - 900e9 < ns < made.stop_ns[i]]
        assert made.split[i] == record.split
        assert made.labels[i] == (1 if inside else -1 if near else 0)
        if inside:
            place = (inside[0] - made.start_ns[i]) / (made.stop_ns[i] - made.start_ns[i])
            assert made.onsets[i] == pytest.approx(place, abs=1e-6)
            first = int(np.flatnonzero(made.row_labels[i])[0])
            assert first == int(place * 100)
            assert made.row_labels[i].sum() <= 900 / HOP_S + 2
    assert np.isnan(made.onsets[made.labels != 1]).all() and {0, 1} <= set(made.labels.tolist())
    trace = traces_of(records["synthetic_val_00.mseed"].file)
    rows = station_rows(plan.manifest.front_end, 6.625, sorted(trace, key=lambda one: one.start_ns))
    val = made.rows[made.source == "synthetic_val_00.mseed"]
    np.testing.assert_array_equal(val[3], rows.rows[150:250, 0])
    only = made.of("train")
    assert set(only.split) == {"train"} and not (only.labels < 0).any()


def test_the_rows_are_those_of_the_runner(folder: Path) -> None:
    """A shipped model's front end, described by its own table, gives the rows that its detector computes."""
    manifest, models = load_manifest("moon")
    variant, graph = read_graph(manifest, models)
    detector = Detector(manifest, graph, variant, 0.5)
    path = folder / "data" / "moon" / "synthetic_test_00.mseed"
    seen = [detector.front_end.push(trace).rows for trace in sorted(traces_of(path), key=lambda one: one.start_ns)]
    expected = np.concatenate([*seen, detector.front_end.finish().rows])[:, 0]
    table = json.loads((models / "moon.json").read_text(encoding="utf-8"))["front_end"]
    changes = {"name": "m", "body": "moon", "sampling_rate_hz": 6.625, "front_end": table}
    made, _ = device_rows.rows_of_folder(path, device_rows.plan_windows(None, changes, 200, 200))
    np.testing.assert_array_equal(np.concatenate(list(made.rows)), expected[: len(made.rows) * 200])
    assert set(made.labels.tolist()) == {-1}  # nothing is known of arrivals


def test_a_stream_is_split_by_time(folder: Path) -> None:
    path = folder / "data" / "moon" / "synthetic_train_00.mseed"
    ours = traces_of(path)
    onset_ns = dataset.load(folder / "data", "moon", "train")[0].arrivals[0].time_ns

    def obspy_like(trace: Any) -> Any:
        network, station, location, *code = trace.source_id.removeprefix("FDSN:").split("_")
        stats = SimpleNamespace(
            network=network, station=station, location=location, channel="".join(code),
            starttime=SimpleNamespace(ns=trace.start_ns), sampling_rate=trace.sampling_rate_hz,
        )  # fmt: skip
        return SimpleNamespace(stats=stats, data=np.ma.masked_equal(trace.samples, -1))

    description = folder / "mine.toml"
    made = edgequake.rows(path, description, [onset_ns], n_rows=100, hop_rows=50)
    other = edgequake.rows(ours, description, [SimpleNamespace(ns=onset_ns)], n_rows=100, hop_rows=50)
    foreign = edgequake.rows([obspy_like(one) for one in ours], description, [onset_ns], n_rows=100, hop_rows=50)
    for one in (other, foreign):
        np.testing.assert_array_equal(one.rows, made.rows)
        np.testing.assert_array_equal(one.labels, made.labels)
    assert (made.labels == 1).sum() == 2
    n = {name: int((made.split == name).sum()) for name in ("train", "val", "test", "")}
    assert n["train"] > 4 * n["val"] > 0 and n["test"] > 0 and n[""] <= 4
    assert made.stop_ns[made.split == "train"].max() <= made.start_ns[made.split == "val"].min()


def test_the_command_writes_what_convert_calibrates_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "picks.csv").write_text("time\n2030-01-03T02:00:00Z\n", encoding="utf-8")
    arguments = [
        "rows",
        str(folder / "data/moon/synthetic_train_01.mseed"),
        "--describe",
        str(folder / "mine.toml"),
        "--window-rows",
        "64",
    ]
    arguments += ["--arrivals", str(tmp_path / "picks.csv"), "--out", str(tmp_path / "rows.npz"), "--event", "60"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "windows of 64 rows of 4 features" in result.output
    with np.load(tmp_path / "rows.npz") as arrays:
        assert arrays["rows"].shape[1:] == (64, 4) and arrays["labels"].sum() == 2  # windows overlap by half
        assert set(arrays["split"].tolist()) <= {"train", "val", "test", ""}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"front_end": {"kind": "rows", "n_features": 3}}, ConfigError, "takes rows from elsewhere"),
        ({"network.window_rows": 100_000}, DataError, "holds no window of 100000 rows without a long gap"),
    ],
)
def test_what_gives_no_windows_is_refused(
    folder: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        device_rows.rows_of_folder(
            folder / "data/moon/synthetic_train_01.mseed", device_rows.plan_windows(folder / "mine.toml", changes)
        )
    with pytest.raises(DataError, match="a stream of int: expected an obspy Stream or traces"):
        edgequake.rows([3], folder / "mine.toml")


def test_columns_are_said_and_what_does_not_suit_the_description(folder: Path, tmp_path: Path) -> None:
    plan = device_rows.plan_windows(folder / "mine.toml", {}, 100)
    assert plan.columns() == "features of a row: 3, and the gap flag; front_end.gap_flag = false leaves it out"
    three = {"front_end.components": ["?HZ", "?HN"], "front_end.gap_flag": False}
    plan = device_rows.plan_windows(folder / "mine.toml", three, 100)
    assert plan.columns() == "features of a row: 6 (3 of each of 2 components); no gap flag"
    with pytest.raises(
        DataError, match=r"no channel that matches BHZ: it has MH1, MH2, MHZ; the description names channels"
    ) as it:
        path = folder / "data" / "moon" / "synthetic_val_00.mseed"
        changes = {"front_end.components": ["BHZ"]}
        device_rows.rows_of_folder(path, device_rows.plan_windows(folder / "mine.toml", changes, 100))
    assert "--model" not in str(it.value)


def test_components_that_windows_lack_are_counted(folder: Path) -> None:
    path = folder / "data" / "moon" / "synthetic_val_00.mseed"
    changes = {"front_end.components": ["MH2", "XHE", "MH1"], "front_end.gap_flag": False}
    plan = device_rows.plan_windows(folder / "mine.toml", changes, 100)
    made, _ = device_rows.rows_of_folder(path, plan)
    assert plan.missing(made) == {"XHE": len(made.rows)}
    made.rows[:2, :, :3] = 0  # all of the first component in two windows, not all of it in a third
    made.rows[2, :-1, :3] = 0
    assert plan.missing(made) == {"MH2": 2, "XHE": len(made.rows)}
    alone = device_rows.plan_windows(folder / "mine.toml", {}, 100)
    assert alone.missing(made) == {}
