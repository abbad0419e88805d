"""Volume of the SSAM channel as a share of the raw volume, by days of records: python studies/summary_share.py DATA.

Archives records in counts, as Steim2, together with their SSAM channel. A record shorter than a day is repeated end to
end until it fills one: its events and gaps then recur all day, which is the worst case for the SSAM channel. Counts
that were filtered or cleaned of glitches are rounded first. Prints the shares of the days in per cent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from edgequake.data.dataset import load
from edgequake.data.tables import BODIES
from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.archive.ssam import SsamWriter
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import Trace, duration_ns, merge_contiguous


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--body", choices=BODIES, nargs="+", default=BODIES)
    parser.add_argument("--most", type=int, default=40, help="files of a body, evenly chosen (default: 40)")
    options = parser.parse_args(arguments)
    print("| body | record | channel-days | share of the raw Steim2 volume, % | largest |")
    print("|---|---|--:|--:|--:|")
    for body in options.body:
        files = sorted({record.file for record in load(options.data, body) if record.file.suffix != ".csv"})
        shares: dict[str, list[float]] = {}
        for path in files[:: -(-len(files) // options.most)]:
            for kind, share in _shares(path):
                shares.setdefault(kind, []).append(share)
        for kind, found in sorted(shares.items()):
            print(f"| {body} | {kind} | {len(found)} | {np.median(found):.2f} | {max(found):.2f} |")
    return 0


def _shares(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the kind of day and the share of the SSAM channel in per cent, for each channel of a file in counts."""
    index = index_file(path)
    traces = merge_contiguous(sorted(read_indexed(index, index.headers), key=lambda trace: trace.source_id))
    for _, group in groupby(traces, key=lambda trace: trace.source_id):
        channel = list(group)
        if max(float(np.max(np.abs(trace.samples))) for trace in channel) > 100.0:  # otherwise in m/s or similar
            counts = [replace(trace, samples=np.rint(trace.samples).astype(np.int32)) for trace in channel]
            yield _kind(counts), 100.0 * _share(_day(counts))


def _kind(traces: list[Trace]) -> str:
    length_s = (max(trace.stop_ns for trace in traces) - traces[0].start_ns) / 1e9
    rate_hz = traces[0].sampling_rate_hz
    return f"{rate_hz:g} Hz, " + ("a day" if length_s > 86_000 else "repeated")


def _day(traces: list[Trace]) -> list[Trace]:
    """Return traces from midnight to midnight: those of a record, repeated."""
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
        summary = SsamWriter(Path(folder) / "continuous", Diagnostics())
        for trace in traces:
            archive.push(trace)
            summary.push(trace)
        archive.close()
        summary.close()
        return summary.total_bytes / archive.total_bytes


if __name__ == "__main__":
    sys.exit(main())
