"""Onsets at other rates than the model's, with no more samples around an event than its model says it needs.

Resampling needs samples beyond those of the model's own rate. A run that has dropped them, or has not read them yet,
would give another onset than the whole record does.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refiner
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.edge.runner import RunConfig, run

from .test_long_clocks import MARS, MOON, T0_NS, Body, period

N_QUAKES = 2
BEFORE_S, AFTER_S = 600.0, 900.0  # more than a model keeps before a quake, and after its onset until this is refined


def exact_model(body: Body) -> Manifest:
    """Return a shipped model whose onsets use all samples that it keeps, to a thousandth of a second."""
    manifest = load_manifest(body.model)[0]
    onset, trigger = manifest.onset, dataclasses.replace(manifest.trigger, post_roll_s=35.0)
    assert onset is not None
    more_s = 20 / manifest.sampling_rate_hz + onset.filter_cycles / onset.low_hz / 2
    before_s = trigger.pre_roll_s + trigger.onset_lag_s - more_s
    onset = dataclasses.replace(
        onset,
        before_s=np.floor(before_s * 1000) / 1000,
        after_s=np.floor((trigger.post_roll_s - more_s) * 1000) / 1000,
    )
    return dataclasses.replace(manifest, onset=onset, trigger=trigger)


def write_model(folder: Path, manifest: Manifest) -> str:
    _, shipped = load_manifest(manifest.name)
    for file in shipped.glob(f"{manifest.name}.*"):
        shutil.copy(file, folder)
    path = folder / f"{manifest.name}.json"
    path.write_text(manifest.to_json(), encoding="utf-8")
    return str(path)


def record_starts(n_period: int, rate_hz: float) -> list[int]:
    """Return the first sample of each record: 40 samples a record around the quakes, a minute elsewhere.

    A live run drops samples record by record: a second of Mars, three of the Moon. It keeps none of those before
    BEFORE_S when it finds the onset, and has needed all when AFTER_S have passed.
    """
    starts, at = [0], 0
    while True:
        from_quake_s = (at % n_period - n_period // 2) / rate_hz
        is_near = -BEFORE_S <= from_quake_s < AFTER_S
        at += 40 if is_near else round(60 * rate_hz)
        if at >= N_QUAKES * n_period:
            return starts
        starts.append(at)


@pytest.mark.slow
@pytest.mark.parametrize(("body", "rate_hz"), [(MOON, 13.25), (MARS, 40.0)], ids=["moon-13.25", "mars-40"])
def test_a_file_a_live_link_and_the_whole_record_give_the_same_onset(
    body: Body, rate_hz: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if body is MARS and "EDGEQUAKE_LONG_CLOCKS" not in os.environ:
        pytest.skip("`make clocks` only: the Moon's model is enough between changes")
    manifest = exact_model(body)
    model = write_model(tmp_path, manifest)
    samples = np.tile(period(dataclasses.replace(body, rate_hz=rate_hz)), N_QUAKES)
    whole = Trace(body.source_id, T0_NS, rate_hz, samples)
    data = encode(
        Trace(whole.source_id, T0_NS + duration_ns(first, rate_hz), rate_hz, samples[first:stop])
        for first, stop in pairwise([*record_starts(len(samples) // N_QUAKES, rate_hz), len(samples)])
    )
    (tmp_path / "a.mseed").write_bytes(data)
    by_file = run(RunConfig((str(tmp_path / "a.mseed"),), tmp_path / "file", model=model))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    live = run(RunConfig(("-",), tmp_path / "live", model=model, spool_bytes=0))

    variant, graph = read_graph(manifest, tmp_path)
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    refine = refiner(manifest)
    assert refine is not None
    onsets = [refine([whole], event.onset_ns) for event in [*detector.push(whole), *detector.finish()]]
    expected = [(round(onset.onset_ns / 1000), round(onset.sigma_s, 3)) for onset in onsets]  # as in the catalogue
    assert len(onsets) == N_QUAKES
    assert all(onset.refined for onset in onsets)
    for summary in (by_file, live):
        assert [(event.onset_ns / 1000, event.onset_uncertainty_s) for event in summary.events] == expected


@pytest.mark.parametrize("side", ["before_s", "after_s"])
@pytest.mark.parametrize("body", [MOON, MARS], ids=["moon", "mars"])
def test_a_manifest_must_keep_what_resampling_needs(body: Body, side: str) -> None:
    manifest = exact_model(body)
    assert manifest.onset is not None
    longer = dataclasses.replace(manifest.onset, **{side: getattr(manifest.onset, side) + 0.002})
    with pytest.raises(ValueError, match=r"s are kept"):
        dataclasses.replace(manifest, onset=longer)


def test_a_band_beyond_the_models_rate_is_not_resampled() -> None:
    """The terrestrial model looks for onsets at up to 20 Hz, at its own 20 Hz each channel is as it is."""
    manifest = exact_model(MARS)
    assert manifest.onset is not None
    high_hz = 0.46 * manifest.sampling_rate_hz
    longer = dataclasses.replace(manifest.onset, high_hz=high_hz, after_s=manifest.onset.after_s + 1.0)
    assert dataclasses.replace(manifest, onset=longer).onset == longer
