"""What the summary channel takes of the raw volume, day by day of real records: python studies/summary_share.py DATA.

Archives records in counts, as Steim2, with their summary channel beside them. A record that is shorter than a day is
repeated end to end until it fills one: its events and tears then come all day long, which is the worst case for the
summary. Counts that were filtered or freed of glitches are rounded first. Prints the days' shares in per cent.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from edgequake.data.dataset import load
from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import joined
from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.archive.ssam import SsamChannel
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import Trace, duration_ns

BODIES = ("moon", "mars", "earth")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--most", type=int, default=40, help="files of a body, evenly chosen (default: 40)")
    options = parser.parse_args()
    print("| body | record | channel-days | share of the raw Steim2 volume, % | largest |")
    print("|---|---|--:|--:|--:|")
    for body in BODIES:
        files = sorted({record.file for record in load(options.data, body) if record.file.suffix != ".csv"})
        shares: dict[str, list[float]] = {}
        for path in files[:: -(-len(files) // options.most)]:
            for kind, share in _shares(path):
                shares.setdefault(kind, []).append(share)
        for kind, found in sorted(shares.items()):
            print(f"| {body} | {kind} | {len(found)} | {np.median(found):.2f} | {max(found):.2f} |")


def _shares(path: Path) -> Iterator[tuple[str, float]]:
    """Yield, for each channel in counts of a file, what kind of day it makes and the summary's share in per cent."""
    index = index_file(path)
    traces = joined(read_indexed(index, index.headers))
    for _, group in groupby(traces, key=lambda trace: trace.source_id):
        channel = list(group)
        if max(float(np.max(np.abs(trace.samples))) for trace in channel) > 100.0:  # else in m/s or the like
            counts = [replace(trace, samples=np.rint(trace.samples).astype(np.int32)) for trace in channel]
            yield _kind(counts), 100.0 * _share(_day(counts))


def _kind(traces: list[Trace]) -> str:
    length_s = (max(trace.stop_ns for trace in traces) - traces[0].start_ns) / 1e9
    rate_hz = traces[0].sampling_rate_hz
    return f"{rate_hz:g} Hz, " + ("a day" if length_s > 86_000 else "repeated")


def _day(traces: list[Trace]) -> list[Trace]:
    """Return pieces from midnight to midnight: a record's own, again and again."""
    interval_ns = duration_ns(1, traces[0].sampling_rate_hz)
    start_ns = traces[0].start_ns
    length_ns = max(trace.stop_ns for trace in traces) - start_ns
    midnight_ns = start_ns // DAY_NS * DAY_NS
    if length_ns > 0.99 * DAY_NS:
        return traces
    return [
        part
        for n in range(DAY_NS // length_ns + 1)
        for trace in traces
        for moved in [replace(trace, start_ns=midnight_ns + n * length_ns + trace.start_ns - start_ns)]
        for part in [moved.between(midnight_ns, midnight_ns + DAY_NS - interval_ns // 2)]
        if len(part.samples)
    ]


def _share(traces: list[Trace]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder) / "archive", None, Diagnostics(), 1 << 14)
        summary = SsamChannel(Path(folder) / "continuous", Diagnostics())
        for trace in traces:
            archive.take(trace)
            summary.take(trace)
        archive.close()
        summary.close()
        return summary.total_bytes / archive.total_bytes


if __name__ == "__main__":
    main()
