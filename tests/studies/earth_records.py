"""A data folder of synthetic terrestrial records, named as the measure on continuous hours tells them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgequake.benchmarks.robustness.shake_signal import CHANNELS, RATE_HZ, START_NS, shake_signal
from edgequake.data.tables import CATALOG_COLUMNS, RECORD_COLUMNS, table_bytes
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time

Files = dict[str, tuple[str, str, float]]  # name -> split, event group, duration in seconds

HOURS: Files = {
    "cont_CI.SYN.mseed": ("val", "CI.SYN", 900.0),
    "local_SYN_A.mseed": ("train", "SYN_A", 600.0),
    "noise_UT.SYN.mseed": ("train", "UT.SYN", 600.0),
}


def write_earth(folder: Path, files: Files, rate_hz: float = RATE_HZ, below: str = "earth") -> Path:
    """Write records and their tables; soft ground gets no rows.

    rate_hz : what the headers say; the samples are those of a Shake at 100 Hz, so that another rate changes the pitch.
    below : folder of the records; the tables lie in it too, unless it is `earth`.
    """
    tables = folder if below == "earth" else folder / below
    (folder / below).mkdir(parents=True, exist_ok=True)
    records, catalog = [], []
    for seed, (name, (split, group, duration_s)) in enumerate(files.items()):
        signal = shake_signal(np.random.default_rng(seed), duration_s)
        traces = [
            Trace(source_id_of("XX", "SYN", "00", channel), START_NS, rate_hz, samples)
            for channel, samples in zip(CHANNELS, signal.samples, strict=True)
        ]
        (folder / below / name).write_bytes(encode(traces))
        common = {"split": split, "body": "earth", "group": group, "file": f"{below}/{name}"}
        n_samples = signal.samples.shape[1]
        about = {"station": "SYN", "sampling_rate_hz": rate_hz, "start": format_time(START_NS), "note": ""}
        length = {"duration_s": (n_samples - 1) / rate_hz, "n_samples": n_samples}
        records += [{**common, **about, **length, "channel": channel} for channel in CHANNELS]
        for i, onset_ns in enumerate(() if name.startswith("noise") else signal.onsets_ns):
            elapsed_s = (onset_ns - START_NS) / NS_PER_S * RATE_HZ / rate_hz
            time_abs = format_time(START_NS + round(elapsed_s * NS_PER_S))
            label = {"event": f"{group}-{i}", "event_type": "quake_local", "time_abs": time_abs, "precision_s": 0.5}
            catalog.append({**common, **label, "primary": 1, "label_source": "M 1.2, snr 9.0"})
    (tables / "records.csv").write_bytes(table_bytes(RECORD_COLUMNS, records))
    (tables / "catalog.csv").write_bytes(table_bytes(CATALOG_COLUMNS, catalog))
    return folder
