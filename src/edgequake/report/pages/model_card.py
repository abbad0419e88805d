"""A model card: the contents of a manifest as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.report.recording.probabilities import Model
from edgequake.results.tables.table import Table
from edgequake.results.words import size, thousands

LONGEST_LIST = 8  # of longer lists in the provenance only the length is shown


def model_card(model: Model) -> list[Table]:
    """Return the tables of a model card: the network, its trigger, its agreement with Keras, its training."""
    manifest, variant = model.manifest, model.variant
    network = [
        ("body", manifest.body),
        ("sampling rate", f"{manifest.sampling_rate_hz:g} Hz"),
        ("channels", ", ".join(manifest.channels)),
        ("front end", _front_end(manifest.front_end)),
        ("one row of features", f"{manifest.network.n_features} features every {_row_s(manifest):.3g} s"),
        ("mode", _mode(manifest)),
        ("outputs", ", ".join(manifest.network.outputs)),
        ("parameters", thousands(manifest.network.parameters)),
        ("variant", model.variant_name),
        ("size of the graph", size(variant.size_bytes)),
        ("sha256 of the graph", variant.sha256),
        ("oldest TFLite runtime", variant.minimum_runtime),
    ]
    trigger = manifest.trigger
    thresholds = ", ".join(f"{name} {value:g}" for name, value in trigger.onset_thresholds.items())
    decisions = [("onset thresholds", thresholds), ("event threshold", f"{trigger.event_threshold:g}")]
    decisions += [
        (name.removesuffix("_s").replace("_", " "), f"{value:g} s")
        for name, value in vars(trigger).items()
        if name.endswith("_s")
    ]
    agreement = [(_words(name), f"{value:.4g}") for name, value in variant.agreement.items()]
    return [
        _card("Network", network),
        _card("Trigger", decisions),
        _card("Agreement with Keras, measured at conversion", agreement),
        _card("Training", list(_flat(manifest.training))),
    ]


def _card(title: str, rows: list[tuple[str, str]]) -> Table:
    return Table(title, ("what", "value"), tuple(rows))


def _front_end(config: FrontEndConfig) -> str:
    if config.spectrogram is not None and config.kind == "spectrogram":
        edges = config.spectrogram.band_edges_hz
        return f"spectrogram, {len(edges) - 1} bands from {edges[0]:g} to {edges[-1]:g} Hz"
    if config.scalogram is not None and config.kind == "scalogram":
        centres = config.scalogram.centre_frequencies_hz
        return f"scalogram, {len(centres)} wavelets from {centres[0]:g} to {centres[-1]:g} Hz"
    if config.mel is not None and config.kind == "mel":
        mel = config.mel
        return f"log-mel, {mel.n_mels} bands from {mel.low_hz:g} to {mel.high_hz:g} Hz"
    return config.kind


def _row_s(manifest: Manifest) -> float:
    front_end = manifest.front_end
    return front_end.hop_samples / front_end.rows_per_block / manifest.sampling_rate_hz


def _mode(manifest: Manifest) -> str:
    network = manifest.network
    if network.mode == "windowed":
        return f"windowed: {network.window_rows} rows, a new window every {network.window_hop_rows}"
    return f"{network.mode}: state carried on, {network.rows_per_step} row(s) a step"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as (name, text); nested names begin with the name of their table."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        words = f"{prefix}{_words(name)}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{words}: ")
        elif isinstance(value, (list, tuple)) and len(value) > LONGEST_LIST:
            rows.append((words, f"{len(value)} entries"))
        else:
            rows.append((words, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:.5g}" if isinstance(value, float) else "–" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
