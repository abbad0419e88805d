"""How a layer is refused: its name, the reason, and the way out."""

from __future__ import annotations

from typing import Any, NoReturn

from edgequake.edge.errors import ModelError

_WHOLE_WINDOW = "it looks at the whole window at once; use LSTM, GRU or causal convolutions"
_IN_WINDOWS = (
    "it sums up a window, a continuous stream has none; convert in windowed mode, or use LSTM(return_sequences=True)"
)
WAYS_OUT = {
    "Bidirectional": "it reads the rows that are still to come; use a plain LSTM(return_sequences=True)",
    "MultiHeadAttention": _WHOLE_WINDOW,
    "GroupQueryAttention": _WHOLE_WINDOW,
    "Attention": _WHOLE_WINDOW,
    "AdditiveAttention": _WHOLE_WINDOW,
    "Flatten": _IN_WINDOWS,
    "GlobalAveragePooling1D": _IN_WINDOWS,
    "GlobalMaxPooling1D": _IN_WINDOWS,
    "GlobalAveragePooling2D": _IN_WINDOWS,
    "GlobalMaxPooling2D": _IN_WINDOWS,
    "ConvLSTM1D": "its one-step form is not written; use TimeDistributed(Conv1D) followed by LSTM",
    "ConvLSTM2D": "its one-step form is not written; use TimeDistributed(Conv1D) followed by LSTM",
    "RNN": "it runs a cell of its own making; use LSTM, GRU or SimpleRNN",
    "Lambda": "its code cannot be taken apart; use the layer that does the same",
    "Masking": "which rows it leaves out depends on the data; leave it away and feed whole rows",
    "Embedding": "it looks numbers up in a table, but rows are measurements; use Dense",
    "Conv1DTranspose": "it makes more rows than come in; take the layers before it as the network",
    "Conv2DTranspose": "it makes more rows than come in; take the layers before it as the network",
    "UpSampling1D": "it makes more rows than come in; take the layers before it as the network",
    "RepeatVector": "it makes more rows than come in; take the layers before it as the network",
}


def refuse(place: Any, reason_and_way_out: str) -> NoReturn:
    """Raise the ModelError that names the layer, the reason and the way out.

    Parameters
    ----------
    place : a `Place` of the layer graph, or a Keras layer.
    """
    layer = place.layer if hasattr(place, "per_row") else place
    raise ModelError(
        f"layer '{place.name}' ({type(layer).__name__}) cannot become a one-step graph: {reason_and_way_out}"
    )
