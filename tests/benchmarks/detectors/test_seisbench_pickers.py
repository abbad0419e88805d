"""Pickers of SeisBench, through a stand-in of its interface: SeisBench itself is no dependency of the tests."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pymseed
import pytest
from obspy import Stream, Trace

from edgequake.benchmarks.detectors import seisbench_pickers
from edgequake.benchmarks.detectors.seisbench_pickers import SeisBenchPicker, seisbench_detectors
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, record

RATE_HZ = 20.0


class StandIn:
    """The used part of seisbench.models.WaveformModel: P peaks two samples after the largest one."""

    sampling_rate = 100.0
    in_samples = 3001
    versions: ClassVar[dict[str, list[str]]] = {}
    loaded: ClassVar[list[str]] = []
    asked_remote: ClassVar[list[bool]] = []

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    @classmethod
    def list_versions(cls, name: str, remote: bool = True) -> list[str]:
        cls.asked_remote.append(remote)
        return cls.versions.get(name, [])

    @classmethod
    def from_pretrained(cls, name: str) -> StandIn:
        cls.loaded.append(name)
        return cls()

    def parameters(self) -> list[Any]:
        return [types.SimpleNamespace(numel=lambda: 30), types.SimpleNamespace(numel=lambda: 12)]

    def annotate(self, stream: Stream) -> Stream:
        self.streams.append(stream.copy())
        curves = Stream()
        for phase in ("P", "S", "N", "Detection"):
            of = stream[0]
            probability = np.zeros(len(of.data))
            peak = int(np.argmax(np.abs(of.data))) + 2
            probability[peak - 1 : peak + 2] = {"P": (0.4, 0.9, 0.5), "S": (0.1, 0.2, 0.1), "N": (1, 1, 1)}.get(
                phase, 0
            )
            probability[:3] = np.nan  # SeisBench leaves out the edges of its windows
            header = {"channel": f"StandIn_{phase}", "sampling_rate": of.stats.sampling_rate}
            curves += Trace(probability, {**header, "starttime": of.stats.starttime})
        return curves


@pytest.fixture
def seisbench(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """Put the stand-in where SeisBench and torch would be."""
    threads: list[int] = [4]
    torch = types.ModuleType("torch")
    torch.__dict__.update(__version__="0", get_num_threads=lambda: threads[-1], set_num_threads=threads.append)
    package, models = types.ModuleType("seisbench"), types.ModuleType("seisbench.models")
    package.__dict__["__version__"] = "0"
    models.__dict__.update(PhaseNet=StandIn, EQTransformer=StandIn)
    for name, module in (("torch", torch), ("seisbench", package), ("seisbench.models", models)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(StandIn, "versions", {})
    monkeypatch.setattr(StandIn, "loaded", [])
    monkeypatch.setattr(StandIn, "asked_remote", [])
    monkeypatch.setattr(seisbench_pickers, "COST_SIGNAL_S", 3.0)
    return StandIn


def earth_record(folder: Path, length_s: float, loud_s: float, channels: tuple[str, ...] = ("BHZ",)) -> LabelledRecord:
    samples = np.random.default_rng(1).normal(500, 5, round(length_s * RATE_HZ)).astype(np.int32)
    samples[round(loud_s * RATE_HZ)] = 9000
    traces = pymseed.MS3TraceList()
    for channel in (*channels, "HHZ"):
        traces.add_data(f"FDSN:II_PFO__{'_'.join(channel)}", samples, "i", RATE_HZ, starttime=T0_NS)
    traces.to_file(folder / "a.mseed", overwrite=True, format_version=2, max_record_length=512)
    drawn = record(length_s, arrival(loud_s, 0.0), body="earth")
    return dataclasses.replace(drawn, file=folder / "a.mseed", sampling_rate_hz=RATE_HZ, channels=channels)


def test_an_onset_is_the_peak_of_p_and_times_above_the_threshold_are_kept(tmp_path: Path) -> None:
    model = StandIn()
    found = SeisBenchPicker("PhaseNet", "original", model)(earth_record(tmp_path, 300, 200), at(10))
    assert found.onsets_ns == (at(200.1),)  # two samples after the loudest
    assert found.kept == ((at(200.05) - 5 * NS_PER_S, at(200.15) + 10 * NS_PER_S),)
    (given,) = model.streams
    assert [trace.stats.channel for trace in given] == ["BHZ"]  # not what the file holds beside it
    assert given[0].stats.starttime.ns == at(10)
    assert abs(float(np.mean(given[0].data))) < 5  # its offset of 500 counts is gone
    assert found.characteristic is not None
    edges_ns = np.array([at(10), at(100), at(195), at(290)])
    assert found.characteristic.window_maxima(edges_ns).tolist() == [0.0, 0.0, 0.9]


def test_a_record_shorter_than_two_windows_is_padded_on_both_sides(tmp_path: Path) -> None:
    model = StandIn()
    found = SeisBenchPicker("PhaseNet", "original", model)(earth_record(tmp_path, 70, 40), at(30))
    given = model.streams[0][0]
    assert len(given) / RATE_HZ == pytest.approx(2 * 30.01, abs=0.2)
    assert (given.stats.starttime.ns - at(30)) / NS_PER_S == pytest.approx(-(60.02 - 40) / 2, abs=0.1)
    assert found.onsets_ns == (at(40.1),)


def test_a_threshold_out_of_reach_picks_nothing(tmp_path: Path) -> None:
    found = SeisBenchPicker("PhaseNet", "original", StandIn(), threshold=0.95)(earth_record(tmp_path, 300, 200), T0_NS)
    assert (found.onsets_ns, found.kept) == ((), ())


def test_a_picker_without_cached_weights_is_measured_by_cost_and_nothing_is_fetched(seisbench: type[StandIn]) -> None:
    costs, entered = seisbench_detectors(("phasenet", "eqtransformer:stead"), "earth")
    assert entered == []
    assert [(cost.name, cost.weights, cost.parameters, cost.n_threads) for cost in costs] == [
        ("PhaseNet", None, 42, 1),
        ("EQTransformer", None, 42, 1),
    ]
    assert all(cost.us_per_signal_s > 0 for cost in costs)
    assert "no weights 'original'" in costs[0].note and "no weights 'stead'" in costs[1].note
    assert seisbench.loaded == []
    assert not any(seisbench.asked_remote)
    assert importlib.import_module("torch").get_num_threads() == 4  # as it was before


def test_a_picker_with_cached_weights_is_scored_on_earth_only(
    seisbench: type[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "versions", {"stead": ["1"]})
    (cost,), (named,) = seisbench_detectors(("phasenet:stead",), "earth")
    assert (named.name, cost.weights, cost.note, seisbench.loaded) == ("PhaseNet, stead", "stead", "", ["stead"])
    assert repr(named.detector) == "SeisBenchPicker(name='PhaseNet', weights='stead', threshold=0.3)"
    (cost,), entered = seisbench_detectors(("phasenet:stead",), "moon")
    assert entered == [] and "on Earth records only" in cost.note


def test_a_missing_or_unknown_picker_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seisbench.models", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"picker 'phasenet' needs SeisBench, .*pip install 'edgequake\[peers\]'"):
        seisbench_detectors(("phasenet",), "earth")
    with pytest.raises(ConfigError, match="no picker 'gpd': expected phasenet or eqtransformer"):
        seisbench_detectors(("gpd",), "earth")


def test_without_pickers_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seisbench.models", None)
    assert seisbench_detectors((), "earth") == ((), [])
