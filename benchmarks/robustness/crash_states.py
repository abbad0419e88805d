"""What a file system may hold after a power loss: every state that POSIX allows, given the calls until then.

The rules
---------
1. A call that has returned is seen by all processes. After a power loss only what was synced before is certain.
2. `fsync` or `fdatasync` of a file makes the writes and changes of size durable that were done to it before. It does
   not make the file's name durable (fsync(2): "an explicit fsync() on a file descriptor for the directory is also
   needed").
3. `fsync` of a folder makes the names durable that were given and taken in it before: of new files and folders,
   renames, links, removals. It does not make the content of these files durable, nor the folder's own name.
4. Of everything else any part may be there, in any order: a later write and not an earlier one, a name and not the
   content (an empty file, or one of zeros), the content and not the name.
5. A write may be there in part: some sectors of 512 bytes and not others, up to any byte, or its length alone, with
   zeros for what is missing (delayed allocation of ext4 and XFS). Where it is missing, what was there before stays.
6. A change of names, above all a rename over an existing name, is there as a whole or not at all. Changes of one name
   that are there took place in their order. A rename between two folders is durable when both are synced.

Rules 1 to 5 are weaker than what any one file system does: ext4 with `data=ordered` keeps the order of names and the
content of a renamed file most of the time. Rule 6 goes beyond the letter of POSIX, which speaks of `rename` and other
processes only; every file system of the study below keeps it, and a runner could do nothing without it.

References
----------
POSIX.1-2017, fsync(), rename(): pubs.opengroup.org/onlinepubs/9699919799. Linux man-pages, fsync(2), rename(2).
Linux kernel, Documentation/admin-guide/ext4.rst (data=ordered, data=writeback, auto_da_alloc) and xfs.rst.
Pillai, Chidambaram, Alagappan, Al-Kiswany, Arpaci-Dusseau, Arpaci-Dusseau: All File Systems Are Not Created Equal: On
the Complexity of Crafting Crash-Consistent Applications. OSDI 2014, section 3 and table 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

SECTOR_BYTES = 512  # what a drive writes whole


@dataclass(frozen=True)
class Write:
    """Bytes are written to a file."""

    file: int
    at: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    """A file gets a size; what it grows by are zeros."""

    file: int
    size_bytes: int
    only_grows: bool = False  # space is allocated


@dataclass(frozen=True)
class Names:
    """Names are given and taken, all of them at once."""

    changes: tuple[tuple[int, str, int | None], ...]  # folder, name, and what it names then; None: nothing


@dataclass(frozen=True)
class Sync:
    """A file, or the names in a folder, are made durable."""

    of: int


Operation: TypeAlias = Write | Resize | Names | Sync
Tree: TypeAlias = dict[str, bytes | None]  # by path: the content of a file; None: a folder


@dataclass
class Disk:
    """Folders and files by number; a file or folder that no name leads to is not found."""

    root: int
    folders: dict[int, dict[str, int]]
    files: dict[int, bytearray] = field(default_factory=dict)

    def copy(self) -> Disk:
        """Return one that shares nothing with this one."""
        folders = {number: dict(names) for number, names in self.folders.items()}
        return Disk(self.root, folders, {number: bytearray(data) for number, data in self.files.items()})

    def find(self, path: str) -> int | None:
        """Return the number of what is at a path, None where nothing is."""
        number: int | None = self.root
        for name in path.split("/") if path else ():
            number = None if number is None else self.folders.get(number, {}).get(name)
        return number

    def tree(self) -> Tree:
        """Return everything that names lead to."""
        found: Tree = {}
        self._add_to(found, self.root, "")
        return found

    def _add_to(self, found: Tree, folder: int, prefix: str) -> None:
        for name, number in self.folders[folder].items():
            path = f"{prefix}{name}"
            found[path] = None if number in self.folders else bytes(self.files.get(number, b""))
            if number in self.folders:
                self._add_to(found, number, f"{path}/")

    def do(self, operation: Operation, kept: Kept | None = None) -> None:
        """Do an operation, or of a write what is kept."""
        if isinstance(operation, Names):
            for folder, name, number in operation.changes:
                names = self.folders.setdefault(folder, {})
                names.pop(name, None)
                if number is not None:
                    names[name] = number
        elif isinstance(operation, Write):
            _write(self.files.setdefault(operation.file, bytearray()), operation, kept or Kept.all_of(operation))
        elif isinstance(operation, Resize):
            data = self.files.setdefault(operation.file, bytearray())
            if not operation.only_grows:
                del data[operation.size_bytes :]
            data.extend(bytes(max(0, operation.size_bytes - len(data))))


@dataclass(frozen=True)
class Kept:
    """What a power loss leaves of an operation that was not synced."""

    pieces: tuple[tuple[int, int], ...] = ()  # of the data of a write, [start, stop)
    size_bytes: int = 0  # the file is as long as if so many bytes of the write were there

    @classmethod
    def all_of(cls, operation: Operation) -> Kept:
        """Return that all is left."""
        n_bytes = len(operation.data) if isinstance(operation, Write) else 0
        return cls(((0, n_bytes),), n_bytes)


def _write(data: bytearray, write: Write, kept: Kept) -> None:
    size_bytes = max([kept.size_bytes, *(stop for _, stop in kept.pieces)])
    data.extend(bytes(max(0, write.at + size_bytes - len(data))))
    for start, stop in kept.pieces:
        data[write.at + start : write.at + stop] = write.data[start:stop]


@dataclass(frozen=True)
class CallTrace:
    """The operations of a run, and the disk before them."""

    before: Disk
    operations: tuple[Operation, ...]

    def disk(self, n_done: int) -> Disk:
        """Return the disk as processes see it after so many operations."""
        disk = self.before.copy()
        for operation in self.operations[:n_done]:
            disk.do(operation)
        return disk

    def unsynced(self, n_done: int) -> dict[int, Operation]:
        """Return the operations, by number, that a power loss after so many may undo."""
        left: dict[int, Operation] = {}
        waits: dict[int, set[int]] = {}  # for which syncs a number waits
        for i, operation in enumerate(self.operations[:n_done]):
            if isinstance(operation, Sync):
                for number in [number for number, what in waits.items() if operation.of in what]:
                    waits[number].discard(operation.of)
                    if not waits[number]:
                        del waits[number], left[number]
                continue
            left[i] = operation
            changes = operation.changes if isinstance(operation, Names) else ()
            waits[i] = {folder for folder, _, _ in changes} if changes else {getattr(operation, "file", -1)}
        return left

    def after_loss(self, n_done: int, kept: Mapping[int, Kept]) -> Disk:
        """Return the disk after a power loss; `kept` says what is left of the operations that were not synced."""
        unsynced = self.unsynced(n_done)
        disk = self.before.copy()
        for i, operation in enumerate(self.operations[:n_done]):
            if i not in unsynced:
                disk.do(operation)
            elif i in kept:
                disk.do(operation, kept[i])
        return disk

    def with_others(self, at: int, operations: Sequence[Operation]) -> CallTrace:
        """Return the trace with what another process does after so many operations."""
        return replace(self, operations=(*self.operations[:at], *operations, *self.operations[at:]))


Unsynced: TypeAlias = Mapping[int, Operation]
Loss: TypeAlias = Callable[[Unsynced, np.random.Generator], dict[int, Kept]]


def _everything(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    return {i: Kept.all_of(one) for i, one in unsynced.items()}


def _names_only(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    return {i: Kept() for i, one in unsynced.items() if isinstance(one, Names)}


def _names_and_sizes(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    return {i: Kept((), len(one.data) if isinstance(one, Write) else 0) for i, one in unsynced.items()}


def _data_only(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    return {i: Kept.all_of(one) for i, one in unsynced.items() if not isinstance(one, Names)}


def _names_in_order(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    """Names up to some instant, as a journal keeps them, and of the data any part."""
    names = [i for i, one in unsynced.items() if isinstance(one, Names)]
    kept = {i: Kept() for i in names[: int(rng.integers(len(names) + 1))]}
    return kept | {i: part for i, part in _any_part(unsynced, rng).items() if not isinstance(unsynced[i], Names)}


def _torn(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    """All names, and the data in their order up to a byte in the middle of a write."""
    data = [i for i, one in unsynced.items() if isinstance(one, Write)]
    kept = _everything(unsynced, rng)
    if data:
        n = int(rng.integers(len(data)))
        whole = unsynced[data[n]]
        stop = int(rng.integers(len(whole.data))) if isinstance(whole, Write) else 0
        kept[data[n]] = Kept(((0, stop),), stop)
        for i in data[n + 1 :]:
            del kept[i]
    return kept


def _zeroed_tails(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    """All names and sizes, and zeros from a byte of the last write to each file on."""
    kept = _everything(unsynced, rng)
    last = {one.file: i for i, one in unsynced.items() if isinstance(one, Write)}
    for i in last.values():
        write = unsynced[i]
        if isinstance(write, Write):
            kept[i] = Kept(((0, int(rng.integers(len(write.data)))),), len(write.data))
    return kept


def _any_names(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    """All data, and any of the names."""
    return {
        i: Kept.all_of(one) for i, one in unsynced.items() if not isinstance(one, Names) or rng.integers(2)
    }  # fmt: skip


def _any_part(unsynced: Unsynced, rng: np.random.Generator) -> dict[int, Kept]:
    """Any of the operations, and of the writes any sectors."""
    share = rng.uniform(0.1, 0.9)
    kept = {}
    for i, one in unsynced.items():
        if rng.uniform() < share:
            kept[i] = _sectors(one, rng) if isinstance(one, Write) and rng.integers(2) else Kept.all_of(one)
    return kept


def _sectors(write: Write, rng: np.random.Generator) -> Kept:
    stops = [*range(SECTOR_BYTES - write.at % SECTOR_BYTES, len(write.data), SECTOR_BYTES), len(write.data)]
    pieces = zip([0, *stops[:-1]], stops, strict=True)
    return Kept(tuple(piece for piece in pieces if rng.integers(2)), int(rng.integers(2)) * len(write.data))


# By name: what is left of the operations that were not synced.
LOSSES: dict[str, Loss] = {
    "nothing unsynced": lambda unsynced, rng: {},
    "everything": _everything,  # as after a kill
    "names only": _names_only,
    "names and sizes": _names_and_sizes,
    "data only": _data_only,
    "names in order": _names_in_order,
    "torn write": _torn,
    "zeroed tails": _zeroed_tails,
    "any names": _any_names,
    "any part": _any_part,
}


@dataclass(frozen=True)
class CrashState:
    """What a power loss may leave."""

    n_done: int  # operations before it
    loss: str  # a name of `LOSSES`
    tree: Tree

    @property
    def digest(self) -> bytes:
        """A hash that tells states from others."""
        sha = hashlib.sha256()
        for path, data in sorted(self.tree.items()):
            sha.update(f"{path}\0{'-' if data is None else len(data)}\0".encode() + (data or b""))
        return sha.digest()


def crash_state(trace: CallTrace, n_done: int, loss: str, rng: np.random.Generator) -> CrashState:
    """Return what a power loss after so many operations may leave."""
    kept = LOSSES[loss](trace.unsynced(n_done), rng)
    return CrashState(n_done, loss, trace.after_loss(n_done, kept).tree())


def crash_states(trace: CallTrace, n_states: int, rng: np.random.Generator) -> Iterator[CrashState]:
    """Yield different states, losses in turn, each after a random operation; fewer where there are not so many."""
    seen: set[bytes] = set()
    names = [str(name) for name in rng.permutation(list(LOSSES))]
    for i in range(20 * n_states):
        if len(seen) >= n_states:
            return
        state = crash_state(trace, int(rng.integers(1, len(trace.operations) + 1)), names[i % len(names)], rng)
        if (digest := state.digest) not in seen:
            seen.add(digest)
            yield state


def write_tree(tree: Tree, folder: Path) -> None:
    """Write folders and files below a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in sorted(tree.items()):
        if data is None:
            (folder / path).mkdir(exist_ok=True)
        else:
            (folder / path).write_bytes(data)


def read_tree(folder: Path) -> Tree:
    """Return all folders and files below a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }  # fmt: skip
