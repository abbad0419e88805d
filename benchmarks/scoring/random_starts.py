"""Random starts: scoring begins at an instant from which the time of day in the file does not reveal the arrival."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.results.progress import Progress, silent

Result = TypeVar("Result")


def random_start_ns(record: LabelledRecord, seed: int) -> int:
    """Draw when scoring begins: uniformly between the record's start and the lead before its first arrival.

    The lead is 300 s on the Moon, 180 s on Mars and 10 s on Earth; the first arrival counts whether primary or not.
    If the first arrival comes less than the lead after the record's start, the start **stays the record's start**: a
    detector that reads only the clock still finds such arrivals, so reports count them separately. A record without
    arrivals keeps its start as well. The draw depends only on the seed and the file's name, so every detector is given
    the same starts.
    """
    if not record.arrivals:
        return record.start_ns
    lead_ns = round(BODY_RULES[record.body].lead_s * NS_PER_S)
    latest_ns = min(arrival.time_ns for arrival in record.arrivals) - lead_ns
    if latest_ns <= record.start_ns:
        return record.start_ns
    rng = np.random.default_rng([seed, zlib.crc32(record.file.name.encode())])
    return int(rng.integers(record.start_ns, latest_ns, endpoint=True))


def run_passes(
    process: Callable[[LabelledRecord, int], Result],
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    progress: Progress = silent,
) -> list[list[Result]]:
    """Return what `process(record, start_ns)` gives for every record, one pass over the records for each seed.

    Parameters
    ----------
    seeds : of random starts; none: a single pass in which every record begins at its own start.
    """
    n_passes = max(1, len(seeds))
    passes: list[list[Result]] = []
    for i in range(n_passes):
        results: list[Result] = []
        for record in records:
            results.append(process(record, random_start_ns(record, seeds[i]) if seeds else record.start_ns))
            progress((i + len(results) / len(records)) / n_passes, "records")
        passes.append(results)
    return passes
