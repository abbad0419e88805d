"""The two generated headers of a model: its sizes, which the state depends on, and its constants."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edgequake.edge.features.conditioning import MAD_TO_STANDARD_DEVIATION
from edgequake.edge.features.spectra import BandPower
from edgequake.edge.formats.waveforms import NS_PER_S, duration_ns
from edgequake.edge.manifest.manifest import SENSITIVITIES, Manifest
from edgequake.edge.manifest.tables import HighBandsConfig, SpectrogramConfig
from edgequake.export_c.c_text import array, define, double, int64, single
from edgequake.export_c.fixed_point import Scale, TableScale
from edgequake.export_c.network_reader import Dense, Network
from edgequake.export_c.onset_header import OnsetHeader
from edgequake.export_c.operator_tables import logistic_table, sigmoid_table
from edgequake.export_c.options import ExportOptions, carries_high_bands, factors_of, n_rows


class ModelHeader:
    """Texts of the headers of one export."""

    def __init__(self, manifest: Manifest, network: Network, options: ExportOptions) -> None:
        self._manifest, self._network, self._options = manifest, network, options
        self._front_end = manifest.front_end
        assert self._front_end.spectrogram is not None
        self._spectrogram = self._front_end.spectrogram
        self._factors = factors_of(manifest, options)
        self._grids: list[SpectrogramConfig] = [self._spectrogram]
        if self._front_end.high_bands is not None:
            self._grids.append(self._front_end.high_bands)
        self._onset = OnsetHeader(manifest, options) if options.refines(manifest) else None

    def sizes(self) -> str:
        """Return the text of eq_NAME_sizes.h."""
        front_end, network = self._front_end, self._network
        n_taps = [len(front_end.decimators[str(factor)]) for factor in self._factors if factor > 1]
        high = front_end.high_bands
        sizes = {
            "N_CHANNELS": self._options.channels,
            "N_GRIDS": len(self._grids),
            "N_BANDS": front_end.n_own_features,
            "HIGH_BANDS": front_end.n_channel_features - front_end.n_own_features,
            "HAS_CONTRAST": int(front_end.contrast is not None),
            "N_START": front_end.background.start_frames,
            "MOST_WINDOW": max(grid.window_samples for grid in self._grids),
            "MOST_BANDS": max(len(grid.band_edges_hz) - 1 for grid in self._grids),
            "WAITING": 1 if high is None else 2 + -(-max(n_taps, default=0) // (2 * self._hop(high))),
            "TAPS": max(n_taps, default=1),
            "RING": n_rows(self._manifest, self._options),
            "UNITS": network.n_units,
            "CONTEXT_VALUES": sum(layer.weights.shape[1] for layer in network.convolutions),
        }
        sizes |= {"HAS_ONSET": 0} if self._onset is None else self._onset.sizes()
        return "".join(define(name, value) for name, value in sizes.items())

    def constants(self, identity: bytes) -> str:
        """Return the text of eq_NAME_model.h; `identity`: first 8 bytes of the graph's SHA-256 and its options."""
        parts = [self._front_end_text(), self._grids_text(), self._rates_text(), self._background_text(),
                 self._trigger_text(), self._network_text()]  # fmt: skip
        if self._onset is not None:
            parts.append(self._onset.constants())
        return "".join(parts) + array("uint8_t", "eq_identity", identity)

    def _hop(self, table: SpectrogramConfig) -> int:
        return self._front_end.hop_samples * round(self._rate_hz(table) / self._manifest.sampling_rate_hz)

    def _rate_hz(self, table: SpectrogramConfig) -> float:
        return table.sampling_rate_hz if isinstance(table, HighBandsConfig) else self._manifest.sampling_rate_hz

    def _front_end_text(self) -> str:
        front_end, rate_hz = self._front_end, self._manifest.sampling_rate_hz
        limit = front_end.despike_threshold * MAD_TO_STANDARD_DEVIATION
        text = (
            define("RATE_HZ", double(rate_hz))
            + define("HOP", int64(front_end.hop_samples))
            + define("WINDOW", int64(front_end.window_samples))
            + define("ROW_NS", int64(duration_ns(front_end.hop_samples, rate_hz)))
            + define("BRIDGE_S", double(front_end.bridge_s))
            + define("HAS_DESPIKE", int(front_end.despike_threshold > 0))
            + define("DESPIKE_LIMIT", double(limit))
            + define("N_FILLS", len(front_end.fill_values))
            + define("FILL_MIN_JUMP", double(front_end.fill_min_jump))
            + define("STEPS_PER_DECADE", single(self._spectrogram.steps_per_decade))
            + array("int32_t", "eq_fill_values", front_end.fill_values or (0,))
        )
        if front_end.contrast is not None:
            groups = list(pairwise(front_end.contrast.group_edges_hz))
            found = [
                next((i for i, (low, high) in enumerate(groups) if low <= edge < high), -1)
                for edge in front_end.lower_edges_hz
            ]
            text += define("N_GROUPS", len(groups)) + array("int8_t", "eq_group_of_band", found)
        return text

    def _grids_text(self) -> str:
        n = max(grid.window_samples for grid in self._grids)
        cosines = np.cos(2.0 * np.pi * np.arange(n // 4 + 1, dtype=np.float64) / n)
        cosines[-1] = 0.0
        entries = ",\n".join(self._grid_text(table) for table in self._grids)
        return (
            array("double", "eq_cosines", (double(value) for value in cosines))
            + f"static const eq_grid_config eq_grids[] = {{\n{entries}\n}};\n"
        )

    def _grid_text(self, table: SpectrogramConfig) -> str:
        front_end, rate_hz, n = self._front_end, self._rate_hz(table), table.window_samples
        model_hz = self._manifest.sampling_rate_hz
        hop, ratio = self._hop(table), round(rate_hz / model_hz)
        power = BandPower(table, rate_hz)
        stuck_blocks = max(1, round(front_end.stuck_s * model_hz / front_end.hop_samples))
        starts = ", ".join(f"{int(start)}u" for start in power.line_starts)
        return (
            f"    {{{n}u, {len(table.band_edges_hz) - 1}u, {int64(hop)}, "
            f"{int64(front_end.window_samples * ratio - n)},\n"
            f"     {double(rate_hz)}, {double(power.density_per_power)}, {double(power.ramp_power)},\n"
            f"     {double(table.clip_low)}, {double(table.clip_high)}, {double(table.steps_per_decade)},\n"
            f"     {int(front_end.max_gap_fraction * n)}u, {stuck_blocks}, {{{starts}}}}}"
        )

    def _rates_text(self) -> str:
        text, entries = "", []
        for factor in self._factors:
            taps = np.asarray(self._front_end.decimators.get(str(factor), (1.0,)), np.float64)
            half = len(taps) // 2
            text += array("double", f"eq_taps_{factor}", (double(tap) for tap in taps[half:]))
            entries.append(
                f"    {{{double(factor * self._manifest.sampling_rate_hz)}, {int64(factor)}, {half}, "
                f"{int(carries_high_bands(self._manifest, factor))}, eq_taps_{factor}}}"
            )
        rates = ",\n".join(entries)
        text += f"static const eq_rate eq_rates[] = {{\n{rates}\n}};\n"
        return text + define("N_RATES", len(entries)) + define("HAS_DECIMATION", int(max(self._factors) > 1))

    def _background_text(self) -> str:
        config = self._front_end.background
        catch_up = config.catch_up
        values = [config.quantile, config.step, config.step_start * config.start_frames]
        if catch_up is None:
            values += [0.0] * 5
        else:
            values += [1.0 / catch_up.memory_frames, catch_up.share_high, catch_up.share_low]
            values += [catch_up.step * config.quantile, catch_up.step * (config.quantile - 1.0)]
        numbers = ", ".join(double(value) for value in values)
        return (
            f"static const eq_background_config eq_background = {{\n    {numbers}, {int(catch_up is not None)}\n}};\n"
        )

    def _trigger_text(self) -> str:
        config = self._manifest.trigger
        sure = config.sure_event
        durations_s = {
            "LAG_NS": config.onset_lag_s,
            "MERGE_NS": config.merge_s,
            "MIN_DURATION_NS": config.min_duration_s,
            "HOLD_NS": config.hold_s,
            "MAX_EVENT_NS": config.max_event_s,
        }
        text = array("double", "eq_thresholds", (double(config.onset_thresholds[name]) for name in SENSITIVITIES))
        text += define("REARM_RATIO", double(config.rearm_ratio))
        text += define("EVENT_THRESHOLD", double(config.event_threshold))
        text += define("HAS_BEGINNING", int(config.longest_rise_s > 0))
        if config.longest_rise_s > 0:
            durations_s["BEGINNING_NS"] = config.longest_rise_s
        text += define("HAS_SURE_EVENT", int(sure is not None))
        if sure is not None:
            durations_s |= {"SURE_DURATION_NS": sure.duration_s, "LONGEST_RISE_NS": sure.longest_rise_s}
            text += define("SURE_THRESHOLD", double(sure.threshold))
        return text + "".join(define(name, int64(round(s * NS_PER_S))) for name, s in durations_s.items())

    def _network_text(self) -> str:
        network = self._network
        dense = [_dense_text(f"conv_{i}", layer) for i, layer in enumerate(network.convolutions)]
        layers = {"gates_x": network.gates_x, "gates_h": network.gates_h, "head": network.head}
        rows = [self._manifest.network.n_features, *(len(layer.bias) for layer in network.convolutions)]
        table = logistic_table(
            network.logistic_scale, network.logistic_zero, network.probability_scale, network.probability_zero
        )
        convolutions = ",\n".join(_dense_entry(f"conv_{i}", layer) for i, layer in enumerate(network.convolutions))
        text = (
            define("N_FEATURES", self._manifest.network.n_features)
            + define("N_OUTPUTS", len(network.head.bias))
            + define("N_CONVS", len(network.convolutions))
            + define("MOST_ROW", max(rows))
            + define("H_ZERO", network.h_zero)
            + define("ROW_SCALE", single(network.row_scale))
            + define("ROW_ZERO", network.row_zero)
            + define("PROBABILITY_SCALE", single(network.probability_scale))
            + define("PROBABILITY_ZERO", network.probability_zero)
            + define("HAS_RECURRENT_BIAS", int(_has_bias("gates_h", network.gates_h)))
            + define("HAS_SHARES", int(network.shares is not None))
            + "".join(dense)
            + f"static const eq_dense eq_convs[] = {{\n{convolutions}\n}};\n"
            + array("int8_t", "eq_conv_zeros", (layer.input_zero for layer in network.convolutions))
            + "".join(_dense_text(name, layer) for name, layer in layers.items())
            + "".join(
                f"static const eq_dense eq_{name} =\n{_dense_entry(name, layer)};\n" for name, layer in layers.items()
            )
            + array("uint16_t", "eq_sigmoid", [*sigmoid_table(), sigmoid_table()[-1]])
            + array("int8_t", "eq_logistic_8", table)
        )
        if network.shares is not None:
            text += array("int16_t", "eq_shares", network.shares)
        return text + "".join(_scale_text(name, scale) for name, scale in self._scales().items())

    def _scales(self) -> dict[str, Scale | TableScale]:
        network = self._network
        named: dict[str, Scale | TableScale | None] = {
            "scale_shares": network.share_scale,
            "scale_gates_x": network.gate_scales[0],
            "scale_gates_h": network.gate_scales[1],
            "scale_gates": network.gate_scales[2],
            "scale_kept": network.kept_scale,
            "scale_added": network.added_scale,
            "scale_cell_kept": network.cell_scales[0],
            "scale_cell_added": network.cell_scales[1],
            "scale_cell": network.cell_scales[2],
            "scale_output": network.output_scale,
            "scale_h": network.h_scale,
            "table_gates": network.gate_table,
            "table_cell": network.cell_table,
        }
        return {name: scale for name, scale in named.items() if scale is not None}


def _scale_text(name: str, scale: Scale | TableScale) -> str:
    kind = "eq_scale" if isinstance(scale, Scale) else "eq_table_scale"
    return f"static const {kind} eq_{name} = {{{scale.multiplier}, {scale.shift}}};\n"


def _has_bias(name: str, layer: Dense) -> bool:
    """Whether a layer's bias is written: only that of the recurrent gates may be left out, where it is 0."""
    return name != "gates_h" or bool(layer.bias.any())


def _dense_text(name: str, layer: Dense) -> str:
    return (
        array("int8_t", f"eq_{name}_weights", layer.weights.ravel())
        + (array("int32_t", f"eq_{name}_bias", layer.bias) if _has_bias(name, layer) else "")
        + array("int32_t", f"eq_{name}_multiplier", (scale.multiplier for scale in layer.scales))
        + array("uint8_t", f"eq_{name}_shift", (scale.shift for scale in layer.scales))
    )


def _dense_entry(name: str, layer: Dense) -> str:
    n_out, n_in = layer.weights.shape
    bias = f"eq_{name}_bias" if _has_bias(name, layer) else "NULL"
    arrays = f"eq_{name}_weights, {bias}, eq_{name}_multiplier, eq_{name}_shift"
    return f"    {{{n_out}, {n_in}, {layer.zero_point}, {layer.low}, {arrays}}}"
