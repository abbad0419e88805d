"""Event classes: the kind of an event, from the features that the detector computes anyway.

The inputs of the classification are independent of units: features are decades of power above the background, so a gain
cancels out. The manifest names them:

- *pitch*, log2 Hz: the spectral centroid, the mean log frequency of the event's spectrum. The spectrum is the mean
  excess of each band over the first `spectrum_s` after the onset; bands below the background count as zero.
- *spread*, octaves: the bandwidth, the standard deviation of the log frequency about the centroid, with the same
  weights.
- *loudness*, decades: the highest running mean over `smooth_s` of the bands' excess, weighted by the spectrum.
- *duration*, log10 s: the time during which that running mean is at least half its peak.

They are known when the event closes. A linear softmax of those that the model uses gives probabilities. The class is
blank unless it is probable enough and no input lies outside the range of the training events.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import ManifestError
from edgequake.edge.features.front_end import Rows
from edgequake.edge.formats.waveforms import NS_PER_S, duration_ns
from edgequake.edge.manifest.tables import INPUTS, ClassConfig, FrontEndConfig, SpectrogramConfig

Float = npt.NDArray[np.float64]

BLANK = ""


def band_octaves(front_end: FrontEndConfig) -> Float:
    """Return log2 of the centre frequency (Hz) of each band or wavelet, shape (n_bands,).

    Raises
    ------
    ManifestError
        The front end is `waveform`, which has no bands.
    """
    bands = front_end.bands
    if isinstance(bands, SpectrogramConfig):
        octaves = np.log2(np.asarray(bands.band_edges_hz, np.float64))
        return np.asarray((octaves[:-1] + octaves[1:]) / 2.0, np.float64)
    if bands is not None:
        return np.asarray(np.log2(np.asarray(bands.centre_frequencies_hz, np.float64)), np.float64)
    raise ManifestError(
        f"event classes need bands, but the front end is '{front_end.kind}': expected a spectrogram or "
        "scalogram; leave the table 'classes' out"
    )


def class_inputs(
    excess: npt.NDArray[np.float32], octaves: Float, row_s: float, spectrum_s: float, smooth_s: float, min_live_s: float
) -> Float | None:
    """Return the four inputs of one event, float64, in the order of `INPUTS`; None if it has too little valid data.

    Parameters
    ----------
    excess : the event's valid rows in time order, decades above the background, shape (n_rows, n_bands).
    octaves : log2 of the bands' centre frequencies (Hz).
    row_s : time between rows.
    spectrum_s, smooth_s, min_live_s : see `ClassConfig`.
    """
    if len(excess) * row_s < min_live_s or len(excess) == 0:
        return None
    bands = excess.astype(np.float64)
    spectrum = np.maximum(np.mean(bands[: _n_rows(spectrum_s, row_s)], axis=0), 0.0)
    total = float(np.sum(spectrum))
    if total <= 0.0:
        return None
    share = spectrum / total
    centroid = float(np.sum(share * octaves))
    bandwidth = float(np.sqrt(np.sum(share * (octaves - centroid) ** 2)))
    level = _running_mean(np.sum(bands * share, axis=1), _n_rows(smooth_s, row_s))
    loudness = float(np.max(level))
    n_loud = max(1, int(np.sum(level >= loudness / 2.0)))
    return np.array([centroid, bandwidth, loudness, np.log10(n_loud * row_s)], np.float64)


def class_probabilities(config: ClassConfig, inputs: Float) -> Float:
    """Return the probability of each class of `config.names`, shape (n_classes,), from the four inputs."""
    scores = np.sum(np.asarray(config.weights, np.float64) * _standardised(config, inputs), axis=1)
    scores += np.asarray(config.bias, np.float64)
    powers = np.exp(scores - np.max(scores))
    return np.asarray(powers / np.sum(powers), np.float64)


def classify(config: ClassConfig, inputs: Float | None) -> str:
    """Return the class of an event from its inputs, or blank."""
    if inputs is None or float(np.max(np.abs(_standardised(config, inputs)))) > config.max_deviation:
        return BLANK
    probabilities = class_probabilities(config, inputs)
    best = int(np.argmax(probabilities))
    name = config.names[best]
    return name if probabilities[best] >= config.min_probability and name not in config.untold else BLANK


class EventClassifier:
    """Keeps the rows of one station that an open event needs, and classifies events that have closed.

    Add rows as they come, classify the events that they close, then drop the rows that no further event needs::

        classifier.add(rows)
        for event in events:
            print(classifier.classify(event.onset_ns, event.stop_ns))
        classifier.forget_before(detector.horizon_ns)

    An event is open for a limited time, so the memory is limited too.
    """

    def __init__(self, config: ClassConfig, front_end: FrontEndConfig, sampling_rate_hz: float) -> None:
        """Use the constants of a model.

        Raises
        ------
        ManifestError
            The front end has no bands.
        """
        self._config, self._rate_hz, self._hop = config, sampling_rate_hz, front_end.hop_samples
        self._lead = front_end.window_samples - front_end.hop_samples
        self._octaves = band_octaves(front_end)
        self._row_s = front_end.hop_samples / sampling_rate_hz
        self._start_ns = np.zeros(0, np.int64)  # of the newest hop of each row
        self._excess = np.zeros((0, len(self._octaves)), np.float32)

    def add(self, rows: Rows) -> None:
        """Take the rows that follow the ones before."""
        samples = rows.block[rows.valid] * self._hop + self._lead
        start_ns = [rows.t0_ns + duration_ns(position, self._rate_hz) for position in samples.tolist()]
        self._start_ns = np.concatenate([self._start_ns, np.array(start_ns, np.int64)])
        self._excess = np.concatenate([self._excess, rows.rows[rows.valid, 0, : len(self._octaves)]])

    def inputs(self, onset_ns: int, stop_ns: int) -> Float | None:
        """Return the four inputs of the event [onset_ns, stop_ns); None if it has too little valid data."""
        config = self._config
        stop_ns = min(stop_ns, onset_ns + round(config.max_event_s * NS_PER_S))
        first, stop = np.searchsorted(self._start_ns, [onset_ns, stop_ns])
        return class_inputs(
            self._excess[first:stop], self._octaves, self._row_s, config.spectrum_s, config.smooth_s, config.min_live_s
        )

    def classify(self, onset_ns: int, stop_ns: int) -> str:
        """Return the class of the event [onset_ns, stop_ns), or blank."""
        return classify(self._config, self.inputs(onset_ns, stop_ns))

    def forget_before(self, horizon_ns: int | None) -> None:
        """Drop the rows before the earliest possible onset; None: drop all."""
        first = len(self._start_ns) if horizon_ns is None else int(np.searchsorted(self._start_ns, horizon_ns))
        if first:
            self._start_ns, self._excess = self._start_ns[first:].copy(), self._excess[first:].copy()

    def state(self) -> State:
        return {"start_ns": self._start_ns, "excess": self._excess}

    def restore(self, state: State) -> None:
        self._start_ns, self._excess = state["start_ns"], state["excess"]


def _standardised(config: ClassConfig, inputs: Float) -> Float:
    chosen = inputs[[INPUTS.index(name) for name in config.inputs]]
    standardised = (chosen - np.asarray(config.mean, np.float64)) / np.asarray(config.scale, np.float64)
    return np.asarray(standardised, np.float64)


def _n_rows(duration_s: float, row_s: float) -> int:
    return max(1, round(duration_s / row_s))


def _running_mean(values: Float, n_rows: int) -> Float:
    """Return the mean over each run of `n_rows` values; over all of them where there are fewer."""
    n = min(n_rows, len(values))
    return np.asarray(np.convolve(values, np.full(n, 1.0 / n), "valid"), np.float64)
