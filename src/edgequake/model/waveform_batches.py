"""Waveforms of a call as the batches of a run: the channels that the model takes, station by station."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import channel_of, channel_title
from edgequake.edge.formats.waveform_objects import traces_of
from edgequake.edge.formats.waveforms import Trace, same_rate
from edgequake.edge.inputs.files import plan_streams
from edgequake.edge.inputs.model_choice import ModelChoice, matches
from edgequake.edge.inputs.source import Batch, FileSource
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import require_rate

_BATCH_TRACES = 64  # of at most a minute: many at once are cheaper, and a day must not wait for its end
_MOST_NAMES = 5  # of channels, in a message


def batches_of(
    waveforms: Sequence[Any],
    manifest: Manifest,
    sampling_rate_hz: float | None,
    start: Any,
    channels: Sequence[str] | None,
    diagnostics: Diagnostics,
) -> Iterator[Batch]:
    """Return the batches of waveforms as `QuakeModel.classify` takes them; what is left out is told in `diagnostics`.

    Raises
    ------
    DataError
        As there.
    """
    if isinstance(channels, str):
        channels = (channels,)
    n_paths = sum(isinstance(one, str | os.PathLike) for one in waveforms)
    if n_paths == len(waveforms):
        return _of_files([os.fspath(one) for one in waveforms], manifest, channels, diagnostics)
    if n_paths:
        raise DataError("files and waveforms in one call: classify them one after the other")
    are_arrays = any(isinstance(one, np.ndarray) for one in waveforms)
    traces = traces_of(
        *waveforms, sampling_rate_hz=sampling_rate_hz, start=start, channels=channels if are_arrays else None
    )
    patterns = tuple(channels or manifest.channels) if not are_arrays else ("*",)
    return _of_traces(_usable(traces, manifest, patterns, diagnostics))


def _of_files(
    names: Sequence[str], manifest: Manifest, channels: Sequence[str] | None, diagnostics: Diagnostics
) -> Iterator[Batch]:
    plan = plan_streams(tuple(names), ModelChoice(manifest, None if channels is None else tuple(channels)))
    yield from FileSource(plan, None, None).batches()
    diagnostics.add(plan.diagnostics)


def _usable(
    traces: Sequence[Trace], manifest: Manifest, patterns: tuple[str, ...], diagnostics: Diagnostics
) -> list[Trace]:
    """Return the traces of the channels that the model takes, as a run chooses them."""
    if not traces:
        raise DataError("the waveforms hold no sample")
    wanted = [trace for trace in traces if matches(trace.source_id, patterns)]
    if not wanted:
        found = sorted({channel_of(trace.source_id) or trace.source_id for trace in traces})
        raise DataError(
            f"no channel matches {', '.join(patterns)}: the waveforms have {', '.join(found[:_MOST_NAMES])}; name "
            f"those to use with channels=[...]"
        )
    problems: dict[tuple[str, float], DataError | None] = {}
    for trace in wanted:
        if (key := (trace.source_id, trace.sampling_rate_hz)) not in problems:
            problems[key] = _rate_problem(manifest, trace)
    usable = [trace for trace in wanted if problems[(trace.source_id, trace.sampling_rate_hz)] is None]
    for (source_id, _), problem in problems.items():
        if problem is not None:
            if not usable:
                raise DataError(f"{channel_title(source_id)}: {problem}") from problem
            diagnostics.warn(f"{channel_title(source_id)} left out: {problem}")
    return usable


def _rate_problem(manifest: Manifest, trace: Trace) -> DataError | None:
    try:
        require_rate(manifest.front_end, manifest.sampling_rate_hz, trace.sampling_rate_hz)
    except DataError as problem:
        return DataError(f"model {manifest.name}: {problem}")
    return None


def _of_traces(traces: Sequence[Trace]) -> Iterator[Batch]:
    """Yield the streams one after the other; where a channel changes its rate a new one begins, as between files."""
    streams: list[_StationStream] = []
    for trace in traces:
        stream = next((one for one in reversed(streams) if one.takes(trace)), None)
        if stream is None:
            stream = _StationStream(trace.station_id)
            streams.append(stream)
        stream.add(trace)
    for number, stream in enumerate(streams):
        for first in range(0, len(stream.traces), _BATCH_TRACES):
            part = tuple(stream.traces[first : first + _BATCH_TRACES])
            yield Batch(str(number), stream.station_id, part, over=False)
        yield Batch(str(number), stream.station_id, (), over=True)


@dataclass
class _StationStream:
    """Traces that one detector takes: of a station, each channel at one rate."""

    station_id: str
    traces: list[Trace] = field(default_factory=list)
    _rates_hz: dict[str, float] = field(default_factory=dict)  # by channel

    def takes(self, trace: Trace) -> bool:
        rate_hz = self._rates_hz.get(trace.source_id, trace.sampling_rate_hz)
        return self.station_id == trace.station_id and same_rate(trace.sampling_rate_hz, rate_hz)

    def add(self, trace: Trace) -> None:
        self._rates_hz.setdefault(trace.source_id, trace.sampling_rate_hz)
        self.traces.append(trace)
