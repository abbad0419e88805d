"""The changes that a process does to a folder, recorded call by call (`recorded_calls.c`), as a trace of operations."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.robustness.call_faults import compile_shim
from edgequake.benchmarks.robustness.crash_states import (
    CallTrace,
    Disk,
    Names,
    Operation,
    Resize,
    Sync,
    Write,
    read_tree,
)
from edgequake.edge.base.errors import DataError

SOURCE = Path(__file__).with_name("recorded_calls.c")
_HEAD = struct.Struct("=cQQIII")


@dataclass(frozen=True)
class _Call:
    """An entry of the record."""

    kind: str
    number: int  # of an inode
    value: int
    path: str
    target: str
    data: bytes


class Recorder:
    """Records what processes do below a folder."""

    def __init__(self, root: Path, work: Path) -> None:
        """Record below `root`, which is there; `work` takes the library and the record.

        Raises
        ------
        ConfigError
            As `compile_shim`.
        """
        self._root, self._record = root.resolve(), work.resolve() / f"{root.name}.calls"
        self._record.write_bytes(b"")
        library = compile_shim(work, SOURCE)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library), "RECORD_ROOT": str(self._root), "RECORD_TO": str(self._record),
        }  # fmt: skip
        self._numbers: dict[int, int] = {}  # of files and folders, by inode: those of removed ones are used again
        self._n_numbers = 0
        self._disk = self._scan()
        self._before = self._disk.copy()

    def trace(self) -> CallTrace:
        """Return what was done, once it has ended.

        Raises
        ------
        DataError
            The operations do not lead to what is on the disk: a call has not been recorded.
        """
        operations: list[Operation] = []
        for call in _calls(self._record.read_bytes()):
            operation = self._operation(call)
            self._disk.do(operation)
            operations.append(operation)
        found, expected = read_tree(self._root), self._disk.tree()
        if found != expected:
            different = [path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path)]
            raise DataError(f"{self._root}: the recorded calls do not lead to {', '.join(sorted(different)[:5])}")
        return CallTrace(self._before, tuple(operations))

    def _scan(self) -> Disk:
        disk = Disk(self._new(self._root.stat().st_ino), {})
        disk.folders[disk.root] = {}
        for path in sorted(self._root.rglob("*")):
            number = self._new(path.stat().st_ino)
            parent, name = self._place(disk, str(path))
            disk.folders[parent][name] = number
            if path.is_dir():
                disk.folders[number] = {}
            else:
                disk.files[number] = bytearray(path.read_bytes())
        return disk

    def _new(self, inode: int) -> int:
        self._numbers[inode] = self._n_numbers
        self._n_numbers += 1
        return self._numbers[inode]

    def _place(self, disk: Disk, path: str) -> tuple[int, str]:
        """Return the number of a path's folder, and its name there."""
        folder, _, name = path.removeprefix(str(self._root)).strip("/").rpartition("/")
        number = disk.find(folder)
        if number is None:
            raise DataError(f"{path}: the record names a folder that it has not made")
        return number, name

    def _operation(self, call: _Call) -> Operation:
        if call.kind == "W":
            return Write(self._numbers[call.number], call.value, call.data)
        if call.kind in ("T", "E"):
            return Resize(self._numbers[call.number], call.value, call.kind == "E")
        if call.kind == "S":
            return Sync(self._numbers[call.number])
        folder, name = self._place(self._disk, call.path)
        if call.kind == "U":
            return Names(((folder, name, None),))
        if call.kind in ("C", "M"):
            number = self._new(call.number)
            if call.kind == "M":
                self._disk.folders[number] = {}
                self._before.folders[number] = {}  # without a name; one that is lost holds nothing
            return Names(((folder, name, number),))
        here = self._disk.folders[folder][name]
        new = (*self._place(self._disk, call.target), here)
        return Names((new,)) if call.kind == "L" else Names(((folder, name, None), new))


def _calls(data: bytes) -> Iterator[_Call]:
    at = 0
    while at < len(data):
        kind, number, value, *lengths = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        parts = []
        for length in lengths:
            parts.append(data[at : at + length])
            at += length
        yield _Call(kind.decode(), number, value, parts[0].decode(), parts[1].decode(), parts[2])


def run_recorded(
    recorder: Recorder, command: Sequence[str], data: bytes, environment: Mapping[str, str], longest_s: float = 600.0
) -> None:
    """Run a command, with data on its standard input, to its end.

    Raises
    ------
    DataError
        It fails.
    """
    done = subprocess.run(
        [*command],
        input=data,
        capture_output=True,
        timeout=longest_s,
        env={**environment, **recorder.environment},
        check=False,
    )
    if done.returncode != 0:
        raise DataError(f"the run to be recorded failed: {done.stderr.decode().strip()[-300:]}")
