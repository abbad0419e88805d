"""What is drawn against what is stored: extremes, spectrograms, SSAM levels, probabilities; the monitor's tail."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.archive.extract import get_waveforms
from edgequake.edge.archive.monitor_files import monitor_frames, monitor_samples
from edgequake.edge.archive.sds import day_name
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import catalog_text, read_catalog
from edgequake.serve.station.live import LiveSamples
from edgequake.serve.station.pictures import packed, spectrogram_picture, ssam_picture, trace_picture
from edgequake.serve.station.waveforms import RunWaveforms

HOUR_NS = 3600 * NS_PER_S
START_NS = 1_640_995_200 * NS_PER_S  # 2022-01-01
SOURCE = "FDSN:AM_R1_00_E_H_Z"


def noise(n: int, start_ns: int = START_NS, rate_hz: float = 100.0, seed: int = 1) -> Trace:
    values = np.random.default_rng(seed).normal(0, 300, n).astype(np.int32)
    return Trace(SOURCE, start_ns, rate_hz, values)


def swell(n: int) -> Trace:
    """Return a slow swell, none of whose samples is a spike."""
    values = 1000 * np.sin(np.arange(n) / 40.0) + 300 * np.sin(np.arange(n) / 7.1)
    return Trace(SOURCE, START_NS, 100.0, values.astype(np.int32))


def test_few_samples_come_one_by_one_and_many_as_extremes() -> None:
    few = swell(500)
    picture = trace_picture([few], START_NS, START_NS + 5 * NS_PER_S)
    assert picture["high"] is None and picture["unit"] == "counts"
    assert picture["low"] == pytest.approx(few.samples - np.median(few.samples), rel=1e-4, abs=1e-3)
    many = swell(60_000)
    picture = trace_picture([many], START_NS, START_NS + 600 * NS_PER_S)
    middle = np.median(many.samples)
    blocks = many.samples.reshape(1200, 50) - middle
    assert picture["low"] == pytest.approx(blocks.min(1), abs=68.0)  # a sample may fall on an edge: one step
    assert picture["high"] == pytest.approx(blocks.max(1), abs=68.0)


def test_a_gap_stays_empty() -> None:
    parts = [noise(20_000), noise(20_000, START_NS + 400 * NS_PER_S)]
    picture = trace_picture(parts, START_NS, START_NS + 600 * NS_PER_S)
    assert all(value is None for value in picture["low"][405:795]) and None not in picture["low"][:398]
    assert trace_picture([], START_NS, START_NS + 1)["times"] == []


def test_a_tone_is_bright_at_its_frequency() -> None:
    seconds = np.arange(6000) / 100.0
    tone = Trace(SOURCE, START_NS, 100.0, (1000 * np.sin(2 * np.pi * 12.5 * seconds)).astype(np.int32))
    picture = spectrogram_picture([tone])
    assert picture is not None
    levels = np.frombuffer(base64.b64decode(picture["data"]), np.uint8).reshape(picture["rows"], picture["columns"])
    hz = (levels.argmax(0) + 0.5) / picture["rows"] * picture["frequencies"][1]
    assert np.abs(hz - 12.5).max() < 1.0
    assert spectrogram_picture([]) is None and spectrogram_picture([noise(10)]) is None


def test_ssam_levels_are_those_of_the_files(finished_station: Path) -> None:
    first = min(trace.start_ns for trace in get_waveforms(finished_station / "continuous", 0, 1 << 62))
    found = get_waveforms(finished_station / "continuous", first, first + HOUR_NS, "XX_LUN", ("W?Z",))
    picture = ssam_picture(finished_station, "XX_LUN", first, first + HOUR_NS, 6.625)
    assert picture is not None and picture["rows"] == 3 and picture["edges"] == [0.1, 0.31, 0.98, 3.0]
    data = np.frombuffer(base64.b64decode(picture["data"]), np.uint8).reshape(3, -1)
    low, high = picture["range"]
    for band, letter in enumerate("LMH"):
        stored = next(trace.samples for trace in found if f"_{letter}0_" in trace.source_id) / 5.0  # 100 a decade: dB
        shown = low + data[band, : len(stored)] / 254 * (high - low)
        inside = (stored > low) & (stored < high)
        assert inside.sum() > 10 and np.abs(shown - stored)[inside].max() < 0.3
    assert ssam_picture(finished_station, "XA_S12", first, first + HOUR_NS) is None


def test_bytes_of_lines() -> None:
    data = base64.b64decode(packed(np.array([-1.0, 0.0, 0.5, np.nan]), 1.0))
    assert list(data) == [0, 100, 150, 255]


def test_the_tail_of_the_monitor_grows_as_its_file_does(tmp_path: Path) -> None:
    folder = tmp_path / "monitor" / "samples" / "AM.R1.00.EHZ"
    folder.mkdir(parents=True)
    live, whole = LiveSamples(tmp_path), noise(400_000, START_NS + HOUR_NS - 2000 * NS_PER_S)
    for first in range(0, len(whole.samples), 20_000):
        part = whole.between(whole.start_ns + first * 10_000_000, whole.start_ns + (first + 20_000) * 10_000_000)
        name = "20220101T00" if part.start_ns < START_NS + HOUR_NS else "20220101T01"
        data = encode([part])
        path = folder / f"{name}.mseed"
        with path.open("ab") as file:
            file.write(data[:700])  # a reader comes while a record is half written
        live.recent("AM.R1.00.EHZ")
        with path.open("ab") as file:
            file.write(data[700:])
        traces = live.recent("AM.R1.00.EHZ")
        assert len(traces) == 1 and traces[0].stop_ns == part.stop_ns
        expected = whole.samples[max(0, first + 20_000 - 180_000) : first + 20_000]
        assert np.array_equal(traces[0].samples, expected)
    times, low, high = live.extremes("AM.R1.00.EHZ", whole.start_ns, whole.stop_ns)
    column = int(np.searchsorted(times, (START_NS + HOUR_NS) / NS_PER_S + 606.0))
    inside = whole.between(START_NS + HOUR_NS + 600 * NS_PER_S, START_NS + HOUR_NS + 612 * NS_PER_S).samples
    assert (low[column], high[column]) == (inside.min(), inside.max())
    assert live.recent("no.such") == []


def test_samples_of_an_event_are_those_of_its_segment_or_archive(finished_station: Path) -> None:
    waveforms = RunWaveforms(finished_station)
    row = read_catalog(finished_station / "catalog.csv")[0]
    segment = {trace.source_id: trace for trace in waveforms.segment(row)}
    one = segment["FDSN:XX_LUN_00_M_H_Z"]
    stored = waveforms.traces("XX_LUN", "00.MHZ", one.start_ns, one.stop_ns)
    kept = np.concatenate([part.samples for part in stored])
    archived = get_waveforms(finished_station / "archive", one.start_ns, one.stop_ns, "XX_LUN", ("MHZ",))
    assert np.array_equal(kept, np.concatenate([part.samples for part in archived]))
    assert np.array_equal(kept[: len(one.samples)], one.samples[: len(kept)])
    assert waveforms.stations() == ["XX_LUN"] and waveforms.channels("XX_LUN") == ["00.MHZ", "00.MH1", "00.MH2"]


def test_a_span_across_midnight_is_whole(tmp_path: Path) -> None:
    """Of a record that ends a fraction of a sample after midnight, too."""
    for rate_hz in (100.0, 6.625):
        whole = noise(int(600 * rate_hz), START_NS - 300 * NS_PER_S + 7_000_000, rate_hz)
        for day in (-1, 0):
            part = whole.between(START_NS + day * 24 * HOUR_NS, START_NS + (day + 1) * 24 * HOUR_NS)
            path = tmp_path / str(rate_hz) / "archive" / day_name(SOURCE, (START_NS // (24 * HOUR_NS)) + day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode([part]))
        waveforms = RunWaveforms(tmp_path / str(rate_hz))
        found = waveforms.traces("AM_R1", "00.EHZ", START_NS - 200 * NS_PER_S, START_NS + 200 * NS_PER_S)
        expected = whole.between(START_NS - 200 * NS_PER_S, START_NS + 200 * NS_PER_S)
        assert np.array_equal(np.concatenate([part.samples for part in found]), expected.samples)
        until = waveforms.traces("AM_R1", "00.EHZ", START_NS - 100 * NS_PER_S, START_NS + 1_000_000)
        assert abs(sum(len(part.samples) for part in until) - 100 * rate_hz) <= 1


@pytest.mark.slow
def test_probabilities_that_are_computed_again_are_those_of_the_run(finished_station: Path) -> None:
    row = read_catalog(finished_station / "catalog.csv")[1]
    command = [sys.executable, "-m", "edgequake.serve.station.event_probability", str(finished_station)]
    done = subprocess.run(command, input=catalog_text([row]), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    frames = monitor_frames(finished_station, "XX_LUN", row.onset_ns, row.stop_ns)
    again = np.interp(frames["stop_ns"] / 1e9, found["times"], found["onset"])  # on a grid of its own
    assert len(frames) > 100 and np.abs(again - frames["onset"]).mean() < 0.02
    high = frames["onset"] > 0.9
    assert high.any() and (again[high] > 0.5).all() and max(found["onset"]) > found["threshold"]


def test_monitor_and_archive_agree(finished_station: Path) -> None:
    waveforms = RunWaveforms(finished_station)
    end = max(trace.stop_ns for trace in get_waveforms(finished_station / "archive", 0, 1 << 62))
    there = monitor_samples(finished_station, waveforms.monitored("XX_LUN")["00.MHZ"], end - HOUR_NS, end)
    archived = get_waveforms(finished_station / "archive", end - HOUR_NS, end, "XX_LUN", ("MHZ",))
    assert np.array_equal(*(np.concatenate([part.samples for part in parts]) for parts in (there, archived)))
