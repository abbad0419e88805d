"""`QuakeModel.to_seisbench` against a stand-in for the parts of SeisBench 0.12 that it uses, and `classify`."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

import edgequake
from edgequake.benchmarks.robustness.shake_signal import RATE_HZ, START_NS, shake_signal
from edgequake.edge.base.errors import ConfigError, DataError


class StandIn:
    """The used part of `seisbench.models.WaveformModel`: its arguments by name, and the check of options."""

    def __init__(
        self,
        component_order: str | None = None,
        sampling_rate: float | None = None,
        output_type: str | None = None,
        default_args: dict[str, Any] | None = None,
        in_samples: int | None = None,
        pred_sample: tuple[int, int] | int = 0,
        labels: list[str] | None = None,
        citation: str | None = None,
    ) -> None:
        assert output_type == "array" and isinstance(pred_sample, tuple) and len(pred_sample) == 2
        self.sampling_rate, self.labels, self.in_samples = sampling_rate, labels, in_samples
        self.default_args = default_args or {}

    def _verify_argdict(self, argdict: dict[str, Any]) -> None:
        for key in argdict:
            if key not in self._annotate_args:  # type: ignore[attr-defined]
                logging.getLogger("seisbench").warning("Unknown argument '%s' will be ignored.", key)


class Pick:
    """`seisbench.util.Pick`, which refuses a peak outside its interval."""

    def __init__(self, trace_id: str, start_time: Any, end_time: Any, peak_time: Any, peak_value: float) -> None:
        assert start_time <= peak_time <= end_time
        self.trace_id, self.peak_time, self.peak_value, self.margin_s = (
            trace_id,
            peak_time,
            peak_value,
            end_time - peak_time,
        )


class Detection:
    """`seisbench.util.Detection`."""

    def __init__(self, trace_id: str, start_time: Any, end_time: Any, peak_value: float | None = None) -> None:
        self.trace_id, self.start_time, self.end_time, self.peak_value = trace_id, start_time, end_time, peak_value


def classify_output(creator: str, **values: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(creator=creator, **values)


@pytest.fixture
def seisbench(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, dict[str, Any]] = {
        "seisbench": {},
        "seisbench.models": {"WaveformModel": StandIn},
        "seisbench.util": {
            "ClassifyOutput": classify_output,
            "PickList": type("PickList", (list,), {"to_dataframe": lambda self: len(self)}),
            "DetectionList": list,
            "Pick": Pick,
            "Detection": Detection,
        },
    }
    for name, values in parts.items():
        module = types.ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(scope="module")
def stream() -> obspy.Stream:
    """Return six minutes of a Shake with two local quakes."""
    samples = shake_signal(np.random.default_rng(3), 390.0).samples
    header = {"network": "AM", "station": "R0E05", "location": "00", "sampling_rate": RATE_HZ}
    start = obspy.UTCDateTime(ns=START_NS)
    return obspy.Stream(
        [obspy.Trace(row, {**header, "channel": f"EH{name}", "starttime": start})
         for name, row in zip("ZNE", samples, strict=True)]
    )  # fmt: skip


@pytest.mark.usefixtures("seisbench")
def test_the_block_of_the_page_gives_the_events_of_classify(
    root: Path, stream: obspy.Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    model = edgequake.load_model("earth")
    (block,) = re.findall(r"```py\n(.*?)```", (root / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"model": model, "stream": stream}
    exec(compile(block, "docs/python.md", "exec"), names)
    expected, output, picker = model.classify(stream), names["output"], names["picker"]
    assert len(expected) == 2 and isinstance(picker, StandIn)
    assert output.creator == "earth" == picker.name and list(output.events) == list(expected)
    for pick, detection, event in zip(output.picks, output.detections, expected, strict=True):
        assert pick.trace_id == detection.trace_id == "AM.R0E05.00"
        assert pick.peak_time.ns == detection.start_time.ns == event.onset_ns and detection.end_time.ns == event.stop_ns
        assert pick.margin_s == pytest.approx(event.onset_uncertainty_s, abs=1e-6)
        assert pick.peak_value == detection.peak_value == event.peak_probability
    ours, theirs = model.annotate(stream), names["probabilities"]
    assert [trace.id for trace in theirs] == [trace.id for trace in ours]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(theirs, ours, strict=True))
    assert [trace.stats.channel for trace in theirs] == [f"{picker.name}_{label}" for label in picker.labels]


@pytest.mark.usefixtures("seisbench")
def test_what_it_has_not_is_refused_or_warned_of(stream: obspy.Stream, caplog: pytest.LogCaptureFixture) -> None:
    picker = edgequake.load_model("earth").to_seisbench()
    assert picker.sampling_rate == 20.0 and "earth int8" in str(picker)
    other = picker.from_pretrained("moon", sensitivity="high")
    assert other.name == "moon" in picker.list_pretrained() and other.model.threshold < picker.model.threshold
    empty = picker.classify(obspy.Stream())
    assert (len(empty.picks), len(picker.annotate(obspy.Stream()))) == (0, 0)
    assert not asyncio.run(picker.classify_async(stream.slice(endtime=stream[0].stats.starttime + 60))).picks
    picker.classify(obspy.Stream(), P_threshold=0.3)
    assert "Unknown argument 'P_threshold'" in caplog.text
    with pytest.raises(DataError, match=r"no channel matches HH\?"):
        picker.classify(stream, channels=["HH?"])
    for refused in (picker.save, picker.forward):
        with pytest.raises(ConfigError, match="model earth"):
            refused("x")


def test_without_seisbench_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seisbench.models", None)
    with pytest.raises(ConfigError, match=r"seisbench.*not installed: pip install 'edgequake\[peers\]'"):
        edgequake.load_model("earth").to_seisbench()
