"""PhaseNet from its published weights, without SeisBench and torch: the U-Net in TensorFlow, and how its users run it.

The weights file holds every variable of the published model (190703-214543, MIT licence) under its TensorFlow name with
"." for "/". Records are resampled to 100 Hz and cut into windows of 30 s that overlap by half; each channel of a
window has its mean removed and is divided by its standard deviation; the probabilities of overlapping windows are
averaged (SeisBench's defaults). An onset is the peak of the P probability while it is at or above the threshold, and
segments are kept around the times at which P or S is that high.

It was trained on three components. A record of one gets it in the component's own place with zeros in the others, as
its own training did (`PLACED`), or in all three (`COPIED`).

References
----------
Zhu, W. & Beroza, G. C. (2019), doi:10.1093/gji/ggy423. Woollam et al. (2022), doi:10.1785/0220210324 (SeisBench).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.detectors.sta_lta import kept_around
from edgequake.benchmarks.detectors.station_arrays import bridge, station_samples
from edgequake.benchmarks.scoring.scoring import Detections, Interval
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

RATE_HZ = 100.0
WINDOW = 3000  # samples
HOP = 1500
DEPTHS, STRIDE = 5, 4
BATCH_NORM_EPSILON = 1e-3
BATCH_WINDOWS = 64
P, S = 1, 2  # columns of the output; 0 is noise
COMPONENTS = "ENZ"  # the order of the input's columns in the published files
_OTHER_LETTERS = {"1": "N", "2": "E", "3": "Z"}
PLACED, COPIED = "placed", "copied"

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PhaseNet:
    """The network; `probabilities` is its forward pass."""

    weights: Mapping[str, Float32] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> PhaseNet:
        """Read the weights.

        Raises
        ------
        DataError
            The file cannot be read, or is not of this network.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                weights = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        except (OSError, ValueError) as problem:
            raise DataError(f"{path} cannot be read as PhaseNet's weights: {problem}") from problem
        if "Input.input_conv.kernel" not in weights or "Output.output_conv.kernel" not in weights:
            raise DataError(f"{path} holds no weights of PhaseNet; expected arrays such as Input.input_conv.kernel")
        return cls(weights)

    @property
    def parameters(self) -> int:
        """Trained numbers, without the running means and variances."""
        return sum(values.size for name, values in self.weights.items() if "moving" not in name)

    @property
    def macs_per_window(self) -> int:
        """Multiplications of the convolutions on one window of 3000 samples."""
        lengths = [WINDOW]
        for _ in range(DEPTHS - 1):
            lengths.append(math.ceil(lengths[-1] / STRIDE))
        total = lengths[0] * (self._size("Input.input_conv") + self._size("Output.output_conv"))
        for depth in range(DEPTHS):
            total += lengths[depth] * self._size(f"DownConv_{depth}.down_conv1_{depth + 1}")
            if depth < DEPTHS - 1:
                total += lengths[depth + 1] * self._size(f"DownConv_{depth}.down_conv3_{depth + 1}")
                total += lengths[depth + 1] * self._size(f"UpConv_{depth}.up_conv0_{depth + 1}")
                total += lengths[depth] * self._size(f"UpConv_{depth}.up_conv1_{depth + 1}")
        return total

    def probabilities(self, windows: Float32) -> Float32:
        """Return (noise, P, S) for normalised windows, shape (n, n_samples, 3), of the same shape."""
        return np.asarray(self._graph(windows), np.float32)

    def _size(self, name: str) -> int:
        return int(self.weights[f"{name}.kernel"].size)

    @cached_property
    def _graph(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        return tf.function(self._forward, input_signature=[tf.TensorSpec((None, None, 3), tf.float32)])

    def _forward(self, x: Any) -> Any:
        import tensorflow as tf

        x = self._normed(self._conv(x, "Input.input_conv") + self.weights["Input.input_conv.bias"], "Input.input_bn")
        skips = []
        for depth in range(DEPTHS):
            scope, n = f"DownConv_{depth}", depth + 1
            x = self._normed(self._conv(x, f"{scope}.down_conv1_{n}"), f"{scope}.down_bn1_{n}")
            if depth < DEPTHS - 1:
                skips.append(x)
                x = self._normed(self._conv(x, f"{scope}.down_conv3_{n}", STRIDE), f"{scope}.down_bn3_{n}")
        for depth in reversed(range(DEPTHS - 1)):
            scope, n = f"UpConv_{depth}", depth + 1
            x = self._normed(self._upsampled(x, f"{scope}.up_conv0_{n}"), f"{scope}.up_bn0_{n}")
            length = tf.shape(skips[depth])[1]
            first = (tf.shape(x)[1] - length) // 2
            x = tf.concat([skips[depth], x[:, first : first + length]], axis=2)
            x = self._normed(self._conv(x, f"{scope}.up_conv1_{n}"), f"{scope}.up_bn1_{n}")
        return tf.nn.softmax(self._conv(x, "Output.output_conv") + self.weights["Output.output_conv.bias"], axis=2)

    def _conv(self, x: Any, name: str, stride: int = 1) -> Any:
        import tensorflow as tf

        return tf.nn.conv1d(x, self.weights[f"{name}.kernel"][:, 0], stride, "SAME")

    def _upsampled(self, x: Any, name: str) -> Any:
        import tensorflow as tf

        kernel = self.weights[f"{name}.kernel"][:, 0]  # (time, out, in)
        shape = tf.stack([tf.shape(x)[0], tf.shape(x)[1] * STRIDE, kernel.shape[1]])
        return tf.nn.conv1d_transpose(x, kernel, shape, STRIDE, "SAME")

    def _normed(self, x: Any, name: str) -> Any:
        import tensorflow as tf

        at = {part: self.weights[f"{name}.{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")}
        scale = at["gamma"] / np.sqrt(at["moving_variance"] + BATCH_NORM_EPSILON)
        return tf.nn.relu(x * scale + (at["beta"] - at["moving_mean"] * scale))


@dataclass(frozen=True)
class PickCurve:
    """The probabilities of P and S on a record at 100 Hz, shape (n_samples, 2)."""

    body: str
    start_ns: int
    values: Float32

    def at(self, threshold: float) -> Detections:
        """Return the picks at a threshold and what is kept around them."""
        onsets: list[int] = []
        kept: list[Interval] = []
        for column in range(2):
            curve = self.values[:, column]
            for first, stop in _runs(curve >= threshold):
                kept.append(kept_around(self.body, self._time_ns(first), self._time_ns(stop)))
                if column == 0:
                    onsets.append(self._time_ns(first + int(np.argmax(curve[first:stop]))))
        return Detections(tuple(onsets), tuple(kept))

    def _time_ns(self, index: int) -> int:
        return self.start_ns + round(index * NS_PER_S / RATE_HZ)


@dataclass(frozen=True)
class PhaseNetDetector:
    """PhaseNet on records, at any number of thresholds."""

    network: PhaseNet
    thresholds: tuple[float, ...]
    single: str = PLACED  # where a record's only component goes

    def __call__(self, record: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        """Pick from `start_ns` to the record's stop at every threshold; raises as `station_samples`."""
        curve = self.curve(record, start_ns)
        return {threshold: curve.at(threshold) for threshold in self.thresholds}

    def curve(self, record: LabelledRecord, start_ns: int) -> PickCurve:
        """Return the probabilities of P and S from `start_ns` on."""
        samples = self._columns(record, start_ns)
        length = len(samples)
        padded = np.zeros((max(length, WINDOW), 3), np.float32)
        padded[:length] = samples
        starts = [*range(0, len(padded) - WINDOW, HOP), len(padded) - WINDOW]
        total = np.zeros((len(padded), 2), np.float32)
        n_windows = np.zeros((len(padded), 1), np.float32)
        for at in range(0, len(starts), BATCH_WINDOWS):
            chosen = starts[at : at + BATCH_WINDOWS]
            windows = normalised(np.stack([padded[first : first + WINDOW] for first in chosen]))
            for first, values in zip(chosen, self.network.probabilities(windows), strict=True):
                total[first : first + WINDOW] += values[:, P:]
                n_windows[first : first + WINDOW] += 1
        return PickCurve(record.body, start_ns, (total / n_windows)[:length])

    def _columns(self, record: LabelledRecord, start_ns: int) -> Float32:
        """Return the record's channels in the columns east, north, vertical, at 100 Hz, without their means."""
        raw = station_samples(record, start_ns)
        n_samples = max(1, round(raw.channels.shape[1] / raw.sampling_rate_hz * RATE_HZ))
        columns = np.zeros((n_samples, 3), np.float32)
        for letter, channel in zip(_letters(record, len(raw.channels)), raw.channels, strict=True):
            live = ~np.isnan(channel)
            if live.any():
                whole = bridge(channel) - np.mean(channel[live])
                columns[:, COMPONENTS.index(letter)] = _resampled(whole, raw.sampling_rate_hz, n_samples)
        if self.single == COPIED and len(raw.channels) == 1:
            columns[:] = columns.sum(axis=1, keepdims=True)
        return columns


def normalised(windows: Float32) -> Float32:
    """Remove the mean of each channel of each window, and divide by its standard deviation; shape (n, n_samples, 3)."""
    centred = windows - windows.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.asarray(centred / np.where(deviation == 0, 1.0, deviation), np.float32)


def _letters(record: LabelledRecord, n_alive: int) -> list[str]:
    """Return the component of each channel; without dead channels the order is that of the record."""
    letters = [_OTHER_LETTERS.get(channel[-1], channel[-1]) for channel in record.channels]
    if len(letters) != n_alive or sorted(set(letters)) != sorted(letters) or set(letters) - set(COMPONENTS):
        return list("ZNE"[:n_alive])
    return letters


def _resampled(samples: npt.NDArray[np.float64], rate_hz: float, n_samples: int) -> Float32:
    """Return the samples at 100 Hz; obspy's Fourier resampling would need a day in one piece."""
    if rate_hz == RATE_HZ:
        out = samples
    else:
        from fractions import Fraction

        from scipy.signal import resample_poly

        ratio = Fraction(RATE_HZ / rate_hz).limit_denominator(1000)
        out = resample_poly(samples, ratio.numerator, ratio.denominator)
    fitted = np.zeros(n_samples, np.float32)
    fitted[: min(n_samples, len(out))] = out[:n_samples]
    return fitted


def _runs(high: Sequence[bool] | npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [first, stop) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
