"""Days of synthetic signal: obspy reads them, and they are labelled records like others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.benchmarks.cost.workload import (
    BURST_HOURS,
    SPLIT,
    SignalDays,
    channels_for,
    find_graphs,
    steps_per_s,
    write_signal_day,
)
from edgequake.data.dataset import load
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import load_manifest


@pytest.mark.parametrize("model", ["mars", "earth"])
def test_a_day_has_three_channels_of_24_hours_with_four_bursts(model: str, tmp_path: Path) -> None:
    manifest, _ = load_manifest(model)
    day = write_signal_day(tmp_path / "day", manifest)
    stream = obspy.read(str(day.record))
    assert [trace.stats.channel for trace in stream] == list(channels_for(manifest))
    for trace in stream:
        assert trace.stats.sampling_rate == manifest.sampling_rate_hz
        assert trace.stats.npts == 86_400 * manifest.sampling_rate_hz
        levels = np.std(trace.data.reshape(24 * 60, -1), axis=1)  # by the minute
        loud = {int(minute // 60) for minute in np.flatnonzero(levels > 2.5 * np.median(levels))}
        assert loud == {int(hour) for hour in BURST_HOURS}
    first = obspy.read(str(day.first))
    assert {trace.stats.channel for trace in first} == set(channels_for(manifest))
    assert all(trace.stats.npts < 2000 for trace in first)


def test_a_day_is_a_data_folder_with_its_events_labelled(tmp_path: Path) -> None:
    for model in ("moon", "mars"):
        manifest, _ = load_manifest(model)
        day = write_signal_day(tmp_path / model, manifest)
        (record,) = load(day.folder, manifest.body, SPLIT)
        assert record.file == day.record and len(record.channels) == 3 and len(record.arrivals) == 4
        assert record.start_ns == day.start_ns
        assert record.stop_ns - record.start_ns == pytest.approx(day.signal_s * 1e9, abs=0.2e9)


def test_one_day_serves_all_models_of_a_body_and_rate(tmp_path: Path) -> None:
    graphs = find_graphs(["moon", "mars"], None, also=["moon"])
    assert [(graph.title, graph.shipped) for graph in graphs][-1] == ("moon int8", False)
    days = SignalDays(tmp_path)
    assert days.of(graphs[0].manifest) is days.of(graphs[-1].manifest)
    assert set(days.by_body()) == {"moon"}


def test_steps_for_a_second_of_signal() -> None:
    manifest, _ = load_manifest("moon")
    hop, rows = manifest.front_end.hop_samples, manifest.network.rows_per_step
    assert steps_per_s(manifest) == pytest.approx(manifest.sampling_rate_hz / hop / rows)


def test_a_model_with_unknown_channels_is_refused() -> None:
    manifest, _ = load_manifest("moon")
    object.__setattr__(manifest, "channels", ("XXX",))
    with pytest.raises(ConfigError, match="model 'moon' takes channels XXX: expected a pattern"):
        channels_for(manifest)
