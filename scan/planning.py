"""The plan of a scan: an immutable list of shards, each a station's unbroken period of at most so many days.

A shard's id is a hash of all that its result depends on: the run (model, options, version), the files by name, size and
first sample, the interval, and in the chained mode the shard before it, whose state it begins with. So whatever has the
same id is the same result, and a shard that is done stays done when the archive grows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.atomic_files import read_at, write_bytes_atomically, write_durably
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.inputs.files import ChannelSpan, FileSpan, FileStream, streams_of
from edgequake.scan.band_choice import Chosen, SensorPlace
from edgequake.scan.storage.archive_index import IndexedFile, Piece, merged

_ID_LETTERS = 20  # of a SHA-256 in hexadecimal: 80 bits


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file with records of a shard."""

    name: str
    size_bytes: int
    file_start_ns: int | None
    spans: dict[str, ChannelSpan]

    def part(self, station_id: str, path: Path) -> FileSpan:
        """Return the file as a part of a station's stream, read at a path of this machine."""
        return FileSpan(station_id, self.spans, path, self.size_bytes, self.file_start_ns, None)


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of work: the events of one place in [start, stop), which is where its records start in the chained mode.

    Attributes
    ----------
    read_start_ns, read_stop_ns : the records that are read start in this interval, which in the mode with a lead-in is
        longer on both sides.
    stream : number of the place's stream: a new one begins, with a cold detector, where a sampling rate changes.
    previous : the shard whose state this one begins with; None: cold.
    is_last : no shard of this stream follows: events that are open at the end are closed.
    names_location : whether the events' names contain the location, because the station has several.
    """

    id: str
    run_id: str
    station_id: str
    location: str
    band: str
    model: str
    stream: int
    start_ns: int
    stop_ns: int
    read_start_ns: int
    read_stop_ns: int
    previous: str | None
    is_last: bool
    names_location: bool
    files: tuple[ShardFile, ...]

    @property
    def place(self) -> SensorPlace:
        """Station and location."""
        return SensorPlace(self.station_id, self.location)

    @property
    def title(self) -> str:
        """Place and interval, for people."""
        day, last = (_date(time_ns) for time_ns in (self.start_ns, self.stop_ns - 1))
        return f"{self.place.title} {day}" + (f" to {last}" if last != day else "")

    def line(self) -> bytes:
        """Return the shard as a line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Shard:
        """Read what `line` returned."""
        values = json.loads(line)
        files = tuple(
            ShardFile(**{**file, "spans": {name: (a, b, rate) for name, (a, b, rate) in file["spans"].items()}})
            for file in values.pop("files")
        )
        return cls(files=files, **values)


def _date(time_ns: int) -> str:
    return format_time(time_ns // DAY_NS * DAY_NS)[:10]  # not of the time itself, which is rounded: up to the next day


def _id_of(shard: Shard) -> str:
    values = asdict(shard)
    del values["id"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:_ID_LETTERS]


@dataclass(frozen=True)
class PlanOptions:
    """What decides how an archive is cut into shards."""

    run_id: str
    days: int  # of a shard at most
    lead_in_s: float | None = None  # run before a shard; None: shards are chained
    lead_out_s: dict[str, float] = field(default_factory=dict)  # run after a shard, by model: its last event ends there
    start_ns: int | None = None  # only samples with start <= time < stop
    stop_ns: int | None = None

    @property
    def is_chained(self) -> bool:
        """Whether a shard begins with the state of the one before it."""
        return self.lead_in_s is None

    def read_interval(self, start_ns: int, stop_ns: int, model: str) -> Piece:
        """Return the interval of the records that a shard reads."""
        if self.lead_in_s is None:
            return start_ns, stop_ns
        return start_ns - round(self.lead_in_s * NS_PER_S), stop_ns + round(self.lead_out_s[model] * NS_PER_S)


def make_shards(
    files: Sequence[IndexedFile], chosen: Chosen, options: PlanOptions, diagnostics: Diagnostics
) -> Iterator[Shard]:
    """Yield the shards of an archive, place by place, those of a place in the order in which a serial run reads them.

    Shards end at multiples of `days` since 1970 UTC, and at gaps of a day. `diagnostics` takes the files left out.
    """
    n_locations: dict[str, int] = {}
    for place in chosen.bands:
        n_locations[place.station_id] = n_locations.get(place.station_id, 0) + 1
    by_place: dict[SensorPlace, list[tuple[IndexedFile, dict[str, ChannelSpan]]]] = {
        place: [] for place in chosen.bands
    }
    for file in files:
        for place, spans in chosen.by_place(file).items():
            by_place[place].append((file, spans))
    for place, own in by_place.items():
        yield from _shards_of(place, own, n_locations[place.station_id] > 1, chosen, options, diagnostics)


def _shards_of(
    place: SensorPlace,
    own: Sequence[tuple[IndexedFile, dict[str, ChannelSpan]]],
    names_location: bool,
    chosen: Chosen,
    options: PlanOptions,
    diagnostics: Diagnostics,
) -> Iterator[Shard]:
    by_path = {Path(file.name): file for file, _ in own}
    parts = [
        ShardFile(file.name, file.size_bytes, file.file_start_ns, spans).part(place.station_id, Path(file.name))
        for file, spans in own
    ]
    previous: str | None = None
    for number, stream in enumerate(streams_of(parts, diagnostics)):
        pieces = {part.path: by_path[part.path].pieces for part in stream.parts}
        intervals = list(_intervals(pieces.values(), options))
        for start_ns, stop_ns in intervals:
            model = chosen.models[place.station_id]
            within = options.read_interval(start_ns, stop_ns, model)
            shard = Shard(
                id="",
                run_id=options.run_id,
                station_id=place.station_id,
                location=place.location,
                band=chosen.bands[place],
                model=model,
                stream=number,
                start_ns=start_ns,
                stop_ns=stop_ns,
                read_start_ns=within[0],
                read_stop_ns=within[1],
                previous=previous,
                is_last=(start_ns, stop_ns) == intervals[-1],
                names_location=names_location,
                files=tuple(_files_in(stream, pieces, within)),
            )
            shard = replace(shard, id=_id_of(shard))
            previous = shard.id if options.is_chained else None
            yield shard


def _intervals(pieces: Iterable[Sequence[Piece]], options: PlanOptions) -> Iterator[Piece]:
    """Yield the intervals of a stream's shards."""
    step_ns = options.days * DAY_NS
    for first_ns, last_ns in merged(sorted(piece for own in pieces for piece in own)):
        start_ns = first_ns
        while start_ns < last_ns:
            stop_ns = min(last_ns, (start_ns // step_ns + 1) * step_ns)
            # A record that begins before --start may reach into it.
            is_late = options.start_ns is None or stop_ns + 2 * DAY_NS > options.start_ns
            if is_late and (options.stop_ns is None or start_ns < options.stop_ns):
                yield start_ns, stop_ns
            start_ns = stop_ns


def _files_in(stream: FileStream, pieces: dict[Path, tuple[Piece, ...]], within: Piece) -> Iterator[ShardFile]:
    for part in stream.parts:
        if any(start_ns < within[1] and stop_ns > within[0] for start_ns, stop_ns in pieces[part.path]):
            yield ShardFile(part.path.as_posix(), part.size_bytes, part.file_start_ns, part.spans)


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """What a driver needs of a shard: its name, and where its line stands in the plan."""

    id: str
    chain: int  # shards of a chain are run one after the other
    record_s: float  # length of its interval
    offset: int
    size_bytes: int


class Plan:
    """A plan on disk: `ID.jsonl` with the shards, and `ID.list` with what a driver needs of them."""

    def __init__(self, folder: Path, plan_id: str) -> None:
        self.id = plan_id
        self._lines, self._list = folder / f"{plan_id}.jsonl", folder / f"{plan_id}.list"

    @classmethod
    def write(cls, folder: Path, shards: Iterable[Shard], is_chained: bool) -> Plan:
        """Write a plan, whose id is a hash of its shards; the same plan is written to the same files.

        Raises
        ------
        DataError
            It cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        digest, listed = hashlib.sha256(), []
        places: dict[SensorPlace, int] = {}

        def lines() -> Iterator[bytes]:
            offset = 0
            for number, shard in enumerate(shards):
                line = shard.line()
                digest.update(line)
                chain = places.setdefault(shard.place, len(places)) if is_chained else number
                seconds = (shard.stop_ns - shard.start_ns) / NS_PER_S
                listed.append(f"{shard.id} {chain} {seconds:.0f} {offset} {len(line)}\n")
                offset += len(line)
                yield line

        temporary = folder / f".plan.{os.getpid()}.part"
        try:
            write_durably(temporary, lines())
            plan = cls(folder, digest.hexdigest()[:_ID_LETTERS])
            temporary.replace(plan._lines)
        except OSError as problem:
            raise DataError(f"cannot write a plan in {folder}: {problem.strerror or problem}") from problem
        write_bytes_atomically(plan._list, "".join(listed).encode())
        return plan

    def planned(self) -> Iterator[PlannedShard]:
        """Yield the shards' names, in the plan's order.

        Raises
        ------
        DataError
            The plan cannot be read.
        """
        try:
            with self._list.open() as file:
                for line in file:
                    shard_id, chain, seconds, offset, size = line.split()
                    yield PlannedShard(shard_id, int(chain), float(seconds), int(offset), int(size))
        except (OSError, ValueError) as problem:
            raise DataError(f"plan {self._list} cannot be read: {problem}") from problem

    def shard(self, planned: PlannedShard) -> Shard:
        """Read a shard.

        Raises
        ------
        DataError
            The plan cannot be read, or the shard in it is another one.
        """
        try:
            shard = Shard.parse(read_at(self._lines, planned.offset, planned.size_bytes))
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise DataError(f"plan {self._lines} cannot be read: {problem}") from problem
        if shard.id != planned.id or _id_of(shard) != shard.id:
            raise DataError(f"plan {self._lines} is damaged: shard {planned.id} is not where it was written")
        return shard

    def shards(self) -> Iterator[Shard]:
        """Yield all shards; raises as `shard`."""
        return (self.shard(planned) for planned in self.planned())
