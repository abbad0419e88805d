"""Networks from elsewhere: a TOML file or a few options describe their input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgequake.commands.app import app
from edgequake.convert.converter import convert_model
from edgequake.convert.foreign_model import read_description
from edgequake.convert.loading.keras_file import built_shape, read_keras_file
from edgequake.edge.base.errors import ConfigError, ModelError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import TriggerConfig, load_manifest, read_graph
from edgequake.edge.manifest.tables import FrontEndConfig

TOML = """
name = "elsewhere"
body = "mars"
sampling_rate_hz = 20.0

[front_end]
kind = "spectrogram"
hop_samples = 128

[front_end.spectrogram]
window_samples = 256
band_edges_hz = [0.5, 1.0, 2.0, 4.0, 8.0]
clip_high = 4.0
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a window classifier of 24 rows as Keras users save it, with two outputs."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("elsewhere")
    rows = keras.Input((24, 5))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3, activation="relu")(rows))
    model = keras.Model(rows, layers.Dense(2, activation="sigmoid")(x))
    model.save(folder / "elsewhere.keras")
    model.save(folder / "elsewhere.h5")
    (folder / "elsewhere.toml").write_text(TOML, encoding="utf-8")
    np.savez(folder / "calibration.npz", rows=np.random.default_rng(1).normal(size=(60, 24, 5)))
    return folder


def test_a_description_is_completed_by_defaults(network: Path) -> None:
    described = read_description(network / "elsewhere.toml", {"trigger.hold_s": 33.0}, (None, 24, 5))
    front_end = schema.build(FrontEndConfig, described["front_end"], "front_end", ConfigError)
    assert front_end.spectrogram is not None and front_end.n_features == 5
    assert (front_end.spectrogram.clip_high, front_end.spectrogram.clip_low) == (4.0, -1.0)
    trigger = schema.build(TriggerConfig, described["trigger"], "trigger", ConfigError)
    assert (trigger.hold_s, trigger.merge_s) == (33.0, 300.0)  # the option's, and the body's
    assert described["channels"] == ["BH?"]
    assert described["network"] == {"mode": "windowed", "window_rows": 24, "window_hop_rows": 12}
    described = read_description(network / "elsewhere.toml", {"network.mode": "continuous"}, (None, 24, 5))
    assert described["network"] == {"mode": "continuous", "window_rows": None, "window_hop_rows": None}


@pytest.mark.parametrize(
    ("table", "built", "n_features"),
    [
        ('kind = "rows"', (None, None, 9), 9),
        ('kind = "rows"\nn_features = 4', None, 4),
        ('kind = "rows"', (None, 20, 6, 2), 12),
    ],
)
def test_rows_from_elsewhere_need_a_name_and_their_kind(
    tmp_path: Path, table: str, built: tuple[int | None, ...] | None, n_features: int
) -> None:
    (tmp_path / "d.toml").write_text(f'name = "any"\n[front_end]\n{table}\n', encoding="utf-8")
    described = read_description(tmp_path / "d.toml", {}, built)
    front_end = schema.build(FrontEndConfig, described["front_end"], "front_end", ConfigError)
    assert (front_end.n_features, front_end.gap_flag, described["channels"]) == (n_features, False, [])
    if built is None:
        with pytest.raises(ConfigError, match=r"front_end\.n_features is missing, and the network takes any number"):
            read_description(None, {"name": "any", "front_end.kind": "rows"}, None)


def test_three_components_need_no_more_than_their_names(tmp_path: Path) -> None:
    text = 'name = "three"\nbody = "earth"\nsampling_rate_hz = 100.0\n[front_end]\nkind = "waveform"\n'
    text += 'components = ["?HZ", "?HN", "?HE"]\n[front_end.waveform]\nper_window = "peak"\n'
    (tmp_path / "d.toml").write_text(text, encoding="utf-8")
    described = read_description(tmp_path / "d.toml", {}, (None, 3000, 3))
    front_end = schema.build(FrontEndConfig, described["front_end"], "front_end", ConfigError)
    assert (front_end.n_features, front_end.gap_flag, front_end.despike_threshold) == (3, False, 0.0)
    assert described["channels"] == ["?HZ", "?HN", "?HE"] and described["network"]["window_rows"] == 3000
    flagged = read_description(tmp_path / "d.toml", {"front_end.gap_flag": True}, (None, 3000, 4))
    assert schema.build(FrontEndConfig, flagged["front_end"], "front_end", ConfigError).n_features == 4


def test_the_rows_of_a_window_are_read_from_the_file(network: Path) -> None:
    for name in ("elsewhere.keras", "elsewhere.h5"):
        assert built_shape(read_keras_file(network / name).config) == (None, 24, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "'name' is missing; a network that train did not make needs name, body, sampling_rate_hz and"),
        ({"body": "venus"}, "body is 'venus', expected one of moon, mars, earth"),
        ({"front_end.kind": "wavelet"}, "kind is 'wavelet', expected one of spectrogram, scalogram, mel, waveform"),
        ({"front_end.hop_samples": 0}, "front_end: hop_samples must be 1 to 1000000, got 0"),
        ({"front_end.hops": 3}, "front_end: unknown field 'hops'"),
        ({"trigger.hold_s": "long"}, "trigger.hold_s: expected float, got 'long'"),
        ({"network.window": 3}, "unknown field 'network.window'; known fields are event_classes, lag_rows, logits, "),
        ({"network.outputs": "event"}, "network.outputs is 'event', expected a list"),
        ({"network.window_rows": 0}, "network.window_rows is 0, expected a larger number"),
        ({"network.mode": "batch"}, "network.mode is 'batch', expected windowed or continuous"),
        ({"name.first": 3}, "--set name.first: 'name' is a value, not a table of fields"),
        ({"nme": "x"}, "unknown field 'nme'; known fields are body, channels, front_end"),
    ],
)
def test_incomplete_descriptions_are_refused(
    network: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    text = TOML
    if changes == {"name": None}:
        text, changes = text.replace('name = "elsewhere"', ""), {}
    (tmp_path / "d.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_description(tmp_path / "d.toml", changes, (None, 24, 5))


def test_a_file_that_is_not_toml_is_refused(network: Path, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"d.toml cannot be read: .*docs/convert.md has an example"):
        read_description(tmp_path / "d.toml", {}, None)


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
@pytest.mark.parametrize("file", ["elsewhere.keras", "elsewhere.h5"])
def test_a_described_network_converts_and_runs(network: Path, tmp_path: Path, file: str) -> None:
    arguments = ["convert", str(network / file), "--out", str(tmp_path / "out"), "--quantize", "int8", "--json"]
    described = ["--describe", str(network / "elsewhere.toml"), "--set", "trigger.hold_s=33"]
    described += ["--set", 'network.outputs=["onset", "event"]']
    result = CliRunner().invoke(app, [*arguments, *described])
    assert result.exit_code == 0, result.output
    manifest, folder = load_manifest(tmp_path / "out" / "elsewhere.json")
    assert manifest.network.outputs == ("onset", "event")
    assert (manifest.network.rows_per_step, manifest.network.window_rows) == (1, 24)
    assert manifest.trigger.hold_s == 33.0
    variant, graph = read_graph(manifest, folder)
    assert StepNetwork(manifest, graph, variant).step(np.zeros((1, 5), np.float32)).shape == (2,)
    assert json.loads((folder / "elsewhere.json").read_text())["body"] == "mars"


@pytest.mark.usefixtures("worker_here")
def test_a_description_that_contradicts_the_network_is_refused(network: Path, tmp_path: Path) -> None:
    def convert(**changes: Any) -> None:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        convert_model(
            network / "elsewhere.keras",
            tmp_path / "out",
            "float32",
            verify=False,
            description=network / "elsewhere.toml",
            changes=dotted,
        )

    with pytest.raises(ConfigError, match=r"calibration.npz: expected finite rows of shape .*, 4\)"):
        convert(front_end__spectrogram__band_edges_hz=[1.0, 2.0, 4.0, 8.0])
    with pytest.raises(ConfigError, match=r"elsewhere.toml and the network disagree on number of outputs: it says 1"):
        convert(network__outputs=["event"])
    with pytest.raises(
        ModelError, match=r"layer 'global\w*' \(GlobalAveragePooling1D\) .*a continuous stream has none"
    ):
        convert(network__mode="continuous", network__outputs=["onset", "event"])


def test_the_gap_flag_follows_from_the_number_of_features(network: Path) -> None:
    def described(n_features: int) -> dict[str, Any]:
        return read_description(network / "elsewhere.toml", {}, (None, 24, n_features))

    assert "gap_flag" not in described(5)["front_end"]  # four bands and the flag, the default
    assert described(4)["front_end"]["gap_flag"] is False


def test_five_lines_describe_a_network_of_waveforms(tmp_path: Path) -> None:
    text = 'name = "b"\nbody = "earth"\nsampling_rate_hz = 100.0\n[front_end]\nkind = "waveform"\n'
    (tmp_path / "d.toml").write_text(text)
    described = read_description(tmp_path / "d.toml", {}, (None, 2000, 1))
    front_end = schema.build(FrontEndConfig, described["front_end"], "front_end", ConfigError)
    assert (front_end.n_features, front_end.gap_flag, front_end.hop_samples) == (1, False, 100)
    assert described["network"] == {"mode": "windowed", "window_rows": 2000, "window_hop_rows": 1000}


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"a.h5 is not an HDF5 file: expected what model.save\('NAME.h5'\) writes"):
        convert_model(tmp_path / "a.h5", tmp_path / "out")
