"""The hand-over to the radio: files appear in DIR/outbox complete, in order, each once; the radio deletes them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from edgequake.edge.archive.day_files import sync
from edgequake.edge.base.atomic_files import DISK_FULL
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import JOURNAL, OUTBOX
from edgequake.edge.downlink.journal import HandedFile, Pass, append_pass, cut_torn_line, read_journal

_NAME = re.compile(r"(\d{8,})\.(csv|mseed)")


class Outbox:
    """Hands files over exactly once: the parts on disk, then the journal's line, then their names."""

    def __init__(self, out: Path, make_room: Callable[[int], bool]) -> None:
        self._folder, self._journal, self._make_room = out / OUTBOX, out / JOURNAL, make_room

    def recover(self, damaged: Callable[[int], None] | None = None) -> Iterator[Pass]:
        """Finish, or undo, the pass that a power loss has interrupted; yield all that were done.

        Numbers of lines of the journal that cannot be read are told to `damaged`.

        Raises
        ------
        DataError
            The journal or the outbox cannot be read.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sync(self._folder.parent)
            cut_torn_line(self._journal)
            done = None
            for done in read_journal(self._journal, damaged):
                yield done
            for file in done.files if done is not None else ():
                if self._part(file.name).exists():  # else it has been in the outbox already
                    self._part(file.name).replace(self._folder / file.name)
            for part in self._folder.glob(".*.part"):
                part.unlink()
            sync(self._folder)
        except OSError as problem:
            raise DataError(f"the outbox {self._folder} cannot be used: {problem.strerror or problem}") from problem

    def last_number(self) -> int:
        """Return the largest number of a file that the radio has not taken yet, 0 where there is none."""
        return max((int(path.stem) for path in waiting_files(self._folder.parent)), default=0)

    def hand_over(self, done: Pass, contents: Sequence[bytes]) -> None:
        """Hand over the files of a pass.

        Raises
        ------
        DataError
            They cannot be written; then none of them has been handed over.
        """
        while True:
            try:
                self._hand_over(done, contents)
                return
            except OSError as problem:
                full = problem.errno in DISK_FULL
                if not full or not self._make_room(done.size_bytes):
                    raise DataError(
                        f"cannot hand over to {self._folder}: {problem.strerror or problem}; "
                        f"free the disk or make it writable, then go on with --resume"
                    ) from problem

    def _hand_over(self, done: Pass, contents: Sequence[bytes]) -> None:
        try:
            for file, data in zip(done.files, contents, strict=True):
                with self._part(file.name).open("wb") as part:
                    part.write(data)
                    part.flush()
                    os.fsync(part.fileno())
            sync(self._folder)
            append_pass(self._journal, done)
        except OSError:
            for file in done.files:
                with suppress(OSError):
                    self._part(file.name).unlink()
            raise
        # The names need not be durable: where a power loss takes them back, `recover` gives them again.
        for file in done.files:
            self._part(file.name).replace(self._folder / file.name)

    def _part(self, name: str) -> Path:
        return self._folder / f".{name}.part"


def described(number: int, notices: bytes, records: bytes) -> tuple[list[HandedFile], list[bytes]]:
    """Return the files of a pass and their contents: notices first, each only if there is something in it."""
    contents = [(f"{number:08d}.csv", notices), (f"{number:08d}.mseed", records)]
    files = [HandedFile.of(name, data) for name, data in contents if data]
    return files, [data for _, data in contents if data]


def waiting_files(out: Path) -> list[Path]:
    """Return the files that the radio has not taken yet, in order."""
    return sorted(path for path in (out / OUTBOX).glob("*") if _NAME.fullmatch(path.name))


def add_acknowledge_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `acknowledge`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("numbers", nargs="*", default=[], type=int, metavar="N", help="numbers of files in the outbox")
    what.add_argument("--up-to", type=int, metavar="N", help="all files up to this number")
    what.add_argument("--all", action="store_true", help="all files that are in the outbox now")


def acknowledge_command(arguments: argparse.Namespace, control: Control) -> int:
    """Take files out of the outbox that the radio has sent.

    Raises
    ------
    DataError
        There is no outbox, or a number that is not in it; nothing is taken out then.
    """
    out: Path = arguments.folder
    if not (out / OUTBOX).is_dir():
        raise DataError(f"{out} has no outbox; a run with --budget makes one")
    by_number: dict[int, list[Path]] = {}
    for path in waiting_files(out):
        by_number.setdefault(int(path.stem), []).append(path)
    if arguments.all:
        numbers = list(by_number)
    elif arguments.up_to is not None:
        numbers = [number for number in by_number if number <= arguments.up_to]
    else:
        numbers = list(dict.fromkeys(arguments.numbers))
    unknown = [str(number) for number in numbers if number not in by_number]
    if unknown:
        there = f"{min(by_number)} to {max(by_number)}" if by_number else "nothing"
        raise DataError(f"the outbox of {out} does not hold {', '.join(unknown)}; it holds {there}")
    paths = [path for number in numbers for path in by_number[number]]
    n_bytes = sum(path.stat().st_size for path in paths)
    for path in paths:
        path.unlink(missing_ok=True)
    sync(out / OUTBOX)
    control.tell(f"{len(paths)} file(s), {n_bytes} bytes taken out of the outbox; {len(waiting_files(out))} left")
    return 0
