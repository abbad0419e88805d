"""The outbox: files for the radio appear in DIR/outbox complete, in order, each once; the radio deletes them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from edgequake.edge.base.atomic_files import append, remove_leftovers, retry_when_full, sync, write_durably
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import JOURNAL, OUTBOX
from edgequake.edge.downlink.journal import OutboxFile, Pass, cut_incomplete_line, read_journal

_NAME = re.compile(r"(\d{8,})\.(csv|mseed)")


class Outbox:
    """Delivers files exactly once: first their data on disk, then the line of the journal, then their names."""

    def __init__(self, out: Path, make_room: Callable[[int], bool]) -> None:
        self._folder, self._journal, self._make_room = out / OUTBOX, out / JOURNAL, make_room
        self._journal_stop: int | None = None  # where the last line of a delivered pass ends
        self._hidden: list[OutboxFile] = []  # of delivered passes, which do not have their names yet

    def recover(
        self, on_damage: Callable[[], None] | None = None, from_byte: int = 0, hidden: Sequence[str] = ()
    ) -> Iterator[Pass]:
        """Complete, or undo, a pass that a power loss has interrupted; yield the passes of the journal.

        `on_damage`, `from_byte`: see `read_journal`. `hidden`: as it was when the journal ended at `from_byte`.

        Raises
        ------
        DataError
            The journal or the outbox cannot be read.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sync(self._folder.parent)
            cut_incomplete_line(self._journal, from_byte)
            done = None
            for done in read_journal(self._journal, on_damage, from_byte):
                yield done
            for name in hidden if done is None else [file.name for file in done.files]:
                if self._part(name).exists():  # else it has reached the outbox
                    self._part(name).replace(self._folder / name)
            remove_leftovers(self._folder)
            sync(self._folder)
        except OSError as problem:
            raise DataError(f"the outbox {self._folder} cannot be used: {problem.strerror or problem}") from problem

    @property
    def hidden(self) -> list[str]:
        """Names of files of the last pass that could not be given them yet."""
        return [file.name for file in self._hidden]

    def journal_bytes(self) -> int:
        """Return the size of the journal."""
        return self._journal.stat().st_size if self._journal.exists() else 0

    def last_number(self) -> int:
        """Return the largest number of a file in the outbox, 0 where it is empty."""
        return max((int(path.stem) for path in outbox_files(self._folder.parent)), default=0)

    def deliver(self, done: Pass, contents: Sequence[bytes]) -> None:
        """Deliver the files of a pass: it is delivered when its line is in the journal.

        Raises
        ------
        DataError
            They cannot be written; none of them has been delivered then.
        """
        self.uncover()
        try:
            retry_when_full(lambda: self._deliver(done, contents), done.size_bytes, self._make_room)
        except OSError as problem:
            raise self._unusable(problem) from problem
        self._hidden = list(done.files)
        with suppress(DataError):  # the next pass, or `recover`, does it
            self.uncover()

    def uncover(self) -> None:
        """Give the files of the last pass the names by which the radio finds them, where that has failed before.

        Raises
        ------
        DataError
            It fails again.
        """
        if not self._hidden:
            return
        try:
            while self._hidden:
                name = self._hidden[0].name
                with suppress(FileNotFoundError):  # somebody has deleted it
                    self._part(name).replace(self._folder / name)
                self._hidden.pop(0)
            # `recover` renames again what a power loss takes back; durable names the radio may delete.
            sync(self._folder)
        except OSError as problem:
            raise self._unusable(problem) from problem

    def _unusable(self, problem: OSError) -> DataError:
        return DataError(
            f"cannot write to the outbox {self._folder}: {problem.strerror or problem}; "
            f"free the disk or make it writable, then go on with --resume"
        )

    def _deliver(self, done: Pass, contents: Sequence[bytes]) -> None:
        stop = self.journal_bytes() if self._journal_stop is None else self._journal_stop
        line = done.line()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for file, data in zip(done.files, contents, strict=True):
                write_durably(self._part(file.name), (data,))
            sync(self._folder)
            at_byte = append(self._journal, line, stop, durable=True)
        except OSError:
            if self._has_journal_grown(stop):  # the line may be whole: then a power loss now must find the files
                raise
            for file in done.files:
                with suppress(OSError):
                    self._part(file.name).unlink()
            raise
        self._journal_stop = at_byte + len(line)

    def _has_journal_grown(self, stop: int) -> bool:
        """Whether the journal may have a line beyond a byte, which the next pass will overwrite."""
        try:
            return self.journal_bytes() > stop
        except OSError:
            return True

    def _part(self, name: str) -> Path:
        return self._folder / f".{name}.part"


def pass_files(number: int, reports: bytes, records: bytes) -> tuple[list[OutboxFile], list[bytes]]:
    """Return the files of a pass and their contents: event reports, then records; an empty one is left out."""
    contents = [(f"{number:08d}.csv", reports), (f"{number:08d}.mseed", records)]
    files = [OutboxFile.of(name, data) for name, data in contents if data]
    return files, [data for _, data in contents if data]


def outbox_files(out: Path) -> list[Path]:
    """Return the files in the outbox, which the radio has not deleted yet, in order."""
    return sorted(path for path in (out / OUTBOX).glob("*") if _NAME.fullmatch(path.name))


def add_acknowledge_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `acknowledge`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("numbers", nargs="*", default=[], type=int, metavar="N", help="numbers of files in the outbox")
    what.add_argument("--up-to", type=int, metavar="N", help="all files up to this number")
    what.add_argument("--all", action="store_true", help="all files that are in the outbox now")


def acknowledge_command(arguments: argparse.Namespace, control: Control) -> int:
    """Delete files that the radio has sent from the outbox.

    Raises
    ------
    DataError
        As `acknowledge`.
    """
    numbers = None if arguments.all or arguments.up_to is not None else arguments.numbers
    control.log(acknowledge(arguments.folder, numbers, arguments.up_to))
    return 0


def acknowledge(out: Path, numbers: Sequence[int] | None = None, up_to: int | None = None) -> str:
    """Delete files that the radio has sent from the outbox; return a line that says what was deleted.

    numbers : of the files; None: those up to `up_to`, or all that are there now.

    Raises
    ------
    DataError
        There is no outbox, or it does not contain a number; nothing is deleted then.
    """
    if not (out / OUTBOX).is_dir():
        raise DataError(f"{out} has no outbox; a run with --budget makes one")
    by_number: dict[int, list[Path]] = {}
    for path in (path for path in outbox_files(out) if not path.is_dir()):
        by_number.setdefault(int(path.stem), []).append(path)
    if numbers is None:
        numbers = [number for number in by_number if up_to is None or number <= up_to]
    numbers = list(dict.fromkeys(numbers))
    unknown = [str(number) for number in numbers if number not in by_number]
    if unknown:
        there = f"{min(by_number)} to {max(by_number)}" if by_number else "nothing"
        raise DataError(f"the outbox of {out} does not contain {', '.join(unknown)}; it contains {there}")
    paths = [path for number in numbers for path in by_number[number]]
    n_bytes = sum(path.lstat().st_size for path in paths)
    for path in paths:
        path.unlink(missing_ok=True)
    sync(out / OUTBOX)
    return f"{len(paths)} file(s), {n_bytes} bytes deleted from the outbox; {len(outbox_files(out))} left"
