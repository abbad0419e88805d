"""How much arithmetic detection takes for a second of signal, counted from the manifest.

An addition, a multiplication or a comparison of real numbers is one operation. What a network does is not counted here:
`edgequake inspect` counts that in the graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgequake.edge.front_end_config import FrontEndConfig
from edgequake.edge.manifest import Manifest

N_CHANNELS = 3  # a seismometer's
LOGARITHM = 20.0  # a polynomial of single precision
GAPS = 4.0  # a sample: compared with its neighbour, the fill values and the clock
DESPIKE = 45.0  # a sample: two medians of five (seven compare-and-swaps each), five deviations, one comparison
BACKGROUND = 8.0  # a value: difference, comparison, the share above, the step
CLIP_AND_ROUND = 6.0  # a value
SAMPLE_BYTES = 4


@dataclass(frozen=True)
class Operations:
    """Arithmetic for a second of signal."""

    operations_per_s: float
    bytes_per_s: float  # moved, if nothing stays in registers: every sample and value once in, once out


def front_end_operations(manifest: Manifest, n_channels: int = N_CHANNELS) -> Operations:
    """Count the front end of all channels at the model's own sampling rate, as `edge` computes it."""
    config, rate_hz = manifest.front_end, manifest.sampling_rate_hz
    blocks_per_s = rate_hz / config.hop_samples
    of_sample = GAPS + (DESPIKE if config.despike_threshold > 0 else 0.0)
    of_block = _block_operations(config)
    mean = (config.n_features - 1) * config.rows_per_block * (1 + 1 / n_channels)  # over the channels
    window_bytes = SAMPLE_BYTES * (2 * config.window_samples + config.n_features * config.rows_per_block)
    return Operations(
        n_channels * (rate_hz * of_sample + blocks_per_s * (of_block + mean)),
        n_channels * (rate_hz * 2 * SAMPLE_BYTES + blocks_per_s * window_bytes),
    )


def sta_lta_operations(rate_hz: float, band_passed: bool, despiked: bool, n_channels: int = N_CHANNELS) -> Operations:
    """Count a classic STA/LTA with running sums, as a lander would write it: no array is kept."""
    band_pass = 4 * 9.0 if band_passed else 0.0  # four second-order sections
    of_sample = GAPS + (DESPIKE if despiked else 0.0) + band_pass + 1 + 4 + 1 + 2  # square, two sums, ratio, mean
    return Operations(n_channels * rate_hz * of_sample, n_channels * rate_hz * 5 * SAMPLE_BYTES)


def _block_operations(config: FrontEndConfig) -> float:
    n, n_values = config.window_samples, config.n_features - 1
    of_value = LOGARITHM + 2 + BACKGROUND + CLIP_AND_ROUND
    if config.kind == "spectrogram":  # mean, slope and line taken off, tapered; spectrum; bands
        return 9 * n + 2.5 * n * math.log2(n) + 2 * n + n_values * of_value
    if config.kind == "scalogram":  # one spectrum there, one back for each wavelet; the newest outputs squared
        transform = 5 * n * math.log2(n)
        return 2 * n + transform + n_values * (2 * n + transform + 4 * config.hop_samples + of_value)
    return config.hop_samples * (BACKGROUND + CLIP_AND_ROUND + 4)  # waveform: mean and scale, one value a sample
