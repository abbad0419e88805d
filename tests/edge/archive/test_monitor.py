"""The monitor ring: what a run writes to it, its bounds, and what a kill, a full disk and odd clocks do to it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.archive import monitor as ring
from edgequake.edge.archive.monitor import Monitor
from edgequake.edge.archive.monitor_files import (
    FRAME,
    monitor_frames,
    monitor_samples,
    monitored_channels,
    monitored_stations,
)
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import Stopped
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.runner import RunConfig, run
from edgequake.report.recording.probabilities import RecordingTrigger
from edgequake.synthetic import synthetic_dataset

from ..conftest import HOUR_NS, MOON, T0_NS

FOREVER = (-(1 << 60), 1 << 62)
CHANNEL = "XX.LUN.00.MHZ"


class FakeClock:
    """The machine's monotonic time."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def monitor(tmp_path: Path, clock: FakeClock) -> Monitor:
    return Monitor(tmp_path / "monitor", 2.0, Diagnostics(), clock)


def _trace(first: int, n: int, rate_hz: float = 1.0) -> Trace:
    """Return samples that count the seconds since T0."""
    samples = np.arange(first, first + n, dtype=np.int32)
    return Trace(MOON, T0_NS + round(first / rate_hz * NS_PER_S), rate_hz, samples, "test")


def _samples(out: Path) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *(t.samples for t in monitor_samples(out, CHANNEL, *FOREVER))])


@pytest.fixture(scope="module")
def runs(quake_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of a run without and with a monitor."""
    folder = tmp_path_factory.mktemp("runs")
    for name, hours in (("without", None), ("with", 24.0)):
        run(RunConfig((str(quake_file),), folder / name, model="moon", monitor_h=hours))
    return folder / "without", folder / "with"


def test_a_run_keeps_every_sample_and_finds_the_same(runs: tuple[Path, Path], quake_file: Path) -> None:
    without, out = runs
    assert (out / "catalog.csv").read_bytes() == (without / "catalog.csv").read_bytes()
    assert not (without / "monitor").exists()
    stream = obspy.read(str(quake_file))
    assert monitored_channels(out) == sorted({trace.id for trace in stream})
    for channel in monitored_channels(out):
        kept = monitor_samples(out, channel, *FOREVER)
        expected = sorted(stream.select(id=channel), key=lambda one: one.stats.starttime.ns)
        assert sum(len(one.samples) for one in kept) == sum(len(one) for one in expected)
        assert np.array_equal(np.concatenate([one.samples for one in kept]), np.concatenate(expected))


def test_a_run_keeps_every_decision(runs: tuple[Path, Path], moon: Any, quake_file: Path) -> None:
    from edgequake.edge.detection.detector import Detector
    from edgequake.edge.formats.waveform_objects import traces_of

    manifest, graph, variant = moon
    trigger = RecordingTrigger(manifest.trigger, 0.5)
    detector = Detector(manifest, graph, variant, 0.5, trigger)
    detector.push(*traces_of(obspy.read(str(quake_file))))
    detector.finish()
    expected = trigger.trace("XX_LUN", ())

    assert monitored_stations(runs[1]) == ["XX_LUN"]
    frames = monitor_frames(runs[1], "XX_LUN", *FOREVER)
    assert len(frames) == len(expected.stop_ns) > 500
    assert np.array_equal(frames["stop_ns"], expected.stop_ns)
    assert np.array_equal(frames["onset"], expected.onset.astype(np.float32))
    assert np.array_equal(frames["event"], expected.event.astype(np.float32))
    some = monitor_frames(runs[1], "XX_LUN", int(frames["stop_ns"][9]), int(frames["stop_ns"][19]))
    assert np.array_equal(some, frames[10:20])


def test_a_run_that_is_stopped_and_resumed_shows_nothing_twice(
    runs: tuple[Path, Path], quake_file: Path, tmp_path: Path
) -> None:
    control, n = Control(), 0

    def progress(share: float) -> None:
        nonlocal n
        n += 1
        control.terminated = n > 1 and share < 1.0

    config = RunConfig(
        (str(quake_file),), tmp_path / "out", model="moon", monitor_h=24.0, checkpoint_s=1e9, resume=True
    )
    with pytest.raises(Stopped):
        run(config, progress, control)
    run(config)

    for channel in monitored_channels(runs[1]):
        ours, theirs = (monitor_samples(out, channel, *FOREVER) for out in (tmp_path / "out", runs[1]))
        assert np.array_equal(*(np.concatenate([one.samples for one in traces]) for traces in (ours, theirs)))
    ours, theirs = (monitor_frames(out, "XX_LUN", *FOREVER) for out in (tmp_path / "out", runs[1]))
    assert np.array_equal(ours, theirs)


def test_the_ring_keeps_whole_hours_and_no_more(monitor: Monitor, tmp_path: Path) -> None:
    for first in range(0, 6 * 3600, 900):
        monitor.push(_trace(first, 900))
        monitor.add_frame("XX_LUN", T0_NS + (first + 900) * NS_PER_S, 0.1, 0.2)
        monitor.flush()

    kept = _samples(tmp_path)
    assert np.array_equal(kept, np.arange(3 * 3600, 6 * 3600))  # two hours, and the one that is being written
    files = sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file())
    assert len(files) == 3 + 3
    assert len(monitor_frames(tmp_path, "XX_LUN", T0_NS + 5 * HOUR_NS, T0_NS + 6 * HOUR_NS)) == 4


def test_live_samples_are_written_every_two_seconds(monitor: Monitor, clock: FakeClock, tmp_path: Path) -> None:
    for second in range(5):
        clock.now_s = float(second)
        monitor.push(_trace(second, 1))
        monitor.flush_if_due()

    assert np.array_equal(_samples(tmp_path), np.arange(5))
    (file,) = (tmp_path / "monitor" / "samples" / CHANNEL).iterdir()
    assert file.stat().st_size == 2 * 256


def test_a_kill_costs_what_is_buffered_and_a_torn_end_is_passed_over(monitor: Monitor, tmp_path: Path) -> None:
    monitor.push(_trace(0, 100))
    for second in range(10):
        monitor.add_frame("XX_LUN", T0_NS + second * NS_PER_S, 0.1, 0.2)
    monitor.flush()
    for path in (tmp_path / "monitor").glob("*/*/*"):
        with path.open("ab") as file:
            file.write(path.read_bytes()[:7])
    monitor.push(_trace(100, 50))  # never flushed: the process is killed

    again = Monitor(tmp_path / "monitor", 2.0, Diagnostics())
    again.push(_trace(200, 100))
    again.add_frame("XX_LUN", T0_NS + 200 * NS_PER_S, 0.5, 0.6)
    again.flush()

    assert np.array_equal(_samples(tmp_path), np.concatenate([np.arange(100), np.arange(200, 300)]))
    frames = monitor_frames(tmp_path, "XX_LUN", *FOREVER)
    assert len(frames) == 11 and frames[-1]["event"] == np.float32(0.6)


def test_samples_that_come_again_are_read_once(monitor: Monitor, tmp_path: Path) -> None:
    for first, n in ((0, 100), (50, 100), (40, 20)):
        monitor.push(_trace(first, n))
        monitor.flush()

    assert np.array_equal(_samples(tmp_path), np.arange(150))


def test_a_clock_that_was_not_set_does_not_outlive_the_hours_written_since(monitor: Monitor, tmp_path: Path) -> None:
    hour = 3600
    for n, first in enumerate((10**6 * hour, 0, hour, 2 * hour, 3 * hour)):  # a century ahead at first
        monitor.push(_trace(first, 10))
        monitor.flush()
        for i, path in enumerate(
            sorted((tmp_path / "monitor").rglob("*.mseed"), key=lambda one: one.stat().st_mtime_ns)
        ):
            os.utime(path, ns=(n * NS_PER_S + i, n * NS_PER_S + i))

    assert len(list((tmp_path / "monitor").rglob("*.mseed"))) == 3
    assert _samples(tmp_path).max() < 4 * hour


def test_a_full_disk_is_harmless(
    monitor: Monitor, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:

        def refuse(*arguments: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(ring.os, "write", refuse)
        monitor.push(_trace(0, 100))
        monitor.flush()
        assert monitor.problem is not None and monitor.problem.errno == errno.ENOSPC
    monitor.push(_trace(100, 100))
    monitor.flush()  # too early to try again
    clock.now_s = 60.0
    monitor.push(_trace(200, 100))
    monitor.flush()

    assert monitor.problem is None
    assert np.array_equal(_samples(tmp_path), np.arange(200, 300))


def test_a_run_over_files_does_not_end_where_its_monitor_cannot_be_written(
    runs: tuple[Path, Path], quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(ring._RingFolder, "append", refuse)
    summary = run(RunConfig((str(quake_file),), tmp_path / "out", model="moon", monitor_h=24.0))

    assert (tmp_path / "out" / "catalog.csv").read_bytes() == (runs[0] / "catalog.csv").read_bytes()
    assert any("left out of monitor" in text for text in summary.warnings)


def test_the_monitor_gives_its_room_to_what_is_worth_more(monitor: Monitor, clock: FakeClock, tmp_path: Path) -> None:
    for first in (0, 3600):
        monitor.push(_trace(first, 1800))
        monitor.flush()
    assert monitor.make_room(1)
    assert np.array_equal(_samples(tmp_path), np.arange(3600, 5400))
    assert monitor.make_room(1 << 30)
    assert not monitor.make_room(1)
    monitor.push(_trace(6000, 100))
    monitor.flush()
    assert not len(_samples(tmp_path))  # it does not take the room at once itself


def test_too_many_channels_and_folders_that_vanish_do_no_harm(
    monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "_MOST_FOLDERS", 2)
    for name in "ABC":
        monitor.push(Trace(f"FDSN:XX_{name}_00_M_H_Z", T0_NS, 1.0, np.arange(5, dtype=np.int32), "test"))
    monitor.flush()
    assert monitored_channels(tmp_path) == ["XX.A.00.MHZ", "XX.B.00.MHZ"]

    shutil.rmtree(tmp_path / "monitor")
    assert monitored_channels(tmp_path) == monitored_stations(tmp_path) == []
    assert not len(monitor_frames(tmp_path, "XX_LUN", *FOREVER))


def test_names_from_outside_stay_in_the_folder(monitor: Monitor, tmp_path: Path) -> None:
    monitor.add_frame("../../../x_y", T0_NS, 0.1, 0.2)
    monitor.flush()

    assert [path.parent.parent for path in tmp_path.rglob("*.frames")] == [tmp_path / "monitor" / "probability"]
    assert len(monitor_frames(tmp_path, "../../../x_y", *FOREVER)) == 1
    assert monitor_samples(tmp_path, "../../..", *FOREVER) == []


@pytest.mark.parametrize(
    ("option", "code", "expected"), [("--monitor=0.5", 1, "1 to 240"), ("--monitor=soon", 2, "expected hours")]
)
def test_unusable_hours_are_refused(
    option: str, code: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(["run", "nothing.mseed", "--out", str(tmp_path / "out"), option])
    except SystemExit as exit_:
        found = exit_.code  # type: ignore[assignment]
    assert found == code and expected in capsys.readouterr().err


def test_a_frame_is_sixteen_bytes() -> None:
    assert FRAME.itemsize == 16
    assert synthetic_dataset.DAY_START_NS == T0_NS
