"""The scan: an archive in, a catalogue out. `scan` reads top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import GateError, Stopped
from edgequake.scan.driving import Driver, Piece, Progress
from edgequake.scan.engines import DaskEngine, Engine
from edgequake.scan.planning import Plan, PlannedShard
from edgequake.scan.preparation import PreparedScan, ScanConfig, prepare
from edgequake.scan.scan_results import ScanResult, write_results
from edgequake.scan.seams import SeamReport, check_seam, seam_report
from edgequake.scan.shard_run import ScanTask, run_shard
from edgequake.scan.storage.leases import Leases
from edgequake.scan.storage.scan_folder import ScanFolder, write_json

_MOST_REASONS = 3  # of failed shards, in one message


def scan(
    config: ScanConfig,
    control: Control | None = None,
    show: Callable[[Progress], None] = lambda progress: None,
    engine: Engine | None = None,
) -> ScanResult:
    """Run a model over an archive; go on with what an earlier, killed or interrupted command has left.

    Parameters
    ----------
    control : asks a running scan to stop; takes its log.
    show : called now and then with how far the scan has come.
    engine : by default Dask's, as the configuration says; it is closed at the end.

    Raises
    ------
    GateError
        Shards have failed, or sampled seams show more difference than allowed.
    Stopped
        `control` asked to stop: the same command goes on.
    EdgequakeError
        Unusable options, archive or model.
    """
    control = control or Control()
    folder = ScanFolder(config.out.resolve())  # workers may have another working folder
    folder.make()
    with ExitStack() as stack:
        leases = stack.enter_context(Leases(folder.leases, folder.drivers))
        with leases.alone():
            prepared = prepare(config, folder, control.log, leases.others())
        engine = engine or DaskEngine(config.n_workers, config.scheduler)
        stack.callback(engine.close)
        if config.retries_failed:
            for planned in prepared.plan.planned():
                folder.forgive(planned.id)
        _drive_shards(prepared, leases, engine, control, show)
        with leases.alone():
            seams = _look_at_seams(prepared, engine, control)
            result = write_results(folder, prepared.plan, seams, prepared.warnings)
    _require_success(folder, result, config)
    return result


@dataclass(frozen=True)
class ShardMarks:
    """Marks of shards in files, with leases."""

    folder: ScanFolder
    leases: Leases

    def is_done(self, name: str) -> bool:
        return self.folder.is_done(name)

    def has_failed(self, name: str) -> bool:
        return self.folder.has_failed(name)

    def take(self, name: str) -> bool:
        return self.leases.take(name)

    def give_back(self, name: str) -> None:
        self.leases.give_back(name)

    def fail(self, name: str, why: str) -> None:
        self.folder.mark_failed(name, {"id": name, "title": name, "why": why})


def _drive_shards(
    prepared: PreparedScan, leases: Leases, engine: Engine, control: Control, show: Callable[[Progress], None]
) -> None:
    folder, plan = prepared.folder, prepared.plan
    done = folder.done()
    if prepared.is_chained and not leases.others():
        _rewind(prepared, done)
    driver = Driver(
        chains_of(plan),
        ShardMarks(folder, leases),
        engine,
        run_planned,
        lambda piece: (prepared.task, str(folder.plans), plan.id, piece.key),
        done,
        folder.failed(),
    )
    if not driver.run(control, show):
        driver.give_back()
        raise Stopped(f"stopped; what is done stays in {folder.path}, and the same command goes on")


def chains_of(plan: Plan) -> Iterator[list[Piece]]:
    """Yield the shards of a plan in chains; those of a chain stand together in the plan."""
    chain, number = [], None
    for planned in plan.planned():
        if number is not None and planned.chain != number:
            yield chain
            chain = []
        number = planned.chain
        chain.append(Piece(planned.id, planned.record_s, planned))
    if chain:
        yield chain


def _rewind(prepared: PreparedScan, done: set[str]) -> None:
    """Have shards run again whose states later ones need: they are kept for the last two of a chain alone."""
    folder = prepared.folder
    for chain in chains_of(prepared.plan):
        i = next((i for i, piece in enumerate(chain) if piece.name not in done), None)
        while i and not folder.state(chain[i - 1].name).exists():
            i -= 1
            folder.forget(chain[i].name)
            done.discard(chain[i].name)


def run_planned(task: ScanTask, folder: str, plan_id: str, planned: PlannedShard) -> dict[str, Any]:
    """Run a shard of a plan, in a worker; as `run_shard`."""
    return run_shard(task, Plan(Path(folder), plan_id).shard(planned))


class _SeamMarks:
    """Marks of looks at seams: each driver takes them all, they are few and always find the same."""

    def __init__(self, folder: ScanFolder) -> None:
        self._folder = folder
        self.problems: list[str] = []

    def is_done(self, name: str) -> bool:
        return (self._folder.seams / f"{name}.json").exists()

    def has_failed(self, name: str) -> bool:
        return False

    def take(self, name: str) -> bool:
        return True

    def give_back(self, name: str) -> None:
        pass

    def fail(self, name: str, why: str) -> None:
        self.problems.append(why)


def _look_at_seams(prepared: PreparedScan, engine: Engine, control: Control) -> SeamReport | None:
    """Have the sampled seams between shards that are done run again; None: there is no such seam."""
    folder, marks = prepared.folder, _SeamMarks(prepared.folder)
    pairs = [pair for pair in prepared.seams if all(folder.is_done(shard.id) for shard in pair)]
    if not pairs:
        return None
    control.log(f"{len(pairs)} boundary(ies) of shards: both sides are run again as one")
    driver = Driver(
        [[Piece(second.id, 1.0, (first, second))] for first, second in pairs],
        marks,
        engine,
        check_seam,
        lambda piece: (prepared.task, *piece.key),
        {second.id for _, second in pairs if marks.is_done(second.id)},
        set(),
    )
    if not driver.run(control):
        raise Stopped(f"stopped; what is done stays in {folder.path}, and the same command goes on")
    report = seam_report(folder, (second.id for _, second in pairs if marks.is_done(second.id)), prepared.is_chained)
    if report.n_seams < len(pairs):
        control.log(f"{len(pairs) - report.n_seams} boundary(ies) could not be looked at again: their states are gone")
    write_json(folder.seam_report, asdict(report))
    return report


def _require_success(folder: ScanFolder, result: ScanResult, config: ScanConfig) -> None:
    """Raise GateError where shards have failed, or the sampled seams differ."""
    if result.failed:
        reasons = "; ".join(f"{one['title']}: {one['why']}" for one in result.failed[:_MOST_REASONS])
        more = len(result.failed) - _MOST_REASONS
        raise GateError(
            f"{len(result.failed)} shard(s) have failed, and {result.n_blocked} wait for them: {reasons}"
            + (f"; {more} more, in {folder.path / 'failed'}" if more > 0 else "")
            + "; try them again with --retry-failed"
        )
    seams = result.seams
    if seams is None:
        return
    if seams.is_chained and seams.n_unequal:
        raise GateError(f"the events at shard boundaries are not those of a serial run: {seams.text()}")
    if not seams.is_chained and seams.share_differing > config.most_differing:
        raise GateError(
            f"{seams.text()}, allowed {100 * config.most_differing:g} %: use a longer --lead-in, or the chained mode"
        )
