"""Recipes: everything that a training needs, as frozen dataclasses read from a TOML file.

A recipe may build on another one (`base = "moon"`) and state only the differences; the command line overrides single
fields. `edgequake train` writes the resolved recipe beside its result.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path
from typing import Any

from scipy.signal import firwin

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.manifest.tables import INPUTS, FrontEndConfig, OnsetConfig
from edgequake.train.configuration.body_scales import Scales

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BASES = 4  # longest chain of recipes that build on one another


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train.

    "cnn-lstm": causal convolutions, LSTMs and a dense layer, which gives probabilities for every row.
    "seed": the window classifier of the original brief, which reads `window_rows` rows at a time.
    """

    kind: str
    # "cnn-lstm": ["onset", "event"], or ["event"] alone, which then serves as both.
    # "seed": ["event", "start"], where "start" is the position of the event's onset in the window, or ["event"] alone.
    outputs: tuple[str, ...]
    conv_filters: tuple[int, ...] = ()
    conv_kernels: tuple[int, ...] = ()
    conv_strides: tuple[int, ...] = ()  # rows from one output to the next; empty: 1 in every convolution
    lstm_units: tuple[int, ...] = ()
    window_rows: int | None = None
    window_hop_rows: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("cnn-lstm", "seed"):
            raise ValueError(f"kind must be 'cnn-lstm' or 'seed', got {self.kind!r}")
        if self.kind == "cnn-lstm" and (len(self.conv_filters) != len(self.conv_kernels) or not self.lstm_units):
            raise ValueError("cnn-lstm needs as many conv_kernels as conv_filters, and at least one of lstm_units")
        if self.kind == "cnn-lstm" and not self._strides_fit():
            raise ValueError("conv_strides needs one stride a convolution, from 1 to its kernel, or none at all")
        if self.kind == "cnn-lstm" and self.outputs not in (("onset", "event"), ("event",)):
            raise ValueError(f"cnn-lstm needs outputs = ['onset', 'event'] or ['event'], got {list(self.outputs)}")
        if self.kind == "seed" and self.outputs not in (("event",), ("event", "start")):
            raise ValueError(f"seed needs outputs = ['event'] or ['event', 'start'], got {list(self.outputs)}")
        if self.kind == "seed" and not (self.window_rows and self.window_hop_rows):
            raise ValueError("seed needs window_rows and window_hop_rows")

    def _strides_fit(self) -> bool:
        n_given = len(self.conv_strides)
        fits = all(1 <= stride <= kernel for stride, kernel in zip(self.strides, self.conv_kernels, strict=False))
        return n_given in (0, len(self.conv_kernels)) and fits

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each convolution."""
        return self.conv_strides or (1,) * len(self.conv_kernels)

    @property
    def rows_per_output(self) -> int:
        """Rows from one output of a cnn-lstm to the next, which is the input of one step of its graph."""
        return math.prod(self.strides)

    @property
    def has_start(self) -> bool:
        """Whether the network estimates where in a window an event begins."""
        return "start" in self.outputs

    @property
    def mode(self) -> str:
        """How the graph is stepped: see `edgequake.edge.manifest.manifest.NetworkConfig`."""
        return "windowed" if self.kind == "seed" else "continuous"


@dataclass(frozen=True)
class ClassesRecipe:
    """The event classes to learn (docs/event-classes.md); a body whose catalogue names none has no such table."""

    labels: dict[str, tuple[str, ...]]  # class, as in the catalogue's mq_type -> patterns of event types
    repeating: tuple[str, ...]  # patterns of event types with a repeating source: its events count as one family
    inputs: tuple[str, ...]  # these four: see edgequake.edge.manifest.tables
    spectrum_s: float
    smooth_s: float
    min_live_s: float
    n_starts: int  # random starts of each record
    onset_error_s: tuple[float, ...]  # [earliest, latest] onset of a simulated trigger, relative to the visible onset
    stop_error_s: tuple[float, ...]  # [earliest, latest] stop, relative to the visible one
    ridge: float  # weight of the squared weights beside the mean cross-entropy
    least_probability: float  # a less probable class is never reported ...
    min_right: float  # ... and of the classes reported for held-out events at least this share must be right
    untold: tuple[str, ...] = ()  # classes that are learned, to tell the others from them, and left blank

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or any(not patterns for patterns in self.labels.values()):
            raise ValueError("labels must name two classes or more, each with a pattern of event types or more")
        if not self.inputs or not set(self.inputs) <= set(INPUTS):
            raise ValueError(f"inputs must be one or more of {', '.join(INPUTS)}, got {list(self.inputs)}")
        for name in ("onset_error_s", "stop_error_s"):
            ends = getattr(self, name)
            if len(ends) != 2 or ends[0] > ends[1]:
                raise ValueError(f"{name} must be [earliest, latest] with earliest <= latest, got {list(ends)}")
        if not 0 < self.least_probability < 1:
            raise ValueError(f"least_probability must lie between 0 and 1, got {self.least_probability:g}")
        if self.n_starts < 1 or self.ridge <= 0 or not 0 < self.min_right <= 1:
            raise ValueError("expected n_starts >= 1, ridge > 0 and 0 < min_right <= 1")


@dataclass(frozen=True)
class ExamplesRecipe:
    """The synthetic and recorded sequences that the network learns from; lengths in blocks of `hop_samples`."""

    n_examples: int
    n_blocks: int  # length of one example, not counting the quiet time in front of it
    max_front_blocks: int  # up to this much quiet time precedes an example and is not learned from
    real_share: float  # share of recorded examples, each with a random start; 1: no waveform injection
    synthetic_noise_share: float  # share of injected examples with synthetic noise; the others use recorded noise
    synthetic_quake_share: float  # share of injected quakes that are synthetic; the others are recorded
    quakes_per_example: float  # mean of a Poisson distribution
    excess_decades: tuple[float, ...]  # [low, high] of a quake's largest power over the noise
    integer_share: float  # share of injected examples in integer counts; the others are floats in an arbitrary unit
    signals: str  # body of the synthetic noise, quakes and disturbances: "moon", "mars" or "earth"
    scales: Scales
    # False: every training sequence begins where its record does, with no quiet time in front. Labels lie at nearly
    # fixed times in short records, so the network can learn the time instead of the signal: for ablation studies only.
    random_starts: bool = True
    # Earth: PhaseNet's files with manual picks join the training and validation records (train/data/records.py).
    picked_records: bool = False
    # Sampling rates of the injected examples, one of which is drawn for each; empty: the model's own.
    rates_hz: tuple[float, ...] = ()
    # Components of the injected examples, one entry of which is drawn for each: V vertical, H horizontal, ? any. Empty:
    # one to three channels, whatever they are.
    components: tuple[str, ...] = ()
    # Share of the injected examples that begin with their record and have a quake between these times after its start:
    # the background is still young there, and quakes drawn evenly over hours seldom fall into those minutes.
    early_share: float = 0.0
    early_s: tuple[float, ...] = (0.0, 0.0)
    # Share of the recorded examples that lose components or are slowed to another of `rates_hz`.
    thinned_share: float = 0.0
    # How much more often than others a record is drawn, by patterns of file names, the first that matches; 0: it is not
    # used at all. Empty: the records take turns.
    emphasis: dict[str, float] = field(default_factory=dict)
    # Patterns of the names of files that hold events without a label: what is loud in them and unlabelled is unknown.
    incomplete: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.excess_decades) != 2 or not 0 < self.excess_decades[0] < self.excess_decades[1]:
            raise ValueError(f"excess_decades must be [low, high] with 0 < low < high, got {list(self.excess_decades)}")
        if len(self.early_s) != 2 or not 0 <= self.early_s[0] <= self.early_s[1]:
            raise ValueError(
                f"early_s must be [earliest, latest] with 0 <= earliest <= latest, got {list(self.early_s)}"
            )
        if self.signals not in ("moon", "mars", "earth"):
            raise ValueError(f"signals must be 'moon', 'mars' or 'earth', got {self.signals!r}")
        if any(not layout or set(layout) - set("VH?") for layout in self.components):
            raise ValueError(f"components must be words of V (vertical), H and ?, got {list(self.components)}")
        if any(weight < 0 for weight in self.emphasis.values()):
            raise ValueError("emphasis must not be negative for any pattern")
        for name, share in vars(self).items():
            if name.endswith("_share") and not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in 0..1, got {share:g}")

    def emphasis_of(self, file_name: str) -> float:
        """Return how much more often than others a record is drawn."""
        return next((weight for pattern, weight in self.emphasis.items() if fnmatch(file_name, pattern)), 1.0)

    def is_incomplete(self, file_name: str) -> bool:
        """Return whether a file holds events without a label."""
        return any(fnmatch(file_name, pattern) for pattern in self.incomplete)


@dataclass(frozen=True)
class FitRecipe:
    """The optimisation."""

    seed: int
    steps: int
    batch: int
    crop_blocks: int  # each step reads random crops of this length
    learning_rate: float  # falls along a cosine to 1 % of this value
    onset_weight: float  # weight of rows with the target "onset"
    time_budget_s: float  # training stops after this time even if steps are left
    # Cell states of a cnn-lstm beyond this, at the end of a crop, add to the loss: cells that count up without end have
    # no good scale as integers. 0: no limit.
    cell_limit: float = 0.0
    start_weight: float = 20.0  # of the squared error of the output "start", beside the event's cross-entropy
    start_from: str | None = None  # a shipped network or a .keras file, the same network: initial weights


@dataclass(frozen=True)
class Recipe:
    """A resolved recipe."""

    name: str
    body: str
    sampling_rate_hz: float
    channels: tuple[str, ...]
    front_end: FrontEndConfig
    network: NetworkRecipe
    trigger: TriggerConfig
    examples: ExamplesRecipe
    fit: FitRecipe
    onset: OnsetConfig | None = None  # how onsets are refined from the samples (docs/onsets.md)
    classes: ClassesRecipe | None = None

    def __post_init__(self) -> None:
        per_block, per_output = self.front_end.rows_per_block, self.network.rows_per_output
        if per_block % per_output:
            raise ValueError(
                f"network.conv_strides take {per_output} rows for an output, but a block of the "
                f"'{self.front_end.kind}' front end has {per_block}: expected a divisor of it"
            )
        if self.network.has_start and self.onset is not None:
            raise ValueError("the output 'start' already gives the onset: set onset = false in the recipe")
        if self.front_end.components or self.front_end.per_window or self.front_end.kind in ("rows", "mel"):
            raise ValueError(
                "training takes neither components nor windows normalised as a whole, nor mel bands, nor other rows: "
                "train in a notebook, on rows of `edgequake rows`"
            )
        if self.front_end.kind == "waveform" and self.classes is not None:
            raise ValueError("event classes need spectral bands, which a waveform lacks: set classes = false")

    @property
    def row_s(self) -> float:
        """Time from one row of features to the next."""
        return self.front_end.hop_samples / self.front_end.rows_per_block / self.sampling_rate_hz


def bundled_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package: name -> path."""
    folder = Path(str(resources.files("edgequake.train") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a bundled recipe by its name or from a TOML file; `overrides` maps dotted field names to values.

    Raises
    ------
    ConfigError
        No such recipe, not TOML, an unknown or missing field, or inconsistent values.
    """
    values = _read(name_or_path)
    for name, value in (overrides or {}).items():
        _override(values, name, value)
    return resolve(values, f"recipe {name_or_path}")


def _read(name_or_path: str, depth: int = 0) -> dict[str, Any]:
    """Return a recipe's table, merged into that of its `base` if it names one."""
    bundled = bundled_recipes()
    path = bundled.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise ConfigError(f"no recipe '{name_or_path}': expected a TOML file or one of {', '.join(bundled)}")
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"recipe {path} is not TOML: {problem}") from problem
    base = values.pop("base", None)
    if base is None:
        return values
    if depth > MAX_BASES:
        raise ConfigError(f"recipe {path}: a chain of more than {MAX_BASES} bases; does one name itself?")
    return _merged(_read(str(base), depth + 1), values)


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Replace fields of the base, table by table; `false` in place of a table removes it.

    The dictionary of onset thresholds is a value, not a table.
    """
    merged = dict(base)
    for name, value in own.items():
        if value is False and isinstance(base.get(name), dict):
            del merged[name]
            continue
        is_table = isinstance(value, dict) and isinstance(base.get(name), dict) and name != "onset_thresholds"
        merged[name] = _merged(base[name], value) if is_table else value
    return merged


def resolve(values: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from its table; the factors in `front_end.decimate_factors` become the taps of decimators.

    Raises
    ------
    ConfigError
        As `load_recipe`.
    """
    table = copy.deepcopy(dict(values))
    front_end = table.get("front_end")
    if isinstance(front_end, dict) and "decimate_factors" in front_end:
        factors = front_end.pop("decimate_factors")
        front_end["decimators"] = {str(factor): low_pass_taps(int(factor)) for factor in factors}
    return schema.build(Recipe, table, where, ConfigError)


def low_pass_taps(factor: int) -> list[float]:
    """Return a symmetric low-pass filter for decimation by `factor`: Hamming window, -6 dB at 0.8 of the new Nyquist.

    With 31 taps times the factor, all that would alias to below 0.7 of the new Nyquist frequency lies in the stop band
    (-50 dB; Oppenheim & Schafer, Discrete-Time Signal Processing, section 7.5: width 3.3 fs / n for a Hamming window).
    """
    return [float(tap) for tap in firwin(31 * factor + 1 - (31 * factor) % 2, 0.8 / factor)]


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, field = dotted.split(".")
    table = values
    for name in tables:
        if not isinstance(table.get(name), dict):
            raise ConfigError(f"override '{dotted}': the recipe has no table '{name}'")
        table = table[name]
    table[field] = value
