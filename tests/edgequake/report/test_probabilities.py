"""Probabilities computed again are those of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.detection.detector import Detector
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.report.recording.probabilities import Model, ProbabilityTrace, of_plan
from edgequake.report.recording.recorded_run import read_run


@pytest.fixture(scope="module")
def model() -> Model:
    manifest, folder = load_manifest("moon")
    variant, graph = read_graph(manifest, folder)
    return Model(manifest, graph, variant, manifest.default_variant)


def test_probabilities_are_the_network_s_outputs_for_the_rows(finished_run: Path, model: Model) -> None:
    """All rows at once through `Detector.decide`, compared with trace by trace through the trigger."""
    record = finished_run.parent / "record.mseed"
    plan = plan_inputs((str(record),), model.manifest)
    (probability_trace,) = of_plan(plan, lambda station_id: (model, 0.8), lambda trace: None)
    rows = station_rows(
        model.manifest.front_end, model.manifest.sampling_rate_hz, plan.streams[0].traces(plan.diagnostics)
    )
    assert int(rows.restart.sum()) == 1  # nothing in this record starts the network anew
    decisions = list(Detector(model.manifest, model.graph, model.variant, 0.8).decide(rows))
    np.testing.assert_array_equal(probability_trace.onset, [decision.onset for decision in decisions])
    np.testing.assert_array_equal(probability_trace.event, [decision.event for decision in decisions])
    np.testing.assert_array_equal(probability_trace.start_ns, [decision.start_ns for decision in decisions])
    np.testing.assert_array_equal(probability_trace.stop_ns, [decision.stop_ns for decision in decisions])


def test_probabilities_lead_to_the_run_s_events(finished_run: Path) -> None:
    run = read_run(finished_run)
    assert run.from_records and run.notes == ()
    assert run.n_events_found_again == len(run.summary.events) == 2
    for row in run.summary.events:
        trace = run.probabilities_of(row)
        assert trace is not None
        peak = trace.between(row.onset_ns, row.stop_ns).onset.max()
        assert peak == pytest.approx(row.peak_probability, abs=1e-4)  # the catalogue has four digits
        assert peak >= run.summary.onset_threshold


def test_segments_replace_records_that_are_missing(own_run: Path) -> None:
    summary = own_run / "summary.json"
    summary.write_text(summary.read_text().replace("record.mseed", "gone.mseed"))
    run = read_run(own_run)
    assert not run.from_records
    assert "gone.mseed) are not available; the kept segments stand in" in run.notes[0]
    assert len(run.probabilities) == 2
    for row in run.summary.events:
        segment = run.segment_of(row)
        probability_trace = run.probabilities_of(row)
        assert probability_trace is not None and len(probability_trace.onset) > 50
        assert probability_trace.start_ns[0] >= segment.start_ns - 20 * 10**9
    assert run.index is not None and run.traces == ()
    assert run.index.n_samples.total() == sum(segment.n_samples for segment in run.summary.segments)


def test_named_records_replace_those_of_the_run(own_run: Path, finished_run: Path) -> None:
    summary = own_run / "summary.json"
    summary.write_text(summary.read_text().replace("record.mseed", "gone.mseed"))
    run = read_run(own_run, inputs=[finished_run.parent / "record.mseed"])
    assert run.from_records and run.n_events_found_again == 2


def test_cut_of_a_trace() -> None:
    edges = np.arange(11) * 10
    trace = ProbabilityTrace("X", edges[:-1], edges[1:], np.arange(10.0), np.arange(10.0), (35, 80))
    cut = trace.between(30, 50)  # half-open: [20, 30) and [50, 60) only touch it
    assert cut.start_ns.tolist() == [30, 40] and cut.onset.tolist() == [3, 4] and cut.onsets_ns == (35,)
    assert len(trace.between(50, 50).onset) == 0
