"""Who takes part in a benchmark of accuracy: the model, further models, and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgequake.benchmarks.detectors.baselines import (
    CLOCKS,
    NASA_NOTEBOOK,
    TUNED_RECURSIVE,
    TUNED_STA_LTA,
    TUNED_Z,
    Detector,
)
from edgequake.benchmarks.detectors.sta_lta import PowerDetector, swept
from edgequake.edge.base.errors import ConfigError
from edgequake.results.provenance import ModelIdentity, identify

MODEL = "model"  # the name of the model that a report is about
MODEL_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
STA_LTA_THRESHOLDS = (1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0)
RECURSIVE_THRESHOLDS = (1.4, *STA_LTA_THRESHOLDS)
Z_THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
VARIANTS = ("float32", "dynamic", "int8", "int16x8")


@dataclass(frozen=True)
class Entrant:
    """A detector, and the same at other thresholds."""

    name: str
    detector: Detector
    sweep: Mapping[float, Detector] = field(default_factory=dict)
    forget: Callable[[], None] = lambda: None  # what the sweep remembers of the records


@dataclass(frozen=True)
class NamedModel:
    """A model as it is asked for, and which graph that means."""

    model: str  # shipped name or path of a manifest
    variant: str | None
    identity: ModelIdentity
    body: str

    @classmethod
    def find(cls, model: str, variant: str | None = None) -> NamedModel:
        """Look a model up.

        Raises
        ------
        ManifestError
            No such model or variant, or a graph that is not the manifest's.
        """
        return cls(model, variant, *identify(model, variant))

    @classmethod
    def parse(cls, text: str) -> NamedModel:
        """Look up "NAME or MANIFEST", or the same and ":VARIANT".

        Raises
        ------
        ManifestError
            As `find`.
        """
        model, _, variant = text.rpartition(":")
        return cls.find(model, variant) if model and variant in VARIANTS else cls.find(text)

    def require_body(self, body: str) -> None:
        """Refuse records of another body.

        Raises
        ------
        ConfigError
            The model is for another body.
        """
        if self.body != body:
            raise ConfigError(
                f"model '{self.model}' is for {self.body}, got records of {body}; name a model for {body}"
            )


def enter_models(model: NamedModel | None, also: Sequence[NamedModel], sensitivity: str, curves: bool) -> list[Entrant]:
    """Return the model that the report is about, and the further ones by their own names."""
    found = [_enter(MODEL, model, sensitivity, curves)] if model else []
    titles = [f"{one.identity.name} {one.identity.variant}" for one in (*also, *([model] if model else []))]
    for one, title in zip(also, titles, strict=False):
        alike = titles.count(title) > 1
        found.append(_enter(f"{title} ({one.model})" if alike else title, one, sensitivity, curves))
    return found


def enter_baselines(body: str, curves: bool) -> list[Entrant]:
    """Return the detectors to beat; the clock and the notebook have one setting, the others can be swept."""
    return [
        Entrant("clock", CLOCKS[body]),
        Entrant("STA/LTA, NASA notebook", NASA_NOTEBOOK),
        _tuned("STA/LTA, tuned on val", TUNED_STA_LTA[body], STA_LTA_THRESHOLDS, curves),
        _tuned("recursive STA/LTA, tuned on val", TUNED_RECURSIVE[body], RECURSIVE_THRESHOLDS, curves),
        _tuned("z-detector, tuned on val", TUNED_Z[body], Z_THRESHOLDS, curves),
    ]


def _enter(name: str, model: NamedModel, sensitivity: str, curves: bool) -> Entrant:
    from edgequake.benchmarks.detectors.model_detector import ModelDetector, replayed

    replay = replayed(model.model, model.variant, MODEL_THRESHOLDS if curves else ())
    detector = ModelDetector(model.model, model.variant, sensitivity, levels=replay.levels)
    return Entrant(name, detector, replay.at, replay.forget)


def _tuned(name: str, detector: PowerDetector, thresholds: Sequence[float], curves: bool) -> Entrant:
    return Entrant(name, detector, swept(detector, thresholds) if curves else {})
