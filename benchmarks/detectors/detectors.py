"""The detectors that a benchmark compares: the model, further models, and the baselines."""

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
from edgequake.results.accuracy import MODEL
from edgequake.results.provenance import ModelIdentity, identify

MODEL_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
STA_LTA_THRESHOLDS = (1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0)
RECURSIVE_THRESHOLDS = (1.4, *STA_LTA_THRESHOLDS)
Z_THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
VARIANTS = ("float32", "dynamic", "int8", "int16x8")


@dataclass(frozen=True)
class NamedDetector:
    """A detector under the name of its results, and the same detector at other thresholds."""

    name: str
    detector: Detector
    sweep: Mapping[float, Detector] = field(default_factory=dict)
    clear_cache: Callable[[], None] = lambda: None  # drops what the sweep has cached of the records


@dataclass(frozen=True)
class NamedModel:
    """A model as the user names it, and the graph that this means."""

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
            No such model or variant, or the graph does not match the manifest.
        """
        return cls(model, variant, *identify(model, variant))

    @classmethod
    def parse(cls, text: str) -> NamedModel:
        """Look up a text of the form "NAME", "MANIFEST" or either with ":VARIANT".

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


def model_detectors(
    model: NamedModel | None, also: Sequence[NamedModel], sensitivity: str, curves: bool
) -> list[NamedDetector]:
    """Return the model that the report is about, and further models under their own names."""
    found = [_model_detector(MODEL, model, sensitivity, curves)] if model else []
    titles = [f"{one.identity.name} {one.identity.variant}" for one in (*also, *([model] if model else []))]
    for one, title in zip(also, titles, strict=False):
        ambiguous = titles.count(title) > 1
        found.append(_model_detector(f"{title} ({one.model})" if ambiguous else title, one, sensitivity, curves))
    return found


def baseline_detectors(body: str, curves: bool) -> list[NamedDetector]:
    """Return the baselines; the clock and the notebook have one setting, the others can be swept."""
    return [
        NamedDetector("clock", CLOCKS[body]),
        NamedDetector("STA/LTA, NASA notebook", NASA_NOTEBOOK),
        _tuned("STA/LTA, tuned on val", TUNED_STA_LTA[body], STA_LTA_THRESHOLDS, curves),
        _tuned("recursive STA/LTA, tuned on val", TUNED_RECURSIVE[body], RECURSIVE_THRESHOLDS, curves),
        _tuned("z-detector, tuned on val", TUNED_Z[body], Z_THRESHOLDS, curves),
    ]


def _model_detector(name: str, model: NamedModel, sensitivity: str, curves: bool) -> NamedDetector:
    from edgequake.benchmarks.detectors.model_detector import ModelDetector, replayed

    replay = replayed(model.model, model.variant, MODEL_THRESHOLDS if curves else ())
    detector = ModelDetector(model.model, model.variant, sensitivity, characteristic=replay.characteristic)
    return NamedDetector(name, detector, replay.sweep, replay.clear_cache)


def _tuned(name: str, detector: PowerDetector, thresholds: Sequence[float], curves: bool) -> NamedDetector:
    return NamedDetector(name, detector, swept(detector, thresholds) if curves else {})
