"""The constants of onset refinement in a model's headers."""

from __future__ import annotations

import math
from itertools import count, takewhile

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.onset import pass_band, reach_samples, split_sigma_s, tail_frames
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import OnsetConfig
from edgequake.export_c.c_text import array, define, double, int64
from edgequake.export_c.options import ExportOptions, factors_of, n_rows

_SPARE_SAMPLES = 16  # beyond the rise and the latest decision on it: the spike filter's delay, and rounding


def require_refinable(manifest: Manifest, factors: tuple[int, ...]) -> None:
    """Refuse what the C sources cannot refine onsets of.

    Raises
    ------
    ConfigError
        A rate at which the runner resamples before it refines, or a model whose next event may open before the onset
        of the one before is known.
    """
    config, trigger = _config(manifest), manifest.trigger
    if config.is_within(manifest.sampling_rate_hz) and max(factors) > 1:
        raise ConfigError(
            f"model '{manifest.name}' refines onsets at {manifest.sampling_rate_hz:g} Hz, and C does so for channels "
            "of that rate alone; give no other, or --no-refinement"
        )
    between_s = 2 * trigger.min_duration_s + manifest.front_end.bridge_s
    if config.reach_after_s > between_s:
        raise ConfigError(
            f"model '{manifest.name}' refines onsets with samples up to {config.reach_after_s:g} s after the rise, and "
            f"the next event may begin after {between_s:g} s; give --no-refinement"
        )


def _config(manifest: Manifest) -> OnsetConfig:
    assert manifest.onset is not None
    return manifest.onset


class OnsetHeader:
    """Texts for the headers of one export."""

    def __init__(self, manifest: Manifest, options: ExportOptions) -> None:
        self._manifest, self._options, self._config = manifest, options, _config(manifest)
        self._n_frames = round((self._config.before_s + self._config.after_s) / self._config.frame_s)
        self._rates_hz = [factor * manifest.sampling_rate_hz for factor in factors_of(manifest, options)]

    def sizes(self) -> dict[str, int]:
        """Return what the state depends on."""
        bands = (pass_band(self._config, rate_hz) for rate_hz in self._rates_hz)
        return {
            "HAS_ONSET": 1,
            "KEPT": max(self._n_kept(rate_hz) for rate_hz in self._rates_hz),
            "ONSET_FRAMES": self._n_frames,
            "ONSET_TAPS": max((len(band[1]) for band in bands if band is not None), default=1),
        }

    def _n_kept(self, rate_hz: float) -> int:
        """Return how many samples of a channel hold those around a rise until they are examined."""
        manifest, trigger = self._manifest, self._manifest.trigger
        row_s = manifest.front_end.hop_samples / manifest.sampling_rate_hz
        longest_s, least_s = trigger.longest_rise_s, trigger.min_duration_s
        if trigger.sure_event is not None:
            longest_s = max(longest_s, trigger.sure_event.longest_rise_s)
            least_s = max(least_s, trigger.sure_event.duration_s)
        latest_s = max(self._config.reach_after_s, longest_s + least_s + row_s)
        if self._options.channels > 1:  # one may be ahead of the others
            latest_s += (n_rows(manifest, self._options) + 2) * row_s
        factor = str(round(rate_hz / manifest.sampling_rate_hz))
        half = len(manifest.front_end.decimators.get(factor, ())) // 2
        return math.ceil((self._config.reach_before_s + latest_s + row_s) * rate_hz) + half + _SPARE_SAMPLES

    def constants(self) -> str:
        """Return the text for eq_NAME_model.h."""
        config = self._config
        names = ("frame_s", "before_s", "min_quiet_s", "min_gain")
        text = "".join(define(f"ONSET_{name.upper()}", double(getattr(config, name))) for name in names)
        text += define("ONSET_TAIL_FRAMES", tail_frames(config))
        # Of the first edge, in units of the spread; and by how much less late each edge is than the one before it.
        late = (config.before_s - config.frame_s - config.late_s) / config.late_spread_s
        text += define("ONSET_LATE", double(late))
        text += define("ONSET_LATE_STEP", double(config.frame_s / config.late_spread_s))
        sigmas_s = takewhile(lambda sigma_s: sigma_s is not None, (split_sigma_s(config, n) for n in count()))
        sigmas_ms = [round(1000 * sigma_s) for sigma_s in sigmas_s if sigma_s is not None]
        text += define("COARSE_SIGMA_MS", round(1000 * config.coarse_sigma_s)) + define("N_SIGMAS", len(sigmas_ms))
        after_ns = round((config.reach_after_s + 2.0 / min(self._rates_hz)) * NS_PER_S)
        text += define("ONSET_AFTER_NS", int64(after_ns))
        text += array("uint16_t", "eq_sigmas_ms", sigmas_ms or [0])
        entries = []
        for i, rate_hz in enumerate(self._rates_hz):
            band = pass_band(config, rate_hz)
            first, stop = reach_samples(config, rate_hz)
            width_hz, half, taps = (0.0, 0, "NULL") if band is None else (band[0], len(band[1]) // 2, f"eq_band_{i}")
            if band is not None:
                text += array("double", taps, (double(tap) for tap in band[1][half:]))
            per_frame = config.frame_s * rate_hz
            freedom = config.evidence * 2.0 * width_hz * config.frame_s
            entries.append(f"    {{{-first}, {stop}, {half}, {double(per_frame)}, {double(freedom)}, {taps}}}")
        rates = ",\n".join(entries)
        return text + f"static const eq_onset_rate eq_onset_rates[] = {{\n{rates}\n}};\n"
