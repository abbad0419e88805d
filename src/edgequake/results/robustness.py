"""What the runner must survive: the reports of `bench faults`, `soak` and `shake`, and their limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from edgequake.results.provenance import Provenance, Report
from edgequake.results.words import size

LONGEST_INPUT_S = 20.0  # a damaged input takes some 50 ms: one that takes this long hangs
DAMAGE_GROWTH_LIMIT_BYTES = 10_000_000  # over all damaged inputs in one process: caches may fill, nothing may pile up
SOAK_GROWTH_LIMIT_BYTES = 1_000_000  # after day 1, whatever the number of days
# With a downlink that cannot keep up: the send queue is in memory, some kilobytes an event, and so are the names of 40
# days of SSAM files.
SERVICES_GROWTH_LIMIT_BYTES = 3_000_000
SHAKE_GROWTH_LIMIT_BYTES = 1_000_000
LOSS, DISORDER, GARBAGE = 0.01, 0.01, 0.02  # shares of the datagrams that the simulated network loses, delays, adds
ONSET_TOLERANCE_S = 1.0  # of an event in the file's run: a lost datagram takes a quarter of a second of one channel


class FaultTest(Report, ABC):
    """Base class of the reports that have limits."""

    @property
    @abstractmethod
    def failed(self) -> tuple[str, ...]:
        """The figures beyond their limits, in words; empty where there are none."""

    def derived(self) -> dict[str, Any]:
        """Return what failed."""
        return {"failed": list(self.failed)}


@dataclass(frozen=True)
class Kills:
    """A run that was killed repeatedly, compared with an undisturbed one."""

    n_kills: int  # that struck a running process
    n_processes: int  # needed to complete the run
    n_resumed: int  # of them, resumed from a checkpoint
    lost_rows: int  # rows that were in the catalogue on disk after a kill and are not in the final one
    partial_files: int  # files that looked complete after a kill and were not
    handed_twice: int  # files of the outbox that appeared again after the radio had taken them
    sent_twice: int  # records in the outbox that were in it before, and are not marked as repeated
    days_over_budget: int  # UTC days that got more bytes than --budget
    identical: bool  # catalogue, segments and all else that was asked for, byte for byte

    @property
    def passed(self) -> bool:
        """Whether nothing was lost."""
        worst = (self.lost_rows, self.partial_files, self.handed_twice, self.sent_twice, self.days_over_budget)
        return self.identical and not any(worst)


@dataclass(frozen=True)
class Mutations:
    """Runs over damaged copies of a record."""

    n_inputs: int
    n_done: int  # completed with a summary
    n_refused: int  # with one line
    n_events_kept: int  # completed runs that still found the record's strongest event
    failures: tuple[str, ...]  # crashes, hangs, too much memory: seed and what happened
    longest_s: float
    growth_bytes: int  # of this process's memory over all runs

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not self.failures


@dataclass(frozen=True)
class FailingCalls:
    """Live runs whose system calls failed."""

    n_runs: int
    n_calls: int  # that change files, of an undisturbed run: those among which the failing ones are chosen
    failures: tuple[str, ...]  # the fault, the number of the call, and what was wrong


@dataclass(frozen=True)
class HostileGraphs:
    """Mutated graphs that were offered to `install` and to runs."""

    n_graphs: int
    n_refused: int  # the others compute the golden vector exactly as the graph did that they were made from
    failures: tuple[str, ...]  # kind, seed, and what was wrong: crashes, hangs, no reason, another model taken
    longest_s: float  # for one graph, offered three times
    reasons: tuple[str, ...] = ()  # of the refusals, each once


@dataclass(frozen=True)
class PowerLosses:
    """Runs that were resumed in states that a file system may be in after a power loss."""

    n_states: int  # all different
    n_scenarios: int  # ways to run
    n_calls: int  # of their undisturbed runs that change files
    by_loss: dict[str, int]  # states by what is left of that which was not synced
    failures: tuple[str, ...]  # scenario, call, what is left, and what was wrong


@dataclass(frozen=True)
class FaultReport(FaultTest):
    """Kills, damaged inputs, failing system calls and hostile graphs; None where that was not asked for."""

    kind = "faults"

    provenance: Provenance
    killed_record: str
    damaged_record: str
    n_events: int  # in the killed runs' catalogue
    kills: Kills | None
    mutations: Mutations | None
    calls: FailingCalls | None = None
    graphs: HostileGraphs | None = None
    power: PowerLosses | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """The figures beyond their limits, in words; empty where there are none."""
        failed = []
        kills, damaged = self.kills, self.mutations
        if kills is not None and not kills.passed:
            failed.append(
                f"after {kills.n_kills} kills {kills.lost_rows} acknowledged events were lost, {kills.partial_files} "
                f"files looked complete and were not, {kills.handed_twice} were handed over again, {kills.sent_twice} "
                f"records were sent twice, {kills.days_over_budget} days exceeded the budget, and the output was "
                f"{'identical to' if kills.identical else 'different from'} that of an undisturbed run"
            )
        if damaged is not None and not damaged.passed:
            failed.append(
                f"{len(damaged.failures)} of {damaged.n_inputs} damaged inputs crashed, hung or were refused in more "
                "than a line"
            )
        if damaged is not None and damaged.growth_bytes > DAMAGE_GROWTH_LIMIT_BYTES:
            failed.append(
                f"memory grew by {size(damaged.growth_bytes)} over the damaged inputs, expected at most "
                f"{size(DAMAGE_GROWTH_LIMIT_BYTES)}"
            )
        if self.calls is not None and self.calls.failures:
            failed.append(
                f"{len(self.calls.failures)} faults in {self.calls.n_runs} runs with failing system calls; the first: "
                f"{self.calls.failures[0]}"
            )
        if self.graphs is not None and self.graphs.failures:
            failed.append(
                f"{len(self.graphs.failures)} of {self.graphs.n_graphs} hostile graphs did harm, or were refused "
                f"without a reason; the first: {self.graphs.failures[0]}"
            )
        if self.power is not None and self.power.failures:
            failed.append(
                f"{len(self.power.failures)} faults after {self.power.n_states} power losses; the first: "
                f"{self.power.failures[0]}"
            )
        return tuple(failed)


@dataclass(frozen=True)
class Soak:
    """Memory over a long synthetic stream."""

    n_days: int
    resident_bytes: tuple[int, ...]  # after each day
    growth_bytes: int  # from the end of day 1 to the largest later value
    n_events: int


@dataclass(frozen=True)
class SoakReport(FaultTest):
    """Memory over a long stream, and its limit."""

    kind = "soak"

    provenance: Provenance
    soak: Soak
    everything: bool = False  # archive, SSAM channel, downlink and hook were on

    @property
    def growth_limit_bytes(self) -> int:
        """The limit of the growth after day 1."""
        return SERVICES_GROWTH_LIMIT_BYTES if self.everything else SOAK_GROWTH_LIMIT_BYTES

    @property
    def failed(self) -> tuple[str, ...]:
        """The figures beyond their limits, in words; empty where there are none."""
        failed = []
        if self.soak.growth_bytes >= self.growth_limit_bytes:
            failed.append(
                f"memory grew by {size(self.soak.growth_bytes)} after day 1, expected less than "
                f"{size(self.growth_limit_bytes)}"
            )
        if self.soak.n_events < self.soak.n_days:
            failed.append(
                f"{self.soak.n_events} events in {self.soak.n_days} days of two moonquakes each: the run misses them"
            )
        return tuple(failed)


@dataclass(frozen=True)
class LiveRunCost:
    """Time and memory of the live run while datagrams arrived."""

    wall_s: float
    cpu_s: float
    resident_bytes: tuple[int, ...]  # every half second
    latest_s: float  # largest delay of the sender behind its plan

    @property
    def growth_bytes(self) -> int:
        """Growth from the largest memory in the first half to that in the second; there are events in both."""
        half = len(self.resident_bytes) // 2
        return max(self.resident_bytes[half:]) - max(self.resident_bytes[:half] or self.resident_bytes)


@dataclass(frozen=True)
class ShakeReport(FaultTest):
    """A live run on datagrams from a bad network, compared with a run over the same signal in a file."""

    kind = "shake"

    provenance: Provenance
    signal_s: float
    speed: float
    n_datagrams: int  # of the signal
    n_sent: int  # without those that were lost on the way, with repeats and garbage
    n_quakes: int  # in the signal
    n_file_events: int
    n_found: int  # of them, by the live run
    largest_onset_s: float  # largest difference between the two onsets of an event
    n_extra: int  # events of the live run that the file's run does not have
    lost_here: int  # datagrams for which the socket's buffer had no room
    cost: LiveRunCost
    summary: dict[str, Any]  # of the live run

    @property
    def cpu_share(self) -> float:
        """CPU time over wall time at the speed of the test."""
        return self.cost.cpu_s / self.cost.wall_s

    @property
    def failed(self) -> tuple[str, ...]:
        """The figures beyond their limits, in words; empty where there are none."""
        failed = []
        if self.n_found < self.n_file_events or self.n_file_events == 0:
            failed.append(f"{self.n_found} of the {self.n_file_events} events of the file's run were found live")
        if self.lost_here:
            failed.append(f"{self.lost_here} datagrams arrived faster than the run could receive them")
        if self.cost.growth_bytes >= SHAKE_GROWTH_LIMIT_BYTES:
            failed.append(f"memory grew by {size(self.cost.growth_bytes)}")
        return tuple(failed)

    def derived(self) -> dict[str, Any]:
        """Return the figures that are compared with limits, and what failed."""
        return {"cpu_share": self.cpu_share, "growth_bytes": self.cost.growth_bytes, **super().derived()}
