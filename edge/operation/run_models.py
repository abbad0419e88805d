"""The models of a run: the one that is named, or with `auto` one for each station, loaded when a station needs it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.constants import are_constants_intact
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, EdgequakeError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.features.resampling import forget_kernels
from edgequake.edge.inputs.model_choice import AUTO, ModelChoice, choose
from edgequake.edge.manifest.manifest import SENSITIVITIES, Manifest, Variant, load_manifest, read_graph
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.results.summary import UsedModel

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


CHECK_S = 3600.0  # between two looks whether the models in memory are intact
_MOST_STATIONS = 256  # live ones that are remembered; the router handles fewer at a time


class RunModels:
    """Returns the model of each station; its state is the choice that was made for each."""

    def __init__(self, config: RunConfig, log: Callable[[str], None]) -> None:
        """Load the named model; with `auto` nothing is loaded yet.

        Raises
        ------
        EdgequakeError
            The named model cannot be used, or the options are not for any model.
        """
        self._config, self._log = config, log
        self.is_auto = config.model == AUTO
        self._loaded: dict[str, LoadedModel] = {}  # by the name that it was loaded by
        self._manifests: dict[str, Manifest] = {}  # of models that are not loaded (yet)
        self._hashes: dict[str, str] = {}
        self._next_check_s = time.monotonic() + CHECK_S
        if not self.is_auto:
            model = self._loaded[config.model] = LoadedModel.load(config, log)
            self.choice = ModelChoice(model.manifest, config.channels, station_names=config.stations)
            return
        if config.model_copy is not None:
            raise ConfigError("--model-copy is the copy of one model, got --model auto: name that model with --model")
        check_threshold(config)
        import_runtime()  # a lander without one must not learn it from the first sample
        most_stations = _MOST_STATIONS if config.is_live else None
        self.choice = ModelChoice(None, config.channels, self._manifest, log, most_stations, config.stations)

    def of(self, station_id: str) -> LoadedModel:
        """Return a station's model.

        Raises
        ------
        EdgequakeError
            It cannot be used.
        """
        name = self._name_of(station_id)
        if name not in self._loaded:
            self._loaded[name] = LoadedModel.load(replace(self._config, model=name), self._log)
            self._manifests.pop(name, None)
        return self._loaded[name]

    def pre_roll_s(self, station_id: str) -> float:
        """Return the pre-roll of a station's segments; its model need not be loaded for that."""
        return self._manifest(self._name_of(station_id)).trigger.pre_roll_s

    def load(self, stations: Iterable[str]) -> None:
        """Load the models of stations, to refuse unusable ones before anything is written; raises as `of`."""
        for station_id in stations:
            self.of(station_id)

    def used(self) -> tuple[UsedModel, ...]:
        """Return the models in use, in the order of their names; a named one is that of all stations."""
        if not self.is_auto:
            return (self._used(self._config.model, ()),)
        stations = self.choice.stations
        names = sorted(set(stations.values()))
        return tuple(self._used(name, sorted(one for one, its in stations.items() if its == name)) for name in names)

    @property
    def runtime(self) -> str:
        """Name and version of the TFLite runtime."""
        loaded = next(iter(self._loaded.values()), None)
        return import_runtime()[1] if loaded is None else loaded.runtime

    def reload_thresholds(self) -> None:
        """Read the thresholds of the models in use again; keep the present ones where they cannot be read."""
        self._manifests.clear()
        for name, model in self._loaded.items():
            model.reload_threshold(replace(self._config, model=name), partial(self._log_of, name))
        if not self._loaded:
            self._log("thresholds reloaded: no model is in use yet")

    def have_changed_in_memory(self, diagnostics: Diagnostics) -> bool:
        """Look, once an hour, for flipped bits in the memory of the models, and load those models again.

        Return whether there were any, so that the detectors must be built anew.
        """
        now_s = time.monotonic()
        if now_s < self._next_check_s:
            return False
        self._next_check_s = now_s + CHECK_S
        damaged = [name for name, model in self._loaded.items() if not model.is_intact]
        if not damaged and are_constants_intact():
            return False
        for name in damaged:
            self._load_again(name, diagnostics)
        forget_kernels()
        diagnostics.count("time(s) constants of a model had changed in memory and were made anew")
        self._log("constants of a model had changed in memory: they are made anew, and detection goes on with them")
        return True

    def _load_again(self, name: str, diagnostics: Diagnostics) -> None:
        try:
            self._loaded[name].load_again(self._config, self._log)
        except EdgequakeError as problem:
            diagnostics.warn(f"model {name} has changed in memory and cannot be loaded again: {problem}")

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint's state depends on: graph, manifest and channels of each model in use."""
        if not self.is_auto:
            (model,) = self._loaded.values()
            channels = list(self._config.channels or model.manifest.channels)
            return {"graph": model.variant.sha256, "manifest": model.sha256, "channels": channels, **self._names()}
        names = sorted(set(self.choice.stations.values()))
        return {
            "model": AUTO,
            "graph": {one.name: one.graph_sha256 for one in self.used()},
            "manifest": {name: self._state_sha256(name) for name in names},
            "channels": None if self._config.channels is None else list(self._config.channels),
            **self._names(),
        }

    def state(self) -> State:
        return {"stations": [[station_id, name] for station_id, name in self.choice.stations.items()]}

    def restore(self, state: State) -> None:
        self.choice.restore(dict(state["stations"]))

    def _names(self) -> dict[str, Any]:
        """Return the patterns of --station; a live run may be continued with others."""
        names = self._config.stations
        return {} if self._config.is_live else {"station": None if names is None else list(names)}

    def _log_of(self, name: str, line: str) -> None:
        self._log(f"model {name}: {line}" if self.is_auto else line)

    def _name_of(self, station_id: str) -> str:
        if not self.is_auto:
            return self._config.model
        # A station of an earlier run in this folder has no model yet: that of its network is the best guess.
        return self.choice.stations.get(station_id) or choose(station_id, 0.0)[0]

    def _manifest(self, name: str) -> Manifest:
        if name in self._loaded:
            return self._loaded[name].manifest
        if name not in self._manifests:
            self._manifests[name] = load_manifest(name)[0]
        return self._manifests[name]

    def _used(self, name: str, stations: Iterable[str]) -> UsedModel:
        manifest, loaded = self._manifest(name), self._loaded.get(name)
        variant = self._config.variant or manifest.default_variant
        return UsedModel(
            name=manifest.name,
            variant=variant,
            graph_sha256=manifest.variants[variant].sha256,
            onset_threshold=threshold_of(self._config, manifest) if loaded is None else loaded.threshold,
            stations=tuple(stations),
        )

    def _state_sha256(self, name: str) -> str:
        if name not in self._hashes:
            self._hashes[name] = state_sha256(self._manifest(name))
        return self._hashes[name]
