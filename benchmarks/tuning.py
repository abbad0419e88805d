"""How the baselines got their constants: grids and rules, run on `val` and never on `test`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.baselines import Clock, Detector, StaLta, prepare, station_ratio, trigger
from edgequake.benchmarks.pooling import LONG_RECORD_NS, Score, Summary, pool, summarise
from edgequake.benchmarks.scoring import BODY_RULES, score_record
from edgequake.benchmarks.starts import random_start_ns
from edgequake.dataset import Record
from edgequake.edge.piece import NS_PER_S

Progress = Callable[[float], None]  # takes the share done, 0..1

MAX_CLOCK_TIMES = 3


@dataclass(frozen=True)
class Grid:
    """Every combination of these is tried where off < on."""

    bands_hz: tuple[tuple[float, float], ...]
    windows_s: tuple[tuple[float, float], ...]  # (sta, lta)
    ons: tuple[float, ...]
    offs: tuple[float, ...]


GRIDS = {
    "moon": Grid(
        bands_hz=((0.2, 1.0), (0.3, 0.9), (0.35, 1.4), (0.5, 2.0)),
        windows_s=tuple(itertools.product((30.0, 60.0, 120.0), (300.0, 600.0, 1200.0, 2400.0))),
        ons=(1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 3.0, 3.5, 4.0, 5.0, 6.0),
        offs=(1.0, 1.2, 1.5, 1.8),
    ),
    "mars": Grid(
        bands_hz=((0.1, 0.8), (0.2, 1.0), (0.5, 2.0), (1.0, 4.0)),
        windows_s=tuple(itertools.product((10.0, 30.0, 60.0), (120.0, 300.0, 600.0))),
        ons=(1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0),
        offs=(1.0, 1.2, 1.5, 1.8),
    ),
    "earth": Grid(
        bands_hz=((0.5, 5.0), (1.0, 8.0), (2.0, 8.0)),
        windows_s=tuple(itertools.product((0.5, 1.0, 2.0), (10.0, 30.0))),
        ons=(2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0),
        offs=(1.0, 1.2, 1.5, 1.8),
    ),
}


def choose_clock(records: Sequence[Record]) -> Clock:
    """Choose the times after a file's start that score best from the records' own starts: what the layout gives away.

    Greedy: the time that raises F1 most is added, up to three, while F1 rises; of equal F1, the time with the smallest
    median onset error. Times are tried in steps of a tenth of the body's tolerance, up to the latest first arrival of
    the records shorter than 10 h.
    """
    rule = BODY_RULES[records[0].body]
    short = [record for record in records if record.arrivals and record.stop_ns - record.start_ns < LONG_RECORD_NS]
    latest_ns = max((record.arrivals[0].time_ns - record.start_ns for record in short), default=0)
    step_s = rule.tolerance_s / 10
    candidates = [i * step_s for i in range(int(latest_ns / NS_PER_S / step_s) + 2)]
    times: tuple[float, ...] = ()
    best_f1 = 0.0
    for _ in range(MAX_CLOCK_TIMES):
        ranked = [(*_own_start_rank(Clock((*times, time)), records), time) for time in candidates]
        f1, _, added = max(ranked)
        if f1 <= best_f1:
            break
        best_f1, times = f1, (*times, added)
    return Clock(tuple(sorted(times)))


def tune_sta_lta(
    records: Sequence[Record], seeds: Sequence[int], grid: Grid, progress: Progress | None = None
) -> tuple[StaLta, Summary]:
    """Return the despiked, band-passed STA/LTA of the grid with the best mean F1 over the seeds.

    Equal F1 is decided by the smaller kept fraction, then by the earlier place in the grid.
    """
    best: tuple[tuple[float, float], StaLta, Summary] | None = None
    combinations = list(itertools.product(grid.bands_hz, grid.windows_s))
    done = 0
    for band_hz in grid.bands_hz:
        passes = [
            [(record, start, prepare(record, start, band_hz, despiked=True)) for record, start in starts]
            for starts in _starts(records, seeds)
        ]
        for sta_s, lta_s in grid.windows_s:
            ratios = [[(*item, station_ratio(item[2], sta_s, lta_s)) for item in items] for items in passes]
            for on, off in ((on, off) for on, off in itertools.product(grid.ons, grid.offs) if off < on):
                scores: list[Score] = [
                    pool(
                        score_record(record, start, trigger(ready, ratio, on, off))
                        for record, start, ready, ratio in items
                    )
                    for items in ratios
                ]
                summary = summarise(scores)
                rank = (_mean(summary, "f1"), -_mean(summary, "kept"))
                if best is None or rank > best[0]:
                    best = rank, StaLta(sta_s, lta_s, on, off, band_hz, despiked=True), summary
            done += 1
            if progress is not None:
                progress(done / len(combinations))
    assert best is not None
    return best[1], best[2]


def _starts(records: Sequence[Record], seeds: Sequence[int]) -> Iterator[list[tuple[Record, int]]]:
    for seed in seeds:
        yield [(record, random_start_ns(record, seed)) for record in records]


def _own_start_rank(detector: Detector, records: Sequence[Record]) -> tuple[float, float]:
    score = pool(score_record(record, record.start_ns, detector(record, record.start_ns)) for record in records)
    return score.f1 or 0.0, -(score.onset_error_s or 0.0)


def _mean(summary: Summary, name: str) -> float:
    return summary.spreads[name].mean if name in summary.spreads else 0.0
