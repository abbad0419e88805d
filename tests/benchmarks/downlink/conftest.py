"""The drawn mission, and a data set of synthesised records."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgequake.benchmarks.downlink.simulation import SimulatedMission
from edgequake.edge.base.control import Control
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.runner import RunConfig
from edgequake.synthetic.synthetic_dataset import write_dataset

from .drawn import ONSET_NS, drawn_mission


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    """Return a model that keeps 60 s before and after an event; one of up to 3300 s is the longest."""
    loaded = LoadedModel.load(RunConfig((), Path(), "moon"), Control().log)
    trigger = dataclasses.replace(loaded.manifest.trigger, pre_roll_s=60.0, post_roll_s=60.0, max_event_s=3300.0)
    return dataclasses.replace(loaded, manifest=dataclasses.replace(loaded.manifest, trigger=trigger, onset=None))


@pytest.fixture
def mission(model: LoadedModel, tmp_path: Path) -> SimulatedMission:
    """Return two hours at 1 Hz from 06:00: from 07:00 on there is for ten minutes a thousand times as much as before.

    Its segment is [06:59:00, 07:11:00): 720 samples in 13 records. Around the onset, which is [06:59:50, 07:01:00),
    lie the first three: 06:59:00, 06:59:57 and 07:00:54.
    """
    return drawn_mission(tmp_path, model, [Event(ONSET_NS, ONSET_NS + 600 * NS_PER_S, 0.5)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of synthesised lunar records: one of train, three of val and one of test."""
    return write_dataset(tmp_path_factory.mktemp("synthetic") / "data", seed=1, n_train=1, n_val=3, n_test=1)
