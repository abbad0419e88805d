"""Fetch whole days of Apollo or InSight records from an FDSN archive into a data folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time, parse_time
from edgequake.fetch.data_centre import DataCentre
from edgequake.fetch.day_sorting import DayFile, sort_records
from edgequake.fetch.record_table import RecordTable

DAY_NS = 86_400 * NS_PER_S
BASE_URL = "https://service.earthscope.org"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Mission:
    """Where a body's records lie in the archives."""

    network: str
    station: str
    channel: str
    location: str
    first_day: str
    stop_day: str


# Network codes with an X are lent out for some years and then used again: the same code at another time is a network
# on Earth. Days: doi:10.7914/SN/XA_1969 and doi:10.18715/SEIS.INSIGHT.XB_2016.
MISSIONS = {
    "moon": Mission("XA", "S12", "MH?", "*", "1969-01-01", "1978-01-01"),
    "mars": Mission("XB", "ELYSE", "BH?", "02", "2016-01-01", "2023-01-01"),
}


@dataclass(frozen=True)
class FetchRequest:
    """Which records to fetch: every UTC day of [start, stop), both at midnight."""

    body: str
    network: str
    station: str
    location: str
    channel: str
    start_ns: int
    stop_ns: int
    base_url: str

    @property
    def codes(self) -> tuple[str, str, str, str]:
        """Network, station, location and channel; the last three may be patterns."""
        return self.network, self.station, self.location, self.channel

    @property
    def days_ns(self) -> range:
        """The days' beginnings."""
        return range(self.start_ns, self.stop_ns, DAY_NS)

    def words(self) -> str:
        """The codes in a row; the record table remembers by it what was asked for."""
        return ".".join(self.codes)


@dataclass(frozen=True)
class Fetched:
    """What a fetch did, day by day."""

    folder: Path
    asked_for: str
    days_fetched: tuple[str, ...]
    days_there: tuple[str, ...]
    days_without_data: tuple[str, ...]
    files: tuple[Path, ...]
    size_bytes: int

    def text(self) -> str:
        """Return the same in words."""
        lines = [
            f"fetched {len(self.days_fetched)} day(s) of {self.asked_for}, {self.size_bytes / 1e6:.1f} MB, into "
            f"{self.folder}"
        ]
        if self.days_there:
            lines.append(f"{len(self.days_there)} day(s) were there already")
        if self.days_without_data:
            lines.append(f"no data on {len(self.days_without_data)} day(s): {', '.join(self.days_without_data)}")
        return "\n".join(lines)


def plan_request(
    body: str,
    start: str,
    stop: str,
    station: str | None = None,
    channel: str | None = None,
    location: str | None = None,
    base_url: str | None = None,
) -> FetchRequest:
    """Make a request of what was asked for: days that [start, stop) meets are fetched whole.

    Raises
    ------
    ConfigError
        An empty interval, or one that does not lie within the mission's years.
    DataError
        A time that is none.
    """
    mission = MISSIONS[body]
    start_ns = parse_time(start) // DAY_NS * DAY_NS
    stop_ns = -(-parse_time(stop) // DAY_NS) * DAY_NS
    if parse_time(stop) <= parse_time(start):
        raise ConfigError(f"--stop {stop} is not after --start {start}: --stop is the first day left out")
    if start_ns < parse_time(mission.first_day) or stop_ns > parse_time(mission.stop_day):
        raise ConfigError(
            f"network {mission.network} is on the {body.title()} only from {mission.first_day} until "
            f"{mission.stop_day}; got {start} to {stop}"
        )
    return FetchRequest(
        body=body,
        network=mission.network,
        station=(station or mission.station).upper(),
        location=mission.location if location is None else location,
        channel=(channel or mission.channel).upper(),
        start_ns=start_ns,
        stop_ns=stop_ns,
        base_url=(base_url or BASE_URL).rstrip("/"),
    )


def fetch_days(request: FetchRequest, out: Path, force: bool = False, progress: Progress | None = None) -> Fetched:
    """Fetch a request's days that the folder does not have yet; each is written whole or not at all.

    Parameters
    ----------
    out : data folder; its records.csv gains rows, its catalog.csv is begun (events are not known) where there is none.
    force : ask for every day again, and replace what was fetched of it.
    progress : called with the share done, 0..1, and the day.

    Raises
    ------
    ConfigError, DataError
        The archive cannot be reached, has no such station or no data at all, or fails; the folder is not ours to add
        to. The days before are kept, and the same request goes on after them.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a data folder with --out")
    table = RecordTable(out)
    there = [day_ns for day_ns in request.days_ns if not force and table.has_day(request.words(), _date(day_ns))]
    wanted = [day_ns for day_ns in request.days_ns if day_ns not in there]
    sizes: dict[int, dict[Path, int]] = {}  # day -> file -> bytes
    if wanted:
        centre = DataCentre(request.base_url)
        _require_station(centre, request)
        for number, day_ns in enumerate(wanted):
            if progress:
                progress(number / len(wanted), _date(day_ns))
            files = _fetch_day(centre, request, day_ns)
            if files:
                _keep(files, table, request, _date(day_ns), force)
            sizes[day_ns] = {out / request.body / file.name: len(file.content) for file in files}
    if not there and not any(sizes.values()):
        raise DataError(
            f"{request.base_url} has no data of {request.words()} on the {len(wanted)} day(s) from "
            f"{_date(request.start_ns)}: check --channel, --location and the days"
        )
    return Fetched(
        folder=out,
        asked_for=request.words(),
        days_fetched=tuple(_date(day_ns) for day_ns, files in sizes.items() if files),
        days_there=tuple(map(_date, there)),
        days_without_data=tuple(_date(day_ns) for day_ns, files in sizes.items() if not files),
        files=tuple(path for files in sizes.values() for path in files),
        size_bytes=sum(size for files in sizes.values() for size in files.values()),
    )


def _fetch_day(centre: DataCentre, request: FetchRequest, day_ns: int) -> list[DayFile]:
    try:
        stop_ns = day_ns + DAY_NS
        answer = centre.records(request.codes, day_ns, stop_ns, lambda data: sort_records(data, day_ns, stop_ns))
    except DataError as problem:
        raise DataError(
            f"{_date(day_ns)}: {problem}; the days before are kept: give the same command again to go on"
        ) from problem
    return answer or []


def _keep(files: list[DayFile], table: RecordTable, request: FetchRequest, date: str, force: bool) -> None:
    """Write a day's files and then their rows: what is not in the table counts as not fetched."""
    names = [f"{request.body}/{file.name}" for file in files]
    for name in names:
        owner = table.owner_of(name)
        if owner not in (None, request.words()) and not force:
            raise ConfigError(
                f"{table.folder / name} was fetched as {owner}, and {request.words()} would replace it: ask for the "
                f"same channels, name another --out, or use --force"
            )
    (table.folder / request.body).mkdir(parents=True, exist_ok=True)
    for name, file in zip(names, files, strict=True):
        write_bytes_atomically(table.folder / name, file.content)
    table.add_day(request.body, date, request.words(), f"FDSN {request.base_url}", files)


def _require_station(centre: DataCentre, request: FetchRequest) -> None:
    if centre.stations(request.network, request.station, request.start_ns, request.stop_ns):
        return
    known = centre.stations(request.network, "*", request.start_ns, request.stop_ns)
    raise DataError(
        f"{request.base_url} knows no station {request.station} of network {request.network} from "
        f"{_date(request.start_ns)} until {_date(request.stop_ns)}; it has {', '.join(known) or 'none'} then"
    )


def _date(time_ns: int) -> str:
    return format_time(time_ns)[:10]
