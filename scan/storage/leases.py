"""Leases: which driver works on which shard, in files, so that several share one output folder.

A lease is a file that names its driver; a driver shows that it lives by the time of one file of its own. A driver that
was silent for `LEASE_S`, or whose process has ended on this machine, has lost its leases. Whoever takes a lease holds
the kernel's lock on the folder meanwhile, so that two never take the same one. Should two work on one shard all the
same (a machine was cut off and came back), nothing is lost: what they write is the same, to the same names.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.process_identity import process_identity, why_dead
from edgequake.scan.storage.file_lock import locked

LEASE_S = 60.0  # without a sign of life
_SIGNS_S = 10.0  # between two signs


class Leases:
    """The leases of one driver, as a context manager: at its end all are given back."""

    def __init__(self, leases: Path, drivers: Path, lease_s: float = LEASE_S) -> None:
        self._leases, self._drivers, self._lease_s = leases, drivers, lease_s
        self.driver_id = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._own = drivers / f"{self.driver_id}.json"
        self._held: set[str] = set()
        self._ended = threading.Event()
        self._signs = threading.Thread(target=self._give_signs, daemon=True)

    def __enter__(self) -> Leases:
        identity = {"host": platform.node(), "process": process_identity()}
        try:
            self._own.write_text(json.dumps(identity))
        except OSError as problem:
            raise DataError(f"cannot write {self._own}: {problem.strerror or problem}") from problem
        self._signs.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for name in list(self._held):
            self.give_back(name)
        with suppress(OSError):
            self._own.unlink()

    def take(self, name: str) -> bool:
        """Take the lease of a shard; False: another driver that lives has it.

        Raises
        ------
        DataError
            It cannot be written.
        """
        path = self._leases / name
        try:
            with locked(self._leases / ".lock"):
                holder = _holder(path)
                if holder not in (None, self.driver_id) and self._lives(str(holder)):
                    return False
                path.write_text(self.driver_id)
        except OSError as problem:
            raise DataError(f"cannot write {path}: {problem.strerror or problem}") from problem
        self._held.add(name)
        return True

    def give_back(self, name: str) -> None:
        """Give a lease back."""
        self._held.discard(name)
        path = self._leases / name
        with suppress(OSError):
            if _holder(path) == self.driver_id:
                path.unlink()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other driver brings index, plan or results up to date, and keep others from it meanwhile."""
        with locked(self._leases / ".preparing"):
            yield

    def others(self) -> list[str]:
        """Return the other drivers that live."""
        ids = [path.stem for path in self._drivers.glob("*.json")]
        return [driver_id for driver_id in ids if driver_id != self.driver_id and self._lives(driver_id)]

    def _lives(self, driver_id: str) -> bool:
        path = self._drivers / f"{driver_id}.json"
        try:
            os.utime(self._own)  # both times are of the disk's clock
            age_s = self._own.stat().st_mtime - path.stat().st_mtime
            identity = json.loads(path.read_text())
            dead = why_dead(identity["process"], identity["host"])
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):  # it is being written
            dead = None
        if dead is None and age_s <= self._lease_s:
            return True
        with suppress(OSError):
            path.unlink()
        return False

    def _give_signs(self) -> None:
        while not self._ended.wait(_SIGNS_S):
            with suppress(OSError):
                os.utime(self._own)


def _holder(path: Path) -> str | None:
    try:
        return path.read_text() or None
    except FileNotFoundError:
        return None
