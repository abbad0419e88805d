"""Power that is lost at any instant of a run: legal states of the disk afterwards, each resumed and judged.

Of each scenario (`power_scenarios`) the calls are recorded (`recording`), a radio is put in that takes files from the
outbox, states that the file system may be in after a power loss are drawn (`crash_states`), and in each of them the run
is resumed, in a process that has loaded the runner once. `power_checks` judges the outcome.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np

from edgequake.benchmarks.robustness.crash_states import (
    CallTrace,
    CrashState,
    Disk,
    Names,
    Operation,
    Sync,
    crash_states,
    write_tree,
)
from edgequake.benchmarks.robustness.power_checks import HOOKED, Case, Seen
from edgequake.benchmarks.robustness.power_scenarios import SCENARIOS, PowerData, Recorded, made_data, record_scenario
from edgequake.edge.__main__ import main
from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.layout import CATALOG, CHECKPOINT, MODELS, OUTBOX
from edgequake.edge.operation.model_store import ACTIVE, OFFER
from edgequake.results.progress import Progress, silent
from edgequake.results.robustness import PowerLosses

_OUTBOX = f"out/{OUTBOX}"
_N_VISITS = 4  # of the radio, in a trace
_MOST_WAITING = 4  # states for each process
_N_TRACES = 4  # with the radio at different instants


def with_radio(trace: CallTrace, rng: np.random.Generator) -> CallTrace:
    """Return a trace in which the radio visits the outbox a few times: it deletes files, and then syncs the folder."""
    for at in sorted(map(int, rng.integers(1, len(trace.operations) + 1, _N_VISITS)), reverse=True):
        disk = trace.disk(at)
        folder = disk.find(_OUTBOX)
        names = [] if folder is None else sorted(name for name in disk.folders[folder] if not name.startswith("."))
        if folder is None or not names:
            continue
        taken = names[: int(rng.integers(1, len(names) + 1))]
        visit: list[Operation] = [Names(((folder, name, None),)) for name in taken]
        trace = trace.with_others(at, [*visit, Sync(folder)])
    return trace


def seen_before(trace: CallTrace, n_done: int) -> Seen:
    """Return what others had seen when power was lost."""
    disk, certain = trace.disk(n_done), trace.after_loss(n_done, {}).tree()
    tree = disk.tree()
    taken, deleted = _taken(trace, disk, n_done)
    return Seen(
        catalog=tree.get(f"out/{CATALOG}") or b"",
        taken=taken,
        deleted=deleted,
        hooked=tuple(sorted(path for path in tree if path.startswith(f"{HOOKED}/"))),
        checkpoint=certain.get(f"out/{CHECKPOINT}"),
        is_offered=any(f"out/{MODELS}/{name}" in certain for name in (OFFER, ACTIVE)),
    )


def _taken(trace: CallTrace, disk: Disk, n_done: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the files that were in the outbox and are deleted: durably, and not durably."""
    folder, unsynced = disk.find(_OUTBOX), trace.unsynced(n_done)
    before = trace.before.find(_OUTBOX)
    numbers = {} if before is None else dict(trace.before.folders[before])
    gone: dict[str, bool] = {}  # whether that is durable
    for i, operation in enumerate(trace.operations[:n_done]):
        for place, name, number in operation.changes if isinstance(operation, Names) else ():
            if place == folder and not name.startswith("."):
                gone.pop(name, None)
                if number is None:
                    gone[name] = i not in unsynced
                else:
                    numbers[name] = number
    content = {name: bytes(disk.files[numbers[name]]) for name in gone if name in numbers}
    return (
        {name: data for name, data in content.items() if gone[name]},
        {name: data for name, data in content.items() if not gone[name]},
    )


@dataclass(frozen=True)
class _Task:
    scenario: str
    state: CrashState
    seen: Seen


def _tasks(recorded: Mapping[str, Recorded], n_states: int, rng: np.random.Generator) -> Iterator[_Task]:
    """Yield different states, evenly over scenarios; where one has no more, more of the others."""
    seen = {name: set[bytes]() for name in recorded}
    n_left, n_before = n_states, 0
    while n_left not in (0, n_before):
        n_before, n_each = n_left, -(-n_left // len(recorded))
        for name, one in recorded.items():
            for task in _of_scenario(name, one, min(n_each, n_left), rng, seen[name]):
                n_left -= 1
                yield task


def _of_scenario(
    name: str, recorded: Recorded, n_states: int, rng: np.random.Generator, seen: set[bytes]
) -> Iterator[_Task]:
    """Yield states of a scenario that are not among those seen; at most so many."""
    has_radio = recorded.scenario.radio and recorded.expected.has_downlink
    n_traces = _N_TRACES if has_radio else 1
    n_left, share = n_states, -(-n_states // n_traces)
    for _ in range(n_traces):
        trace = with_radio(recorded.trace, rng) if has_radio else recorded.trace
        for state in crash_states(trace, min(share, n_left), rng):
            if state.digest not in seen:
                seen.add(state.digest)
                n_left -= 1
                yield _Task(name, state, seen_before(trace, state.n_done))


def resume(recorded: Recorded, folder: Path, state: CrashState, seen: Seen) -> list[str]:
    """Resume a scenario from a state, below `folder`, and judge the outcome; return what is wrong."""
    root = folder / f"{os.getpid()}"
    try:
        write_tree({path: data for path, data in state.tree.items() if not path.startswith(HOOKED)}, root)
        for path in (HOOKED, *seen.hooked):
            (root / path).mkdir()
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(io.StringIO()), _standard_input(recorded):
            code = max(main(command) for command in recorded.resume_commands(root))
        return recorded.scenario.judge(Case(root, root / "out", code, said.getvalue(), seen, recorded.expected))
    except EdgequakeError as problem:  # a result cannot be read
        return [str(problem)]
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _resumed(recorded: Mapping[str, Recorded], folder: Path, task: _Task) -> list[str]:
    where = f"{task.scenario}, after call {task.state.n_done}, {task.state.loss}"
    return [f"{where}: {text}" for text in resume(recorded[task.scenario], folder, task.state, task.seen)]


@contextmanager
def _standard_input(recorded: Recorded) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(recorded.data.feed(recorded.scenario.resume.feed)))
    try:
        yield
    finally:
        sys.stdin = before


_worker: Callable[[_Task], list[str]] | None = None


def _begin_worker(recorded: Mapping[str, Recorded], folder: Path) -> None:
    global _worker
    Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()  # a run collects garbage as it begins: it need not look through all that was imported
    _worker = partial(_resumed, recorded, folder)


def _end_with_parent() -> None:
    """End this process when the one that has started it has ended in any way."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(task: _Task) -> list[str]:
    assert _worker is not None  # set when the process began
    return _worker(task)


def run_power_losses(
    folder: Path,
    n_states: int,
    seed: int,
    data: PowerData | None = None,
    names: Sequence[str] = tuple(SCENARIOS),
    n_workers: int | None = None,
    progress: Progress = silent,
) -> PowerLosses:
    """Lose power in `n_states` different states, evenly over scenarios; resume each and judge the outcome.

    They are fewer where the scenarios have not so many.

    Parameters
    ----------
    folder : an empty one.
    data : the records; None: synthesised ones.
    n_workers : processes that resume; None: one for each core; 0: this process.

    Raises
    ------
    ConfigError
        As `compile_shim`.
    DataError
        An undisturbed run fails or finds no event.
    """
    rng = np.random.default_rng(seed)
    data = made_data(folder, seed) if data is None else data
    recorded = _record_all(folder, data, names)
    used = {name: recorded[name] for name in names}
    tasks = _tasks(used, n_states, rng)
    n_done, failures, by_loss = 0, list[str](), dict[str, int]()
    resumes = folder / "resumed"
    resumes.mkdir()

    def counted() -> Iterator[_Task]:
        for task in tasks:
            by_loss[task.state.loss] = by_loss.get(task.state.loss, 0) + 1
            yield task

    def note(wrong: list[str]) -> None:
        nonlocal n_done
        n_done += 1
        failures.extend(wrong)
        progress(min(1.0, n_done / n_states), "power losses")

    if n_workers == 0:
        for task in counted():
            note(_resumed(used, resumes, task))
    else:
        n_processes = n_workers or len(os.sched_getaffinity(0))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n_processes, context, _begin_worker, (used, resumes)) as pool:
            waiting: set[Future[list[str]]] = set()
            for task in counted():
                waiting.add(pool.submit(_work, task))
                if len(waiting) >= _MOST_WAITING * n_processes:  # the disks of all states would not fit in memory
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for one in done:
                        note(one.result())
            for one in as_completed(waiting):
                note(one.result())
    n_operations = sum(len(one.trace.operations) for one in used.values())
    return PowerLosses(n_done, len(names), n_operations, by_loss, tuple(failures))


def _record_all(folder: Path, data: PowerData, names: Sequence[str]) -> dict[str, Recorded]:
    recorded: dict[str, Recorded] = {}

    def record(name: str) -> Recorded:
        if name not in recorded:
            scenario = SCENARIOS[name]
            prior = None if scenario.prior is None else record(scenario.prior)
            recorded[name] = record_scenario(scenario, folder / name.replace(" ", "-").replace(",", ""), data, prior)
        return recorded[name]

    for name in names:
        record(name)
    data.add_later_file()
    return recorded


def in_memory() -> str | None:
    """Return a folder whose files are in memory, where the system has one: what is resumed need not wait for a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the states, in memory if possible."""
    return tempfile.TemporaryDirectory(prefix="edgequake-power-", dir=in_memory())
