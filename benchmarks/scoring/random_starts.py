"""Random starts: scoring begins each record where its clock says nothing about the arrival."""

from __future__ import annotations

import zlib

import numpy as np

from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S


def random_start_ns(record: LabelledRecord, seed: int) -> int:
    """Draw when scoring begins: evenly between the record's start and the lead before its first arrival.

    The lead is 300 s on the Moon, 180 s on Mars and 10 s on Earth; the first arrival counts whether primary or not.
    Where the first arrival comes less than the lead after the record's start, the start **stays the record's start**:
    there the clock still knows the answer, and reports count those arrivals apart. A record without arrivals keeps its
    start too, having nothing to hide. The draw depends on the seed and the file's name only, so every detector
    is given the same starts.
    """
    if not record.arrivals:
        return record.start_ns
    lead_ns = round(BODY_RULES[record.body].lead_s * NS_PER_S)
    latest_ns = min(arrival.time_ns for arrival in record.arrivals) - lead_ns
    if latest_ns <= record.start_ns:
        return record.start_ns
    rng = np.random.default_rng([seed, zlib.crc32(record.file.name.encode())])
    return int(rng.integers(record.start_ns, latest_ns, endpoint=True))
