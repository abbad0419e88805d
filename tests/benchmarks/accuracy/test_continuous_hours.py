"""`bench accuracy --continuous` and the thresholds of `tune` on an hour of a synthetic Shake with labelled quakes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.accuracy.continuous_hours import bench_continuous, onset_quartiles
from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.robustness.shake_signal import CHANNELS, RATE_HZ, START_NS, shake_signal
from edgequake.benchmarks.scoring.hours_rule import LIMITS, RULE
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.benchmarks.scoring.strata import EMERGENT, IN_HOURS, NATURAL, SOFT
from edgequake.benchmarks.tuning.label_tuning import tune_to_labels
from edgequake.data.dataset import load
from edgequake.data.selection import Selection
from edgequake.data.tables import CATALOG_COLUMNS, RECORD_COLUMNS, table_bytes
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.report.pages.bench_page import results_page
from edgequake.results.reader import read_results
from edgequake.results.tables.report_text import report_text

FILES = {"cont_CI.SYN.mseed": "val", "noise_UT.SYN.mseed": "train"}
HIDDEN = (5, 6)  # quakes that the catalogue lacks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of which two quakes have no row."""
    return write(tmp_path_factory.mktemp("hours") / "data", HIDDEN)


def write(folder: Path, hidden: Sequence[int] = ()) -> Path:
    """Write half an hour of labelled quakes in `val`, and quiet soft ground in `train`."""
    (folder / "earth").mkdir(parents=True)
    records, catalog = [], []
    for seed, (name, split) in enumerate(FILES.items()):
        signal = shake_signal(np.random.default_rng(seed), 1800.0)
        quiet = signal.samples[:, : round((signal.onsets_ns[0] - START_NS) / NS_PER_S * RATE_HZ) - 100]
        samples = signal.samples if split == "val" else quiet
        traces = [
            Trace(source_id_of("XX", "SYN", "00", channel), START_NS, RATE_HZ, of_channel)
            for channel, of_channel in zip(CHANNELS, samples, strict=True)
        ]
        (folder / "earth" / name).write_bytes(encode(traces))
        common = {"split": split, "body": "earth", "group": name, "file": f"earth/{name}"}
        for channel in CHANNELS:
            about = {"station": "SYN", "channel": channel, "sampling_rate_hz": RATE_HZ, "start": format_time(START_NS)}
            length = {"duration_s": (samples.shape[1] - 1) / RATE_HZ, "n_samples": samples.shape[1], "note": ""}
            records.append({**common, **about, **length})
        if split == "val":
            for i, onset_ns in enumerate(signal.onsets_ns):
                if i in hidden:
                    continue
                label = {"event": f"q{i}", "event_type": "quake_local", "time_abs": format_time(onset_ns)}
                catalog.append({**common, **label, "precision_s": 0.5, "primary": 1, "label_source": "M 1.2, snr 9.0"})
    (folder / "records.csv").write_bytes(table_bytes(RECORD_COLUMNS, records))
    (folder / "catalog.csv").write_bytes(table_bytes(CATALOG_COLUMNS, catalog))
    return folder


@pytest.mark.slow
def test_the_figures_are_those_of_runs(data: Path) -> None:
    report = bench_continuous("earth", data, seeds=1, baselines=False)
    (record,) = load(data, "earth", "val")
    (result,) = report.results
    start_ns = random_start_ns(record, 0)
    for name, threshold in load_manifest("earth")[0].trigger.onset_thresholds.items():
        run = ModelDetector("earth", sensitivity=name)(record, start_ns)
        score = score_record(record, start_ns, run)
        point = result.points[f"{threshold:g}"]
        hours, quakes = point[NATURAL], point[IN_HOURS]
        assert (hours.n_uncatalogued, quakes.n_found) == (len(score.false_ns), sum(r.recalled for r in score.primary))
        assert hours.kept == pytest.approx(score.kept_ns / score.scored_ns, abs=1e-4)
    assert len(HIDDEN) <= result.points["0.2"][NATURAL].n_uncatalogued  # quakes without a row
    assert [(line.name, line.part, line.asked) for line in report.strata] == [
        (NATURAL, "val", True), (SOFT, "train", False), (IN_HOURS, "val", True),
    ]  # fmt: skip
    assert {name: set(bins) for name, bins in result.bins.items() if bins} == {"snr": {"8-20"}, "magnitude": {"1-1.5"}}
    text = report_text(report)
    assert "train*" in text and "not held out" in text
    assert EMERGENT not in json.dumps(report.to_json())


@pytest.mark.slow
def test_kept_rows_change_nothing_and_the_page_of_results_shows_the_file(data: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    reports = [bench_continuous("earth", data, seeds=1, baselines=False, rows=at) for at in (None, rows, rows)]
    assert reports[0].results == reports[1].results == reports[2].results
    assert len(list(rows.iterdir())) == len(FILES)
    path = tmp_path / "hours.json"
    path.write_text(json.dumps(reports[2].to_json()))
    (file,) = read_results([path])
    assert file.report == reports[2]
    _, _, section = results_page([path]).partition("## Continuous hours")
    points = {
        row.split(" | ")[0]: row.split(" | ")[1:] for row in re.findall(r"^\| (0\.\d+ .*) \|$", section, re.MULTILINE)
    }
    expected = reports[2].results[0].points
    assert set(points) == set(expected)
    for threshold, (hours, _, quakes) in points.items():
        assert float(hours.split(",")[0]) == pytest.approx(expected[threshold][NATURAL].events_per_day, abs=0.05)
        assert float(quakes) == pytest.approx(expected[threshold][IN_HOURS].found, abs=0.005)


@pytest.mark.long
def test_tune_chooses_the_thresholds_of_earth_by_hours(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    result = tune_to_labels("earth", data, tmp_path / "tuned", Selection(), seeds=1)
    tuned, _ = load_manifest(result.manifest)
    before = load_manifest("earth")[0].trigger
    assert tuned.training["tuning"]["rule"] == RULE
    assert (tuned.trigger.min_duration_s, tuned.trigger.event_threshold) == (
        before.min_duration_s, before.event_threshold,
    )  # fmt: skip
    report = bench_continuous(str(result.manifest), data, seeds=1, baselines=False)
    for name, threshold in tuned.trigger.onset_thresholds.items():
        point = report.results[0].points[f"{threshold:g}"]
        assert (point[NATURAL].events_per_day or 0.0) <= LIMITS[name].natural_per_day
        assert (point[SOFT].events_per_day or 0.0) <= LIMITS[name].disturbed_per_day


def test_nothing_to_measure_is_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match="at least one random start"):
        bench_continuous("earth", data, seeds=0)
    with pytest.raises(ConfigError, match="nothing to measure"):
        bench_continuous(None, data, baselines=False)


def test_no_recalled_arrival_has_no_quartiles() -> None:
    assert onset_quartiles(()).median is None
