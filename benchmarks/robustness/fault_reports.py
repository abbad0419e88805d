"""The long form of the fault tests: power loss, damaged input and months of running, each against its limit."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.robustness.crash_recovery import Kills, Mutations, kill_and_resume, run_mutations
from edgequake.benchmarks.robustness.soak import Soak, soak
from edgequake.benchmarks.text_tables import align
from edgequake.data.dataset import load
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError, GateError
from edgequake.edge.results.catalog import read_catalog
from edgequake.results.provenance import Provenance, provenance
from edgequake.synthetic.synthetic_dataset import synthetic_record, write_day, write_miniseed

Progress = Callable[[float, str], None]  # takes the share done and what is being done

LONGEST_INPUT_S = 20.0  # a damaged input takes some 50 ms: one that takes this long hangs
DAMAGE_GROWTH_LIMIT_BYTES = 10_000_000  # over all damaged inputs in one process: caches may fill, nothing may pile up
SOAK_GROWTH_LIMIT_BYTES = 1_000_000  # after day 1, whatever the number of days
# With a downlink that cannot keep up: what waits is remembered, some kilobytes an event, and the names of 40 days of
# the summary channel's files.
STORE_GROWTH_LIMIT_BYTES = 3_000_000
# Everything on: archive (with a cap that makes it let go of its oldest), summary channel, downlink.
STORE_OPTIONS = ("--archive-bytes", "600000", "--summary-channel", "--budget", "20000", "--pass-every", "600")
# The archive lets go of its oldest after the fourth day; nobody takes anything out of the outbox.
SOAK_OPTIONS = ("--archive-bytes", "5000000", "--summary-channel", "--budget", "20000", "--on-event", "true")
N_SHOWN = 5  # failures named in a table; all of them are in the JSON


@dataclass(frozen=True)
class FaultReport:
    """What became of runs that were killed and of damaged inputs; None where that was not asked for."""

    provenance: Provenance
    killed_record: str
    damaged_record: str
    n_events: int  # in the killed runs' catalogue
    kills: Kills | None
    mutations: Mutations | None

    @property
    def failed(self) -> tuple[str, ...]:
        """What is worse than its limit, in words; empty where nothing is."""
        return (*self._kills_failed(), *self._mutations_failed())

    def table(self) -> str:
        """Return the report as text for people."""
        rows = [["", "measured", "limit"]]
        if self.kills is not None:
            kills = self.kills
            rows += [
                [f"kill -9, over {self.killed_record}", f"{kills.n_kills}", ""],
                ["  processes that it took", f"{kills.n_processes}", ""],
                ["  of them resumed from a checkpoint", f"{kills.n_resumed}", ""],
                ["  events", f"{self.n_events}", ""],
                ["  acknowledged events lost", f"{kills.lost_rows}", "0"],
                ["  files that looked complete and were not", f"{kills.partial_files}", "0"],
                ["  files handed to the radio again", f"{kills.handed_twice}", "0"],
                ["  records sent twice and not marked", f"{kills.sent_twice}", "0"],
                ["  days over the budget", f"{kills.days_over_budget}", "0"],
                ["  output that of an undisturbed run", "yes" if kills.identical else "no", "yes"],
            ]
        if self.mutations is not None:
            damaged = self.mutations
            rows += [
                [f"damaged copies of {self.damaged_record}", f"{damaged.n_inputs}", ""],
                ["  run to their end", f"{damaged.n_done}", ""],
                ["  refused in one line", f"{damaged.n_refused}", ""],
                ["  with an event found", f"{damaged.n_events_kept}", ""],
                ["  crashes, hangs, refusals of more than a line", f"{len(damaged.failures)}", "0"],
                ["  longest", f"{damaged.longest_s:.2f} s", f"{LONGEST_INPUT_S:g} s"],
                ["  memory growth", _megabytes(damaged.growth_bytes), _megabytes(DAMAGE_GROWTH_LIMIT_BYTES)],
            ]
        shown = self.mutations.failures[:N_SHOWN] if self.mutations is not None else ()
        return "\n".join([align(rows), *shown])

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "faults", **dataclasses.asdict(self), "failed": list(self.failed)}

    def _kills_failed(self) -> list[str]:
        if self.kills is None or self.kills.passed:
            return []
        return [
            f"after {self.kills.n_kills} kills {self.kills.lost_rows} acknowledged events were lost, "
            f"{self.kills.partial_files} files looked complete and were not, {self.kills.handed_twice} were handed "
            f"over again, {self.kills.sent_twice} records were sent twice, {self.kills.days_over_budget} days got "
            f"more than the budget, and the output was {'that' if self.kills.identical else 'not that'} of an "
            f"undisturbed run"
        ]

    def _mutations_failed(self) -> list[str]:
        if self.mutations is None:
            return []
        failed = []
        if not self.mutations.passed:
            n_failures, n_inputs = len(self.mutations.failures), self.mutations.n_inputs
            failed.append(
                f"{n_failures} of {n_inputs} damaged inputs crashed, hung or were refused in more than a line"
            )
        if self.mutations.growth_bytes > DAMAGE_GROWTH_LIMIT_BYTES:
            failed.append(
                f"memory grew by {_megabytes(self.mutations.growth_bytes)} over the damaged inputs, expected at most "
                f"{_megabytes(DAMAGE_GROWTH_LIMIT_BYTES)}"
            )
        return failed


@dataclass(frozen=True)
class SoakReport:
    """Memory over a long stream."""

    provenance: Provenance
    soak: Soak
    everything: bool = False  # archive, summary channel, downlink and hook were on

    @property
    def growth_limit_bytes(self) -> int:
        """What memory may grow by after day 1."""
        return STORE_GROWTH_LIMIT_BYTES if self.everything else SOAK_GROWTH_LIMIT_BYTES

    @property
    def failed(self) -> tuple[str, ...]:
        """What is worse than its limit, in words; empty where nothing is."""
        failed = []
        if self.soak.growth_bytes >= self.growth_limit_bytes:
            failed.append(
                f"memory grew by {_megabytes(self.soak.growth_bytes)} after day 1, expected less than "
                f"{_megabytes(self.growth_limit_bytes)}"
            )
        if self.soak.n_events < self.soak.n_days:
            failed.append(
                f"{self.soak.n_events} events in {self.soak.n_days} days of two moonquakes each: not listening"
            )
        return tuple(failed)

    def table(self) -> str:
        """Return the report as text for people."""
        sizes = self.soak.resident_bytes
        rows = [
            ["", "measured", "limit"],
            ["days", f"{self.soak.n_days}", ""],
            ["events", f"{self.soak.n_events}", f">= {self.soak.n_days}"],
            ["memory after day 1", _megabytes(sizes[0]), ""],
            ["memory after the last day", _megabytes(sizes[-1]), ""],
            ["most memory after any day", _megabytes(max(sizes)), ""],
            ["growth after day 1", _megabytes(self.soak.growth_bytes), f"< {_megabytes(self.growth_limit_bytes)}"],
        ]
        return align(rows)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "soak", **dataclasses.asdict(self), "failed": list(self.failed)}


def bench_faults(
    n_kills: int, n_mutations: int, data: Path | None = None, seed: int = 1, progress: Progress | None = None
) -> FaultReport:
    """Kill runs over a record at random instants, and run damaged copies of another.

    Parameters
    ----------
    n_kills, n_mutations : 0 leaves that part out.
    data : folder of labelled records: the Moon's largest file is killed over, its smallest one damaged. None: a
        synthesised lunar day and a synthesised hour.

    Raises
    ------
    ConfigError
        Nothing was asked for.
    DataError
        The folder holds no labelled records of the Moon.
    GateError
        A resumed run ends with an error.
    """
    if n_kills == 0 and n_mutations == 0:
        raise ConfigError("no kills and no damaged inputs were asked for; give --kills or --mutations above 0")
    # Longer in all: a kill costs half a second to two, a damaged input a twentieth.
    kills_share = n_kills / (n_kills + n_mutations / 20)
    with tempfile.TemporaryDirectory(prefix="edgequake-faults-") as name:
        folder = Path(name)
        killed, damaged = _synthesised(folder) if data is None else _real(data)
        kills = mutations = None
        n_events = 0
        if n_kills > 0:
            tell = _part(progress, 0.0, kills_share)
            kills, n_events = _kill(killed, folder / "kills", n_kills, seed, tell)
        if n_mutations > 0:
            tell = _part(progress, kills_share, 1.0)
            mutations = run_mutations(damaged, n_mutations, seed, LONGEST_INPUT_S, tell)
    kinds = ("a synthesised day", "a synthesised hour") if data is None else (killed.name, damaged.name)
    return FaultReport(provenance(), *kinds, n_events, kills, mutations)


def bench_soak(n_days: int, seed: int = 1, everything: bool = False, progress: Progress | None = None) -> SoakReport:
    """Feed synthesised days to one live run, with `everything` on or only the detector, and watch its memory."""
    options = SOAK_OPTIONS if everything else ()
    return SoakReport(provenance(), soak(n_days, seed, progress, options), everything)


def _kill(record: Path, folder: Path, n_kills: int, seed: int, progress: Progress | None) -> tuple[Kills, int]:
    """Return what came of the kills, and the number of events of the undisturbed run."""
    try:
        kills = kill_and_resume((str(record),), folder, n_kills, seed, STORE_OPTIONS, progress=progress)
    except EdgequakeError as problem:
        if (folder / "alone" / "summary.json").exists():  # undisturbed, the record was fine
            raise GateError(f"a run that was killed and resumed failed: {problem}") from problem
        raise
    return kills, len(read_catalog(folder / "alone" / "catalog.csv"))


def _synthesised(folder: Path) -> tuple[Path, Path]:
    """Return a record to be killed over and one to be damaged, three channels each."""
    hour = synthetic_record(np.random.default_rng(1), 3600.0, (1500.0,), ratios=(25.0,), noise_counts=0.5)
    return write_day(folder / "day", seed=1), write_miniseed(hour, folder / "xx.lun.hour.mseed")


def _real(data: Path) -> tuple[Path, Path]:
    """Return the largest and the smallest of a folder's Moon records."""
    files = {record.file.resolve() for record in load(data, "moon") if record.file.suffix != ".csv"}
    if not files:
        raise DataError(f"{data} holds no miniSEED of the Moon, only CSV; name a folder whose records.csv lists some")
    by_size = sorted(files, key=lambda file: (file.stat().st_size, file.name))
    return by_size[-1], by_size[0]


def _part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Return what shows the progress of one part as that of the whole."""
    if progress is None:
        return None
    return lambda share, words: progress(start + share * (stop - start), words)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
