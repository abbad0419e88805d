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
from edgequake.edge.base.layout import MODELS
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.features.resampling import forget_kernels
from edgequake.edge.inputs.model_choice import AUTO, BODIES, ModelChoice, choose
from edgequake.edge.manifest.manifest import (
    Manifest,
    Variant,
    is_shipped,
    load_manifest,
    read_graph,
    require_sensitivity,
)
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.results.summary import UsedModel

if TYPE_CHECKING:
    from edgequake.edge.operation.model_store import Installed, Slot


@dataclass
class LoadedModel:
    """A model that detectors are built from."""

    manifest: Manifest
    variant: Variant
    graph: bytes  # the interpreters of all detectors compute with these very bytes, they do not copy them
    threshold: float
    name: str = ""  # the manifest that it was loaded from
    mark: str = ""  # names a model that was installed; blank: it is the one that the run's options name
    options: RunConfig | None = None  # that it was loaded with
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
        manifest, variant, graph = _read(name, config)
        model = cls(manifest, variant, graph, threshold_of(config, manifest), name, options=config)
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
        if self.options is not None and self.options.core == "c":
            library = self.options.core_library
            return Detector(self.manifest, self.graph, self.variant, self.threshold, core="c", core_library=library)
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


def _read(name: str, config: RunConfig) -> tuple[Manifest, Variant, bytes]:
    """Return manifest and graph; those that do not come with the package are checked first.

    Raises
    ------
    EdgequakeError
        They cannot be read, or must not be run.
    """
    manifest, folder = load_manifest(name)
    described = manifest.variants.get(config.variant or manifest.default_variant)
    if described is None or is_shipped(folder, described):
        return (manifest, *read_graph(manifest, folder, config.variant))
    from edgequake.edge.operation.model_check import key_of, require_sound

    sound = require_sound(name, config.variant, key_of(config.out, config.public_key))
    return sound.manifest, sound.variant, sound.graph


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
    require_sensitivity(config.sensitivity, config.threshold)


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
        self.slots: dict[str, Slot] = {}  # models that were replaced by installed ones
        self.is_on_trial = False  # one of those
        self.installation: dict[str, Any] | None = None  # what became of the last one, see `ModelStore.outcome`
        if (config.out / MODELS).exists():
            self._read_installed()
        if not self.is_auto:
            model = self._loaded[config.model] = self._load(config.model)
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
        return self.of_slot(self.slot_of(station_id))

    def slot_of(self, station_id: str) -> str:
        """Return the name of a station's model, which an installed one may stand for."""
        return self._name_of(station_id)

    def slot_for(self, manifest: Manifest) -> str:
        """Return which model of the run a new one is to replace: that for the same body.

        Raises
        ------
        ConfigError
            There is none.
        """
        if self.is_auto:
            if manifest.body in BODIES:
                return manifest.body
            raise ConfigError(f"model '{manifest.name}' is for '{manifest.body}': no model of this run is")
        present = self.of_slot(self._config.model).manifest
        if manifest.body != present.body:
            raise ConfigError(
                f"model '{manifest.name}' is for '{manifest.body}', and this run's model '{present.name}' for "
                f"'{present.body}'; start a run of its own for it"
            )
        return self._config.model

    def options_of(self, slot: str, installed: Installed) -> RunConfig:
        """Return the options that a slot's model is loaded with once it is `installed`."""
        return installed.options(replace(self._config, model=slot))

    def use(self, name: str, slot: Slot, model: LoadedModel) -> None:
        """Use another model in place of that of a slot."""
        self.slots[name], self._loaded[name] = slot, model
        self._manifests.pop(name, None)
        self._hashes.pop(name, None)
        if not self.is_auto:
            self.choice.name_another(model.manifest)

    def installed(self) -> dict[str, str]:
        """Return what identifies the installed models in use, by slot."""
        return {name: slot.current.id for name, slot in self.slots.items() if slot.current is not None}

    def of_slot(self, name: str) -> LoadedModel:
        """Return the model of a slot; raises as `of`."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
            self._manifests.pop(name, None)
        return self._loaded[name]

    def _read_installed(self) -> None:
        from edgequake.edge.operation.model_store import ModelStore, starting_models

        self.slots, self.is_on_trial = starting_models(self._config, self._log)
        self.installation = ModelStore(self._config.out).outcome()

    def _load(self, name: str) -> LoadedModel:
        """Load the model of a slot: the installed one, where that is damaged the one before it."""
        slot, own = self.slots.get(name), replace(self._config, model=name)
        for installed in () if slot is None or slot.current is None else (slot.current, slot.previous):
            if installed is None:
                break
            try:
                model = LoadedModel.load(self.options_of(name, installed), self._log)
            except EdgequakeError as problem:
                self._log(f"installed model {installed.mark} cannot be used: {problem}; the one before it is")
                self.installation = {"model": installed.mark, "state": "rolled back", "why": str(problem)}
                continue
            model.mark = installed.mark
            self.slots[name] = replace(self.slots[name], current=installed)
            return model
        if slot is not None:
            self.slots[name] = replace(slot, current=None)
        return LoadedModel.load(own, self._log)

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
            model.reload_threshold(model.options or replace(self._config, model=name), partial(self._log_of, name))
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
            model = self._loaded[name]
            model.load_again(model.options or self._config, self._log)
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
        core = {} if self._config.core == "python" else {"core": self._config.core}
        return core if self._config.is_live else {**core, "station": None if names is None else list(names)}

    def _log_of(self, name: str, line: str) -> None:
        self._log(f"model {name}: {line}" if self.is_auto else line)

    def _name_of(self, station_id: str) -> str:
        if not self.is_auto:
            return self._config.model
        # A station of an earlier run in this folder has no model yet: that of its network is the best guess.
        return self.choice.stations.get(station_id) or choose(station_id, 0.0)[0]

    def _manifest(self, name: str) -> Manifest:
        if name in self._loaded or name in self.slots:
            return self.of_slot(name).manifest
        if name not in self._manifests:
            self._manifests[name] = load_manifest(name)[0]
        return self._manifests[name]

    def _used(self, name: str, stations: Iterable[str]) -> UsedModel:
        manifest, loaded = self._manifest(name), self._loaded.get(name)
        variant = (self._config.variant or manifest.default_variant) if loaded is None else loaded.variant_name
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
