"""Networks with strides: one output for each block of samples, aligned with it in training and on the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequake import cli
from edgequake.convert.converter import convert_model
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.train import fitting, networks
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.examples.examples import Examples, synthetic_examples
from edgequake.train.trainer import train

HOP = 64


def waveform_network() -> Any:
    recipe = load_recipe("moon-waveform").network
    network = networks.build(recipe, 2, seed=3)
    rng = np.random.default_rng(4)
    for weight in network.weights:
        weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    return network


def test_an_output_depends_on_all_samples_of_its_block_and_none_after_it() -> None:
    network = waveform_network()
    rows = np.random.default_rng(5).standard_normal((1, 12 * HOP, 2)).astype(np.float32)
    before = network.predict(rows, verbose=0)
    assert before.shape == (1, 12, 2)
    for sample, first_changed in ((5 * HOP, 5), (6 * HOP - 1, 5), (6 * HOP, 6)):
        changed = rows.copy()
        changed[0, sample] += 3.0
        differs = np.any(network.predict(changed, verbose=0) != before, axis=2)[0]
        assert int(np.argmax(differs)) == first_changed, sample


def test_strides_agree_with_a_convolution_by_hand() -> None:
    network = waveform_network()
    rows = np.random.default_rng(6).standard_normal((1, 4 * HOP, 2)).astype(np.float32)
    convolution = network.get_layer("conv_0")
    kernel, bias = (np.asarray(weight, np.float64) for weight in convolution.get_weights())
    n = len(kernel)  # 16 samples, one output every 8
    padded = np.concatenate([np.zeros((n, 2)), rows[0].astype(np.float64)])
    expected = [np.tensordot(padded[stop : stop + n], kernel, 2) + bias for stop in range(8, 4 * HOP + 8, 8)]
    got = convolution(network.get_layer("pad_0")(rows))[0]
    np.testing.assert_allclose(got, np.maximum(expected, 0.0), atol=1e-5)


def test_every_output_has_the_target_of_its_block() -> None:
    recipe = load_recipe("moon-waveform")
    targets = np.zeros((2, 7, 2), np.float32)
    targets[0, 3:5, 0] = targets[0, 3:, 1] = 1.0
    weights = np.linspace(0.0, 1.0, 14, dtype=np.float32).reshape(2, 7)
    examples = Examples(np.zeros((2, 7, HOP, 2), np.float32), targets, weights)
    rows, y, w = fitting._sequences(examples, recipe.network, recipe.fit)
    assert rows.shape == (2, 7 * HOP, 2)
    np.testing.assert_array_equal(y, targets)
    np.testing.assert_array_equal(w, weights * np.where(targets[..., 0] > 0, np.float32(3.0), np.float32(1.0)))
    half = replace(recipe.network, conv_strides=(8, 4))  # two outputs a block
    _, y, w = fitting._sequences(examples, half, recipe.fit)
    np.testing.assert_array_equal(y, np.repeat(targets, 2, axis=1))
    assert w.shape == (2, 14)


def test_targets_of_all_front_ends_refer_to_the_same_time() -> None:
    """The onset of a record lies in blocks with the same newest samples, for any length of the window."""
    hops = {}
    for name in ("moon", "moon-scalogram", "moon-waveform"):
        recipe = load_recipe(name, {"examples.n_blocks": 300, "examples.max_front_blocks": 0})
        plan = replace(recipe.examples, excess_decades=(2.0, 3.0), quakes_per_example=2.0, integer_share=0.0)
        recipe = replace(recipe, examples=plan)
        examples = synthetic_examples(recipe, {recipe.sampling_rate_hz: NoiseBank((), ())}, 6, seed=2)
        lead = recipe.front_end.window_samples // HOP - 1
        # Row 0 is block 1, because despiking removes block 0; its newest samples are hop 1 + lead.
        hops[name] = [np.flatnonzero(np.diff(y[:, 0]) > 0) + 1 + 1 + lead for y in examples.targets]
    assert sum(map(len, hops["moon"])) >= 4
    for name in ("moon-scalogram", "moon-waveform"):
        for got, expected in zip(hops[name], hops["moon"], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.long
@pytest.mark.usefixtures("worker_here")
def test_a_strided_network_with_one_output_is_trained_converted_and_run(short_data: Path, tmp_path: Path) -> None:
    """Both ablations in one conversion: the graphs agree with Keras, with one probability for each block."""
    fast = {
        "network.outputs": ["event"],
        "examples.n_examples": 24,
        "examples.n_blocks": 120,
        "examples.max_front_blocks": 10,
        "fit.steps": 4,
        "fit.batch": 4,
        "fit.crop_blocks": 48,
    }
    trained = train("moon-waveform", short_data, tmp_path / "training", fast).keras_file
    convert_model(trained, tmp_path / "model")
    manifest, folder = load_manifest(tmp_path / "model" / "moon-waveform.json")
    assert manifest.network.outputs == ("event",)
    assert manifest.network.rows_per_step == manifest.front_end.rows_per_block == HOP
    rng = np.random.default_rng(7)
    samples = np.rint(512 + 5 * rng.standard_normal(200 * HOP)).astype(np.int32)
    rows = station_rows(manifest.front_end, 6.625, [Trace("FDSN:XX_LUN_00_M_H_Z", 0, 6.625, samples)]).rows
    expected = keras.saving.load_model(trained).predict(rows.reshape(1, -1, 2), verbose=0)[0]
    for variant, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        described, graph = read_graph(manifest, folder, variant)
        got = StepNetwork(manifest, graph, described).run(rows)
        assert len(got) == len(expected) == len(rows)
        np.testing.assert_allclose(got, expected, atol=tolerance)
    arguments = ["run", "--model", str(tmp_path / "model" / "moon-waveform.json")]
    assert (
        cli.main([*arguments, str(short_data / "moon" / "synthetic_val_01.mseed"), "--out", str(tmp_path / "run")]) == 0
    )
    assert (tmp_path / "run" / "catalog.csv").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"network.conv_strides": [8]}, "conv_strides needs one stride a convolution, from 1 to its kernel"),
        ({"network.conv_strides": [8, 32]}, "conv_strides needs one stride a convolution, from 1 to its kernel"),
        ({"network.conv_strides": [8, 0]}, "conv_strides needs one stride a convolution, from 1 to its kernel"),
        ({"network.conv_strides": [16, 8]}, "take 128 rows for an output, but a block of the 'waveform' front end has"),
    ],
)
def test_strides_that_do_not_fit_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("moon-waveform", overrides)
