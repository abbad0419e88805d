"""The mean over an image: the runtimes add one value after the other, so it is taken in two steps."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.slow
def test_a_mean_over_thousands_of_values_is_exact_to_a_millionth() -> None:
    from edgequake.edge.detection.network import import_runtime

    runtime = import_runtime()[0]  # before TensorFlow
    import keras
    import tensorflow as tf

    from edgequake.convert.streaming.layer_copies import mean_of_images

    rows = np.random.default_rng(1).uniform(2.0, 3.0, (1, 120, 40, 8)).astype(np.float32)
    image = keras.Input(batch_shape=rows.shape)
    graph = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, mean_of_images(image))).convert()
    interpreter = runtime.Interpreter(model_content=graph)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    exact = rows.astype(np.float64).mean(axis=(1, 2))  # of 4 800 values; in one sum of 32 bits 1e-5 from it
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=0)
