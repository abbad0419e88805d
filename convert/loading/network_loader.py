"""`load_network`: a file in, a network of stock Keras 3 layers in float32 out."""

from __future__ import annotations

from pathlib import Path

import keras

from edgequake.convert.loading.keras_file import read_keras_file
from edgequake.convert.loading.stored_graph import build_model
from edgequake.convert.loading.stored_weights import load_weights
from edgequake.edge.base.errors import ModelError


def load_network(path: Path) -> keras.Model:
    """Return the network of a Keras file; mixed precision and float64 become float32, the type of its stored weights.

    Raises
    ------
    ModelError
        The file is not a network of Keras, it is damaged, or it would need its author's code.
    """
    file = read_keras_file(path)
    try:
        model = build_model(file.config, file.is_legacy)
    except ModelError:
        raise
    except Exception as problem:  # Keras raises a dozen types for layers that do not fit together
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(
            f"{path} cannot be read as a network of Keras: {reason}; save it again with model.save('NAME.keras')"
        ) from problem
    load_weights(model, file)
    return model
