"""What is exported of a model: how many channels, at which sampling rates, how far one may be ahead of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgequake.edge.base.errors import ConfigError, ManifestError
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import SpectrogramConfig, decimation_factor, takes_high_bands

MOST_CHANNELS = 16  # sums of features stay within 16 bits
_LEAD_S = 60.0  # beyond a gap that is interpolated: the length of a usual record
_LARGEST_WINDOW = 4096  # samples: a larger one would take a microcontroller's memory
_MOST_ROWS = 1 << 20
_EARLIEST_C_NS = 4_600_000_000_000_000_000  # as EQ_FARTHEST_NS


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes
    ----------
    channels : of the station, at most.
    rates_hz : sampling rates that channels may have; empty: the model's own.
    lead_s : how far a channel may be ahead of the others; None: a gap that is interpolated and a minute.
    refinement : whether onsets are refined from the samples, where the model does so.
    """

    channels: int = 1
    rates_hz: tuple[float, ...] = ()
    lead_s: float | None = None
    refinement: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise ConfigError(f"channels must be 1 to {MOST_CHANNELS}, got {self.channels}")
        if self.lead_s is not None and not 0 <= self.lead_s <= 1e7:
            raise ConfigError(f"the lead must be 0 to 1e7 s, got {self.lead_s:g}")

    def refines(self, manifest: Manifest) -> bool:
        """Return whether onsets are refined from the samples."""
        return self.refinement and manifest.onset is not None


def exact_rates_hz(manifest: Manifest) -> tuple[float, ...]:
    """Return the sampling rates that a model takes without interpolation, rising."""
    factors = sorted({1, *(int(factor) for factor in manifest.front_end.decimators)})
    return tuple(factor * manifest.sampling_rate_hz for factor in factors)


def factors_of(manifest: Manifest, options: ExportOptions) -> tuple[int, ...]:
    """Return the exported rates as multiples of the model's, rising.

    Raises
    ------
    ConfigError
        A rate needs interpolation, which C does not have.
    """
    factors = set()
    for rate_hz in options.rates_hz or (manifest.sampling_rate_hz,):
        factor = decimation_factor(manifest.front_end, manifest.sampling_rate_hz, rate_hz)
        if factor is None:
            exact = ", ".join(f"{exact_hz:g}" for exact_hz in exact_rates_hz(manifest))
            raise ConfigError(f"model '{manifest.name}' cannot be exported for {rate_hz:g} Hz: C takes {exact} Hz")
        factors.add(factor)
    return tuple(sorted(factors))


def n_rows(manifest: Manifest, options: ExportOptions) -> int:
    """Return the length of the ring of rows: those of the lead, and those of a window.

    Raises
    ------
    ConfigError
        The lead takes too many rows.
    """
    front_end = manifest.front_end
    least = -(-front_end.window_samples // front_end.hop_samples) + 2
    if options.channels == 1:
        return _power_of_two(least)
    lead_s = front_end.bridge_s + _LEAD_S if options.lead_s is None else options.lead_s
    rows = _power_of_two(least + math.ceil(lead_s * manifest.sampling_rate_hz / front_end.hop_samples))
    if rows > _MOST_ROWS:
        raise ConfigError(f"a lead of {lead_s:g} s takes {rows} rows; at most {_MOST_ROWS} are possible")
    return rows


def carries_high_bands(manifest: Manifest, factor: int) -> bool:
    """Return whether channels at a multiple of the model's rate have the high bands."""
    return takes_high_bands(manifest.front_end, factor * manifest.sampling_rate_hz)


def require_exportable(manifest: Manifest, factors: tuple[int, ...]) -> None:
    """Raise ManifestError for a front end or network mode that the C sources do not compute; it names what it is."""
    front_end, network = manifest.front_end, manifest.network
    if front_end.kind != "spectrogram":
        raise _refused(manifest, f"its front end is a {front_end.kind}", "the front end spectrogram")
    if front_end.components:
        raise _refused(manifest, "its rows keep the components apart", "the mean over the channels")
    if network.mode != "continuous":
        raise _refused(manifest, f"its network is {network.mode}", "the mode continuous")
    if network.rows_per_step != 1:
        raise _refused(manifest, f"a step takes {network.rows_per_step} rows", "one row a step")
    if network.outputs not in (("event",), ("onset", "event")):
        named = ", ".join(network.outputs)
        raise _refused(manifest, f"its outputs are {named}", "the outputs event, or onset and event")
    if network.lag_rows or network.warmup_steps or any(state.reset_step for state in network.states):
        raise _refused(manifest, "its decisions come later than their rows", "a network without delay")
    if front_end.highest_rate_hz is not None and front_end.highest_rate_hz < max(factors) * manifest.sampling_rate_hz:
        raise _refused(manifest, f"it takes at most {front_end.highest_rate_hz:g} Hz", "rates that the model takes")
    for table in (front_end.spectrogram, front_end.high_bands):
        if table is not None:
            _require_grid(manifest, table)
    high = front_end.high_bands
    if high is None:
        return
    ratio = high.sampling_rate_hz / manifest.sampling_rate_hz
    if high.steps_per_decade != front_end.spectrogram.steps_per_decade:  # type: ignore[union-attr]
        raise _refused(manifest, "its high bands have other steps", "one number of steps per decade")
    if any(carries_high_bands(manifest, factor) and factor != round(ratio) for factor in factors):
        exact_hz = high.sampling_rate_hz
        raise _refused(manifest, f"its high bands are of {exact_hz:g} Hz", f"rates below that, and {exact_hz:g} Hz")


def _require_grid(manifest: Manifest, table: SpectrogramConfig) -> None:
    window, steps = table.window_samples, table.steps_per_decade
    if window & (window - 1) or not 4 <= window <= _LARGEST_WINDOW:
        raise _refused(manifest, f"a window has {window} samples", f"a power of two, 4 to {_LARGEST_WINDOW}")
    if manifest.front_end.hop_samples > manifest.front_end.window_samples:
        raise _refused(manifest, "its windows leave samples out", "a hop no longer than the window")
    if steps & (steps - 1) or not 1 <= steps <= 256:
        raise _refused(manifest, f"a decade has {steps} steps", "a power of two, at most 256")
    if max(-table.clip_low, table.clip_high) * steps * MOST_CHANNELS > 32767:
        raise _refused(manifest, f"its features reach {table.clip_high:g} decades", "sums that fit 16 bits")


def _refused(manifest: Manifest, found: str, taken: str) -> ManifestError:
    return ManifestError(f"model '{manifest.name}' cannot be exported to C: {found}; C takes {taken}")


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
