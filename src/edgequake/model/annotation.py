"""The network's probabilities as traces of obspy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.report.recording.probabilities import ProbabilityTrace, RecordingTrigger

if TYPE_CHECKING:
    import obspy

OUTPUTS = ("onset", "event")


def annotated(
    manifest: Manifest, graph: bytes, variant: Variant, threshold: float, batches: Iterable[Batch]
) -> obspy.Stream:
    """Return the probabilities on batches, stream by stream; raises as `QuakeModel.annotate`."""
    try:
        from obspy import Stream
    except ModuleNotFoundError as problem:
        raise ConfigError("annotate returns an obspy Stream: pip install obspy") from problem
    traces: list[Any] = []
    for probabilities in _recorded(manifest, graph, variant, threshold, batches):
        traces += _traces(manifest, probabilities)
    return Stream(traces)


def _recorded(
    manifest: Manifest, graph: bytes, variant: Variant, threshold: float, batches: Iterable[Batch]
) -> Iterator[ProbabilityTrace]:
    running: dict[str, tuple[Detector, RecordingTrigger]] = {}
    for batch in batches:
        if batch.key not in running:
            trigger = RecordingTrigger(manifest.trigger, threshold)
            running[batch.key] = Detector(manifest, graph, variant, threshold, trigger), trigger
        detector, trigger = running[batch.key]
        detector.push(*batch.traces)
        if batch.over:
            detector.finish()
            yield running.pop(batch.key)[1].trace(batch.station_id, ())


def _traces(manifest: Manifest, probabilities: ProbabilityTrace) -> Iterator[Any]:
    """Yield the evenly sampled parts of probabilities; a decision of the network is a sample."""
    from obspy import Trace, UTCDateTime

    start_ns = probabilities.start_ns
    if not len(start_ns):
        return
    row_hz = manifest.sampling_rate_hz * manifest.front_end.rows_per_block / manifest.front_end.hop_samples
    row_ns = NS_PER_S / row_hz
    steps = np.diff(start_ns)
    rows_each = max(1, round(float(np.median(steps)) / row_ns)) if len(steps) else 1  # windows may be rows apart
    cuts = [0, *(np.flatnonzero(np.abs(steps - rows_each * row_ns) > row_ns / 2) + 1).tolist(), len(start_ns)]
    network, _, station = probabilities.station_id.partition("_")
    for name in OUTPUTS:
        values = getattr(probabilities, name).astype(np.float32)
        for first, stop in pairwise(cuts):
            header = {
                "network": network,
                "station": station,
                "channel": f"{manifest.name}_{name}",
                "starttime": UTCDateTime(ns=int(start_ns[first])),
                "sampling_rate": row_hz / rows_each,
            }
            yield Trace(values[first:stop], header)
