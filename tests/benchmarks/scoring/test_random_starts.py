"""Random starts, and passes over records from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.scoring.random_starts import random_start_ns, run_passes
from edgequake.edge.formats.waveforms import NS_PER_S

from ..drawing import T0_NS, arrival, at, record


@pytest.mark.parametrize(("body", "lead_s"), [("moon", 300), ("mars", 180), ("earth", 10)])
def test_starts_fill_the_time_from_the_records_start_to_the_lead(body: str, lead_s: float) -> None:
    drawn = record(7200, arrival(1840), arrival(3000), body=body)
    starts_s = np.array([(random_start_ns(drawn, seed) - T0_NS) / NS_PER_S for seed in range(500)])
    latest_s = 1840 - lead_s
    assert starts_s.min() >= 0
    assert starts_s.max() <= latest_s
    # evenly: the mean of 500 lies within four standard errors of the middle, and both edges are reached to 2 %
    assert abs(starts_s.mean() - latest_s / 2) < 4 * latest_s / np.sqrt(12 * 500)
    assert starts_s.min() < 0.02 * latest_s
    assert starts_s.max() > 0.98 * latest_s


def test_the_first_arrival_decides_even_if_it_is_secondary() -> None:
    drawn = record(7200, arrival(600, primary=False), arrival(5000))
    assert max(random_start_ns(drawn, seed) for seed in range(200)) <= at(300)


def test_an_arrival_too_close_to_the_start_leaves_the_start_where_it_is() -> None:
    assert {random_start_ns(record(3600, arrival(300)), seed) for seed in range(5)} == {T0_NS}
    assert {random_start_ns(record(3600, arrival(-60)), seed) for seed in range(5)} == {T0_NS}
    assert {random_start_ns(record(3600), seed) for seed in range(5)} == {T0_NS}


def test_seed_and_file_name_decide_and_nothing_else() -> None:
    drawn = record(7200, arrival(1840), name="one.mseed")
    elsewhere = dataclasses.replace(drawn, file=Path("far") / "one.mseed", channels=("MH1",))
    other = record(7200, arrival(1840), name="two.mseed")
    assert random_start_ns(drawn, 3) == random_start_ns(drawn, 3) == random_start_ns(elsewhere, 3)
    assert random_start_ns(drawn, 3) != random_start_ns(drawn, 4)
    assert random_start_ns(drawn, 3) != random_start_ns(other, 3)


def test_each_pass_runs_every_record_from_its_seeds_start() -> None:
    records = [record(7200, arrival(1840), name="one.mseed"), record(7200, arrival(3000), name="two.mseed")]
    shares: list[float | None] = []
    passes = run_passes(lambda *given: given, records, range(3), lambda share, _: shares.append(share))
    assert passes == [[(drawn, random_start_ns(drawn, seed)) for drawn in records] for seed in range(3)]
    assert shares == [(i + 1) / 6 for i in range(6)]
    assert run_passes(lambda _, start_ns: start_ns, records, ()) == [[T0_NS, T0_NS]]
