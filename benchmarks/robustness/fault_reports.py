"""The benchmarks `faults` and `soak`: power loss, damaged input and months of operation, each against its limit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgequake.benchmarks.robustness.call_faults import run_failing_calls
from edgequake.benchmarks.robustness.crash_recovery import kill_and_resume, run_mutations
from edgequake.benchmarks.robustness.hostile_graphs import offer_graphs
from edgequake.benchmarks.robustness.power_loss import run_power_losses, temporary_folder
from edgequake.benchmarks.robustness.power_scenarios import recorded_data
from edgequake.benchmarks.robustness.soak import soak
from edgequake.data.dataset import load
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError, GateError
from edgequake.edge.results.catalog import read_catalog
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import provenance
from edgequake.results.robustness import LONGEST_INPUT_S, FaultReport, Kills, PowerLosses, SoakReport
from edgequake.synthetic.synthetic_dataset import SyntheticRecord, synthetic_record, write_day, write_miniseed

# All services on: archive (with a limit at which it deletes its oldest files), SSAM channel, downlink.
SERVICE_OPTIONS = ("--archive-bytes", "600000", "--summary-channel", "--budget", "20000", "--pass-every", "600")
# The archive deletes its oldest files from the fourth day on; nothing takes files out of the outbox.
SOAK_OPTIONS = ("--archive-bytes", "5000000", "--summary-channel", "--budget", "20000", "--on-event", "true")


def bench_faults(
    n_kills: int,
    n_mutations: int,
    data: Path | None = None,
    seed: int = 1,
    progress: Progress = silent,
    n_calls: int = 0,
    n_graphs: int = 0,
    n_states: int = 0,
) -> FaultReport:
    """Kill runs over one record, run damaged copies of another, have calls fail, offer hostile graphs, cut power.

    Parameters
    ----------
    n_kills, n_mutations, n_calls, n_graphs, n_states : 0 leaves that part out; `n_states` is the number of states after
        a power loss.
    data : folder of labelled records: the Moon's largest file is used for the kills, its smallest for the damage. Or a
        miniSEED file, for the power losses. None: a synthesised lunar day and a synthesised hour.

    Raises
    ------
    ConfigError
        All numbers are 0; or failing calls are asked for where there is no C compiler.
    DataError
        The folder has no labelled records of the Moon.
    GateError
        A resumed run ends with an error.
    """
    if n_kills == n_mutations == n_calls == n_graphs == n_states == 0:
        raise ConfigError(
            "no kills, no damaged inputs, no failing calls, no graphs and no power losses were asked for; give "
            "--kills, --mutations, --calls, --graphs or --power-loss above 0"
        )
    is_file = data is not None and data.is_file()
    if is_file and n_kills + n_mutations > 0:
        raise ConfigError(f"{data} is a file, which serves --power-loss alone: give --kills 0 --mutations 0")
    # A kill takes half a second to two seconds, a damaged input a twentieth of a second, a graph a second, a state a
    # fifth.
    n_weighed = n_kills + n_mutations / 20 + 2 * n_calls + n_graphs + n_states / 5
    kills_share, mutations_share = n_kills / n_weighed, n_mutations / 20 / n_weighed
    power_share = n_states / 5 / n_weighed
    with tempfile.TemporaryDirectory(prefix="edgequake-faults-") as name:
        folder = Path(name)
        killed, damaged = _synthesised(folder) if data is None else (data, data) if is_file else _recorded(data)
        kills = mutations = calls = graphs = power = None
        n_events = 0
        if n_kills > 0:
            kills, n_events = _kill(killed, folder / "kills", n_kills, seed, part_of(progress, 0, kills_share))
        if n_mutations > 0:
            of_mutations = part_of(progress, kills_share, kills_share + mutations_share)
            mutations = run_mutations(damaged, n_mutations, seed, LONGEST_INPUT_S, of_mutations)
        if n_calls > 0:
            (folder / "calls").mkdir()
            of_calls = part_of(progress, kills_share + mutations_share, 1 - power_share - n_graphs / n_weighed)
            calls = run_failing_calls(folder / "calls", n_calls, seed, of_calls)
        if n_graphs > 0:
            record = write_miniseed(_two_hours(), folder / "xx.lun.quake.mseed")
            of_graphs = part_of(progress, 1 - power_share - n_graphs / n_weighed, 1 - power_share)
            graphs = offer_graphs(record, folder / "graphs", n_graphs, seed, of_graphs)
        if n_states > 0:
            power = _lose_power(None if data is None else killed, n_states, seed, part_of(progress, 1 - power_share, 1))
    kinds = ("a synthesised day", "a synthesised hour") if data is None else (killed.name, damaged.name)
    return FaultReport(provenance(), *kinds, n_events, kills, mutations, calls, graphs, power)


def bench_soak(n_days: int, seed: int = 1, everything: bool = False, progress: Progress = silent) -> SoakReport:
    """Feed synthesised days to one live run, with all services on or the detector alone, and measure its memory."""
    options = SOAK_OPTIONS if everything else ()
    return SoakReport(provenance(), soak(n_days, seed, progress, options), everything)


def _kill(record: Path, folder: Path, n_kills: int, seed: int, progress: Progress) -> tuple[Kills, int]:
    """Return the consequences of the kills, and the number of events of the undisturbed run."""
    try:
        kills = kill_and_resume((str(record),), folder, n_kills, seed, SERVICE_OPTIONS, progress=progress)
    except EdgequakeError as problem:
        if (folder / "alone" / "summary.json").exists():  # the undisturbed run had no problem with the record
            raise GateError(f"a run that was killed and resumed failed: {problem}") from problem
        raise
    return kills, len(read_catalog(folder / "alone" / "catalog.csv"))


def _lose_power(record: Path | None, n_states: int, seed: int, progress: Progress) -> PowerLosses:
    """Lose power in runs over a record; None: a synthesised one."""
    with temporary_folder() as name:
        data = None if record is None else recorded_data(Path(name), record)
        return run_power_losses(Path(name), n_states, seed, data, progress=progress)


def _two_hours() -> SyntheticRecord:
    return synthetic_record(np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)


def _synthesised(folder: Path) -> tuple[Path, Path]:
    """Return a record for the kills and one for the damage, three channels each."""
    hour = synthetic_record(np.random.default_rng(1), 3600.0, (1500.0,), ratios=(25.0,), noise_counts=0.5)
    return write_day(folder / "day", seed=1), write_miniseed(hour, folder / "xx.lun.hour.mseed")


def _recorded(data: Path) -> tuple[Path, Path]:
    """Return the largest and the smallest of a folder's Moon records."""
    files = {record.file.resolve() for record in load(data, "moon") if record.file.suffix != ".csv"}
    if not files:
        raise DataError(f"{data} holds no miniSEED of the Moon, only CSV; name a folder whose records.csv lists some")
    by_size = sorted(files, key=lambda file: (file.stat().st_size, file.name))
    return by_size[-1], by_size[0]
