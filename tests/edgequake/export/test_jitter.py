"""Start times that jitter by a twentieth of a sample cost neither archive nor segments nor SAC files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.runner import RunConfig, run
from edgequake.export.sac import write_sac
from edgequake.results.finished_run import read_run
from edgequake.synthetic.synthetic_dataset import DAY_START_NS, synthetic_record

MOST = 1.02  # times what the clean case takes
RATE_HZ = 6.625


@dataclass(frozen=True)
class Taken:
    """What a run takes on disk."""

    archive_bytes: int
    archive_files: int
    segment_bytes: int
    segments: int
    segment_samples: int
    sac_bytes: int
    sac_files: int


def taken(folder: Path, n_record: int, jitter: float, headers: tuple[float, ...] = (1.0,)) -> Taken:
    """Run over three channels with two quakes; `jitter` is in samples, either way, and headers are times the rate."""
    record = synthetic_record(
        np.random.default_rng(11), 4 * 3600.0, (4000.0, 10_000.0), ratios=(25.0, 25.0), noise_counts=0.5,
        spikes_per_hour=0.0, gaps_per_hour=0.0, fills_per_hour=0.0,
    )  # fmt: skip
    rng, traces = np.random.default_rng(5), []
    for i, first in enumerate(range(0, record.samples.shape[1], n_record)):
        for name, samples in zip(record.source_ids, record.samples, strict=True):
            late_ns = round(rng.uniform(-jitter, jitter) * NS_PER_S / RATE_HZ)
            start_ns = DAY_START_NS + duration_ns(first, RATE_HZ) + late_ns
            rate_hz = headers[i % len(headers)] * RATE_HZ
            traces.append(Trace(name, start_ns, rate_hz, samples[first : first + n_record]))
    folder.mkdir()
    (folder / "a.mseed").write_bytes(encode(traces))
    config = RunConfig((str(folder / "a.mseed"),), folder / "out", model="moon", archive_bytes=10_000_000)
    summary = run(config)
    assert summary.overlap_samples == summary.tears_bridged == 0
    sac, _ = write_sac(read_run(folder / "out"), folder / "sac", force=False)
    archived = [path for path in (folder / "out" / "archive").rglob("*.D.*") if path.is_file()]
    return Taken(
        sum(path.stat().st_size for path in archived),
        len(archived),
        summary.bytes_kept,
        len(summary.segments),
        summary.samples_kept,
        sum(path.stat().st_size for path in sac),
        len(sac),
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_record", [40, 400])
def test_jitter_costs_nothing(n_record: int, tmp_path: Path) -> None:
    clean = taken(tmp_path / "clean", n_record, 0.0)
    for name, jittering in (
        ("jitter", taken(tmp_path / "jitter", n_record, 0.05)),
        ("jitter, rates measured anew", taken(tmp_path / "anew", n_record, 0.05, (0.999998, 1.0, 1.000002))),
    ):
        print(f"records of {n_record} samples: clean {clean}, {name} {jittering}")
        for what, clean_value in vars(clean).items():
            assert clean_value > 0
            assert clean_value / MOST <= getattr(jittering, what) <= clean_value * MOST, what
