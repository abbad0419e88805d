"""A loaded model: manifest, verified graph and threshold, and the detectors built from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgequake.edge.base.errors import ConfigError, EdgequakeError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.manifest.manifest import SENSITIVITIES, Manifest, Variant, load_manifest, read_graph

if TYPE_CHECKING:
    from edgequake.edge.operation.config import RunConfig


@dataclass
class LoadedModel:
    """A model that detectors are built from."""

    manifest: Manifest
    variant: Variant
    graph: bytes  # the interpreters of all detectors compute with these very bytes, they do not copy them
    threshold: float
    name: str = ""  # the manifest that it was loaded from
    sha256: str = field(init=False)  # see `state_sha256`
    _spare: list[Detector] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sha256 = state_sha256(self.manifest)

    @classmethod
    def load(cls, config: RunConfig, log: Callable[[str], None]) -> LoadedModel:
        """Read the model of a run, or its copy where the model is damaged; a graph that cannot run is refused here.

        Raises
        ------
        EdgequakeError
            The model cannot be used, and neither can its copy.
        """
        try:
            return cls._load(config.model, config)
        except ManifestError as problem:
            if config.model_copy is None:
                raise
            log(f"{problem}; the copy {config.model_copy} is used instead")
            return cls._load(config.model_copy, config)

    @classmethod
    def _load(cls, name: str, config: RunConfig) -> LoadedModel:
        manifest, folder = load_manifest(name)
        variant, graph = read_graph(manifest, folder, config.variant)
        model = cls(manifest, variant, graph, threshold_of(config, manifest), name)
        model._spare.append(model.detector())
        return model

    @property
    def runtime(self) -> str:
        """Name and version of the TFLite runtime."""
        if not self._spare:
            self._spare.append(self.detector())
        return self._spare[0].network.runtime

    @property
    def variant_name(self) -> str:
        """Name of the variant in the manifest."""
        return next(name for name, variant in self.manifest.variants.items() if variant is self.variant)

    def detector(self) -> Detector:
        """Return a new detector; the first one was built when the model was loaded."""
        if self._spare:
            detector = self._spare.pop()
            detector.threshold = self.threshold
            return detector
        return Detector(self.manifest, self.graph, self.variant, self.threshold)

    @property
    def is_intact(self) -> bool:
        """Whether graph and manifest in memory are still what was loaded."""
        is_same = hashlib.sha256(self.graph).hexdigest() == self.variant.sha256
        return is_same and state_sha256(self.manifest) == self.sha256

    def load_again(self, config: RunConfig, log: Callable[[str], None]) -> None:
        """Load the model again after its memory was damaged; detectors are to be built from it anew.

        Raises
        ------
        EdgequakeError
            It cannot be read, or it is another one by now; what is in memory is left as it is.
        """
        own = dataclasses.replace(config, model=self.name or config.model, variant=self.variant_name)
        fresh = LoadedModel.load(own, log)
        if (fresh.sha256, fresh.variant.sha256) != (self.sha256, self.variant.sha256):
            raise ManifestError(f"model {own.model} has been replaced by another one since it was loaded")
        self.manifest, self.variant, self.graph, self._spare = fresh.manifest, fresh.variant, fresh.graph, fresh._spare

    def reload_threshold(self, config: RunConfig, log: Callable[[str], None]) -> None:
        """Read the thresholds of the manifest again; keep the present one where they cannot be read."""
        try:
            manifest, _ = load_manifest(config.model)
            self.threshold = threshold_of(config, manifest)
            log(f"thresholds reloaded: onset probability {self.threshold:g} declares an event")
        except EdgequakeError as problem:
            log(f"threshold unchanged, {self.threshold:g}: {problem}")


def state_sha256(manifest: Manifest) -> str:
    """Return the hash of everything in a manifest that a detector's state depends on: no thresholds, no provenance."""
    values = dataclasses.asdict(manifest)
    del values["training"], values["variants"], values["trigger"]["onset_thresholds"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def threshold_of(config: RunConfig, manifest: Manifest) -> float:
    """Return the onset probability that declares an event.

    Raises
    ------
    ConfigError
        A threshold out of range, or an unknown sensitivity.
    """
    check_threshold(config)
    return manifest.trigger.onset_thresholds[config.sensitivity] if config.threshold is None else config.threshold


def check_threshold(config: RunConfig) -> None:
    """Refuse a threshold or sensitivity that no model has; raises as `threshold_of`."""
    if config.threshold is not None and not 0 < config.threshold <= 1:
        raise ConfigError(f"threshold {config.threshold:g}: expected a probability above 0 and up to 1")
    if config.threshold is None and config.sensitivity not in SENSITIVITIES:
        raise ConfigError(f"sensitivity '{config.sensitivity}': expected one of {', '.join(SENSITIVITIES)}")
