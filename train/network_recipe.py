"""The part of a recipe that says which network to train."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train.

    "cnn-lstm": causal convolutions, LSTMs, a dense head, a probability in every row.
    "seed": the window classifier of the original brief, which reads `window_rows` rows at a time.
    """

    kind: str
    # "cnn-lstm": ["onset", "event"], or ["event"] alone, which then serves as both.
    # "seed": ["event", "start"], the second a regression of where in the window the event begins, or ["event"] alone.
    outputs: tuple[str, ...]
    conv_filters: tuple[int, ...] = ()
    conv_kernels: tuple[int, ...] = ()
    conv_strides: tuple[int, ...] = ()  # rows from one output to the next; empty: 1 in every convolution
    lstm_units: tuple[int, ...] = ()
    rounded: bool = False  # cnn-lstm: train the LSTMs as 8-bit integers will compute them (train/rounded.py)
    window_rows: int | None = None
    window_hop_rows: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("cnn-lstm", "seed"):
            raise ValueError(f"kind must be 'cnn-lstm' or 'seed', got {self.kind!r}")
        if self.kind == "cnn-lstm" and (len(self.conv_filters) != len(self.conv_kernels) or not self.lstm_units):
            raise ValueError("cnn-lstm needs as many conv_kernels as conv_filters, and at least one of lstm_units")
        if self.kind == "cnn-lstm" and not self._strides_fit():
            raise ValueError("conv_strides needs one stride a convolution, from 1 to its kernel, or none at all")
        if self.kind == "cnn-lstm" and self.outputs not in (("onset", "event"), ("event",)):
            raise ValueError(f"cnn-lstm needs outputs = ['onset', 'event'] or ['event'], got {list(self.outputs)}")
        if self.kind == "seed" and self.outputs not in (("event",), ("event", "start")):
            raise ValueError(f"seed needs outputs = ['event'] or ['event', 'start'], got {list(self.outputs)}")
        if self.kind == "seed" and not (self.window_rows and self.window_hop_rows):
            raise ValueError("seed needs window_rows and window_hop_rows")

    def _strides_fit(self) -> bool:
        n_given = len(self.conv_strides)
        fits = all(1 <= stride <= kernel for stride, kernel in zip(self.strides, self.conv_kernels, strict=False))
        return n_given in (0, len(self.conv_kernels)) and fits

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each convolution."""
        return self.conv_strides or (1,) * len(self.conv_kernels)

    @property
    def rows_per_output(self) -> int:
        """Rows from one output of a cnn-lstm to the next: what one step of its graph takes."""
        return math.prod(self.strides)

    @property
    def has_start(self) -> bool:
        """Whether the network says where in a window an event begins."""
        return "start" in self.outputs

    @property
    def mode(self) -> str:
        """How the graph is stepped: see `edgequake.edge.manifest.NetworkConfig`."""
        return "windowed" if self.kind == "seed" else "continuous"
