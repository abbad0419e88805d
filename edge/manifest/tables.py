"""A manifest's tables: `front_end`, from samples to rows; `onset` and `classes`, how events are refined and named."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgequake.edge.base.errors import DataError
from edgequake.edge.manifest.feature_tables import (
    LONGEST_SAMPLES,
    ContrastConfig,
    HighBandsConfig,
    MelConfig,
    RowsConfig,
    ScalogramConfig,
    SpectrogramConfig,
    WaveformConfig,
)

__all__ = [
    "HIGHEST_SHARE",
    "INPUTS",
    "LONGEST_S",
    "LONGEST_SAMPLES",
    "LOWEST_RATIO",
    "RESAMPLER_REACH",
    "BackgroundConfig",
    "CatchUpConfig",
    "ClassConfig",
    "ContrastConfig",
    "FrontEndConfig",
    "HighBandsConfig",
    "MelConfig",
    "OnsetConfig",
    "RowsConfig",
    "ScalogramConfig",
    "SpectrogramConfig",
    "WaveformConfig",
    "decimation_factor",
    "highest_rate_hz",
    "require_rate",
    "takes_high_bands",
    "takes_rate",
]  # fmt: skip

LOWEST_RATIO = 0.98  # of the model's rate: below, what it listens to at high frequencies is not recorded
_HIGHEST_RATIO = 16.0  # of the model's rate
LONGEST_S = 1e8  # three years: a longer duration is a mistake, and 1e10 s do not fit 64-bit nanoseconds


@dataclass(frozen=True)
class CatchUpConfig:
    """How a badly wrong background is recognised, and how fast it then moves.

    A share 1 - q of the frames lies above the quantile q. After a tapered or dead start the background is decades too
    low and nearly every frame lies above it, so the share above it over about `memory_frames` shows the error. While
    this share exceeds `share_high`, a frame above the background moves it by the larger `step`; while it is less than
    `share_low`, a frame below does.
    """

    memory_frames: float  # memory of the share, in valid frames
    share_high: float
    share_low: float
    step: float  # decades per frame

    def __post_init__(self) -> None:
        if self.memory_frames < 1 or not 0 <= self.share_low < self.share_high <= 1 or self.step <= 0:
            raise ValueError("expected memory_frames >= 1, 0 <= share_low < share_high <= 1 and step > 0")


@dataclass(frozen=True)
class BackgroundConfig:
    """The slow running quantile that features are measured against.

    It starts as the running median of the first `start_frames` valid frames and then moves by at most `step` per frame
    (a stochastic-approximation quantile: up by ``step * quantile``, down by ``step * (1 - quantile)``), faster at
    first: the step is ``max(step, step_start * start_frames / n)`` in valid frame n.
    """

    quantile: float  # share of frames that should lie under the background, 0..1
    step: float  # decades (log10 units) per frame
    step_start: float  # decades per frame, at the start
    start_frames: int
    catch_up: CatchUpConfig | None = None

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1 or self.step <= 0 or self.step_start < self.step or self.start_frames < 1:
            raise ValueError("expected 0 < quantile < 1, 0 < step <= step_start and start_frames >= 1")


@dataclass(frozen=True)
class FrontEndConfig:
    """How raw samples become rows of features, one block of `hop_samples` samples at a time.

    A block becomes one row (spectrogram, scalogram, mel) or `hop_samples` rows (waveform: one row per sample).
    """

    kind: str  # "spectrogram", "scalogram", "mel" or "waveform"; "rows": rows of any other kind, no samples
    hop_samples: int  # at the model's sampling rate
    bridge_s: float  # gaps up to this long are interpolated and flagged; longer gaps reset the front end
    max_gap_fraction: float  # a block with more interpolated samples in its window is not valid
    stuck_s: float  # a channel that has not changed for this long is not valid
    fill_values: tuple[int, ...]  # sample values of integer records that mean "no sample"
    fill_min_jump: int  # ... when they lie at least this many counts from the last true sample
    despike_threshold: float  # five-sample Hampel filter, in robust standard deviations; 0: no despiking
    decimators: dict[str, tuple[float, ...]]  # factor -> symmetric low-pass taps, for exact multiples of the rate
    background: BackgroundConfig
    highest_rate_hz: float | None = None  # of channels that the model takes; by default 16 times its own rate
    spectrogram: SpectrogramConfig | None = None
    scalogram: ScalogramConfig | None = None
    waveform: WaveformConfig | None = None
    high_bands: HighBandsConfig | None = None  # with a spectrogram only
    contrast: ContrastConfig | None = None  # with a spectrogram only
    gap_flag: bool = True  # whether rows end in a flag, 1 where no channel is valid
    rows: RowsConfig | None = None
    # Patterns of channel codes (fnmatch): a row holds the features of each component in this order, 0 where it has no
    # valid channel. Empty: the mean over all channels.
    components: tuple[str, ...] = ()
    mel: MelConfig | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("spectrogram", "scalogram", "mel", "waveform", "rows"):
            raise ValueError(f"kind must be 'spectrogram', 'scalogram', 'mel', 'waveform' or 'rows', got {self.kind!r}")
        if getattr(self, self.kind) is None:
            raise ValueError(f"kind is '{self.kind}' but the table '{self.kind}' is missing")
        if not 1 <= self.hop_samples <= LONGEST_SAMPLES:
            raise ValueError(f"hop_samples must be 1 to {LONGEST_SAMPLES}, got {self.hop_samples}")
        if self.despike_threshold < 0:
            raise ValueError(f"despike_threshold must be positive, or 0 for no despiking, got {self.despike_threshold}")
        if not 0 <= self.bridge_s <= LONGEST_S or not 0 <= self.stuck_s <= LONGEST_S:
            raise ValueError(f"bridge_s and stuck_s must be 0 to {LONGEST_S:g} s")
        if self.kind != "spectrogram" and (self.high_bands or self.contrast):
            raise ValueError(f"high_bands and contrast belong to a spectrogram, but kind is '{self.kind}'")
        if not self.gap_flag and (self.high_bands or self.contrast):
            raise ValueError("rows with high_bands or contrast have a gap flag: expected gap_flag = true")
        if self.kind == "rows" and (self.gap_flag or self.components):
            raise ValueError("rows from elsewhere have no gap flag and no components: expected gap_flag = false")
        if self.components and (self.high_bands or self.contrast):
            raise ValueError("high_bands and contrast are of all components together: expected no components")
        if any(len(taps) % 2 == 0 for taps in self.decimators.values()):
            raise ValueError("decimators need an odd number of taps, so that they delay the signal by whole samples")

    @property
    def bands(self) -> SpectrogramConfig | ScalogramConfig | None:
        """The table of the bands or wavelets in use, relative to a background; None for waveforms and mel bands."""
        return {"spectrogram": self.spectrogram, "scalogram": self.scalogram}.get(self.kind)

    @property
    def per_window(self) -> str:
        """How each window is normalised as a whole, "" where rows are by the running background."""
        return self.waveform.per_window if self.kind == "waveform" and self.waveform is not None else ""

    @property
    def rows_per_block(self) -> int:
        """Rows of features that one block of `hop_samples` samples becomes."""
        return self.hop_samples if self.kind == "waveform" else 1

    @property
    def window_samples(self) -> int:
        """Samples that a block's rows are computed from; the newest `hop_samples` of them are new in this block."""
        if self.kind == "mel" and self.mel is not None:
            return self.mel.window_samples
        table = self.bands
        return self.hop_samples if table is None else table.window_samples

    @property
    def lower_edges_hz(self) -> tuple[float, ...]:
        """Lower edges of the bands of a spectrogram, those of the high bands last."""
        tables = (self.spectrogram, self.high_bands)
        return tuple(edge for table in tables if table is not None for edge in table.band_edges_hz[:-1])

    @property
    def n_channel_features(self) -> int:
        """Features that each channel has: one per band or wavelet, or the sample."""
        if self.kind == "rows" and self.rows is not None:
            return self.rows.n_features
        if self.kind == "mel" and self.mel is not None:
            return self.mel.n_mels
        if isinstance(self.bands, SpectrogramConfig):
            return len(self.lower_edges_hz)
        return 1 if self.bands is None else len(self.bands.centre_frequencies_hz)

    @property
    def n_own_features(self) -> int:
        """Features that a channel has at the model's own rate: all but the high bands, which come last."""
        n_high = 0 if self.high_bands is None else len(self.high_bands.band_edges_hz) - 1
        return self.n_channel_features - n_high

    @property
    def n_features(self) -> int:
        """Features in a row: those of the channels, contrasts, flags of what no channel has, the gap flag if any."""
        n_high = 0 if self.high_bands is None else 1
        n_contrast = 0 if self.contrast is None else len(self.contrast.group_edges_hz)  # the groups and a flag
        n_components = max(1, len(self.components))
        return self.n_channel_features * n_components + n_contrast + n_high + int(self.gap_flag)


def decimation_factor(config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> int | None:
    """Return the integer between a channel's sampling rate and the model's; None where samples must be interpolated.

    The factors are 1 and those for which the manifest has a decimator, with a tolerance of 0.1 %: rates in headers are
    nominal, and the times of the records show what is true.
    """
    for factor in (1, *sorted(int(name) for name in config.decimators)):
        if abs(sampling_rate_hz / (model_rate_hz * factor) - 1.0) < 1e-3:
            return factor
    return None


def highest_rate_hz(config: FrontEndConfig, model_rate_hz: float) -> float:
    """Return the highest sampling rate that a model takes."""
    limit_hz = config.highest_rate_hz
    return _HIGHEST_RATIO * model_rate_hz if limit_hz is None else limit_hz


def takes_rate(config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> bool:
    """Return whether a model takes channels of a sampling rate."""
    return LOWEST_RATIO * model_rate_hz <= sampling_rate_hz <= highest_rate_hz(config, model_rate_hz)


def require_rate(config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> None:
    """Raise DataError for a sampling rate that a model does not take."""
    if not takes_rate(config, model_rate_hz, sampling_rate_hz):
        low_hz, high_hz = LOWEST_RATIO * model_rate_hz, highest_rate_hz(config, model_rate_hz)
        raise DataError(
            f"sampling rate {sampling_rate_hz:g} Hz: this model takes {low_hz:.4g} to {high_hz:.4g} Hz; "
            f"choose channels of such a rate, or another model"
        )


def takes_high_bands(config: FrontEndConfig, sampling_rate_hz: float) -> bool:
    """Return whether a channel of this rate has the front end's high bands."""
    high = config.high_bands
    return high is not None and sampling_rate_hz >= LOWEST_RATIO * high.sampling_rate_hz


INPUTS = ("pitch", "spread", "loudness", "duration")  # features for the classes; see edge/detection/event_class.py
_LONGEST_EVENT_S = 1e5  # a longer duration is a mistake, and would take the lander's memory
HIGHEST_SHARE = 0.45  # of the sampling rate: the slope of the onset's band-pass must end below half the rate
RESAMPLER_REACH = 20  # samples of the model that resampling and the spike filter use up on either side: at most 19.3
_LARGEST = 1e6  # seconds, Hz or nats: a larger number is a mistake


@dataclass(frozen=True)
class OnsetConfig:
    """How onsets are refined: rule in `edge/detection/onset.py`, evidence for each body's numbers in docs/onsets.md."""

    low_hz: float  # pass band; its upper edge is lowered to 0.45 of the sampling rate of a slower channel
    high_hz: float
    filter_cycles: float  # length of the band-pass in periods of low_hz
    frame_s: float  # the onset lies between two frames of this length
    before_s: float  # the search begins this long before the rise of the probability
    after_s: float  # ... and stops this long after it
    tail_s: float  # the second search stops this long after the onset of the first
    min_quiet_s: float  # an onset needs this much record before it
    min_gain: float  # nats by which a rise must be likelier than none, else the trigger's onset is kept
    evidence: float  # share of the theoretical evidence that real, uneven ground motion carries, 0..1
    late_s: float  # usual delay of the rise of the probability
    late_spread_s: float  # half of all delays lie within this of it
    min_sigma_s: float  # scatter of the picks of the clearest events
    max_sigma_s: float  # with a larger uncertainty the trigger's onset is kept
    coarse_sigma_s: float  # uncertainty of the trigger's onset

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            smallest = -_LARGEST if name == "late_s" else 0.0
            if not smallest < value < _LARGEST:
                raise ValueError(f"{name} must lie between {smallest:g} and {_LARGEST:g}, got {value:g}")
        if self.high_hz <= self.low_hz or self.evidence > 1:
            raise ValueError("expected low_hz < high_hz and evidence <= 1")
        if self.frame_s + self.min_quiet_s > self.before_s:
            raise ValueError("before_s must hold min_quiet_s and a frame")

    @property
    def reach_before_s(self) -> float:
        """The samples used begin this long before the rise, at the model's own rate."""
        return self.before_s + self._half_filter_s

    @property
    def reach_after_s(self) -> float:
        """The samples used stop this long after the rise, at the model's own rate."""
        return self.after_s + self._half_filter_s

    def is_within(self, sampling_rate_hz: float) -> bool:
        """Return whether samples of a rate carry the whole pass band."""
        return self.high_hz <= HIGHEST_SHARE * sampling_rate_hz

    def resampling_s(self, model_rate_hz: float) -> float:
        """Return by how much further, before and after the rise, samples of other rates than the model's are used."""
        return RESAMPLER_REACH / model_rate_hz if self.is_within(model_rate_hz) else 0.0

    @property
    def _half_filter_s(self) -> float:
        return self.filter_cycles / self.low_hz / 2.0


@dataclass(frozen=True)
class ClassConfig:
    """A linear softmax over standardised features; `edge/detection/event_class.py` states the rule.

    Attributes
    ----------
    names : value of the catalogue's `mq_type` for each class.
    inputs : the features used, some of `INPUTS`.
    spectrum_s : the event's spectrum is the mean over this time after its onset.
    smooth_s : its loudness is a running mean over this time.
    min_live_s : an event with less valid data than this is not classified.
    max_event_s : later parts of an event are ignored.
    mean, scale : of each feature in the training events.
    weights : one row per class, one number per feature.
    bias : one number per class.
    min_probability : a less probable class is left blank.
    max_deviation : so is the class of an event with a feature further than this from `mean`, in units of `scale`.
    untold : classes that are told apart but left blank, because reports of them were wrong too often.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    spectrum_s: float
    smooth_s: float
    min_live_s: float
    max_event_s: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    min_probability: float
    max_deviation: float
    untold: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_classes, n_inputs = len(self.names), len(self.inputs)
        if n_classes < 2 or len(set(self.names)) < n_classes or not all(self.names):
            raise ValueError(f"names must be two classes or more, all different and none blank, got {list(self.names)}")
        if not set(self.untold) < set(self.names):
            raise ValueError(f"untold must be some of names, not all, got {list(self.untold)}")
        if not self.inputs or len(set(self.inputs)) < n_inputs or not set(self.inputs) <= set(INPUTS):
            raise ValueError(f"inputs must be one or more of {', '.join(INPUTS)}, got {list(self.inputs)}")
        if len(self.mean) != n_inputs or len(self.scale) != n_inputs:
            raise ValueError(f"mean and scale must hold one number for each of the inputs, {', '.join(self.inputs)}")
        if len(self.weights) != n_classes or any(len(row) != n_inputs for row in self.weights):
            raise ValueError(f"weights must be {n_classes} rows of {n_inputs} numbers")
        if len(self.bias) != n_classes:
            raise ValueError(f"bias must hold {n_classes} numbers, one per class")
        numbers = (*self.mean, *self.scale, *self.bias, *(number for row in self.weights for number in row))
        if not all(math.isfinite(number) for number in numbers) or min(self.scale) <= 0:
            raise ValueError("mean, scale, weights and bias must be finite, and scale above 0")
        if not 0 < self.smooth_s <= self.spectrum_s <= self.max_event_s <= _LONGEST_EVENT_S:
            raise ValueError(f"expected 0 < smooth_s <= spectrum_s <= max_event_s <= {_LONGEST_EVENT_S:g}")
        if not 0 <= self.min_live_s <= self.spectrum_s:
            raise ValueError("expected 0 <= min_live_s <= spectrum_s")
        if not 0 < self.min_probability <= 1 or not self.max_deviation > 0:
            raise ValueError("expected 0 < min_probability <= 1 and max_deviation > 0")
