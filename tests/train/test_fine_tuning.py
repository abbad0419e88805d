"""Fine-tuning on reviewed records: what is learned from them, and what is left of the network as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgequake.data.tables import UNREVIEWED, LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.train import networks
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.records import record_traces
from edgequake.train.examples.examples import _start_ns, recorded_targets
from edgequake.train.fine_tuning import NEW_SHARE, FineTuningJob, find_network, fine_tune, main, write_job
from edgequake.train.trainer import train


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("tiny", {"examples.n_blocks": 200, "examples.max_front_blocks": 50})


def test_nothing_is_learned_from_what_nobody_has_reviewed(records: list[LabelledRecord], recipe: Recipe) -> None:
    record = next(one for one in records if one.arrivals)
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, record_traces(record))
    scales, rest = recipe.examples.scales, (recipe.front_end, recipe.sampling_rate_hz, recipe.examples.scales)
    known = recorded_targets(rows, record, *rest)
    unknown = replace(record, arrivals=tuple(replace(one, event_type=UNREVIEWED) for one in record.arrivals))
    targets = recorded_targets(rows, unknown, *rest)

    block_s = recipe.front_end.hop_samples / recipe.sampling_rate_hz
    arrival = (record.arrivals[0].time_ns - rows.t0_ns) / NS_PER_S / block_s
    assert known.event.sum() > 0 and not targets.event.any() and not targets.onset.any()
    last = int(arrival + scales.max_event_s / block_s) - 1
    assert not targets.weight[int(arrival) : last].any()
    assert targets.weight[: int(arrival - scales.before_event_s / block_s) - 1].any()


def test_most_examples_begin_shortly_before_a_mark(records: list[LabelledRecord], recipe: Recipe) -> None:
    record = replace(records[0], arrivals=())
    traces, scales = record_traces(record), recipe.examples.scales
    first_ns = min(trace.start_ns for trace in traces)
    mark_ns = first_ns + (record.stop_ns - first_ns) // 2
    rng = np.random.default_rng(1)
    starts = [_start_ns(rng, record, traces, first_ns, scales, [mark_ns]) for _ in range(200)]

    lead_ns, approach_ns = round(scales.lead_s * NS_PER_S), round(scales.approach_s * NS_PER_S)
    near = [max(first_ns, mark_ns - lead_ns - approach_ns) <= start < mark_ns - lead_ns for start in starts]
    assert 0.75 < np.mean(near) < 1.0


def test_the_weights_are_the_mean_of_those_before_and_after(recipe: Recipe, tmp_path: Path) -> None:
    old, new = (networks.build(recipe.network, recipe.front_end.n_features, seed) for seed in (1, 2))
    old.save(tmp_path / "old.keras")
    expected = [0.25 * a + 0.75 * b for a, b in zip(old.get_weights(), new.get_weights(), strict=True)]
    networks.blend(tmp_path / "old.keras", new, 0.75)
    for found, wanted in zip(new.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.usefixtures("no_fit")
def test_a_fine_tuning_writes_what_a_training_writes(
    short_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("tiny", short_data, tmp_path / "first", {"examples.n_examples": 2})
    network = tmp_path / "first" / "tiny.keras"
    job = FineTuningJob(str(network), str(short_data), str(tmp_path / "again"), {}, "0/2", n_examples=4)
    write_job(tmp_path / "job.json", job)
    assert main([str(tmp_path / "job.json")]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "of fold 0/2" in lines[-1]["result"] and any("share" in line for line in lines)
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "calibration.npz", "tiny.keras", "train.json",
    ]  # fmt: skip
    tuned = json.loads((tmp_path / "again" / "train.json").read_text())
    assert tuned["manifest"]["training"]["fold"] == "0/2"
    assert tuned["recipe"]["fit"]["start_from"] == str(network.resolve())
    before, after = (
        keras.saving.load_model(folder / "tiny.keras").get_weights() for folder in (network.parent, tmp_path / "again")
    )
    for one, other in zip(before, after, strict=True):  # nothing was optimised, so the mean is what it was
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert 0.0 < NEW_SHARE < 1.0


def test_the_classes_of_the_model_are_kept(monkeypatch: pytest.MonkeyPatch, short_data: Path, tmp_path: Path) -> None:
    """Records without two families of a class cannot teach it."""
    network = find_network("moon")
    kept: list[object] = []

    def stand_in(*given: object) -> object:
        kept.append(given[-1])
        raise DataError("not trained here")

    monkeypatch.setattr("edgequake.train.trainer.train_recipe", stand_in)
    with pytest.raises(DataError, match="not trained here"):
        fine_tune(FineTuningJob(str(network), str(short_data), str(tmp_path / "out"), {}))
    shipped, _ = load_manifest("moon")
    assert shipped.classes is not None and kept == [shipped.classes]


def test_a_network_of_another_body_is_refused(
    short_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = Path(__file__).parents[2] / "train" / "models" / "mars" / "mars.keras"
    write_job(tmp_path / "job.json", FineTuningJob(str(network), str(short_data), str(tmp_path / "out"), {}))
    assert main([str(tmp_path / "job.json")]) == 1
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["error"] == "DataError" and "holds records of moon, and the network is for mars" in said["message"]
    assert not (tmp_path / "out").exists()
