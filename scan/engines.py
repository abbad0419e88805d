"""Engines: what runs the shards. Dask's processes, or this process itself.

A driver hands over a shard and gets a small dictionary back, one by one, and never more than a few at a time: a Dask
scheduler with 100 000 futures takes a minute before it begins. Nothing of a scan's state is in the engine.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edgequake.edge.base.errors import ConfigError, DataError

_GONE = "the Dask scheduler is gone; start the scan again, it goes on where it was"
Work = Callable[..., dict[str, Any]]
_MOST_DEATHS = 10  # of workers with one shard, before the shard is to blame
_LONGEST_START_S = 60.0  # of a worker, or of a connection
_LONGEST_ALONE_S = 300.0  # without any worker of this machine
_COUNTED_S = 5.0  # between two counts of the workers, of which a cluster may get more


@dataclass(frozen=True)
class WorkOutcome:
    """What became of a piece of work."""

    name: str
    result: dict[str, Any] | None
    problem: str | None = None  # why there is no result


class Engine(Protocol):
    """Runs work, each piece once."""

    @property
    def n_workers(self) -> int:
        """Pieces that are run at a time at present; 0: no worker is there, but one may come.

        Raises
        ------
        DataError
            None will come.
        """

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows the workers."""

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        """Have `work` called with `arguments`."""

    def next_outcome(self, timeout_s: float) -> WorkOutcome | None:
        """Return the next piece that has ended; None: none has for so long.

        Raises
        ------
        DataError
            The engine is gone.
        """

    def close(self) -> None:
        """Give up what is not done; no more work is taken."""


class InProcess:
    """Runs work in this process, when its outcome is asked for."""

    n_workers = 1
    dashboard = None

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Work, tuple[Any, ...]]] = deque()

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        self._waiting.append((name, work, arguments))

    def next_outcome(self, timeout_s: float) -> WorkOutcome | None:
        if not self._waiting:
            return None
        name, work, arguments = self._waiting.popleft()
        return WorkOutcome(name, work(*arguments))

    def close(self) -> None:
        self._waiting.clear()


class LostWorkers:
    """Has workers started for those that died while they were starting: Dask gives those up.

    First the cluster is told to forget them, and later to have as many as wanted: new ones.
    """

    def __init__(self, n_wanted: int, now_s: float) -> None:
        self._n_wanted = self._n_told = n_wanted
        self._complete_s = self._alive_s = now_s

    def n_asked(self, n_workers: int, now_s: float) -> int | None:
        """Return how many workers the cluster is to have from now on; None: as before.

        Raises
        ------
        DataError
            There has been no worker for long.
        """
        if n_workers:
            self._alive_s = now_s
        elif now_s - self._alive_s >= _LONGEST_ALONE_S:
            raise DataError(f"no worker has lived for {_LONGEST_ALONE_S:.0f} s; start the scan again, it goes on")
        if n_workers >= self._n_wanted:
            self._complete_s = now_s
        if self._n_told < self._n_wanted:
            self._n_told, self._complete_s = self._n_wanted, now_s
            return self._n_told
        if now_s - self._complete_s >= _LONGEST_START_S:
            self._n_told = n_workers
            return n_workers
        return None


class DaskEngine:
    """Runs work on a Dask cluster: processes of this machine with one thread each, or a scheduler that is running."""

    def __init__(self, n_workers: int | None = None, scheduler: str | None = None) -> None:
        """Start a cluster of so many processes (None: one a core), or connect to the scheduler at an address.

        Raises
        ------
        ConfigError
            Dask is not installed, or there is no scheduler.
        """
        try:
            import dask
            from dask.system import CPU_COUNT
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as problem:
            raise ConfigError("a scan needs Dask: pip install 'edgequake[scan]'") from problem
        dask.config.set({"distributed.scheduler.allowed-failures": _MOST_DEATHS})
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a lost scheduler is told in one line
        self._cluster = None
        self._outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._n_submitted = 0
        self._n_workers, self._count_again_s = 0, 0.0
        n_wanted = n_workers or CPU_COUNT
        self._lost = LostWorkers(n_wanted, time.monotonic())
        if scheduler is None:
            # One thread a process: more, in each of them, would share the cores with those of the others.
            self._cluster = LocalCluster(
                n_workers=0,  # or a worker that dies while it starts would end the scan
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                silence_logs="CRITICAL",
            )
            cluster_loop: Any = self._cluster.loop
            # A worker that dies while it starts is replaced, without a traceback of Dask's.
            cluster_loop.asyncio_loop.set_exception_handler(lambda loop, context: None)
            self._cluster.scale(n_wanted)
        try:
            self._client = Client(self._cluster or scheduler, timeout=_LONGEST_START_S, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise ConfigError(f"--scheduler {scheduler}: no Dask scheduler answers there ({problem})") from problem

    @property
    def n_workers(self) -> int:
        now_s = time.monotonic()
        if now_s >= self._count_again_s:
            try:
                self._n_workers = sum(self._client.nthreads().values())
            except (OSError, RuntimeError) as problem:
                raise DataError(_GONE) from problem
            n_asked = None if self._cluster is None else self._lost.n_asked(self._n_workers, now_s)
            if self._cluster is not None and n_asked is not None:
                self._cluster.scale(n_asked)
            is_short = not self._n_workers and n_asked is None
            self._count_again_s = now_s + (_COUNTED_S / 10 if is_short else _COUNTED_S)
        return self._n_workers

    @property
    def dashboard(self) -> str | None:
        return str(self._client.dashboard_link) or None

    @property
    def worker_pids(self) -> list[int]:
        """Processes of the workers, to watch or to kill them."""
        return [int(facts["pid"]) for facts in self._client.run(_pid).values()]

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        self._n_submitted += 1
        # The scheduler keeps a few kB for each first word of a key, for ever: no name of its own for each shard.
        future = self._client.submit(work, *arguments, key=f"shard-{self._n_submitted}", pure=False)
        self._futures[name] = future
        future.add_done_callback(lambda ended: self._outcomes.put((name, ended)))

    def next_outcome(self, timeout_s: float) -> WorkOutcome | None:
        try:
            name, future = self._outcomes.get(timeout=timeout_s)
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise DataError(_GONE) from None
            return None
        if self._futures.pop(name, None) is None:
            return None
        if future.status == "finished":
            return WorkOutcome(name, future.result())
        if future.status == "cancelled":
            raise DataError("the Dask scheduler has given up the scan's work; start the scan again, it goes on")
        problem = future.exception()
        return WorkOutcome(name, None, f"{type(problem).__name__}: {problem}")

    def close(self) -> None:
        for future in self._futures.values():
            future.cancel()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _pid() -> dict[str, int]:
    import os

    return {"pid": os.getpid()}
