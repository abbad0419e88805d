"""Refined onsets in C are those of the catalogue, to the nanosecond, and their uncertainties to the millisecond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions

from .exports import IS_LONG, MODELS, Exported
from .onsets import RefiningCDetector, refined_by_c, refined_by_python
from .scenes import Scene, found_by_python, traces
from .test_equality import cut, lowest

Export = Callable[[str], Exported]
SCENES = {
    "moon": Scene(101, rates=(1, 1, 1)),
    "mars": Scene(104, rates=(1, 1), dtype=np.float32),
    "earth": Scene(107, 1500, rates=(5, 1, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS if IS_LONG else MODELS[2:])
def test_damaged_records_give_the_catalogues_onsets(name: str, exported: Export) -> None:
    model, n_refined, n_refused = exported(name), 0, 0
    scene = SCENES[name] if IS_LONG else replace(SCENES[name], n_frames=600)
    for i in range(20 if IS_LONG else 1):
        records = traces(replace(scene, seed=scene.seed + i), model.manifest)
        python = model.detector(lowest(model))
        expected = refined_by_python(model.manifest, found_by_python(python, records), records)
        if not all(channel.clock.maps[-1].on_grid for channel in python.front_end.channels.values()):
            n_refused += 1
            with pytest.raises(DataError, match="clock has drifted off the grid"):
                refined_by_c(model.refining, lowest(model), records)
            continue
        assert refined_by_c(model.refining, lowest(model), records) == expected
        n_refined += sum(event.onset_ns != event.trigger_ns for event in expected)
    assert n_refined
    assert n_refused <= 1  # of 20: jitter and repeats happen to look like a drift


@pytest.mark.slow
def test_cuts_and_saved_states_change_no_onset(exported: Export) -> None:
    model = exported("earth")
    pieces = cut(traces(replace(SCENES["earth"], n_frames=600), model.manifest), np.random.default_rng(0), 100)
    expected = refined_by_c(model.refining, lowest(model), pieces)
    assert any(event.onset_ns != event.trigger_ns for event in expected)
    detector = RefiningCDetector(model.refining, lowest(model))
    for i, piece in enumerate(pieces):
        if i % 5 == 0:
            state, found = detector.state(), detector.found
            detector = RefiningCDetector(model.refining, lowest(model))
            detector.restore(state)
            detector.found = found
        detector.push(piece)
    detector.finish()
    assert detector.found == expected


def test_rates_that_are_resampled_are_refused_and_may_go_without(tmp_path: Path) -> None:
    options = ExportOptions(1, (53.0,))
    with pytest.raises(ConfigError, match=r"'moon' refines onsets at 6\.625 Hz.*--no-refinement"):
        export_model("moon", tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
    result = export_model("moon", tmp_path / "out", replace(options, refinement=False))
    assert any("refinement from the samples is left out" in note for note in result.notes)


def test_a_search_that_could_meet_the_next_event_is_refused(tmp_path: Path) -> None:
    from edgequake.export_c.onset_header import require_refinable

    manifest, _ = load_manifest("earth")
    assert manifest.onset is not None
    longer = replace(manifest, onset=replace(manifest.onset, after_s=9.0))
    with pytest.raises(ConfigError, match="the next event may begin"):
        require_refinable(longer, (1,))
