"""What the ground asks for: the samples of a span of time that are still held on board."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.control import Control
from edgequake.edge.errors import ConfigError, DataError
from edgequake.edge.miniseed_writer import encode
from edgequake.edge.piece import NS_PER_S, Piece, duration_ns, format_time, parse_time
from edgequake.edge.store.folders import ARCHIVE, CONTINUOUS, REQUESTS
from edgequake.edge.store.held import Span, held_pieces
from edgequake.edge.store.sds import DAY_NS, DayName, day_files, name_of

_MOST_HOLES = 5  # named of one channel


@dataclass(frozen=True)
class Request:
    """A span that the ground wants, as it lies in a run's folder of requests."""

    name: str  # the file's, without .json; requests in the order of their names were made in that order
    span: Span

    @classmethod
    def new(cls, span: Span) -> Request:
        """Give a span a name of its own."""
        return cls(f"{time.time_ns():020d}-{os.getpid()}", span)

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request.

        Raises
        ------
        DataError
            The file cannot be read or is none.
        """
        expected = 'expected {"start": TIME, "stop": TIME, "station": NAME or null, "channels": [CODE, ...] or null}'
        try:
            fields = json.loads(path.read_bytes())
            station, channels = fields.get("station"), fields.get("channels")
            if not isinstance(station, str | None) or not isinstance(channels, list | None):
                raise DataError("station or channels is of another kind")
            codes = None if channels is None else tuple(str(code) for code in channels)
            span = _span(str(fields["start"]), str(fields["stop"]), station, codes)
        except OSError as problem:
            raise DataError(f"request {path} cannot be read: {problem.strerror or problem}") from problem
        except (ValueError, KeyError, AttributeError, DataError, ConfigError) as problem:
            raise DataError(f"{path} is no request: {expected}, got {problem}") from problem
        return cls(path.stem, span)

    def write(self, folder: Path) -> Path:
        """Put the request into a run's folder of requests and return its file.

        Raises
        ------
        DataError
            It cannot be written.
        """
        span = self.span
        fields = {
            "start": format_time(span.start_ns),
            "stop": format_time(span.stop_ns),
            "station": span.station,
            "channels": None if span.channels is None else list(span.channels),
        }
        path = folder / f"{self.name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(f"cannot make {folder}: {problem.strerror or problem}") from problem
        write_bytes_atomically(path, json.dumps(fields).encode() + b"\n")
        return path


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `request`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    parser.add_argument("start", metavar="START", help="UTC time of the first sample wanted, as 1971-04-13T12:00:00")
    parser.add_argument("stop", metavar="STOP", help="... and of the first one not wanted any more")
    parser.add_argument("--station", metavar="NAME", help="as S12 or XA_S12 (default: all)")
    parser.add_argument("--channels", metavar="CODES", help="codes or patterns, as 'MH?,BHZ' (default: all recorded)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FILE", help="write the samples to a miniSEED file, - for standard output")
    where.add_argument("--send", action="store_true", help="have the run in DIR send them, ahead of all events")


def request_command(arguments: argparse.Namespace, control: Control) -> int:
    """Cut a span out of what a run's folder holds, or ask the run for it.

    Raises
    ------
    ConfigError
        Times in the wrong order.
    DataError
        No such folder; nothing of the span is held; the file cannot be written.
    """
    channels = None if arguments.channels is None else tuple(code.strip() for code in arguments.channels.split(","))
    span = _span(arguments.start, arguments.stop, arguments.station, channels)
    out: Path = arguments.folder
    if not out.is_dir():
        raise DataError(f"{out} is no folder; expected the --out of a run")
    if arguments.send:
        control.tell(f"request {Request.new(span).write(out / REQUESTS)} is put in; the run sends what it holds of it")
        return 0
    coverage = Coverage(out, span)
    n_bytes = _write_held(out, span, arguments.out, coverage)
    if n_bytes == 0:
        raise DataError(f"nothing of what was asked for is held in {out}: {coverage.text()}")
    control.tell(f"{coverage.n_samples} samples of {coverage.n_channels} channel(s), {n_bytes} bytes")
    for line in coverage.lacking():
        control.tell(line)
    return 0


class Coverage:
    """What of a span was found, and what was not."""

    def __init__(self, out: Path, span: Span) -> None:
        self._span = span
        self._covered: dict[DayName, list[tuple[int, int, int]]] = {}  # start, stop and sampling interval
        self._days: list[int] = []
        for folder in (ARCHIVE, CONTINUOUS)[: 1 if span.channels is None else 2]:
            for _, name, _ in day_files(out / folder):
                self._days.append(name.day)
                if span.wants(name):
                    self._covered[replace(name, day=0)] = []
        self.n_samples = 0

    @property
    def n_channels(self) -> int:
        """Channels of which something was found."""
        return sum(1 for covered in self._covered.values() if covered)

    def add(self, pieces: Iterable[Piece]) -> None:
        """Take down what was found."""
        for piece in pieces:
            interval_ns = duration_ns(1, piece.sampling_rate_hz)
            covered = self._covered.setdefault(name_of(piece.source_id), [])
            covered.append((piece.start_ns, piece.stop_ns, interval_ns))
            self.n_samples += len(piece.samples)

    def lacking(self) -> list[str]:
        """Return a line for each channel of which something was not found."""
        lines = []
        for name, covered in sorted(self._covered.items()):
            holes = _holes(covered, self._span.start_ns, self._span.stop_ns)
            if holes:
                named = ", ".join(f"{format_time(a)} to {format_time(b)}" for a, b in holes[:_MOST_HOLES])
                more = f" and {len(holes) - _MOST_HOLES} more" if len(holes) > _MOST_HOLES else ""
                lost_s = sum(b - a for a, b in holes) / NS_PER_S
                title = "_".join((name.station_id, name.location, name.channel))
                lines.append(f"{title}: {lost_s:.3f} s are not held: {named}{more}")
        return lines

    def text(self) -> str:
        """Say what there is instead."""
        if not self._days:
            return "there is no archive; a run writes one with --archive-bytes"
        first, last = (format_time(day * DAY_NS)[:10] for day in (min(self._days), max(self._days)))
        channels = "" if self._covered else ", and none of its channels matches"
        return f"the archive reaches from {first} to {last}{channels}"


def _write_held(out: Path, span: Span, target: str, coverage: Coverage) -> int:
    """Write what is held of a span, a UTC day at a time, and return how many bytes that are; nothing: no file."""
    path = Path(target)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with ExitStack() as stack:
            file = sys.stdout.buffer if target == "-" else stack.enter_context(part.open("wb"))
            n_bytes = 0
            for day in days_of(span):
                pieces = held_pieces(out, day)
                coverage.add(pieces)
                n_bytes += file.write(encode(pieces))
            file.flush()
        if target != "-" and n_bytes:
            part.replace(path)
    except OSError as problem:
        raise DataError(f"cannot write {target}: {problem.strerror or problem}") from problem
    finally:
        if target != "-":
            part.unlink(missing_ok=True)
    return n_bytes


def days_of(span: Span) -> Iterator[Span]:
    """Cut a span at UTC midnights, so that no more than a day need be in memory."""
    start_ns = span.start_ns
    while start_ns < span.stop_ns:
        stop_ns = min(span.stop_ns, (start_ns // DAY_NS + 1) * DAY_NS)
        yield replace(span, start_ns=start_ns, stop_ns=stop_ns)
        start_ns = stop_ns


def _span(start: str, stop: str, station: str | None, channels: tuple[str, ...] | None) -> Span:
    span = Span(parse_time(start), parse_time(stop), station, channels)
    if span.start_ns >= span.stop_ns:
        raise ConfigError(f"START {start} is not before STOP {stop}")
    return span


def _holes(covered: list[tuple[int, int, int]], start_ns: int, stop_ns: int) -> list[tuple[int, int]]:
    """Return what of [start, stop) is not covered: holes of a sampling interval or more."""
    holes: list[tuple[int, int]] = []
    until_ns, least_ns = start_ns, 1
    for first_ns, last_ns, interval_ns in sorted(covered):
        least_ns = interval_ns * 99 // 100  # times in records are rounded
        if first_ns - until_ns >= least_ns:
            holes.append((until_ns, first_ns))
        until_ns = max(until_ns, last_ns)
    return [*holes, (until_ns, stop_ns)] if stop_ns - until_ns >= least_ns else holes
