"""The detector in C finds what the runner's finds: the same events to the nanosecond and to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns

from .exports import IS_LONG, MODELS, Exported
from .records import Compared, compared
from .scenes import T0_NS, Scene, facts, found_by_python, traces

Export = Callable[[str], Exported]
# Different channels, rates and types; the second of moon and earth is as fast as their recorders.
SCENES = {
    "moon": (Scene(1), Scene(2, rates=(8, 1), dtype=np.float64), Scene(3, rates=(2,), dtype=np.float32)),
    "mars": (Scene(4), Scene(5, rates=(5, 1), dtype=np.float64), Scene(6, 400, rates=(1,), dtype=np.float32)),
    "earth": (Scene(7, 2500), Scene(8, 2500, (5, 5, 1)), Scene(9, 1500, (5, 2), np.float32)),
}
SHORT = {name: replace(scenes[1], n_frames=300) for name, scenes in SCENES.items()}
CASES = [(name, scene) for name, scenes in SCENES.items() for scene in (scenes if IS_LONG else (SHORT[name],))]


def lowest(exported: Exported) -> float:
    """Return a threshold at which there are events enough to compare."""
    return min(exported.manifest.trigger.onset_thresholds.values()) / 2


def cut(records: list[Trace], rng: np.random.Generator, most: int) -> list[Trace]:
    """Return the records in pieces of 1 to `most` samples, in order of start time."""
    return sorted(_pieces(records, rng, most), key=lambda piece: piece.start_ns)


def _pieces(records: list[Trace], rng: np.random.Generator, most: int) -> Iterator[Trace]:
    for record in records:
        first = 0
        while first < len(record.samples):
            n = int(rng.integers(1, most + 1))
            start_ns = record.start_ns + duration_ns(first, record.sampling_rate_hz)
            yield replace(record, start_ns=start_ns, samples=record.samples[first : first + n])
            first += n


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scene"), CASES, ids=[f"{name}-{scene.seed}" for name, scene in CASES])
def test_damaged_records_give_the_same_events(name: str, scene: Scene, exported: Export) -> None:
    model = exported(name)
    records = traces(scene, model.manifest)
    python, c = model.detector(lowest(model)), model.c_detector(lowest(model))
    expected = found_by_python(python, records)
    assert expected
    assert facts([*c.push(*records), *c.finish()]) == facts(expected)
    assert c.counts() == {source_id: channel.counts for source_id, channel in python.front_end.channels.items()}
    assert (c.restarts, c.n_short_rises) == (python.restarts, python.n_short_rises)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS if IS_LONG else MODELS[1:2])
def test_cuts_and_saved_states_change_nothing(name: str, exported: Export) -> None:
    model = exported(name)
    records = traces(SHORT[name], model.manifest)
    pieces = cut(records, np.random.default_rng(0), 400)
    expected = found_by_python(model.detector(lowest(model)), pieces)
    assert expected
    c = model.c_detector(lowest(model))
    events: list[Event] = []
    for i, piece in enumerate(pieces):
        if i % 7 == 0:
            state, c = c.state(), model.c_detector(lowest(model))
            c.restore(state)
        events += c.push(piece)
    assert facts([*events, *c.finish()]) == facts(expected)


def test_single_samples(exported: Export) -> None:
    model = exported("moon")
    records = traces(Scene(12, 80, rates=(1,)), model.manifest)
    pieces = cut(records, np.random.default_rng(0), 1)
    expected = found_by_python(model.detector(0.05), pieces)
    c = model.c_detector(0.05)
    events = [event for piece in pieces for event in c.push(piece)]
    assert facts([*events, *c.finish()]) == facts(expected)


def test_the_horizon_is_the_runners_after_every_piece(exported: Export) -> None:
    model = exported("earth")
    python, c = model.detector(lowest(model)), model.c_detector(lowest(model))
    assert c.horizon_ns is None
    for record in traces(Scene(13, 600, rates=(5, 1)), model.manifest):
        python.push(record)
        c.push(record)
        assert c.horizon_ns == python.horizon_ns
        assert c.is_between_events == python.is_between_events


def test_one_channel_far_ahead_of_the_others_waits_for_them(exported: Export) -> None:
    model = exported("moon")
    rng, n = np.random.default_rng(1), 6 * 3600 * 7  # six hours: far longer than the rows that the library holds
    loudness = 50.0 * (1.0 + 20.0 * (np.arange(n) % 50_000 > 45_000))
    day = [
        Trace(f"FDSN:XX_ABC_00_M_H_{code}", T0_NS, 6.625, rng.normal(0.0, loudness).astype(np.int32)) for code in "ZNE"
    ]
    expected = found_by_python(model.detector(0.1), day)
    c = model.c_detector(0.1)
    assert c.push(*day[:1]) == []
    assert facts([*c.push(*day[1:]), *c.finish()]) == facts(expected)


def test_times_far_from_1970_and_a_tear_of_years(exported: Export) -> None:
    model = exported("moon")
    rng = np.random.default_rng(2)
    records = [
        Trace("FDSN:XX_ABC_00_M_H_Z", start_s * NS_PER_S + 123, 6.625, rng.normal(0, 20, 9000).astype(np.int32))
        for start_s in (-3_000_000_000, -2_999_998_000, 4_000_000_000)
    ]
    python, c = model.detector(0.02), model.c_detector(0.02)
    assert facts([*c.push(*records), *c.finish()]) == facts(found_by_python(python, records))
    assert c.restarts == python.restarts == 3


def test_what_c_does_not_take_is_refused_in_words(exported: Export) -> None:
    model = exported("moon")
    samples = np.zeros(100, np.int32)
    with pytest.raises(DataError, match=r"sampling rate 7 Hz is not one that the detector in C takes"):
        model.c_detector(0.5).push(Trace("FDSN:XX_ABC_00_M_H_Z", 0, 7.0, samples))
    drifting = Trace("FDSN:XX_ABC_00_M_H_Z", 0, 6.625 * 1.0005, np.zeros(5000, np.int32))
    with pytest.raises(DataError, match="clock has drifted off the grid"):
        model.c_detector(0.5).push(drifting)
    with pytest.raises(DataError, match="before 1824"):
        model.c_detector(0.5).push(Trace("FDSN:XX_ABC_00_M_H_Z", -(2**62) - 2**61, 6.625, samples))
    c = model.c_detector(0.5)
    with pytest.raises(DataError, match="built for 3 channels"):
        c.push(*(Trace(f"FDSN:XX_ABC_00_M_H_{code}", 0, 6.625, samples) for code in "ZNEU"))


def test_a_refused_piece_leaves_the_state_as_it_was(exported: Export) -> None:
    model = exported("mars")
    c = model.c_detector(0.5)
    c.push(*traces(Scene(14, 60, rates=(1,)), model.manifest))
    before = c.state()["core"].tobytes()
    with pytest.raises(DataError):
        c.push(Trace("FDSN:XX_ABC_00_M_H_Z", T0_NS, 100.0, np.zeros(100, np.int32)))
    assert c.state()["core"].tobytes() == before


@pytest.mark.slow
@pytest.mark.records
@pytest.mark.parametrize("name", MODELS if IS_LONG else MODELS[2:])
def test_real_records(name: str, exported: Export, records_dir: Path) -> None:
    """A terrestrial record with an event; in the long form all records of all bodies at three sensitivities."""
    model, total = exported(name), Compared()
    thresholds = model.manifest.trigger.onset_thresholds.values()
    for file in sorted((records_dir / name).rglob("*.mseed")):
        for threshold in thresholds if IS_LONG else (min(thresholds),):
            total.add(compared(model, file, threshold))
        if total.n_events and not IS_LONG:
            break
    print(
        f"{name}: {total.n_runs} runs, {total.n_events} events, {total.n_samples} samples, {total.n_skipped} skipped, "
        f"{total.n_refined} refined"
    )
    assert total.differences == []
    assert total.n_events
