"""Fault tests as tables: each figure beside its limit."""

from __future__ import annotations

from collections.abc import Iterator

from edgequake.results.robustness import (
    DAMAGE_GROWTH_LIMIT_BYTES,
    DISORDER,
    GARBAGE,
    LONGEST_INPUT_S,
    LOSS,
    ONSET_TOLERANCE_S,
    SHAKE_GROWTH_LIMIT_BYTES,
    FaultReport,
    ShakeReport,
    SoakReport,
)
from edgequake.results.tables.table import Table
from edgequake.results.words import size

N_SHOWN = 5  # failures named in a table; all of them are in the JSON
Row = tuple[str, str, str]


def faults_table(report: FaultReport) -> Table:
    """Return the results of kills and of damaged inputs."""
    shown = report.mutations.failures[:N_SHOWN] if report.mutations is not None else ()
    shown += report.calls.failures[:N_SHOWN] if report.calls is not None else ()
    shown += report.graphs.failures[:N_SHOWN] if report.graphs is not None else ()
    shown += report.power.failures[:N_SHOWN] if report.power is not None else ()
    rows = (*_kills(report), *_mutations(report), *_calls(report), *_graphs(report), *_power(report))
    return _table("Power loss and damaged input", rows, shown)


def soak_table(report: SoakReport) -> Table:
    """Return the memory over a long stream."""
    sizes = report.soak.resident_bytes
    rows = (
        ("days", f"{report.soak.n_days}", ""),
        ("events", f"{report.soak.n_events}", f"≥ {report.soak.n_days}"),
        ("memory after day 1", size(sizes[0]), ""),
        ("memory after the last day", size(sizes[-1]), ""),
        ("most memory after any day", size(max(sizes)), ""),
        ("growth after day 1", size(report.soak.growth_bytes), f"< {size(report.growth_limit_bytes)}"),
    )
    return _table("Memory over a long stream", rows)


def shake_table(report: ShakeReport) -> Table:
    """Return the events and the cost of a live run on datagrams."""
    cost = report.cost
    rows = (
        (f"signal, 3 channels, {report.speed:g} times as fast as a Shake", f"{report.signal_s / 60:.1f} min", ""),
        ("datagrams of the signal", f"{report.n_datagrams}", ""),
        (f"  sent: {LOSS:.0%} lost, {DISORDER:.0%} late, {DISORDER:.0%} twice, {GARBAGE:.0%} garbage added",
         f"{report.n_sent}", ""),
        ("  lost for lack of room", f"{report.lost_here}", "0"),
        ("quakes in the signal", f"{report.n_quakes}", ""),
        ("events of the file's run", f"{report.n_file_events}", ""),
        (f"  found live, onset within {ONSET_TOLERANCE_S:g} s", f"{report.n_found}", "all"),
        ("  largest difference of onset", f"{report.largest_onset_s:.2f} s", f"{ONSET_TOLERANCE_S:.2f} s"),
        ("events found live only", f"{report.n_extra}", ""),
        ("CPU time over wall time, at this speed", f"{report.cpu_share:.1%}", ""),
        ("  at the speed of a Shake", f"{report.cpu_share / report.speed:.2%}", ""),
        ("memory, largest", size(max(cost.resident_bytes)), ""),
        ("  growth from the first half to the second", size(cost.growth_bytes), f"< {size(SHAKE_GROWTH_LIMIT_BYTES)}"),
    )  # fmt: skip
    return _table("A Raspberry Shake on a bad network", rows)


def _kills(report: FaultReport) -> Iterator[Row]:
    if (kills := report.kills) is not None:
        yield f"kill -9, over {report.killed_record}", f"{kills.n_kills}", ""
        yield "  processes needed", f"{kills.n_processes}", ""
        yield "  of them resumed from a checkpoint", f"{kills.n_resumed}", ""
        yield "  events", f"{report.n_events}", ""
        yield "  acknowledged events lost", f"{kills.lost_rows}", "0"
        yield "  files that looked complete and were not", f"{kills.partial_files}", "0"
        yield "  files handed to the radio again", f"{kills.handed_twice}", "0"
        yield "  records sent twice and not marked", f"{kills.sent_twice}", "0"
        yield "  days over the budget", f"{kills.days_over_budget}", "0"
        yield "  output identical to that of an undisturbed run", "yes" if kills.identical else "no", "yes"


def _mutations(report: FaultReport) -> Iterator[Row]:
    if (damaged := report.mutations) is not None:
        yield f"damaged copies of {report.damaged_record}", f"{damaged.n_inputs}", ""
        yield "  run to their end", f"{damaged.n_done}", ""
        yield "  refused in one line", f"{damaged.n_refused}", ""
        yield "  with an event found", f"{damaged.n_events_kept}", ""
        yield "  crashes, hangs, refusals of more than a line", f"{len(damaged.failures)}", "0"
        yield "  longest", f"{damaged.longest_s:.2f} s", f"{LONGEST_INPUT_S:g} s"
        yield "  memory growth", size(damaged.growth_bytes), size(DAMAGE_GROWTH_LIMIT_BYTES)


def _graphs(report: FaultReport) -> Iterator[Row]:
    if (graphs := report.graphs) is not None:
        yield "mutated graphs, offered to install and to runs", f"{graphs.n_graphs}", ""
        yield "  refused with a reason", f"{graphs.n_refused}", ""
        yield "  equal to the graph that they were made from", f"{graphs.n_graphs - graphs.n_refused}", ""
        yield "  harm: crashes, hangs, another model taken", f"{len(graphs.failures)}", "0"
        yield "  longest, for three offers", f"{graphs.longest_s:.1f} s", ""


def _calls(report: FaultReport) -> Iterator[Row]:
    if (calls := report.calls) is not None:
        yield f"live runs with failing system calls, of {calls.n_calls}", f"{calls.n_runs}", ""
        yield "  events lost, crashes, tracebacks, records sent twice", f"{len(calls.failures)}", "0"


def _power(report: FaultReport) -> Iterator[Row]:
    if (power := report.power) is not None:
        yield f"states after a power loss, of {power.n_scenarios} ways to run", f"{power.n_states}", ""
        yield "  calls after which power was lost", f"{power.n_calls}", ""
        yield "  events, samples or files lost, changed, or handed over twice", f"{len(power.failures)}", "0"


def _table(title: str, rows: tuple[Row, ...], notes: tuple[str, ...] = ()) -> Table:
    return Table(title, ("", "measured", "limit"), rows, notes)
