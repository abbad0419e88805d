"""The manifest: every constant that the device needs beside the graph, read from NAME.json.

docs/manifest.md specifies the file field by field. Unknown and missing fields are errors, and the graph's SHA-256 must
match before the graph is run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ConfigError, ManifestError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.tables import LONGEST_S, LONGEST_SAMPLES, ClassConfig, FrontEndConfig, OnsetConfig

FORMAT = "edgequake-manifest"
FORMAT_VERSION = 1
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
SENSITIVITIES = ("low", "normal", "high")


@dataclass(frozen=True)
class StateTensor:
    """One state of the one-step graph: its output tensor is the input of the next step."""

    name: str
    kind: str  # "context", or "recurrent" (h, c, a running maximum): reset to zero after the warm-up steps
    shape: tuple[int, ...]  # with the leading batch axis of 1
    reset_step: int | None = None  # of a recurrent state: the step before which it is reset; None: after the warm-up


@dataclass(frozen=True)
class NetworkConfig:
    """How the one-step graph is stepped."""

    mode: str  # "continuous": the state is kept; "windowed": it is reset every window
    rows_per_step: int  # rows of features per invocation; input shape (1, rows_per_step, n_features)
    n_features: int
    # Names of the columns; output shape (1, n_outputs). "event" is the probability of an event, or `event_classes` are;
    # "onset" is that of an onset, by default the same; in windowed mode "start" is the position of the event's onset in
    # the window, 0..1. Columns of other names have no effect.
    outputs: tuple[str, ...]
    states: tuple[StateTensor, ...]
    parameters: int  # trainable parameters of the network
    # Windowed mode only: rows per window, and rows from one window's start to the next.
    window_rows: int | None = None
    window_hop_rows: int | None = None
    # First steps of a window or stream that only fill the convolution contexts (their recurrent state is discarded).
    warmup_steps: int = 0
    # Rows by which the outputs are late. In continuous mode decisions are that much earlier than the newest row; in
    # windowed mode that many rows of zeros follow each window.
    lag_rows: int = 0
    event_classes: tuple[str, ...] = ()  # columns of `outputs` that are classes of events: their sum is P(event)

    def __post_init__(self) -> None:
        if self.rows_per_step < 1:
            raise ValueError(f"rows_per_step must be at least 1, got {self.rows_per_step}")
        if self.mode not in ("continuous", "windowed"):
            raise ValueError(f"mode must be 'continuous' or 'windowed', got {self.mode!r}")
        if self.mode == "windowed" and not (self.window_rows and self.window_hop_rows):
            raise ValueError("windowed mode needs window_rows and window_hop_rows")
        if not 0 <= self.lag_rows <= LONGEST_SAMPLES:
            raise ValueError(f"lag_rows must be 0 to {LONGEST_SAMPLES}, got {self.lag_rows}")
        _check_outputs(self.outputs, self.event_classes)
        if "start" in self.outputs and self.mode != "windowed":
            raise ValueError("the output 'start' is a position in a window: it needs mode 'windowed'")

    @property
    def has_event(self) -> bool:
        """Whether any column is known to be the probability of an event; without, there are outputs but no events."""
        return "event" in self.outputs or bool(self.event_classes)

    @property
    def resets(self) -> dict[int, tuple[str, ...]]:
        """Names of the recurrent states by the step before which they are reset; not step 0, where all are zero."""
        found: dict[int, tuple[str, ...]] = {}
        for state in self.states:
            step = self.warmup_steps if state.reset_step is None else state.reset_step
            if state.kind == "recurrent" and step:
                found[step] = (*found.get(step, ()), state.name)
        return dict(sorted(found.items()))


def _check_outputs(outputs: tuple[str, ...], event_classes: tuple[str, ...]) -> None:
    if len(set(outputs)) != len(outputs) or not all(_OUTPUT_NAME.fullmatch(name) for name in outputs):
        raise ValueError(
            f"outputs must be different names of at most 32 letters, digits, '_', '-' and '.', got {list(outputs)}"
        )
    unknown = [name for name in event_classes if name not in outputs]
    if unknown:
        raise ValueError(f"event_classes names '{unknown[0]}', which is not among the outputs {list(outputs)}")
    if "event" in outputs and event_classes:
        raise ValueError("outputs names a column 'event', and event_classes other ones: expected one of the two")


@dataclass(frozen=True)
class SureEventConfig:
    """When the event probability alone declares an event whose onset was never sure: an emergent one."""

    threshold: float  # the event probability must stay at or above this, or the onset threshold if it is higher ...
    duration_s: float  # ... this long
    longest_rise_s: float  # the onset lies at most this long before it does

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1 or not 0 <= self.duration_s <= LONGEST_S or not 0 < self.longest_rise_s <= 1e5:
            raise ValueError("expected a threshold in (0, 1], duration_s >= 0 and longest_rise_s > 0")


@dataclass(frozen=True)
class TriggerConfig:
    """How probabilities become events and kept intervals; `edge/detection/trigger.py` states the rule."""

    onset_thresholds: dict[str, float]  # sensitivity (low, normal, high) -> probability that declares an event
    rearm_ratio: float  # the onset probability must fall below ratio * threshold before the next event
    event_threshold: float  # the event continues while the event probability is at or above this
    min_duration_s: float  # the onset probability must stay above the threshold this long
    hold_s: float  # the event ends when the event probability has been low for this long
    merge_s: float  # a further trigger within this time of the event's onset is the same event
    max_event_s: float
    onset_lag_s: float  # delay of the network, subtracted from the onset
    pre_roll_s: float
    post_roll_s: float
    sure_event: SureEventConfig | None = None
    # An onset is where the onset probability last rose above ratio * threshold, at most this long before it reaches the
    # threshold; 0: where it reaches it.
    longest_rise_s: float = 0.0

    def __post_init__(self) -> None:
        durations_s = {name: value for name, value in vars(self).items() if name.endswith("_s")}
        if any(abs(value) > LONGEST_S for value in durations_s.values()):
            raise ValueError(f"durations must be at most {LONGEST_S:g} s, got {durations_s}")
        if set(self.onset_thresholds) != set(SENSITIVITIES):
            raise ValueError(f"onset_thresholds must name exactly {', '.join(SENSITIVITIES)}")
        if not all(0 < value <= 1 for value in (*self.onset_thresholds.values(), self.event_threshold)):
            raise ValueError("thresholds must lie in (0, 1]")
        if self.longest_rise_s < 0:
            raise ValueError(f"longest_rise_s must not be negative, got {self.longest_rise_s:g}")


@dataclass(frozen=True)
class TensorQuantization:
    """Quantization of a tensor: real value = scale * (q - zero_point)."""

    dtype: str
    scale: float  # 0 for float tensors
    zero_point: int


@dataclass(frozen=True)
class GoldenVector:
    """The file of a graph's golden vector: rows and what the graph makes of them (`edge/detection/self_test.py`)."""

    file: str  # beside the manifest
    sha256: str


@dataclass(frozen=True)
class Variant:
    """One converted graph of the network."""

    file: str  # beside the manifest
    sha256: str
    size_bytes: int
    minimum_runtime: str  # oldest TFLite runtime that has every operator version needed, for example "2.14.0"
    frame_tensor: str  # name of the input tensor for the new rows
    probability_tensor: str
    state_inputs: dict[str, str]  # state name -> name of its input tensor
    state_outputs: dict[str, str]  # state name -> name of its output tensor
    quantization: dict[str, TensorQuantization]  # by tensor name, for every input and output
    agreement: dict[str, float]  # measured against Keras: n_frames, probability_max_error, probability_rms_error
    golden: GoldenVector | None = None  # None: of an earlier release, which cannot be installed in flight


@dataclass(frozen=True)
class Manifest:
    """Everything that the runner needs to know about a model; see docs/manifest.md."""

    format: str
    format_version: int
    name: str
    body: str  # "moon", "mars" or "earth"
    sampling_rate_hz: float
    channels: tuple[str, ...]  # channel code patterns (fnmatch) of the components of one seismometer
    front_end: FrontEndConfig
    network: NetworkConfig
    trigger: TriggerConfig
    default_variant: str
    variants: dict[str, Variant]
    training: dict[str, Any]  # provenance, for people: recipe, seed, data hash, validation figures
    onset: OnsetConfig | None = None  # how onsets are refined from the samples; None: the trigger's are kept
    classes: ClassConfig | None = None  # how events are classified; None: the class is left blank

    def __post_init__(self) -> None:
        if not 0 < self.sampling_rate_hz < 1e6:
            raise ValueError(f"sampling_rate_hz must lie between 0 and 1e6, got {self.sampling_rate_hz:g}")
        names = {state.name for state in self.network.states}
        for name, variant in self.variants.items():
            if not names == set(variant.state_inputs) == set(variant.state_outputs):
                raise ValueError(f"variant '{name}' must name a tensor for every state, {', '.join(sorted(names))}")
        if self.default_variant not in self.variants:
            raise ValueError(f"default_variant '{self.default_variant}' is not among the variants")
        network = self.network
        if network.mode == "windowed" and (int(network.window_rows or 0) + network.lag_rows) % network.rows_per_step:
            raise ValueError(
                f"the {network.window_rows} rows of a window and lag_rows are no multiple of rows_per_step"
            )
        if self.onset is not None:
            _require_kept(self.onset, self.trigger, self.sampling_rate_hz)
        if self.network.n_features != self.front_end.n_features:
            raise ValueError("network.n_features differs from the number of features of the front end")
        if self.classes is not None and (self.front_end.bands is None or self.front_end.components):
            raise ValueError("classes need the bands of all channels together, which this front end does not compute")
        if self.front_end.per_window and network.mode != "windowed":
            raise ValueError("front_end.waveform.per_window needs network.mode 'windowed'")

    def require_event(self) -> None:
        """Raise ManifestError where no output is known to be the probability of an event."""
        if not self.network.has_event:
            raise ManifestError(
                f"model '{self.name}' does not say which of its outputs ({', '.join(self.network.outputs)}) is the "
                "probability of an event; convert it again with network.outputs or network.event_classes"
            )

    def require_samples(self) -> None:
        """Raise ManifestError where the network takes rows from elsewhere, which no front end makes of samples."""
        if self.front_end.kind == "rows":
            raise ManifestError(
                f"model '{self.name}' takes rows, not samples (front_end.kind = \"rows\"): it has no run; feed it rows "
                "with edgequake.edge.RowNetwork"
            )

    def to_json(self) -> str:
        """Return the text of NAME.json."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"


def require_sensitivity(sensitivity: str, threshold: float | None = None) -> None:
    """Refuse a threshold that is no probability, or without one a sensitivity that no model has.

    Raises
    ------
    ConfigError
        One of both.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold:g}: expected a probability above 0 and up to 1")
    if threshold is None and sensitivity not in SENSITIVITIES:
        raise ConfigError(f"sensitivity '{sensitivity}': expected one of {', '.join(SENSITIVITIES)}")


def _require_kept(onset: OnsetConfig, trigger: TriggerConfig, model_rate_hz: float) -> None:
    """Raise ValueError for onsets that use samples which a run may have dropped already, or has not read yet.

    A station's channels may have any rate that the model takes, so what resampling needs is always added.
    """
    more_s = onset.resampling_s(model_rate_hz)
    before_s, after_s = onset.reach_before_s + more_s, onset.reach_after_s + more_s
    kept_s = trigger.pre_roll_s + trigger.onset_lag_s  # before the rise; after it, at least the post-roll
    if before_s > kept_s or after_s > trigger.post_roll_s:
        raise ValueError(
            f"onset uses {before_s:g} s before and {after_s:g} s after the rise of the probability, but {kept_s:g} and "
            f"{trigger.post_roll_s:g} s are kept"
        )


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def parse_manifest(text: str, where: str) -> Manifest:
    """Read a manifest from its JSON text; `where` names it in messages.

    Raises
    ------
    ManifestError
        Not JSON, another format or format version, an unknown or missing field, or contradicting values.
    """
    try:
        values = json.loads(text, parse_constant=_no_number)
    except ValueError as problem:
        raise ManifestError(f"{where} is not JSON ({problem}); give the NAME.json that convert wrote") from problem
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ManifestError(f"{where} is no edgequake manifest: field 'format' must be '{FORMAT}'")
    if values.get("format_version") != FORMAT_VERSION:
        raise ManifestError(
            f"{where} has manifest version {values.get('format_version')}, this edgequake reads version "
            f"{FORMAT_VERSION}; convert the model again with this release"
        )
    return schema.build(Manifest, values, where, ManifestError)


_SHIPPED = Path(__file__).parents[1] / "models"
# SHA-256 of the graphs in that folder: they are run without a signature and without a self-test.
SHIPPED_GRAPHS = frozenset(
    (
        "25a5c35ed317560fbca126a2a7a5c1ca3a5ae0a76dc96cd9ee08b6e77628506c",  # earth
        "d3ce4d65491d702fd0175debf8894822115c1c4d5548ab675db3a5fee56fa527",  # mars
        "d3895194c681c6f2b50a5929367acc005ed07006b69b37f87907e554eae6bae0",  # moon
    )
)


def shipped_models() -> dict[str, Path]:
    """Return the manifests that come with the package, by model name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.json")) if "." not in path.stem}  # no golden vectors


def is_shipped(folder: Path, variant: Variant) -> bool:
    """Return whether a graph is one of those that come with the package, in the package's own folder."""
    return variant.sha256 in SHIPPED_GRAPHS and folder.resolve() == _SHIPPED.resolve()


def load_manifest(name_or_path: str | Path) -> tuple[Manifest, Path]:
    """Return a shipped model's manifest by name, or the one in a file, and the folder of its graphs.

    Raises
    ------
    ManifestError
        No such model or file, or a manifest that `parse_manifest` refuses.
    """
    shipped = shipped_models()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise ManifestError(
            f"no model '{name_or_path}': expected a manifest file or one of the shipped models "
            f"({', '.join(shipped) or 'none'})"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ManifestError(f"{path} cannot be read as a manifest: {problem}") from problem
    return parse_manifest(text, str(path)), path.parent


def read_graph(manifest: Manifest, folder: Path, variant: str | None = None) -> tuple[Variant, bytes]:
    """Return a variant's description and the bytes of its graph, checked against the manifest's SHA-256.

    Raises
    ------
    ManifestError
        The manifest has no such variant, or the file is missing or is not the one that the manifest describes.
    """
    chosen = variant or manifest.default_variant
    if chosen not in manifest.variants:
        raise ManifestError(f"model '{manifest.name}' has no variant '{chosen}': it has {', '.join(manifest.variants)}")
    described = manifest.variants[chosen]
    path = folder / described.file
    try:
        graph = path.read_bytes()
    except OSError as problem:
        raise ManifestError(f"graph {path} named by the manifest cannot be read: {problem}") from problem
    if hashlib.sha256(graph).hexdigest() != described.sha256:
        raise ManifestError(
            f"graph {path} is damaged or another file: expected {described.size_bytes} bytes with sha256 "
            f"{described.sha256[:12]}…, got {len(graph)} bytes; copy it again"
        )
    return described, graph
