"""Reports and exports of a run that chose a model for each station."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import cli
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.runner import RunConfig, run
from edgequake.report.pages.run_page import run_report
from edgequake.report.recording.recorded_run import read_run
from edgequake.synthetic import synthetic_dataset

EARTH = "FDSN:AM_R0E05_00_E_H_Z"


def shaking() -> np.ndarray:
    """Return three minutes at 100 Hz with a local quake: noise whose level jumps and decays."""
    time_s = np.arange(18_000) / 100.0 - 90.0
    level = 60.0 + np.where(time_s >= 0, 6000.0 * np.exp(-time_s / 8.0), 0.0)
    return np.rint(level * np.random.default_rng(2).standard_normal(18_000)).astype(np.int32)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run over two files: a moonquake and an earthquake."""
    folder = tmp_path_factory.mktemp("both")
    moon = synthetic_dataset.synthetic_record(
        np.random.default_rng(4), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.6
    )
    paths = [synthetic_dataset.write_miniseed(moon, folder / "moon.mseed"), folder / "earth.mseed"]
    paths[1].write_bytes(encode([Trace(EARTH, synthetic_dataset.DAY_START_NS, 100.0, shaking())]))
    summary = run(RunConfig(tuple(map(str, paths)), folder / "run"))
    assert sorted({row.station_id for row in summary.events}) == ["AM_R0E05", "XX_LUN"]
    return folder / "run"


def test_the_probabilities_are_those_of_each_station_s_model(both: Path) -> None:
    recorded = read_run(both)
    assert sorted(recorded.models) == ["earth", "moon"] and recorded.notes == ()
    assert recorded.n_events_found_again == len(recorded.summary.events)


def test_the_page_shows_both_models(both: Path) -> None:
    page = run_report(both).html
    for words in ("earth: Network", "moon: Network", "for XX LUN", "for AM R0E05"):
        assert words in page
    for one in json.loads((both / "summary.json").read_text())["models"]:
        assert one["graph_sha256"] in page


def test_picks_name_the_model_of_their_station(both: Path) -> None:
    assert cli.main(["export", str(both), "--quakeml"]) == 0
    graphs = {one["name"]: one["graph_sha256"] for one in json.loads((both / "summary.json").read_text())["models"]}
    for event in obspy.read_events(str(both / "events.xml")):
        (pick,) = event.picks
        name = "moon" if pick.waveform_id.station_code == "LUN" else "earth"
        assert str(pick.method_id).endswith(f"/method/{name}/int8/{graphs[name]}")


def test_the_picture_and_the_table_need_no_model(both: Path) -> None:
    assert cli.main(["plot", str(both)]) == 0
    assert cli.main(["export", str(both), "--csv"]) == 0
