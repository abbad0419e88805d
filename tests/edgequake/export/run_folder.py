"""A finished run written by hand: two stations, three events, segments with a gap, floats, a shared segment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, format_time
from edgequake.edge.results.catalog import COLUMNS

RATE_HZ = 6.625
START_NS = 40_000_000 * NS_PER_S + 123_456_000  # 1971-04-08T23:06:40.123456
GAP_SAMPLES = 40
ONSETS_S = (60.0, 200.0)  # of the two events that share the first segment
MARS_START_NS = 1_560_000_000 * NS_PER_S
NOTHING = {"inputs": [], "stations": [], "ignored_channels": [], "warnings": []}
COUNTERS = (
    "samples_in", "bytes_in", "samples_kept", "bytes_kept", "record_s", "kept_s", "kept_fraction", "tears_bridged",
    "samples_bridged", "restarts", "fill_samples", "not_finite_samples", "overlap_samples", "unreadable_bytes",
    "resumed", "wall_s", "cpu_s", "peak_memory_bytes",
)  # fmt: skip
MODEL = {"edgequake_version": "0.1.0", "model": "moon", "variant": "int8", "graph_sha256": "ab" * 32}


def lunar_traces() -> list[Trace]:
    """Return three channels of counts; after 1000 samples 40 are missing, then 900 more follow."""
    rng = np.random.default_rng(5)
    traces = []
    for channel in ("H_1", "H_2", "H_Z"):
        source_id = f"FDSN:XA_S12_00_M_{channel}"
        later_ns = START_NS + duration_ns(1000 + GAP_SAMPLES, RATE_HZ)
        for start_ns, n_samples in ((START_NS, 1000), (later_ns, 900)):
            samples = rng.integers(0, 1024, n_samples).astype(np.int32)
            traces.append(Trace(source_id, start_ns, RATE_HZ, samples))
    return traces


def martian_trace() -> Trace:
    """Return one channel of 64-bit floats that 32 bits cannot hold exactly."""
    samples = np.random.default_rng(6).normal(0.0, 1e-9, 2000)
    return Trace("FDSN:XB_ELYSE_02_B_H_V", MARS_START_NS, 20.0, samples)


def catalog_rows() -> list[dict[str, str]]:
    """Return the rows of the run's catalogue, by column."""
    shared = "segments/XA_S12_one.mseed"
    first, second = (
        lunar_row(f"XA_S12_{number}", START_NS + round(onset_s * NS_PER_S), 90.0, shared)
        for number, onset_s in enumerate(ONSETS_S)
    )
    third = lunar_row("XB_ELYSE_1", MARS_START_NS + 30 * NS_PER_S, 40.0, "segments/XB_ELYSE_one.mseed")
    second["mq_type"] = "impact_mq"
    third |= {"station_id": "XB_ELYSE", "channels": "BHV", "peak_probability": "0.5000"}
    return [first, second, third]


def lunar_row(name: str, onset_ns: int, duration_s: float, segment: str) -> dict[str, str]:
    """Return a catalogue row with every column that a run writes."""
    row = dict.fromkeys(COLUMNS, "")
    row |= {
        "filename": "record", COLUMNS[1]: format_time(onset_ns), "time_rel(sec)": "1.0", "evid": name,
        "station_id": "XA_S12", "channels": "MH1 MH2 MHZ", "stop_abs": format_time(onset_ns + round(duration_s * 1e9)),
        "peak_probability": "0.9512", "priority": "0.9512", "segment": segment, "n_samples": "1", "size_bytes": "1",
    }  # fmt: skip
    return row


def write_run(folder: Path, uncertainties: tuple[str, ...] | None = None) -> Path:
    """Write the folder of a run; with `uncertainties` the catalogue has one more column."""
    (folder / "segments").mkdir(parents=True)
    rows = catalog_rows()
    for row, uncertainty in zip(rows, uncertainties or (), strict=False):
        row["onset_uncertainty_s"] = uncertainty
    write_segment(folder, rows[0]["segment"], lunar_traces())
    write_segment(folder, rows[2]["segment"], [martian_trace()])
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (folder / "catalog.csv").write_text("\n".join(lines) + "\n")
    segments = {row["segment"]: segment_values(row["segment"], row["station_id"]) for row in rows}
    values = {**MODEL, **dict.fromkeys(COUNTERS, 0), **NOTHING, "runtime": "x", "onset_threshold": 0.5, "n_events": 3}
    values["segments"] = list(segments.values())
    (folder / "summary.json").write_text(json.dumps(values))
    return folder


def segment_values(file: str, station_id: str) -> dict[str, object]:
    """Return a segment as summary.json lists it; exporters need its file alone."""
    return {"file": file, "station_id": station_id, "start_ns": 0, "stop_ns": 1, "n_samples": 1, "size_bytes": 1}


def write_segment(folder: Path, name: str, traces: list[Trace]) -> None:
    """Write a segment as the runner does."""
    (folder / name).write_bytes(encode(traces))
