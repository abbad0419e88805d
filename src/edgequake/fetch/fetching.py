"""Fetch whole days of Apollo or InSight records from an FDSN data centre into a data folder.

The loop over the days is written here rather than left to obspy's `MassDownloader`, because that cannot resume as this
one does: it logs a request that fails and goes on, so that a failed day looks like a day without data; it knows only
from the existence of a file whether a channel's day was fetched; it does not cut records at the day's borders; and it
needs the stations' StationXML, and by default discards channels with gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time, parse_time
from edgequake.fetch.data_centre import DataCentre
from edgequake.fetch.day_sorting import DayFile, sort_records
from edgequake.fetch.record_table import RecordTable
from edgequake.results.progress import Progress, silent

DAY_NS = 86_400 * NS_PER_S
BASE_URL = "https://service.earthscope.org"


@dataclass(frozen=True)
class Mission:
    """The codes and days under which a body's records are archived."""

    codes: tuple[str, str, str, str]  # network, station, location, channel; the last two are patterns
    first_day: str
    stop_day: str


# Network codes that begin with X are temporary and are assigned again: at other times, the same code is a network on
# Earth. Days: doi:10.7914/SN/XA_1969 and doi:10.18715/SEIS.INSIGHT.XB_2016.
MISSIONS = {
    "moon": Mission(("XA", "S12", "*", "MH?"), "1969-01-01", "1978-01-01"),
    "mars": Mission(("XB", "ELYSE", "02", "BH?"), "2016-01-01", "2023-01-01"),
}


@dataclass(frozen=True)
class FetchRequest:
    """Which records to fetch: all UTC days in [start, stop), both at midnight."""

    body: str
    codes: tuple[str, str, str, str]  # network, station, location, channel; the last three may be patterns
    start_ns: int
    stop_ns: int
    base_url: str

    @property
    def days_ns(self) -> range:
        """The start times of the days."""
        return range(self.start_ns, self.stop_ns, DAY_NS)

    @property
    def origin(self) -> str:
        """The codes, joined by dots; `records.csv` keeps it as the origin of a file."""
        return ".".join(self.codes)


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch, by day."""

    folder: Path
    asked_for: str
    days_fetched: tuple[str, ...]
    days_there: tuple[str, ...]
    days_without_data: tuple[str, ...]
    files: tuple[Path, ...]
    size_bytes: int

    def text(self) -> str:
        """Return the result as lines of text."""
        lines = [
            f"fetched {len(self.days_fetched)} day(s) of {self.asked_for}, {self.size_bytes / 1e6:.1f} MB, into "
            f"{self.folder}"
        ]
        if self.days_there:
            lines.append(f"{len(self.days_there)} day(s) had been fetched before")
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
    """Return the request for the whole days that overlap [start, stop); other arguments default to the mission's.

    Raises
    ------
    ConfigError
        An empty interval, or one outside the mission's years.
    DataError
        A time that is not ISO 8601.
    """
    mission = MISSIONS[body]
    network, default_station, default_location, default_channel = mission.codes
    start_ns = parse_time(start) // DAY_NS * DAY_NS
    stop_ns = -(-parse_time(stop) // DAY_NS) * DAY_NS
    if parse_time(stop) <= parse_time(start):
        raise ConfigError(f"--stop {stop} is not after --start {start}: --stop is the first day left out")
    if start_ns < parse_time(mission.first_day) or stop_ns > parse_time(mission.stop_day):
        raise ConfigError(
            f"network {network} is on the {body.title()} only from {mission.first_day} until "
            f"{mission.stop_day}; got {start} to {stop}"
        )
    return FetchRequest(
        body=body,
        codes=(
            network,
            (station or default_station).upper(),
            default_location if location is None else location,
            (channel or default_channel).upper(),
        ),
        start_ns=start_ns,
        stop_ns=stop_ns,
        base_url=(base_url or BASE_URL).rstrip("/"),
    )


def fetch_days(request: FetchRequest, out: Path, force: bool = False, progress: Progress = silent) -> Fetched:
    """Fetch the days of a request that the folder does not hold; each is written completely or not at all.

    Parameters
    ----------
    out : data folder. Rows are added to its records.csv; a catalog.csv without rows is written where there is none.
    force : fetch every day again, and replace its files.
    progress : called with the share done, 0..1, and the day.

    Raises
    ------
    ConfigError, DataError
        The data centre cannot be reached, lacks the station or has no data at all, or fails; the folder holds other
        data. Days that were fetched before are kept, and the same request continues after them.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a data folder with --out")
    table = RecordTable(out)
    there = [day_ns for day_ns in request.days_ns if not force and table.has_day(request.origin, _date(day_ns))]
    wanted = [day_ns for day_ns in request.days_ns if day_ns not in there]
    sizes: dict[int, dict[Path, int]] = {}  # day -> file -> bytes
    if wanted:
        centre = DataCentre(request.base_url)
        _require_station(centre, request)
        for number, day_ns in enumerate(wanted):
            progress(number / len(wanted), _date(day_ns))
            files = _fetch_day(centre, request, day_ns)
            if files:
                _keep(files, table, request, _date(day_ns), force)
            sizes[day_ns] = {out / request.body / file.name: len(file.content) for file in files}
    if not there and not any(sizes.values()):
        raise DataError(
            f"{request.base_url} has no data of {request.origin} on the {len(wanted)} day(s) from "
            f"{_date(request.start_ns)}: check --channel, --location and the days"
        )
    return Fetched(
        folder=out,
        asked_for=request.origin,
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
            f"{_date(day_ns)}: {problem}; earlier days are kept: give the same command again to continue"
        ) from problem
    return answer or []


def _keep(files: list[DayFile], table: RecordTable, request: FetchRequest, date: str, force: bool) -> None:
    """Write a day's files, then their rows: a file that is not in the table counts as not fetched."""
    names = [f"{request.body}/{file.name}" for file in files]
    for name in names:
        owner = table.owner_of(name)
        if owner not in (None, request.origin) and not force:
            raise ConfigError(
                f"{table.folder / name} was fetched as {owner}, and {request.origin} would replace it: request the "
                f"same channels, name another --out, or use --force"
            )
    (table.folder / request.body).mkdir(parents=True, exist_ok=True)
    for name, file in zip(names, files, strict=True):
        write_bytes_atomically(table.folder / name, file.content)
    table.add_day(request.body, date, request.origin, f"FDSN {request.base_url}", files)


def _require_station(centre: DataCentre, request: FetchRequest) -> None:
    network, station, *_ = request.codes
    if centre.stations(network, station, request.start_ns, request.stop_ns):
        return
    known = centre.stations(network, "*", request.start_ns, request.stop_ns)
    raise DataError(
        f"{request.base_url} has no station {station} of network {network} from "
        f"{_date(request.start_ns)} until {_date(request.stop_ns)}; it has {', '.join(known) or 'none'} in that time"
    )


def _date(time_ns: int) -> str:
    return format_time(time_ns)[:10]
