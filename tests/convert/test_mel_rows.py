"""A network on log-mel rows: described, compared with TensorFlow's mel bands, converted and run on records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgequake
from edgequake.convert.converter import convert_model
from edgequake.convert.foreign_model import read_description
from edgequake.edge.base.errors import ConfigError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import TriggerConfig, load_manifest, read_graph
from edgequake.export_c.options import require_exportable

TOML = """
name = "mels"
body = "earth"
sampling_rate_hz = 100.0
[front_end]
kind = "mel"
hop_samples = 20
gap_flag = false
[front_end.mel]
window_samples = 50
fft_samples = 64
n_mels = 8
scale = "htk"
linear_in = "mel"
equal_area = false
power = 1
log = "ln"
floor = 0.01
"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mels") / "mels.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def record(n_samples: int = 6000) -> Trace:
    values = np.random.default_rng(4).normal(0, 40, n_samples)
    values[n_samples // 2 :] += 400 * np.sin(np.arange(n_samples - n_samples // 2) * 0.9)
    return Trace("FDSN:XX_A__H_H_Z", 1_700_000_000_000_000_000, 100.0, np.rint(values).astype(np.int32))


class Decided(Trigger):
    """A trigger that keeps the probabilities that it was given."""

    def __init__(self, config: TriggerConfig, threshold: float) -> None:
        super().__init__(config, threshold)
        self.events: list[float] = []

    def push(self, decision: Decision) -> Event | None:
        self.events.append(decision.event)
        return super().push(decision)


@pytest.mark.slow
def test_rows_equal_those_of_tensorflow_and_feed_a_converted_network(described: Path, worker_here: None) -> None:
    import keras
    import tensorflow as tf
    from keras import layers

    samples = record().samples
    frames = tf.signal.stft(samples.astype(np.float32), 50, 20, 64, pad_end=False)
    weights = tf.signal.linear_to_mel_weight_matrix(8, 33, 100.0, 0.0, 50.0)
    expected = np.log(np.abs(frames) @ weights.numpy() + 0.01)
    made = edgequake.rows([record()], described, [], n_rows=64, hop_rows=64)
    np.testing.assert_allclose(made.rows[:4].reshape(-1, 8), expected[:256], rtol=0, atol=0.5 / 256 + 1e-4)

    keras.utils.set_random_seed(3)
    norm = layers.Normalization()
    norm.adapt(made.rows)
    model = keras.Sequential(
        [keras.Input((None, 8)), norm, layers.Conv1D(6, 3, padding="causal", activation="relu"), layers.Dense(1)]
    )
    model.save(described.parent / "mels.keras")
    made.save(described.parent / "mels.npz")
    report = convert_model(
        described.parent / "mels.keras", described.parent / "out", "float32", described.parent / "mels.npz",
        description=described, changes={"network.logits": True},
    )  # fmt: skip
    manifest, folder = load_manifest(report.manifest)
    variant, graph = read_graph(manifest, folder, "float32")
    decided = Decided(manifest.trigger, 0.7)
    detector = Detector(manifest, graph, variant, 0.7, decided)
    detector.push(record())
    detector.finish()
    by_keras = 1 / (1 + np.exp(-np.asarray(model(made.rows[:1]))[0, :, 0].astype(np.float64)))
    np.testing.assert_allclose(decided.events[:64], by_keras, rtol=0, atol=1e-6)
    with pytest.raises(ManifestError, match="front end is a mel"):
        require_exportable(manifest, (1,))


def test_what_a_description_leaves_out_is_what_librosa_takes() -> None:
    changes: dict[str, Any] = {
        "name": "mels", "body": "earth", "sampling_rate_hz": 100.0, "front_end.kind": "mel",
        "front_end.hop_samples": 20, "front_end.mel.window_samples": 50, "front_end.mel.n_mels": 8,
    }  # fmt: skip
    mel = read_description(None, changes, None)["front_end"]["mel"]
    assert json.loads(json.dumps(mel)) == {
        "window_samples": 50, "n_mels": 8, "low_hz": 0.0, "high_hz": 50.0, "fft_samples": 50, "scale": "slaney",
        "linear_in": "hz", "equal_area": True, "power": 2, "log": "db", "floor": 1e-10,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"front_end\.mel: high_hz must be at most 50 Hz"):
        read_description(None, {**changes, "front_end.mel.high_hz": 60.0}, None)
    with pytest.raises(ConfigError, match="sampling_rate_hz is 'fast', expected a number of Hz"):
        read_description(None, {**changes, "sampling_rate_hz": "fast"}, None)
    changes = {name: value for name, value in changes.items() if ".mel." not in name}
    changes["front_end.kind"] = "spectrogram"
    bands = {"front_end.spectrogram.window_samples": 50, "front_end.spectrogram.band_edges_hz": [2.0, 2.1, 60.0]}
    with pytest.raises(ConfigError, match=r"front_end\.spectrogram: band_edges_hz must keep at least"):
        read_description(None, {**changes, **bands}, None)
