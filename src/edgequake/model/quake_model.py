"""`edgequake.load_model`: a model whose `classify` returns the rows that a run writes, without any file.

The samples take the way of a run: the same detectors, segments and priorities, kept in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequake._version import __version__
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.inputs.model_choice import AUTO
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import Manifest, shipped_models
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.operation.station_run import StationRuns
from edgequake.edge.results.summary import UsedModel
from edgequake.model.classified_events import EventList, MemoryLedger
from edgequake.model.waveform_batches import batches_of

if TYPE_CHECKING:
    import obspy

_NETWORKS = (".keras", ".h5", ".hdf5")  # what `edgequake convert` takes
_NOWHERE = Path(os.devnull)  # in place of a run's folder: no file is there, and none can be


def load_model(
    name: str | Path,
    *,
    sensitivity: str = "normal",
    threshold: float | None = None,
    variant: str | None = None,
) -> QuakeModel:
    """Return a shipped model by its name ("moon", "mars", "earth"), or the one of a manifest NAME.json.

    Parameters
    ----------
    sensitivity : "low", "normal" or "high", for the model's own thresholds.
    threshold : onset probability that declares an event, 0..1, in their place.
    variant : "float32", "dynamic", "int8" or "int16x8"; by default the manifest's.

    Raises
    ------
    ConfigError
        A network that is not converted yet, or a sensitivity or threshold that no model has.
    EdgequakeError
        There is no such model, its files are damaged, or it fails the test that a run makes, too.
    """
    suffix = Path(name).suffix.lower()
    if suffix in _NETWORKS:
        raise ConfigError(
            f"{name} is a Keras network: convert it with `edgequake convert {name} --out FOLDER`, and load the "
            f"manifest that this writes, FOLDER/{Path(name).stem}.json"
        )
    if suffix == ".tflite":
        raise ConfigError(f"{name} is a graph without its constants: load the manifest beside it, a .json file")
    if str(name) == AUTO:
        raise ConfigError(
            f"'{name}' chooses a model for each station of a run; name one of {', '.join(shipped_models())}"
        )
    config = RunConfig((), _NOWHERE, str(name), variant, sensitivity=sensitivity, threshold=threshold)
    return QuakeModel(LoadedModel.load(config, lambda line: None))


class QuakeModel:
    """A model that is ready to run; it keeps nothing from one call to the next."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @property
    def manifest(self) -> Manifest:
        """All constants of the model."""
        return self._loaded.manifest

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.manifest.name

    @property
    def variant(self) -> str:
        """Name of the graph that computes the probabilities, such as "int8"."""
        return self._loaded.variant_name

    @property
    def threshold(self) -> float:
        """Onset probability that declares an event."""
        return self._loaded.threshold

    @property
    def sampling_rate_hz(self) -> float:
        """The rate that the network was trained at; others are resampled, see the model's card."""
        return self.manifest.sampling_rate_hz

    @property
    def channels(self) -> tuple[str, ...]:
        """Patterns of the channel codes that the model takes by default."""
        return self.manifest.channels

    def __repr__(self) -> str:
        return (
            f"<edgequake model {self.name} {self.variant}: {self.sampling_rate_hz:g} Hz, "
            f"an event at {self.threshold:g}>"
        )

    def classify(
        self,
        *waveforms: Any,
        sampling_rate_hz: float | None = None,
        start: Any = None,
        channels: Sequence[str] | None = None,
    ) -> EventList:
        """Return the events in waveforms of one or several stations: the rows that `edgequake run` would write.

        Parameters
        ----------
        waveforms : an obspy Stream or Traces, of which masked samples are gaps; files or folders of miniSEED, or CSV
            files of the Space Apps packet, by their paths; bytes of miniSEED records; or an array of shape (n_samples,)
            or (n_channels, n_samples), integer counts or floats, raw as the seismometer gives them.
        sampling_rate_hz, start : of an array; a start is a datetime, an ISO 8601 text, a numpy datetime64, an obspy
            UTCDateTime, or integer nanoseconds since 1970 UTC.
        channels : of an array, the code of each channel, as ``EHZ`` or ``AM.R1234.00.EHZ``; of anything else, patterns
            of the codes to use, by default those of the model (`QuakeModel.channels`).

        Raises
        ------
        DataError
            No such waveforms, none with a channel and rate that the model takes, or a file that cannot be read.
        """
        diagnostics = Diagnostics()
        ledger = MemoryLedger()
        runs = StationRuns(lambda station_id: self._loaded, _NOWHERE, ledger, diagnostics=diagnostics)
        n_samples = 0
        for batch in self._batches(waveforms, sampling_rate_hz, start, channels, diagnostics):
            n_samples += sum(len(trace.samples) for trace in batch.traces)
            runs.push(batch)
        counters = runs.finish()
        if n_samples == 0:
            raise DataError("the waveforms hold no sample")
        if counters.gaps.fill_samples + counters.gaps.not_finite_samples >= n_samples:
            raise DataError(f"all {n_samples} samples are NaN, infinite or fill values; expected ground motion")
        return EventList.of_ledger(ledger, self._used_model(), __version__, tuple(diagnostics.texts()))

    def annotate(
        self,
        *waveforms: Any,
        sampling_rate_hz: float | None = None,
        start: Any = None,
        channels: Sequence[str] | None = None,
    ) -> obspy.Stream:
        """Return the network's probabilities as an obspy Stream; the parameters are those of `classify`.

        Each station gets two traces for every stretch without a long gap, MODEL_onset (an event begins) and MODEL_event
        (one is in progress). A sample is the probability of the interval that begins at its time. The trigger declares
        events from these, with its rules of duration and hysteresis; `classify` then refines their onsets.

        Raises
        ------
        DataError
            As `classify`.
        ConfigError
            obspy is not installed.
        """
        from edgequake.model.annotation import annotated

        batches = self._batches(waveforms, sampling_rate_hz, start, channels, Diagnostics())
        return annotated(self.manifest, self._loaded.graph, self._loaded.variant, self.threshold, batches)

    def to_seisbench(self) -> Any:
        """Return the model as a `seisbench.models.WaveformModel`, for programs that take one.

        Raises
        ------
        ConfigError
            SeisBench is not installed.
        """
        from edgequake.model.seisbench_model import seisbench_model

        return seisbench_model(self, load_model)

    def detector(self) -> Detector:
        """Return a detector of one station, for an acquisition loop: `Detector.feed`."""
        return Detector(self.manifest, self._loaded.graph, self._loaded.variant, self.threshold)

    def _batches(
        self,
        waveforms: tuple[Any, ...],
        sampling_rate_hz: float | None,
        start: Any,
        channels: Sequence[str] | None,
        diagnostics: Diagnostics,
    ) -> Iterator[Batch]:
        if not waveforms:
            raise DataError("no waveforms: expected an obspy Stream, an array, or the path of a file")
        return batches_of(waveforms, self.manifest, sampling_rate_hz, start, channels, diagnostics)

    def _used_model(self) -> UsedModel:
        loaded = self._loaded
        return UsedModel(self.name, self.variant, loaded.variant.sha256, loaded.threshold, ())
