"""`Detector.feed`: events are told when they begin, and again when they are final, as the catalogue tells them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.shake_signal import RATE_HZ, START_NS, shake_signal
from edgequake.edge.base.checkpoint import restored_state
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.announcer import EventNotice
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

PACKET = 250  # samples: 2.5 s of a Shake


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Return six minutes of a Shake's three channels with two local quakes."""
    return shake_signal(np.random.default_rng(3), 390.0).samples


def packets(samples: np.ndarray, station: str = "AM_R0E05") -> list[list[Trace]]:
    """Return the traces of each 2.5 seconds, channel by channel."""
    return [
        [
            Trace(f"FDSN:{station}_00_E_H_{name}", START_NS + duration_ns(first, RATE_HZ), RATE_HZ, row)
            for name, row in zip("ZNE", samples[:, first : first + PACKET], strict=True)
        ]
        for first in range(0, samples.shape[1], PACKET)
    ]


def told(notices: list[EventNotice]) -> list[tuple[str, int]]:
    return [(notice.phase, notice.number) for notice in notices]


def test_an_event_is_told_at_its_onset_and_when_it_is_final(samples: np.ndarray, tmp_path: Path) -> None:
    detector = Detector.load("earth")
    notices: list[tuple[int, EventNotice]] = []  # with the time up to which samples had come
    for traces in packets(samples):
        notices += [(traces[0].stop_ns, notice) for notice in detector.feed(*traces)]
    now_ns = START_NS + duration_ns(samples.shape[1], RATE_HZ)
    notices += [(now_ns, notice) for notice in detector.flush()]
    path = tmp_path / "day.mseed"
    path.write_bytes(b"".join(r for traces in packets(samples) for one in traces for r in records_of(one)))
    rows = run(RunConfig((str(path),), tmp_path / "run", model="earth")).events
    finals = [notice for _, notice in notices if notice.phase == "final"]
    assert len(rows) >= 2
    for row, notice in zip(rows, finals, strict=True):
        assert abs(row.onset_ns - notice.onset_ns) <= 500 and abs(row.stop_ns - (notice.stop_ns or 0)) <= 500
        assert row.onset_uncertainty_s == pytest.approx(notice.onset_uncertainty_s, abs=5e-4)
        assert (row.peak_probability, row.mq_type) == (pytest.approx(notice.probability, abs=5e-5), notice.mq_type)
        assert (row.station_id, sorted(row.channels)) == (notice.station_id, sorted(notice.channels))
    for number, final in enumerate(finals):
        (at_ns, onset), (final_ns, _) = (one for one in notices if one[1].number == number)
        assert onset.phase == "onset" and onset.stop_ns is None
        assert abs(onset.onset_ns - final.onset_ns) < 3 * NS_PER_S
        assert at_ns - onset.onset_ns < 8 * NS_PER_S <= final_ns - onset.onset_ns  # at once, and later
        assert final.stop_ns is not None and at_ns < final.stop_ns


def test_however_the_samples_are_cut_the_final_notices_are_the_same(samples: np.ndarray) -> None:
    by_packets, whole = Detector.load("earth"), Detector.load("earth")
    finals = [n for traces in packets(samples) for n in by_packets.feed(*traces) if n.phase == "final"]
    finals += [notice for notice in by_packets.flush() if notice.phase == "final"]
    codes = [f"AM.R0E05.00.EH{name}" for name in "ZNE"]
    at_once = whole.feed(samples, sampling_rate_hz=RATE_HZ, start=START_NS, channels=codes)
    at_once += whole.flush()
    assert [notice for notice in at_once if notice.phase == "final"] == finals
    assert told(at_once) == [(phase, n) for n in range(len(finals)) for phase in ("onset", "final")]


def test_a_state_goes_on_with_the_announcements(samples: np.ndarray) -> None:
    """A detector that continues from a state in the middle of an event tells what one without a break tells."""
    whole, first = Detector.load("earth"), Detector.load("earth")
    parts = packets(samples)
    notices = [notice for traces in parts for notice in whole.feed(*traces)]
    assert notices[0].phase == "onset"
    again: list[EventNotice] = []
    left = iter(parts)
    while not again:  # up to the first onset
        again += first.feed(*next(left))
    second = Detector.load("earth")
    second.restore(restored_state(first.state()))
    again += [notice for traces in left for notice in second.feed(*traces)]
    assert again == notices


def test_records_and_obspy_traces_are_taken_as_they_are(samples: np.ndarray) -> None:
    obspy = pytest.importorskip("obspy")
    by_traces, by_records = Detector.load("earth"), Detector.load("earth")
    row = samples[0, :20_000]
    header = {"network": "AM", "station": "R0E05", "location": "00", "channel": "EHZ", "sampling_rate": RATE_HZ}
    trace = obspy.Trace(row, {**header, "starttime": obspy.UTCDateTime(ns=START_NS)})
    from_trace = by_traces.feed(trace) + by_traces.flush()
    record = Trace("FDSN:AM_R0E05_00_E_H_Z", START_NS, RATE_HZ, row)
    from_records = [notice for data in records_of(record) for notice in by_records.feed(data)] + by_records.flush()
    assert len(from_trace) == len(from_records) == 2
    assert from_trace == from_records


def test_what_is_kept_in_memory_does_not_grow(samples: np.ndarray) -> None:
    detector = Detector.load("earth")
    sizes = []
    for traces in packets(samples[:, :16_000]):
        detector.feed(*traces)
        assert detector._announcer is not None
        sizes.append(sum(len(one.samples) for one in detector._announcer._history))
    assert max(sizes[32:]) < 3 * 120 * RATE_HZ  # of 160 s of three channels


def test_a_gap_ends_an_event(quake: synthetic_dataset.SyntheticRecord) -> None:
    detector = Detector.load("moon")
    start_ns = quake.start_ns
    onset = int((quake.onsets_ns[0] - start_ns) / NS_PER_S * 6.625)
    name = quake.source_ids[0]
    notices = detector.feed(Trace(name, start_ns, 6.625, quake.samples[0, : onset + 4000]))
    assert told(notices) == [("onset", 0)]
    later_ns = start_ns + duration_ns(onset + 14_000, 6.625)
    notices = detector.feed(Trace(name, later_ns, 6.625, quake.samples[0, onset + 14_000 : onset + 18_000]))
    assert told(notices)[:1] == [("final", 0)]
    assert notices[0].stop_ns is not None and notices[0].stop_ns < later_ns


def test_one_station_one_detector(samples: np.ndarray) -> None:
    detector = Detector.load("earth")
    detector.feed(*packets(samples[:, :250])[0])
    with pytest.raises(DataError, match="samples of stations AM_R0E05, AM_RAAAA: a detector is for one station"):
        detector.feed(*packets(samples[:, :250], "AM_RAAAA")[0])
    assert Detector.load("earth", threshold=0.3).threshold == 0.3
    with pytest.raises(ConfigError, match="sensitivity 'none'"):
        Detector.load("earth", "none")
