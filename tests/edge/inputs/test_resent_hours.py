"""A live link sends hours again, in records that are cut elsewhere, with a jittering clock: one event, every sample."""

from __future__ import annotations

import dataclasses
import io
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.formats.miniseed import encode, index_file, read_indexed
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset
from edgequake.synthetic.synthetic_dataset import SyntheticRecord

RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ
HOUR = round(3600 * RATE_HZ)  # samples
AGAIN = "record(s) that had come before, more than five minutes ago"


@pytest.fixture(scope="module")
def recorded() -> SyntheticRecord:
    """Return three hours of two channels with a quake after 4000 s."""
    rng = np.random.default_rng(11)
    return synthetic_dataset.synthetic_record(
        rng, 10_800.0, (4000.0,), ratios=(25.0,), noise_counts=2.0, channels=("MH1", "MHZ"), gaps_per_hour=0.0,
        fills_per_hour=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """How a link cuts records."""

    shortest: int
    longest: int
    jitter: float = 0.05  # of a sample, either way
    seed: int = 1

    def records(self, recorded: SyntheticRecord, first: int, stop: int) -> list[Trace]:
        """Return records of all channels in order of time."""
        found, rng = [], np.random.default_rng(self.seed)
        for name, samples in zip(recorded.source_ids, recorded.samples, strict=True):
            at = first
            while at < stop:
                n = min(int(rng.integers(self.shortest, self.longest + 1)), stop - at)
                late_ns = round(rng.uniform(-self.jitter, self.jitter) * NS_PER_S / RATE_HZ)
                start_ns = recorded.start_ns + duration_ns(at, RATE_HZ) + late_ns
                found.append(Trace(name, start_ns, RATE_HZ, samples[at : at + n]))
                at += n
        return sorted(found, key=lambda trace: trace.start_ns)


USUAL = Cut(400, 400)
LOST = slice(round(1.8 * HOUR), round(1.8 * HOUR) + 4000)  # when the link breaks for the first time
BREAK = round(2.5 * HOUR)  # the second time


def live(traces: list[Trace], out: Path) -> Summary:
    """Run over records as they come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(traces))))
        return run(RunConfig(("-",), out, model="moon", spool_bytes=0, archive_bytes=10_000_000))


def before_and_after(recorded: SyntheticRecord) -> tuple[list[Trace], list[Trace]]:
    """Return the records up to the second break, without those lost in the first, and the others."""
    before = [*USUAL.records(recorded, 0, LOST.start), *USUAL.records(recorded, LOST.stop, BREAK)]
    return before, USUAL.records(recorded, BREAK, recorded.samples.shape[1])


@pytest.fixture(scope="module")
def once(recorded: SyntheticRecord, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Return the summary of a run in which nothing is sent again."""
    before, after = before_and_after(recorded)
    return live([*before, *after], tmp_path_factory.mktemp("once") / "out")


def samples_by_position(recorded: SyntheticRecord, folder: Path) -> dict[tuple[str, int], int]:
    """Return the samples of an archive by channel and position; none may be there twice."""
    found: dict[tuple[str, int], int] = {}
    for path in sorted(path for path in (folder / "archive").rglob("*.D.*") if path.is_file()):
        index = index_file(path)
        for trace in read_indexed(index, index.headers):
            first = round((trace.start_ns - recorded.start_ns) * RATE_HZ / NS_PER_S)
            for i, value in enumerate(trace.samples.tolist()):
                assert (trace.source_id, first + i) not in found
                found[trace.source_id, first + i] = value
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "again",
    [Cut(400, 400, seed=5), Cut(80, 700, jitter=0.0, seed=3), Cut(80, 700, seed=3), Cut(20, 40, seed=4)],
    ids=["other jitter", "other cuts", "both", "short records"],
)
def test_hours_that_are_sent_again_make_one_event(
    again: Cut, recorded: SyntheticRecord, once: Summary, tmp_path: Path
) -> None:
    """After the second break the link sends an hour and a half again, with the ten minutes that had been lost."""
    before, after = before_and_after(recorded)
    twice = live([*before, *again.records(recorded, HOUR, BREAK), *after], tmp_path / "out")
    assert [event.onset_ns for event in twice.events] == [event.onset_ns for event in once.events]
    assert len(once.events) == 1
    assert twice.restarts == once.restarts and not any("set back" in text for text in twice.warnings)
    assert any(AGAIN in text for text in twice.warnings)
    expected = {
        (name, i): value
        for name, row in zip(recorded.source_ids, recorded.samples.tolist(), strict=True)
        for i, value in enumerate(row)
    }
    assert samples_by_position(recorded, tmp_path / "out") == expected


def test_other_samples_at_the_times_of_others_are_a_clock_set_back(recorded: SyntheticRecord, tmp_path: Path) -> None:
    before = USUAL.records(recorded, 0, HOUR)
    late = Cut(80, 700, seed=3).records(recorded, HOUR, 2 * HOUR)
    back = [Trace(one.source_id, one.start_ns - 5400 * NS_PER_S, RATE_HZ, one.samples) for one in late]
    warnings = live([*before, *back], tmp_path / "out").warnings
    assert "1 time(s) a clock was set back; the station starts anew there" in warnings


YEARS_NS = 3 * 365 * 86_400 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def shifted(traces: list[Trace], by_ns: int) -> list[Trace]:
    return [dataclasses.replace(trace, start_ns=trace.start_ns + by_ns) for trace in traces]


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "a process each"])
def test_a_clock_that_is_wrong_by_years_and_hours_that_come_again_give_one_row_an_event(
    restarts: bool, recorded: SyntheticRecord, tmp_path: Path
) -> None:
    """The quake; those hours again; half an hour of years ahead; back in time; the next day; that day again."""
    first, stop = USUAL.records(recorded, 0, round(2.2 * HOUR)), USUAL.records(recorded, round(2.2 * HOUR), 3 * HOUR)
    ahead = shifted(USUAL.records(recorded, round(2.3 * HOUR), round(2.8 * HOUR)), YEARS_NS)
    next_day = shifted([*first, *stop], DAY_NS)
    parts = [first, first, ahead, stop, next_day, next_day]
    for i, part in enumerate(parts if restarts else [list(chain(*parts))]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode_each(part))))
            config = RunConfig(("-",), tmp_path, "moon", spool_bytes=0, archive_bytes=10**7, budget_bytes=10**6)
            summary = run(dataclasses.replace(config, resume=i > 0))
    onsets_ns = [row.onset_ns for row in summary.events]
    assert len(onsets_ns) == 2, summary.warnings
    true_ns = recorded.start_ns + 4000 * NS_PER_S
    assert abs(onsets_ns[0] - true_ns) < 20 * NS_PER_S and abs(onsets_ns[1] - true_ns - DAY_NS) < 20 * NS_PER_S
    assert len({row.evid for row in summary.events}) == 2


def encode_each(traces: list[Trace]) -> bytes:
    """Encode traces one by one, so that their order and cuts stay as they are."""
    return b"".join(encode([trace]) for trace in traces)
