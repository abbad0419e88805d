"""The files of an SDS archive as bytes: appended to, evicted oldest first under a size limit, put back after a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgequake.edge.archive.day_records import (
    RECORD_BYTES,
    complete_bytes,
    cut_back,
    ends_in_doubt,
    fingerprint,
    fingerprints,
    keep_tail,
)
from edgequake.edge.archive.sds import day_files, day_of_name
from edgequake.edge.base.atomic_files import (
    Backoff,
    append,
    is_disk_full,
    may_pass,
    retry_when_full,
    sync,
)
from edgequake.edge.base.checkpoint import State, set_aside
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError


@dataclass(slots=True)
class _DayFile:
    """One file; bytes are counted from the first one ever written to it.

    The archive's account of it is [first, stop). After a resume less may be on disk, [on_disk_from, stop): an earlier
    process has evicted the rest after the checkpoint, and this one will evict it when it gets to the same place.
    """

    day: int
    first: int = 0
    stop: int = 0
    on_disk_from: int = 0
    head: int = 0  # fingerprint of the first record
    tail: int = 0  # ... and of the last one
    checked: bool = True  # whether its last record is known to be whole

    @property
    def size_bytes(self) -> int:
        return self.stop - self.first


class DayFiles:
    """Appends records to day files and accounts for all of them, in the order in which they were last written to.

    With a size limit, the files together never exceed it, copies included. The file written to longest ago is deleted
    first. Only a file of the present day is not deleted whole: it is cut to its later half.
    """

    def __init__(
        self,
        folder: Path,
        cap_bytes: int | None,
        diagnostics: Diagnostics,
        make_room: Callable[[int], bool] | None = None,
        remembered_days: int | None = None,
        may_drop: bool = False,
    ) -> None:
        """Account for the files in `folder`.

        Parameters
        ----------
        make_room : called when the disk is full; by default that of this object.
        remembered_days : files of days that many before the newest one stay on disk and leave this account, so that
            years of them take no memory: only without a size limit, and live, where `restore` needs none of them.
        may_drop : records that cannot be written are dropped and counted, whatever the reason; `problem` names it. The
            next try comes after a pause.
        """
        self.folder, self._cap_bytes, self._diagnostics = folder, cap_bytes, diagnostics
        self._remembered_days, self._may_drop = remembered_days, may_drop
        self._backoff = Backoff()
        self.problem: OSError | None = None  # why the last write has failed
        self._make_room = self.make_room if make_room is None else make_room
        self._files: dict[str, _DayFile] = {}
        self.total_bytes = 0
        self.n_evictions = 0  # changes that invalidate an index of a file
        self._unsynced: dict[Path, None] = {}
        self._find()

    def names(self) -> Iterable[str]:
        """Return the names of all files, the one written to last at the end."""
        return self._files.keys()

    def size_bytes(self, name: str) -> int:
        """Return how many bytes of a file are on disk."""
        file = self._files.get(name)
        return 0 if file is None else file.stop - file.on_disk_from

    def append(self, name: str, records: Sequence[bytes]) -> None:
        """Append records to a file, after making room for them.

        Where the disk is full and nothing is left to evict, the records are lost and counted.

        Raises
        ------
        DataError
            The file cannot be written for another reason than a full disk, and records may not be dropped.
        """
        if self._may_drop and self._backoff.is_pausing:
            self._drop(len(records))
            return
        # Under a small limit a portion at a time: all at once would leave no room for anything else.
        most = len(records) if self._cap_bytes is None else max(1, self._cap_bytes // (4 * RECORD_BYTES))
        for i in range(0, len(records), max(1, most)):
            part = records[i : i + most]
            self._note(self._append(name, part))
            if self.problem is not None:
                self._drop(len(part))

    def try_now(self) -> None:
        """Have the next write tried without a pause: it is the last one."""
        self._backoff.succeeded()

    def _append(self, name: str, records: Sequence[bytes]) -> OSError | None:
        """Append records after making room for them; return why they are to be dropped, or None."""
        try:
            self._keep_below_cap(sum(map(len, records)))
            return self._write(name, records)
        except OSError as problem:
            if not self._may_drop:
                raise
            return problem

    def _drop(self, n_records: int) -> None:
        reason = "the disk is full" if self.problem is None or is_disk_full(self.problem) else self.problem.strerror
        self._diagnostics.count(f"record(s) not archived: {reason}", n_records)

    def _note(self, problem: OSError | None) -> None:
        """Note why a write has failed, or that it has succeeded."""
        self.problem = None if problem is None else problem.with_traceback(None)
        if problem is None:
            self._backoff.succeeded()
        else:
            self._backoff.failed()

    def make_room(self, n_bytes: int) -> bool:
        """Delete whole files, oldest first, until a full disk has so many bytes; return whether there were any."""
        freed_bytes = 0
        while freed_bytes < n_bytes and self._files:
            oldest = next(iter(self._files))
            size_bytes = self.size_bytes(oldest)
            try:
                self._remove(oldest)
            except OSError:  # the disk cannot even delete
                break
            freed_bytes += size_bytes
        if freed_bytes:
            self._diagnostics.count("time(s) the archive deleted its oldest files because the disk was full")
        return freed_bytes > 0

    def sync(self) -> None:
        """Make all that was written durable.

        Raises
        ------
        DataError
            The disk fails, and records may not be dropped.
        """
        if self._may_drop and self._backoff.is_pausing:
            return
        for path in self._unsynced:
            try:
                retry_when_full(partial(sync, path), RECORD_BYTES, self._make_room)
            except OSError as problem:
                if not self._may_drop:
                    raise _unwritable(path, problem) from problem
                self._note(problem)
                return
        if self._unsynced or self.problem is None:
            self._note(None)
        self._unsynced = {}

    def state(self) -> State:
        if self._remembered_days is not None:
            return {"files": []}
        return {"files": [[name, f.first, f.stop, f.head, f.tail] for name, f in self._files.items()]}

    def restore(self, state: State, replayed: bool) -> None:
        """Continue from what `state` returned.

        Replayed, what was written since comes again: the files are cut back to what they were. Live, they stay.
        """
        self.n_evictions += 1
        if not replayed:
            known = {name: (stop - first, head) for name, first, stop, head, _ in state["files"] if name in self._files}
            self._files = {name: self._files[name] for name in dict.fromkeys([*known, *self._files])}
            changed = [name for name, file in self._files.items() if file.size_bytes != known.get(name, (0, 0))[0]]
            self._cut(changed)
            for name in changed:
                size_bytes, head = known.get(name, (0, 0))
                self._cut_doubtful(name, size_bytes if head == self._files[name].head else 0)
            return
        found, self._files, self.total_bytes = self._files, {}, 0
        for name, first, stop, head, tail in state["files"]:
            file = self._files[name] = _DayFile(day_of_name(name), first, stop, stop, head, tail)
            self.total_bytes += file.size_bytes
            if found.pop(name, None) is not None:
                file.on_disk_from = stop - cut_back(self.folder / name, file.size_bytes, head, tail)
        for name in found:  # begun after the checkpoint
            self._unlink(name)

    def _find(self) -> None:
        for path in self.folder.glob("[0-9]*/*/*/*.D/.*.part"):  # left by a killed process
            with suppress(OSError):
                path.unlink()
        for day, name, path in sorted((parsed.day, name, path) for name, parsed, path in day_files(self.folder)):
            try:
                size_bytes, head, tail = fingerprints(path)
            except OSError as problem:
                self._diagnostics.count(f"archive file(s) cannot be read and are left alone: {problem.strerror}")
                continue
            self._files[name] = _DayFile(day, stop=size_bytes, head=head, tail=tail, checked=False)
            self.total_bytes += size_bytes
        if self._files:
            day = self._present_day()
            self._forget_before(day)
            if self._may_drop:  # the input does not come again
                self._cut([name for name, file in self._files.items() if file.day >= day - 1])

    def _forget_before(self, day: int) -> None:
        """Drop the files of days long before one with new samples from the account: nothing is asked of them."""
        if self._remembered_days is not None:
            for name in [name for name, file in self._files.items() if file.day < day - self._remembered_days]:
                del self._files[name]

    def _keep_below_cap(self, n_bytes: int) -> None:
        while self._cap_bytes is not None and self._files and self._needed_bytes(n_bytes) > self._cap_bytes:
            oldest = next(iter(self._files))
            if self._files[oldest].day < self._present_day():
                self._remove(oldest)
            else:
                self._halve(oldest)

    def _needed_bytes(self, n_bytes: int) -> int:
        """Return the space that new bytes need: with all files, or with those of the present day and half a copy.

        The new bytes count twice then: the file to be copied will have grown by them, and as many follow.
        """
        present_bytes = largest_bytes = 0
        day = self._present_day()
        for file in reversed(self._files.values()):
            if file.day < day:
                break
            present_bytes += file.size_bytes
            largest_bytes = max(largest_bytes, file.size_bytes)
        return max(self.total_bytes + n_bytes, present_bytes + largest_bytes // 2 + 2 * n_bytes)

    def _present_day(self) -> int:
        return next(reversed(self._files.values())).day

    def _halve(self, name: str) -> None:
        """Cut a file to its later half; delete one that cannot be cut."""
        file = self._files[name]
        kept_bytes = file.size_bytes // 2 // RECORD_BYTES * RECORD_BYTES
        assert self._cap_bytes is not None
        if kept_bytes == 0 or self.total_bytes + kept_bytes > self._cap_bytes:
            self._remove(name)
            return
        first = file.stop - kept_bytes
        if first > file.on_disk_from:  # else an earlier process has done it
            try:
                file.head = keep_tail(self.folder / name, kept_bytes)
            except (OSError, DataError) as problem:
                cause = problem if isinstance(problem, OSError) else problem.__cause__
                if self._may_drop and isinstance(cause, OSError) and may_pass(cause) and not is_disk_full(cause):
                    raise cause from problem
                self._remove(name)
                return
            file.on_disk_from = first
        self.total_bytes -= first - file.first
        file.first = first
        self.n_evictions += 1

    def _remove(self, name: str) -> None:
        self._unlink(name)
        self.total_bytes -= self._files.pop(name).size_bytes
        self.n_evictions += 1

    def _unlink(self, name: str) -> None:
        path = self.folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError:
            if self._may_drop:  # it stays in the account, so that the size limit holds
                raise
            return
        with suppress(OSError):  # a folder may still contain others
            for folder in list(path.parents)[:4]:
                folder.rmdir()

    def _write(self, name: str, records: Sequence[bytes]) -> OSError | None:
        """Append to a file; return why the records are to be dropped, or None."""
        data, path = b"".join(records), self.folder / name

        def write() -> tuple[_DayFile, int]:
            file = self._opened(name)  # each time: this very file may have been evicted to make room
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
                self._unsynced.update(dict.fromkeys(list(path.parents)[1:5]))  # up to that of the archive itself
            return file, append(path, data, file.stop - file.on_disk_from)

        try:
            file, at_byte = retry_when_full(write, len(data), self._make_room)
        except OSError as problem:
            if self._may_drop or is_disk_full(problem):
                return problem
            raise _unwritable(path, problem) from problem
        file.on_disk_from = file.stop - at_byte
        if at_byte == 0:
            file.head = fingerprint(records[0])
            self._unsynced[path.parent] = None
        file.tail = fingerprint(records[-1])
        file.stop += len(data)
        self.total_bytes += len(data)
        self._unsynced[path] = None
        return None

    def _opened(self, name: str) -> _DayFile:
        """Return a file to append to, now the last in the order; cut off what an interrupted write left at its end."""
        file = self._files.pop(name, None)
        if file is None:
            file, path = _DayFile(day_of_name(name)), self.folder / name
            if path.is_dir():
                set_aside(path)
            if path.exists():  # it has left the account, or could not be read at the start
                file.stop, file.head, file.tail = fingerprints(path)
                file.checked = False
                self.total_bytes += file.stop if self._remembered_days is None else 0
            self._forget_before(file.day)
        self._files[name] = file
        self._check(name, file)
        return file

    def _check(self, name: str, file: _DayFile) -> None:
        """Have the account of a file stop after its last whole record; what follows on disk will be overwritten."""
        if file.checked:
            return
        stop = file.on_disk_from + complete_bytes(self.folder / name)  # its first part may have been evicted
        if stop < file.stop:
            self._diagnostics.count("archive file(s) cut back to their last whole record")
            self.n_evictions += 1
        self.total_bytes += stop - file.stop
        file.stop, file.checked = stop, True

    def _cut(self, names: Iterable[str]) -> None:
        """Cut what a power loss has left at the end of files that may never be appended to again."""
        for name in names:
            file = self._files[name]
            with suppress(OSError):  # what cannot be read or cut now is checked before it is appended to
                self._check(name, file)
                if file.stop and (self.folder / name).stat().st_size > file.stop:
                    os.truncate(self.folder / name, file.stop)

    def _cut_doubtful(self, name: str, durable_bytes: int) -> None:
        """Cut off a last record after the first `durable_bytes` of a file that a power loss may have left torn."""
        file, path = self._files[name], self.folder / name
        with suppress(OSError):
            if file.checked and file.size_bytes > durable_bytes and ends_in_doubt(path, file.size_bytes):
                os.truncate(path, file.size_bytes - RECORD_BYTES)
                file.stop -= RECORD_BYTES
                self.total_bytes -= RECORD_BYTES
                self.n_evictions += 1


def _unwritable(path: Path, problem: OSError) -> DataError:
    reason = problem.strerror or problem
    return DataError(f"cannot write {path}: {reason}; mount the disk writable or choose another --out")
