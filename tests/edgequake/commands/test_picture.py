"""The picture of a run: input, computed columns and errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import obspy
import pytest
from matplotlib.image import imread

from edgequake import cli
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.results.catalog import HEADER, CatalogRow, catalog_text
from edgequake.edge.results.summary import Summary
from edgequake.report.charts.picture import TIME_UNITS
from edgequake.report.recording.samples import join_intervals, joined, read_record
from edgequake.synthetic import synthetic_dataset

NS = 1_000_000_000
NOTHING = {
    field.name: () if "tuple" in str(field.type) else "x" if field.type == "str" else 0
    for field in dataclasses.fields(Summary)
    if field.name != "events"
}


@pytest.fixture
def day(tmp_path: Path) -> Path:
    record = synthetic_dataset.synthetic_record(np.random.default_rng(1), 3600.0, [1200.0], gaps_per_hour=4)
    (tmp_path / "day").mkdir()
    return synthetic_dataset.write_miniseed(record, tmp_path / "day" / "record.mseed")


def write_run(folder: Path, day: Path) -> Path:
    """Write the folder of a run with one event whose segment is the whole record."""
    (folder / "segments").mkdir(parents=True)
    (folder / "segments" / "one.mseed").write_bytes(day.read_bytes())
    onset_ns = synthetic_dataset.DAY_START_NS + 1200 * NS
    row = CatalogRow(
        "record", onset_ns, 1200.0, "XX_LUN_1", "", "XX_LUN", synthetic_dataset.CHANNELS, onset_ns + 600 * NS, 0.9, 0.9,
        "segments/one.mseed", 1, 1, False,
    )  # fmt: skip
    (folder / "catalog.csv").write_bytes(HEADER + catalog_text([row]).encode())
    (folder / "summary.json").write_text(json.dumps({**NOTHING, "inputs": [str(day)]}))
    return folder


def test_intervals_are_joined() -> None:
    assert join_intervals([(5, 9), (0, 2), (2, 3), (8, 12), (20, 21)]) == [(0, 3), (5, 12), (20, 21)]
    assert join_intervals([]) == []


def test_columns_are_extremes_without_spikes_and_fill_values() -> None:
    samples = np.full(1000, 500, dtype=np.int32)
    samples[100] = 900  # a spike in column 1
    samples[300:400] = -1  # column 3: only fill values
    samples[750:800] = 510  # half of column 7
    trace = Trace("FDSN:XX_LUN_00_M_H_Z", 0, 10.0, samples)
    low, high = joined([trace]).extremes(0, 100 * NS, n_columns=10)
    np.testing.assert_array_equal(low, [500, 500, 500, np.nan, 500, 500, 500, 500, 500, 500])
    np.testing.assert_array_equal(high, [500, 500, 500, np.nan, 500, 500, 500, 510, 500, 500])


def test_the_record_is_read_as_obspy_reads_it(day: Path) -> None:
    traces = read_record(day)
    obspy_traces = obspy.read(str(day))
    assert len(traces) == len(obspy_traces)
    for trace in traces:
        (obspy_trace,) = [
            obspy_trace
            for obspy_trace in obspy_traces.select(channel=channel_of(trace.source_id))
            if obspy_trace.stats.starttime.ns == trace.start_ns
        ]
        np.testing.assert_array_equal(trace.samples, obspy_trace.data)


def test_plot_draws_and_shades(day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run", day)
    assert cli.main(["plot", str(run_dir)]) == 0
    out = run_dir / "picture.png"
    assert str(out) in capsys.readouterr().out
    pixels = imread(out)
    # The segment is the whole record: much of the picture is shaded, with less blue than red.
    shaded = (pixels[..., 0] > 0.9) & (pixels[..., 2] < 0.8)
    assert shaded.mean() > 0.3


@pytest.mark.parametrize(
    ("length_s", "word"), [(4 * 3600, "hours"), (3 * 3600 - 1, "minutes"), (200, "minutes"), (100, "seconds")]
)
def test_the_unit_of_time_fits(length_s: int, word: str) -> None:
    assert next(word for from_ns, _, word in TIME_UNITS if length_s * NS >= from_ns) == word


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("no run", "catalog.csv cannot be read as a catalogue"),
        ("other table", "is no edgequake catalogue"),
        ("unfinished", "no run has finished in that folder"),
        ("no record", "no miniSEED file in"),
        ("record gone", "does not exist: name the records that were run"),
        ("not miniSEED", "is not miniSEED"),
        ("station", "no station XX_NIX"),
    ],
)
def test_plot_refuses(spoil: str, words: str, day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run", day)
    arguments = ["plot", str(run_dir)]
    if spoil == "no run":
        (run_dir / "catalog.csv").unlink()
    elif spoil == "other table":
        (run_dir / "catalog.csv").write_text("a,b\n1,2\n")
    elif spoil == "unfinished":
        (run_dir / "summary.json").unlink()
    elif spoil == "no record":
        (tmp_path / "empty").mkdir()
        arguments += ["--input", str(tmp_path / "empty")]
    elif spoil == "record gone":
        day.unlink()
    elif spoil == "not miniSEED":
        day.write_bytes(b"this is no record " * 100)
    else:
        arguments += ["--station", "XX_NIX"]
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1
    assert words in said.err
    assert not (run_dir / "picture.png").exists()
