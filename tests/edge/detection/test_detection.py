"""The shipped model on synthetic lunar days: it finds the strong quakes near their onsets, and little else."""

from __future__ import annotations

import csv
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refine_onset
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

S = 1_000_000_000
TOLERANCE_NS = 300 * S
CODA_NS = 3600 * S
STRONG = np.asarray(synthetic_dataset.DAY_RATIOS) >= 6.0


@pytest.fixture(scope="module", params=[3, pytest.param(4, marks=pytest.mark.long)])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, list[int], Path]:
    """Return the summary of a run over a synthetic day, the true onsets, and the run's folder."""
    folder = tmp_path_factory.mktemp("day")
    path = synthetic_dataset.write_day(folder / "in", seed=request.param)
    with (folder / "in" / "catalog.csv").open() as file:
        moments = [datetime.strptime(row["time_abs"], "%Y-%m-%dT%H:%M:%S.%fZ") for row in csv.DictReader(file)]
    onsets_ns = [round(moment.replace(tzinfo=timezone.utc).timestamp() * 1e6) * 1000 for moment in moments]
    return run(RunConfig((str(path),), folder / "out")), onsets_ns, path


def test_strong_quakes_are_found_at_their_onsets(day: tuple[Summary, list[int], Path]) -> None:
    summary, onsets_ns, _ = day
    for onset_ns in np.asarray(onsets_ns)[STRONG]:
        assert any(abs(row.onset_ns - onset_ns) < TOLERANCE_NS for row in summary.events)


def test_little_else_is_found_and_little_is_kept(day: tuple[Summary, list[int], Path]) -> None:
    summary, onsets_ns, _ = day
    false = [
        row for row in summary.events if not any(-TOLERANCE_NS < row.onset_ns - onset < CODA_NS for onset in onsets_ns)
    ]
    assert len(false) <= 2
    assert summary.kept_fraction < 0.3


def test_kept_segments_cover_the_strong_onsets(day: tuple[Summary, list[int], Path]) -> None:
    summary, onsets_ns, _ = day
    for onset_ns in np.asarray(onsets_ns)[STRONG]:
        assert any(segment.start_ns <= onset_ns < segment.stop_ns for segment in summary.segments)


@pytest.mark.slow
def test_the_detector_alone_finds_what_the_run_found(
    day: tuple[Summary, list[int], Path], moon: tuple[Manifest, bytes, Variant]
) -> None:
    summary, _, path = day
    detector = Detector(*moon, moon[0].trigger.onset_thresholds["normal"])
    index = index_file(path)
    events, horizon_ns = [], -(2**62)
    for trace in read_indexed(index, index.headers):
        fresh = detector.push(trace)
        # The segment writer drops samples that lie before the horizon.
        assert all(event.onset_ns >= horizon_ns for event in fresh)
        assert detector.horizon_ns is None or detector.horizon_ns >= horizon_ns
        horizon_ns = horizon_ns if detector.horizon_ns is None else detector.horizon_ns
        events += fresh
    events += detector.finish()
    manifest, traces = moon[0], list(read_indexed(index, index.headers))
    assert manifest.onset is not None
    lag_s, rate_hz = manifest.trigger.onset_lag_s, manifest.sampling_rate_hz
    onsets = [refine_onset(manifest.onset, manifest.front_end, traces, e.onset_ns, lag_s, rate_hz) for e in events]
    found = [(round(o.onset_ns / 1000), round(o.sigma_s, 3)) for o in onsets]  # as in the catalogue
    assert found == [(row.onset_ns / 1000, row.onset_uncertainty_s) for row in summary.events]
    found_stops = [(round(e.stop_ns / 1000), e.mq_type) for e in events]
    assert found_stops == [(row.stop_ns / 1000, row.mq_type) for row in summary.events]
    assert horizon_ns > index.start_ns


def test_after_a_long_gap_the_detector_is_reset(moon: tuple[Manifest, bytes, Variant], loud: np.ndarray) -> None:
    rate_hz = moon[0].sampling_rate_hz
    trace = Trace("FDSN:XX_LUN_00_M_H_Z", 0, rate_hz, loud)
    hop = moon[0].front_end.hop_samples
    later_ns = duration_ns(hop * 10_000, rate_hz)  # on the same grid of blocks, more than a day later
    detector = Detector(*moon, moon[0].trigger.onset_thresholds["normal"])
    events = [*detector.push(trace), *detector.push(Trace(trace.source_id, later_ns, rate_hz, loud))]
    events += detector.finish()
    first = [(e.onset_ns, e.stop_ns, e.peak_probability) for e in events if e.onset_ns < later_ns - S * 60]
    second = [(e.onset_ns, e.stop_ns, e.peak_probability) for e in events if e.onset_ns >= later_ns - S * 60]
    assert len(first) >= 1 and detector.restarts == 2
    assert [peak for *_, peak in second] == [peak for *_, peak in first]
    for (onset, stop, _), (again, until, _) in zip(first, second, strict=True):
        assert abs(again - later_ns - onset) <= 2 and abs(until - later_ns - stop) <= 2
