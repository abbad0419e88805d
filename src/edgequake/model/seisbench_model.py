"""A model as a `WaveformModel` of SeisBench, for programs that are written for SeisBench's models.

SeisBench, which brings PyTorch, is imported when such a model is first asked for. Its windows, resampling and stacking
are not used: the samples take the way of `QuakeModel`, which is that of a run.

References
----------
Woollam, J. et al. (2022). SeisBench: a toolbox for machine learning in seismology. Seismol. Res. Lett. 93, 1695: the
interface; `seisbench.models.base.WaveformModel` and `seisbench.util.annotations` of 0.12.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.edge.results.catalog import CatalogRow
from edgequake.model.annotation import OUTPUTS

_COMPONENTS = "ZNE"


def seisbench_model(model: Any, load_model: Callable[..., Any]) -> Any:
    """Return a `QuakeModel` as a `seisbench.models.WaveformModel`; `load_model` returns another by its name.

    Raises
    ------
    ConfigError
        SeisBench is not installed.
    """
    try:
        base = import_module("seisbench.models").WaveformModel
        lists = import_module("seisbench.util")
    except ModuleNotFoundError as problem:
        raise ConfigError(
            f"to_seisbench needs SeisBench, and {problem.name} is not installed: pip install 'edgequake[peers]'"
        ) from problem
    return _adapter(base, lists, load_model)(model)


@cache
def _adapter(base: Any, lists: Any, load_model: Callable[..., Any]) -> Any:
    """Return the subclass of SeisBench's base class; `lists` is the module with its picks and detections."""

    class EdgequakeModel(base):  # type: ignore[misc]
        """A model of edgequake with SeisBench's interface.

        `annotate` returns the probabilities, `classify` an output with `picks` (at the refined onsets, without a
        phase), `detections` (from onset to stop) and `events` (the `EventList` of `QuakeModel.classify`). Both take
        `channels`, patterns of the channel codes to use; nothing else is an option, since the thresholds are the
        model's. The stream is never changed.
        """

        _annotate_args = {"channels": ("Patterns of the channel codes to use; by default those of the model.", None)}  # noqa: RUF012

        def __init__(self, model: Any) -> None:
            super().__init__(
                citation=f"edgequake model {model.name}",
                component_order=_COMPONENTS,
                sampling_rate=model.sampling_rate_hz,
                output_type="array",
                in_samples=model.manifest.front_end.hop_samples,
                pred_sample=(0, model.manifest.front_end.hop_samples),
                labels=list(OUTPUTS),
            )
            self.model = model

        @property
        def name(self) -> str:
            """Name of the model, with which the channels of its annotations begin."""
            return str(self.model.name)

        def __str__(self) -> str:
            return f"SeisBench model\t\t{self.name}\n\n{self.model!r}"

        @classmethod
        def from_pretrained(cls, name: str, **options: Any) -> Any:
            """Return a shipped model; the options are those of `edgequake.load_model`."""
            return cls(load_model(name, **options))

        @classmethod
        def list_pretrained(cls, details: bool = False, remote: bool = True) -> Any:
            """Return the names of the shipped models, with `details` each with its manifest's file."""
            return {name: str(path) for name, path in shipped_models().items()} if details else sorted(shipped_models())

        def annotate(self, stream: Any, copy: bool = True, **options: Any) -> Any:
            """Return the probabilities as an obspy Stream, as `QuakeModel.annotate`."""
            self._verify_argdict(options)
            return self.model.annotate(stream, **self._chosen(options)) if len(stream) else type(stream)()

        async def annotate_async(self, stream: Any, copy: bool = True, **options: Any) -> Any:
            """As `annotate`."""
            return self.annotate(stream, **options)

        def classify(self, stream: Any, parallelism: int | None = None, **options: Any) -> Any:
            """Return picks, detections and events, as `QuakeModel.classify`; an empty stream has none."""
            self._verify_argdict(options)
            events = self.model.classify(stream, **self._chosen(options)) if len(stream) else ()
            return lists.ClassifyOutput(
                self.name,
                picks=lists.PickList(map(_pick, events)),
                detections=lists.DetectionList(map(_detection, events)),
                events=events,
            )

        async def classify_async(self, stream: Any, **options: Any) -> Any:
            """As `classify`."""
            return self.classify(stream, **options)

        def forward(self, *batches: Any) -> Any:
            """Refuse: the network keeps a state from step to step, and has no windows."""
            raise ConfigError(f"model {self.name} has no windows of samples: use annotate or classify")

        def save(self, path: Any, weights_docstring: str = "", version_str: str | None = None) -> None:
            """Refuse: there are no weights of PyTorch."""
            raise ConfigError(f"model {self.name} is a manifest and its graph: copy the files of edgequake's model")

        def _chosen(self, options: dict[str, Any]) -> dict[str, Any]:
            return {"channels": {**self.default_args, **options}.get("channels")}

    def _pick(event: Any) -> Any:
        onset, margin_s = _utc(event.onset_ns), event.onset_uncertainty_s or 0.0
        return lists.Pick(_trace_id(event), onset - margin_s, onset + margin_s, onset, event.peak_probability)

    def _detection(event: Any) -> Any:
        return lists.Detection(_trace_id(event), _utc(event.onset_ns), _utc(event.stop_ns), event.peak_probability)

    return EdgequakeModel


def _utc(time_ns: int) -> Any:
    return import_module("obspy").UTCDateTime(ns=time_ns)


def _trace_id(event: CatalogRow) -> str:
    """Return NET.STA.LOC, as SeisBench names where a pick was made."""
    return f"{event.station_id.replace('_', '.', 1)}.{getattr(event, 'location', '') or ''}"
