"""`edgequake labels`: the picks of QuakeML documents as the catalogue of a folder of records.

The first arrival of an event at a station is primary: a detector must find it. Later ones, as S, need not be.
Where an event has no pick at a station, its P wave is predicted, if it is known where the station is.

References
----------
Kennett, B. L. N. & Engdahl, E. R. (1991). Traveltimes for global earthquake location and phase identification. Geophys.
J. Int. 105, 429-465: the model iasp91.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgequake.data.quakeml_events import EventOrigin, PickedArrival, QuakeEvent, read_quake_events
from edgequake.data.record_files import StationFile, station_files
from edgequake.data.tables import BODIES, CATALOG_COLUMNS, RECORD_COLUMNS, read_table, table_bytes
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time

# Half-width of a label without an uncertainty: Earth, a careful pick of a local quake; Mars, the middle of those of the
# Marsquake Service; Moon, catalogued to the minute.
PRECISION_S = {"earth": 1.0, "mars": 20.0, "moon": 60.0}
PREDICTED_S = 5.0  # of a predicted P: errors of origin, depth and crust together
_LEAST_PRECISION_S = 0.05
_SECONDARY = ("S", "s", "L", "R", "T")  # first letters of phases that never come first
_SPLITS = ("train", "val", "test")

PlaceOf = Callable[[str], tuple[float, float] | None]  # latitude and longitude in degrees, by NET_STA


@dataclass(frozen=True)
class Labelled:
    """What `edgequake labels` has written.

    Attributes
    ----------
    n_picked, n_predicted : arrivals in the catalogue, without and with a prediction.
    n_outside : picks of stations or times of which the folder has no record.
    n_silent_events : events without any arrival in the records.
    """

    folder: Path
    n_events: int
    n_files: int
    n_picked: int
    n_predicted: int
    n_outside: int
    n_silent_events: int
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the result as lines of text."""
        lines = [
            f"{self.n_picked + self.n_predicted} arrival(s) in {self.n_files} record(s): {self.folder / 'catalog.csv'}",
            f"{self.n_events} event(s), {self.n_silent_events} of them without an arrival in the records; "
            f"{self.n_outside} pick(s) of other stations or times",
        ]
        if self.n_predicted:
            lines.append(f"{self.n_predicted} arrival(s) are predicted, not picked: they need not be detected")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def label_records(
    documents: Sequence[Path],
    folder: Path,
    split: str | None = None,
    body: str | None = None,
    precision_s: float | None = None,
    place_of: PlaceOf | None = None,
    force: bool = False,
) -> Labelled:
    """Write the arrivals of documents to a folder's catalog.csv, and records.csv where it has none.

    Parameters
    ----------
    documents : QuakeML files, or others that obspy reads.
    folder : miniSEED files of one station each, in any subfolders, or what `edgequake fetch` has filled.
    split : "train", "val" or "test", of all records.
    body : "moon", "mars" or "earth", of all records.
    precision_s : half-width of labels without an uncertainty; by default that of the body.
    place_of : tells where a station is; then P is predicted for events on Earth that have no pick at a station.
    force : replace a catalogue that has rows.

    Raises
    ------
    ConfigError
        An unknown split or body, a precision that is not positive, or a catalogue with rows and no `force`.
    DataError
        A document or a record cannot be read, or no arrival lies in the records: nothing is written.
    """
    _require_options(folder, split, body, precision_s, force)
    events = [event for path in documents for event in read_quake_events(path)]
    files, notes = station_files(folder, split, body)
    rows: list[dict[str, Any]] = []
    n_picked = n_used = n_silent = 0
    for event in events:
        of_event: list[dict[str, Any]] = []
        for file in files:
            picks = [pick for pick in event.picks if _is_of(pick, file)]
            arrivals = list(_rows(event, file, picks, precision_s))
            n_picked += len(arrivals)
            n_used += len(picks)
            if not picks and place_of is not None:
                arrivals = list(_predicted(event, file, place_of))
            of_event += arrivals
        n_silent += not of_event
        rows += of_event
    if not rows:
        raise DataError(_nothing_found(events, files, folder, place_of is not None))
    rows.sort(key=lambda row: (row["file"], row["time_abs"]))
    records = [row for file in files for row in file.rows]
    write_bytes_atomically(folder / "records.csv", table_bytes(RECORD_COLUMNS, records))
    write_bytes_atomically(folder / "catalog.csv", table_bytes(CATALOG_COLUMNS, rows))
    n_outside = sum(len(event.picks) for event in events) - n_used
    n_files = len({row["file"] for row in rows})
    n_predicted = len(rows) - n_picked
    return Labelled(folder, len(events), n_files, n_picked, n_predicted, max(0, n_outside), n_silent, tuple(notes))


def _require_options(folder: Path, split: str | None, body: str | None, precision_s: float | None, force: bool) -> None:
    for name, value, known in (("split", split, _SPLITS), ("body", body, BODIES)):
        if value is not None and value not in known:
            raise ConfigError(f"--{name} {value}: expected one of {', '.join(known)}")
    if precision_s is not None and not precision_s > 0:
        raise ConfigError(f"--precision {precision_s:g}: expected seconds above 0")
    catalog = folder / "catalog.csv"
    if catalog.is_file() and not force and read_table(catalog, CATALOG_COLUMNS):
        raise ConfigError(f"{catalog} has labels already; replace them with --force")


def _is_of(pick: PickedArrival, file: StationFile) -> bool:
    """Whether a pick is of a record's station and time; documents without networks are taken at their stations."""
    is_station = pick.station == file.station and pick.network in ("", file.network)
    return is_station and file.start_ns <= pick.time_ns < file.stop_ns


def _rows(
    event: QuakeEvent, file: StationFile, picks: Sequence[PickedArrival], precision_s: float | None
) -> Iterator[dict[str, Any]]:
    """Yield a row for each phase of an event in a record; automatic picks count where nobody has picked by hand."""
    chosen: dict[str, PickedArrival] = {}
    by_hand = [pick for pick in picks if pick.mode != "automatic"]
    for pick in sorted(by_hand or picks, key=lambda one: one.time_ns):
        chosen.setdefault(pick.phase, pick)
    if any(phase.startswith(("P", "p")) for phase in chosen):
        chosen.pop("start", None)  # the Marsquake Service's begin of an event that has a P as well
    first = min(
        (pick for pick in chosen.values() if not pick.phase.startswith(_SECONDARY) or pick.phase == "start"),
        key=lambda one: one.time_ns,
        default=None,
    )
    usual_s = precision_s or PRECISION_S[file.rows[0]["body"]]
    for pick in sorted(chosen.values(), key=lambda one: one.time_ns):
        half_s = usual_s if pick.uncertainty_s is None else max(pick.uncertainty_s, _LEAST_PRECISION_S)
        label = " ".join(filter(None, (pick.mode, pick.phase or "pick")))
        yield _row(event, file, pick.time_ns, half_s, pick is first, f"{label} ({event.document})")


def _predicted(event: QuakeEvent, file: StationFile, place_of: PlaceOf) -> Iterator[dict[str, Any]]:
    """Yield the P wave that an event on Earth would have in a record; perhaps below the noise: it is not primary."""
    place = place_of(f"{file.network}_{file.station}")
    if event.origin is None or place is None or file.rows[0]["body"] != "earth":
        return
    if not file.start_ns - 1800 * NS_PER_S <= event.origin.time_ns < file.stop_ns:  # no P travels for longer
        return
    travel_s = _travel_time_s(event.origin, place)
    if travel_s is None:
        return
    time_ns = event.origin.time_ns + round(travel_s * NS_PER_S)
    if file.start_ns <= time_ns < file.stop_ns:
        yield _row(event, file, time_ns, PREDICTED_S, False, f"predicted P, iasp91 ({event.document})")


def _travel_time_s(origin: EventOrigin, place: tuple[float, float]) -> float | None:
    from obspy.geodetics import locations2degrees

    distance_deg = locations2degrees(origin.latitude_deg, origin.longitude_deg, *place)
    times = _iasp91().get_travel_times(max(0.0, origin.depth_km), distance_deg, phase_list=["ttp"])
    return min((float(one.time) for one in times), default=None)


@cache
def _iasp91() -> Any:
    from obspy.taup import TauPyModel

    return TauPyModel("iasp91")  # takes a second to load


def _row(
    event: QuakeEvent, file: StationFile, time_ns: int, precision_s: float, is_primary: bool, source: str
) -> dict[str, Any]:
    first: Mapping[str, str] = file.rows[0]
    return {
        "split": first["split"],
        "body": first["body"],
        "group": first["group"],
        "file": file.file,
        "event": event.name,
        "event_type": event.event_type,
        "time_abs": format_time(time_ns) + "Z",
        "time_rel_s": f"{(time_ns - file.start_ns) / NS_PER_S:.6f}",
        "precision_s": f"{precision_s:g}",
        "primary": str(int(is_primary)),
        "label_source": source,
    }


def _nothing_found(events: Sequence[QuakeEvent], files: Sequence[StationFile], folder: Path, predicts: bool) -> str:
    """Return why no arrival lies in the records, as far as it can be told."""
    picked = sorted({f"{pick.network}_{pick.station}" for event in events for pick in event.picks})
    recorded = sorted({f"{file.network}_{file.station}" for file in files})
    if not events:
        return "the documents hold no event"
    if not picked and not predicts:
        return (
            f"the {len(events)} event(s) have no picks; name an inventory with --stations, and P is predicted at "
            f"{', '.join(recorded[:3])}"
        )
    span = f"{format_time(min(one.start_ns for one in files))} to {format_time(max(one.stop_ns for one in files))}"
    return (
        f"none of the {len(events)} event(s) arrives in the records of {folder}: these are of "
        f"{', '.join(recorded[:3])} from {span}, the picks of {', '.join(picked[:3]) or 'none'}"
    )
