"""The manifest's tables of features, one for each kind of front end: what a row holds and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

LONGEST_SAMPLES = 1_000_000  # a longer window or hop is a mistake, and would take the lander's memory


@dataclass(frozen=True)
class SpectrogramConfig:
    """Log power in bands of short-time spectra (linear detrend, periodic Hann window, one-sided density)."""

    window_samples: int
    band_edges_hz: tuple[float, ...]  # n_bands + 1 rising edges; band i holds lower <= f < upper
    clip_low: float  # decades below the background
    clip_high: float  # decades above the background
    steps_per_decade: int  # features are rounded to 1 / steps_per_decade: the same bits on every machine

    def __post_init__(self) -> None:
        edges = self.band_edges_hz
        if not 2 <= self.window_samples <= LONGEST_SAMPLES:
            raise ValueError(f"window_samples must be 2 to {LONGEST_SAMPLES}, got {self.window_samples}")
        if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
            raise ValueError(f"band_edges_hz must be at least two rising frequencies, got {list(edges)}")


@dataclass(frozen=True)
class HighBandsConfig(SpectrogramConfig):
    """Further bands of a spectrogram, above the model's own Nyquist frequency, from a second and faster grid.

    Its windows stop when those of the model's grid do, and come as often. They are filled only where a channel's
    sampling rate allows; where no channel's does, the features are 0 and a flag of theirs is 1.
    """

    sampling_rate_hz: float = 0.0  # of the second grid, a multiple of the model's

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_rate_hz <= 0:
            raise ValueError(f"sampling_rate_hz must be positive, got {self.sampling_rate_hz:g}")


@dataclass(frozen=True)
class ContrastConfig:
    """Features that compare components: vertical minus horizontal excess, a mean over the bands of each group.

    P shakes the vertical component most, S the horizontal ones. Where only one kind of component is valid, the features
    are 0 and a flag of theirs is 1.
    """

    group_edges_hz: tuple[
        float, ...
    ]  # n_groups + 1 rising edges; group i holds the bands of lower <= lower edge < upper

    def __post_init__(self) -> None:
        edges = self.group_edges_hz
        if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
            raise ValueError(f"group_edges_hz must be at least two rising frequencies, got {list(edges)}")


@dataclass(frozen=True)
class ScalogramConfig:
    """Log power of a bank of complex Morlet wavelets, averaged over a block; formula in `edge/features/spectra.py`."""

    window_samples: int  # at least hop_samples + taps of the longest wavelet - 1
    centre_frequencies_hz: tuple[float, ...]  # rising, one per wavelet
    cycles: float  # 2 pi times the periods in one standard deviation of the envelope (omega_0 of the literature)
    support_scales: float  # half-length of a wavelet in standard deviations of its envelope
    clip_low: float  # decades below the background
    clip_high: float  # decades above the background
    steps_per_decade: int  # features are rounded to 1 / steps_per_decade: the same bits on every machine

    def __post_init__(self) -> None:
        centres = self.centre_frequencies_hz
        if not 2 <= self.window_samples <= LONGEST_SAMPLES:
            raise ValueError(f"window_samples must be 2 to {LONGEST_SAMPLES}, got {self.window_samples}")
        if not centres or centres[0] <= 0 or any(b <= a for a, b in pairwise(centres)):
            raise ValueError(f"centre_frequencies_hz must be rising frequencies above 0, got {list(centres)}")
        if not (0 < self.cycles <= 1000 and 0 < self.support_scales <= 100):
            raise ValueError("cycles must lie in (0, 1000] and support_scales in (0, 100]")


@dataclass(frozen=True)
class MelConfig:
    """Logarithm of the energy in triangular bands on the mel scale; formula in `edge/features/mel_bands.py`."""

    window_samples: int
    n_mels: int
    low_hz: float  # left corner of the first band
    high_hz: float  # right corner of the last band, at most half the sampling rate
    fft_samples: int  # the window is followed by zeros up to this length
    scale: str  # "slaney" or "htk"
    linear_in: str  # the sides of a triangle are straight lines over "hz" or over "mel"
    equal_area: bool  # each band is divided by half its width in Hz
    power: int  # of the spectrum's magnitude: 2 or 1
    log: str  # "ln": ln(energy + floor); "db": 10 log10 of the energy, of the floor where that is larger
    floor: float
    remove_mean: bool = False  # of each window, before the taper
    steps_per_unit: int = 256  # features are rounded to 1 / steps_per_unit: the same bits on every machine

    def __post_init__(self) -> None:
        choices = {"scale": ("slaney", "htk"), "linear_in": ("hz", "mel"), "power": (1, 2), "log": ("ln", "db")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        if not 2 <= self.window_samples <= self.fft_samples <= LONGEST_SAMPLES:
            raise ValueError(f"expected 2 <= window_samples <= fft_samples <= {LONGEST_SAMPLES}")
        if not 1 <= self.n_mels <= self.fft_samples:
            raise ValueError(f"n_mels must be 1 to fft_samples, got {self.n_mels}")
        if not 0 <= self.low_hz < self.high_hz:
            raise ValueError(f"expected 0 <= low_hz < high_hz, got {self.low_hz:g} and {self.high_hz:g}")
        if not 0 < self.floor < 1e30 or self.steps_per_unit < 1:
            raise ValueError("floor must be above 0, and steps_per_unit at least 1")


@dataclass(frozen=True)
class WaveformConfig:
    """Samples minus their running mean, divided by their running scale."""

    clip: float  # in units of the running scale
    steps_per_unit: int  # rounded to 1 / steps_per_unit
    # "zscore" or "peak": rows are samples as recorded, and each window loses its mean and is divided by its standard
    # deviation or its largest value, as notebooks do it; no clipping or rounding then. Windowed mode only.
    per_window: str = ""
    per_component: bool = True  # the divisor is that of each component; False: one of all components of a window

    def __post_init__(self) -> None:
        if self.per_window not in ("", "zscore", "peak"):
            raise ValueError(f"per_window must be 'zscore', 'peak' or '' (running scale), got {self.per_window!r}")


@dataclass(frozen=True)
class RowsConfig:
    """Rows from elsewhere, not of seismic samples: `edge/detection/row_network.py` takes them as they are."""

    n_features: int

    def __post_init__(self) -> None:
        if not 1 <= self.n_features <= LONGEST_SAMPLES:
            raise ValueError(f"n_features must be 1 to {LONGEST_SAMPLES}, got {self.n_features}")
