"""What the ground asks for: the samples of a span of time that are still held on board.

Honours what the ground asks for: a request becomes a file of records, which goes before all events.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.archive.day_files import sync
from edgequake.edge.archive.extract import Span, held_traces
from edgequake.edge.archive.sds import DAY_NS, DayName, day_files, name_of
from edgequake.edge.base.atomic_files import DISK_FULL, write_bytes_atomically
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, REQUESTS
from edgequake.edge.downlink.journal import Sent
from edgequake.edge.downlink.send_queue import SendItem, SendLevel
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, format_time, parse_time

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

    def add(self, traces: Iterable[Trace]) -> None:
        """Take down what was found."""
        for trace in traces:
            interval_ns = duration_ns(1, trace.sampling_rate_hz)
            covered = self._covered.setdefault(name_of(trace.source_id), [])
            covered.append((trace.start_ns, trace.stop_ns, interval_ns))
            self.n_samples += len(trace.samples)

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
                traces = held_traces(out, day)
                coverage.add(traces)
                n_bytes += file.write(encode(traces))
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


MOST_BYTES = 1 << 24  # of one request: the copy is not under the archive's cap, and takes a radio years
_SENT, _REFUSED, _EMPTY = ".sent", ".refused", ".empty"


class RequestQueue:
    """Looks for requests in DIR/requests. One that was sent, or that cannot be, is renamed so that it is seen.

    A request waits until mission time has passed its span. What is held of it then is cut out, and is what is sent,
    however long that takes and whatever the archive lets go of meanwhile.
    """

    def __init__(
        self,
        out: Path,
        diagnostics: Diagnostics,
        waiting: Callable[[], Sequence[Trace]],
        make_room: Callable[[int], bool],
    ) -> None:
        """`waiting` returns the archive's samples that are not on disk yet."""
        self._out, self._diagnostics, self._not_on_disk, self._make_room = out, diagnostics, waiting, make_room
        self._folder = out / REQUESTS
        self._n_sent: dict[str, int] = {}
        self._spans: dict[str, Span] = {}  # by name, of requests of which something has been sent
        for left in (*self._folder.glob(".*.part"), *self._folder.glob(f"*{_SENT}")):
            (left if left.suffix == ".part" else left.with_suffix(".mseed")).unlink(missing_ok=True)

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{REQUESTS}/")

    def waiting(self, now_ns: int, is_last: bool) -> Iterator[SendItem]:
        """Yield the requests with records that have not been sent, in the order in which they were made.

        is_last : no more samples will come, so that no span need be waited for.
        """
        for path in sorted(self._folder.glob("*.json")):
            request = self._read(path)
            records = path.with_suffix(".mseed")
            if request is None or (request.span.stop_ns > now_ns and not is_last):
                continue
            if not records.exists() and not self._cut(request, path, records):
                continue
            source = f"{REQUESTS}/{records.name}"
            item = SendItem(source, records, SendLevel.REQUEST, 0, self._n_sent.get(source, 0))
            try:
                is_done = item.is_done
            except DataError as problem:
                self.refuse(item, str(problem))
                continue
            if is_done:  # the lights went out before it was put away
                self.done(item)
            else:
                yield item

    def took(self, part: Sent) -> None:
        """Records of a request are on their way."""
        self._n_sent[part.source] = part.stop

    def done(self, item: SendItem) -> None:
        """All of a request has been sent: put it away."""
        _rename(item.path.with_suffix(".json"), _SENT)
        with suppress(OSError):
            item.path.unlink()

    def refuse(self, item: SendItem, problem: str) -> None:
        """A request that cannot be sent: put it away."""
        self._diagnostics(f"request {item.path.stem}: {problem}; set aside")
        _rename(item.path.with_suffix(".json"), _REFUSED)

    def has_sent(self, station_id: str, start_ns: int, stop_ns: int) -> bool:
        """Whether samples of a station within a span may have been sent on request."""
        network, _, station = station_id.partition("_")
        name = DayName(network, station, "", "")
        spans = [span for source in self._n_sent if (span := self._span(Path(source).stem)) is not None]
        return any(
            span.start_ns < stop_ns and start_ns < span.stop_ns and name.matches(span.station, None) for span in spans
        )

    def _span(self, name: str) -> Span | None:
        """Return the span of a request of which something has been sent; None where it was taken away since."""
        if name not in self._spans:
            found = [path for path in (self._folder / f"{name}{end}" for end in (".json", _SENT)) if path.exists()]
            try:
                self._spans[name] = Request.read(found[0]).span
            except (IndexError, DataError):
                return None
        return self._spans[name]

    def _read(self, path: Path) -> Request | None:
        try:
            if path.with_suffix(_SENT).exists():
                raise DataError(f"a request of the name {path.stem} was sent before; give this one another")
            return Request.read(path)
        except DataError as problem:
            self._diagnostics(f"{problem}; set aside")
            _rename(path, _REFUSED)
            return None

    def _cut(self, request: Request, path: Path, records: Path) -> bool:
        """Write what is held of a request; return whether anything is."""
        while True:
            try:
                n_bytes = self._write(request, records)
                break
            except OSError as problem:
                if problem.errno not in DISK_FULL or not self._make_room(MOST_BYTES):
                    reason = problem.strerror or problem
                    raise DataError(f"cannot write {records}: {reason}; free the disk") from problem
        if not n_bytes:
            self._diagnostics(f"request {request.name}: nothing of it is held")
            _rename(path, _EMPTY)
        return n_bytes > 0

    def _write(self, request: Request, records: Path) -> int:
        """Write what is held of a request, a day at a time, and return how many bytes that are; nothing: no file."""
        part = records.with_name(f".{records.name}.part")
        n_bytes = 0
        try:
            with part.open("wb") as file:
                for day in days_of(request.span):
                    if n_bytes >= MOST_BYTES:
                        self._diagnostics(
                            f"request {request.name} is cut short at {format_time(day.start_ns)}: too long"
                        )
                        break
                    n_bytes += file.write(encode(held_traces(self._out, day, self._not_on_disk())))
                file.flush()
                os.fsync(file.fileno())
            if n_bytes:
                part.replace(records)
                sync(records.parent)
        finally:
            part.unlink(missing_ok=True)
        return n_bytes


def _rename(path: Path, suffix: str) -> None:
    with suppress(OSError):
        path.replace(path.with_suffix(suffix))
