"""Recipes: a TOML file says everything a training needs; the resolved one is written beside the result."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from scipy.signal import firwin

from edgequake.edge import strict
from edgequake.edge.errors import ConfigError
from edgequake.edge.front_end_config import FrontEndConfig
from edgequake.edge.manifest import TriggerConfig
from edgequake.edge.onset_config import OnsetConfig
from edgequake.train.class_recipe import ClassesRecipe
from edgequake.train.network_recipe import NetworkRecipe
from edgequake.train.scales import Scales

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


MAX_BASES = 4  # a recipe may build on another, that on a third, ...


@dataclass(frozen=True)
class ExamplesRecipe:
    """The made and real sequences that the network learns from; durations in blocks of `hop_samples`."""

    n_examples: int
    n_blocks: int  # length of one example, after the quiet time joined in front
    max_front_blocks: int  # up to this much quiet time is joined in front of it, and not learned from
    real_share: float  # examples that are real labelled records, begun at a random instant; 1: no implants at all
    synthetic_noise_share: float  # made examples whose noise is synthetic; the others use real quiet time
    synthetic_quake_share: float  # quakes that are synthetic; the others are real ones
    quakes_per_example: float  # mean number, Poisson
    excess_decades: tuple[float, ...]  # [low, high]: largest power of a quake over the noise
    integer_share: float  # made examples rounded to counts; the others stay floats in an arbitrary unit
    signals: str  # whose synthetic noise, quakes and disturbances: "moon", "mars" or "earth" (train/worlds.py)
    scales: Scales
    # False: every sequence that is learned from begins where its record does, with no quiet time in front. Labels lie
    # at nearly fixed times in short records, so this teaches the clock: an ablation, not a way to train.
    random_starts: bool = True
    # Quakes that are earthquakes played slowly, each by a random factor of `earth_stretch` (log-uniform); the two
    # shares above divide what is left. For pretraining: needs Earth records beside the body's own.
    earth_quake_share: float = 0.0
    earth_stretch: tuple[float, ...] = (4.0, 30.0)
    # Of the examples with synthetic noise, those whose level follows a quiet stretch of a real lunar day
    # (train/bandpower.py): needs moon_bandpower.npz and .csv, and Nakamura's catalogue, levent.csv, in the data folder.
    bandpower_share: float = 0.0
    # Earth: PhaseNet's files with manual picks belong to the records learned from and those watched (train/picked.py).
    picked_records: bool = False

    def __post_init__(self) -> None:
        if len(self.excess_decades) != 2 or not 0 < self.excess_decades[0] < self.excess_decades[1]:
            raise ValueError(f"excess_decades must be [low, high] with 0 < low < high, got {list(self.excess_decades)}")
        if len(self.earth_stretch) != 2 or not 0 < self.earth_stretch[0] <= self.earth_stretch[1]:
            raise ValueError(f"earth_stretch must be [low, high] with 0 < low <= high, got {list(self.earth_stretch)}")
        if self.signals not in ("moon", "mars", "earth"):
            raise ValueError(f"signals must be 'moon', 'mars' or 'earth', got {self.signals!r}")
        for name, share in vars(self).items():
            if name.endswith("_share") and not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in 0..1, got {share:g}")


@dataclass(frozen=True)
class FitRecipe:
    """The optimisation."""

    seed: int
    steps: int
    batch: int
    crop_blocks: int  # each step reads a random crop of this length
    learning_rate: float  # falls to 1 % of it along a cosine
    onset_weight: float  # weight of the rows that say "onset"
    time_budget_s: float  # training stops here even when steps are left
    start_weight: float = 20.0  # of the squared error of the output "start", beside the event's cross-entropy
    start_from: str | None = None  # a .keras file of the same network whose weights to begin with (fine-tuning)


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
    # How onsets are refined from the samples (docs/onsets.md); not those that the output "start" tells.
    onset: OnsetConfig | None = None
    classes: ClassesRecipe | None = None  # event classes to learn (docs/event-classes.md)

    def __post_init__(self) -> None:
        per_block, per_output = self.front_end.rows_per_block, self.network.rows_per_output
        if per_block % per_output:
            raise ValueError(
                f"network.conv_strides take {per_output} rows for an output, but a block of the "
                f"'{self.front_end.kind}' front end has {per_block}: expected a divisor of it"
            )
        if self.network.has_start and self.onset is not None:
            raise ValueError("the output 'start' says when an event began: put onset = false in the recipe")
        if self.front_end.kind == "waveform" and self.classes is not None:
            raise ValueError("classes are told from bands, which a waveform has not: put classes = false in the recipe")

    @property
    def row_s(self) -> float:
        """Time from one row of features to the next."""
        return self.front_end.hop_samples / self.front_end.rows_per_block / self.sampling_rate_hz


def bundled_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package: name -> path."""
    folder = Path(str(resources.files("edgequake.train") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a bundled recipe by name, or one in a TOML file; `overrides` maps dotted fields to values.

    Raises
    ------
    ConfigError
        No such recipe, not TOML, an unknown or missing field, or contradicting values.
    """
    values = _read(name_or_path)
    for name, value in (overrides or {}).items():
        _override(values, name, value)
    return resolve(values, f"recipe {name_or_path}")


def _read(name_or_path: str, depth: int = 0) -> dict[str, Any]:
    """Return a recipe's table; where it names a `base`, that recipe's, with its own fields in place of the base's."""
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
        raise ConfigError(f"recipe {path}: more than {MAX_BASES} bases, one upon the other; does one name itself?")
    return _merged(_read(str(base), depth + 1), values)


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Put fields in place of the base's, table by table; false in place of a table leaves it out.

    A dictionary of thresholds is a value, not a table.
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
    """Build a recipe from its table; `front_end.decimate_factors` becomes the taps of the decimators.

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
    return strict.build(Recipe, table, where, ConfigError)


def low_pass_taps(factor: int) -> list[float]:
    """Return the symmetric low-pass for decimation by `factor`: Hamming-windowed, -6 dB at 0.8 of the new Nyquist.

    31 taps a factor put the stop band (-50 dB) before anything that would fold below 0.7 of the new Nyquist
    (Oppenheim & Schafer, Discrete-Time Signal Processing, section 7.5: width 3.3 fs / n for the Hamming window).
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
