"""Every streaming object can be saved at any instant and restored elsewhere, with the same bits."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, set_aside, write_checkpoint
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.features.front_end import Rows, StationFrontEnd
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, TriggerConfig, Variant
from edgequake.edge.manifest.tables import (
    BackgroundConfig,
    FrontEndConfig,
    ScalogramConfig,
    SpectrogramConfig,
    WaveformConfig,
)
from edgequake.synthetic import synthetic_dataset

Moon = tuple[Manifest, bytes, Variant]
RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ


def through_a_file(state: dict[str, object], folder: Path) -> dict[str, object]:
    """Return a state as read back from a checkpoint on disk."""
    write_checkpoint(folder / "c", Checkpoint({}, state))
    return read_checkpoint(folder / "c").state


def traces_of(record: synthetic_dataset.SyntheticRecord, size: int) -> list[Trace]:
    """Return a record's channels as traces of `size` samples with the record's gaps, in time order."""
    n_samples = record.samples.shape[1]
    edges = sorted({*range(0, n_samples, size), n_samples, *(i for gap in record.gaps for i in gap)})
    missing = set(record.gaps)
    out = []
    for start, stop in itertools.pairwise(edges):
        if any(a <= start and stop <= b for a, b in missing):
            continue
        for source_id, samples in zip(record.source_ids, record.samples, strict=True):
            out.append(Trace(source_id, record.sample_time_ns(start), RATE_HZ, samples[start:stop]))
    return out


@pytest.mark.parametrize("size", [pytest.param(97, marks=pytest.mark.slow), 1500])
def test_a_detector_restored_from_a_checkpoint_gives_the_same_events(
    size: int, quake: synthetic_dataset.SyntheticRecord, moon: Moon, tmp_path: Path
) -> None:
    manifest, graph, variant = moon
    threshold = manifest.trigger.onset_thresholds["normal"]
    traces = traces_of(quake, size)

    def events_with_breaks(breaks: set[int]) -> list[Event]:
        detector, events = Detector(manifest, graph, variant, threshold), []
        for i, trace in enumerate(traces):
            if i in breaks:
                state = through_a_file(detector.state(), tmp_path)
                detector = Detector(manifest, graph, variant, threshold)
                detector.restore(state)
            events += detector.push(trace)
        return [*events, *detector.finish()]

    whole = events_with_breaks(set())
    assert len(whole) == 1
    cuts = np.random.default_rng(size).choice(len(traces), 25, replace=False)
    assert events_with_breaks({int(i) for i in cuts}) == whole


def front_end(kind: str, despike: float) -> FrontEndConfig:
    """Return a small front end of a kind; the taps are a weighted mean."""
    return FrontEndConfig(
        kind=kind, hop_samples=16, bridge_s=20.0, max_gap_fraction=0.25, stuck_s=60.0, fill_values=(-1, 0),
        fill_min_jump=32, despike_threshold=despike, decimators={"2": (0.25, 0.5, 0.25)},
        background=BackgroundConfig(0.6, 0.002, 0.06, 20),
        spectrogram=SpectrogramConfig(32, (0.3, 1.0, 3.0), -1.0, 3.0, 64) if kind == "spectrogram" else None,
        scalogram=ScalogramConfig(128, (0.7, 1.6), 5.0, 3.0, -1.0, 3.0, 64) if kind == "scalogram" else None,
        waveform=WaveformConfig(8.0, 16) if kind == "waveform" else None,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["spectrogram", "scalogram", "waveform"])
@pytest.mark.parametrize("despike", [0.0, 5.0])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("factor", [1, 2])
def test_rows_do_not_depend_on_batches_or_checkpoints(
    kind: str, despike: float, dtype: type, factor: int, tmp_path: Path
) -> None:
    """Random gaps, lost samples, a channel that begins late; batches and checkpoints anywhere."""
    rng = np.random.default_rng([factor, int(despike)])
    config, rate_hz = front_end(kind, despike), 10.0 * factor
    traces = []
    for c, code in enumerate("12Z"):
        samples = np.rint(40 * rng.standard_normal(6000)).astype(dtype)
        samples[rng.integers(0, 6000, 40)] = -1
        at = 700 * c
        while at < 6000:
            n = int(rng.integers(1, 400))
            traces.append(Trace(f"FDSN:XX_A_00_M_H_{code}", duration_ns(at, rate_hz), rate_hz, samples[at : at + n]))
            at += n + (int(rng.choice([3, 150, 900])) if rng.random() < 0.2 else 0)
    traces.sort(key=lambda trace: trace.start_ns)

    def rows(batches: list[list[Trace]], with_breaks: bool) -> list[Rows]:
        station, out = StationFrontEnd(config, 10.0), []
        for batch in batches:
            if with_breaks:
                state = through_a_file(station.state(), tmp_path)
                station = StationFrontEnd(config, 10.0)
                station.restore(state)
            out.append(station.push(*batch))
        return [*out, station.finish()]

    one_by_one = rows([[trace] for trace in traces], with_breaks=False)
    cuts = [0, *sorted(int(i) for i in rng.integers(0, len(traces), 9)), len(traces)]
    in_batches = rows([traces[a:b] for a, b in itertools.pairwise(cuts)], with_breaks=False)
    broken = rows([[trace] for trace in traces], with_breaks=True)
    for other in (in_batches, broken):
        for name in ("block", "rows", "valid", "restart"):
            a = np.concatenate([getattr(part, name) for part in one_by_one])
            np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in other]), a, strict=True)
    assert sum(int(part.restart.sum()) for part in one_by_one) >= 1


def test_a_trigger_is_restored_in_mid_event() -> None:
    config = TriggerConfig(
        onset_thresholds={"low": 0.9, "normal": 0.5, "high": 0.3}, rearm_ratio=0.5, event_threshold=0.4,
        min_duration_s=2.0, hold_s=3.0, merge_s=5.0, max_event_s=100.0, onset_lag_s=0.0, pre_roll_s=1.0,
        post_roll_s=1.0,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    levels = np.repeat(rng.random(40), rng.integers(1, 9, 40))
    decisions = [Decision(i * 10**9, (i + 1) * 10**9, float(p), float(p)) for i, p in enumerate(levels)]
    whole, broken = Trigger(config, 0.5), Trigger(config, 0.5)
    for decision in decisions:
        state = json.loads(json.dumps(broken.state()))
        broken = Trigger(config, 0.5)
        broken.restore(state)
        assert broken.push(decision) == whole.push(decision)
    assert broken.close() == whole.close()


# --- the file ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_restores_every_bit(tmp_path: Path) -> None:
    arrays = [
        np.array(values, dtype) for dtype in ("i1", "<i8", "f4", "f8", "?") for values in ([], [1, 0], [[3], [4]])
    ]
    state = {"arrays": arrays, "odd": [0.1, 1e-310, -0.0, 2**63, None, True, "µ\n"], "deep": {"a": {"b": arrays[4]}}}
    write_checkpoint(tmp_path / "c", Checkpoint({"model": "x"}, state))
    back = read_checkpoint(tmp_path / "c")
    assert back.identity == {"model": "x"} and back.state["odd"] == state["odd"]
    for a, b in zip(back.state["arrays"], arrays, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    np.testing.assert_array_equal(back.state["deep"]["a"]["b"], arrays[4])


def test_a_damaged_checkpoint_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, Checkpoint({}, {"a": np.arange(5)}))
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :])
        with pytest.raises(DataError, match=r"is damaged|is no checkpoint that this edgequake reads"):
            read_checkpoint(path)
        path.write_bytes(data[:i])
        with pytest.raises(DataError, match=r"is damaged|is no checkpoint that this edgequake reads"):
            read_checkpoint(path)


def test_setting_aside_overwrites_nothing(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / "c").write_text(str(i))
        set_aside(tmp_path / "c")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["0", "1", "2"]
