"""The announcements of a run: each event is told when it begins, and again when it is final.

What is told is JSON for the command of `--on-event`. Both announcements of an event have the same `alarm`, the name of
the event as the trigger has declared it; `evid`, of its refined onset, is known only when it is final. What is told
is written to DIR/told.log before the command begins: so nothing is told twice, whenever the power fails.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import append, lines_from, write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.detection.announcer import EventNotice
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.ledger import event_id

ONSET, FINAL = "onset", "final"  # the phases of an event
_MOST_OPEN = 256  # events that have begun and are not final: more than all stations of a run have at once
_MOST_TOLD = 4096  # names remembered, more than the rows that a run may find again after a restart


@dataclass(frozen=True)
class Announcement:
    """One call of the command: the phase, a name that no other announcement of the run has, and the fields to tell."""

    phase: str
    name: str
    fields: Mapping[str, Any]


class OpenAlarms:
    """The events that have been announced and are not final yet; a checkpoint holds them."""

    def __init__(self) -> None:
        self._open: deque[tuple[str, int, str]] = deque(maxlen=_MOST_OPEN)  # station, onset, name

    def begin(self, notice: EventNotice) -> Announcement:
        """Return what to tell of an event that has begun."""
        alarm = event_id(notice.station_id, notice.onset_ns)
        self._open.append((notice.station_id, notice.onset_ns, alarm))
        return Announcement(ONSET, f"{ONSET} {alarm}", {
            "alarm": alarm, "phase": ONSET, "onset": f"{notice.onset}Z", "onset_ns": notice.onset_ns,
            "onset_uncertainty_s": notice.onset_uncertainty_s, "station_id": one_line(notice.station_id),
            "channels": list(map(one_line, notice.channels)), "peak_probability": notice.probability,
        })  # fmt: skip

    def end(self, row: CatalogRow) -> Announcement:
        """Return what to tell of an event that is final: its row, and the name that its beginning had."""
        own = [one for one in self._open if one[0] == row.station_id]
        alarm = row.evid  # of an event that was not announced: --core c, or an earlier process without --on-event
        if own:  # events of a station end in the order in which they begin, and refining moves an onset by seconds
            nearest = min(own, key=lambda one: abs(one[1] - row.onset_ns))
            alarm = nearest[2]
            ended = {one for one in own if one[1] <= nearest[1]}
            self._open = deque((one for one in self._open if one not in ended), _MOST_OPEN)
        return Announcement(FINAL, f"{FINAL} {row.evid}", {**event_fields(row), "alarm": alarm, "phase": FINAL})

    def state(self) -> State:
        return {"open": [list(one) for one in self._open]}

    def restore(self, state: State) -> None:
        self._open = deque(((station, onset_ns, name) for station, onset_ns, name in state["open"]), _MOST_OPEN)


def event_fields(row: CatalogRow) -> Mapping[str, Any]:
    """Return a row as JSON values: the fields of `CatalogRow`, inert, and onset and stop as text too."""
    times = {"onset": format_time(row.onset_ns) + "Z", "stop": format_time(row.stop_ns) + "Z"}
    values = {
        name: one_line(value) if isinstance(value, str) else value for name, value in dataclasses.asdict(row).items()
    }
    return {"evid": values["evid"], **times, **values}


class ToldLog:
    """The names of the announcements that were made last, in a file that grows by a line before each."""

    def __init__(self, path: Path | None) -> None:
        """Continue a file where there is one; None: remember in memory alone.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        self._path = path
        found = [] if path is None else [line for _, line in lines_from(path)]
        # A power loss may leave part of a line, or zeros.
        names = [line[:-1].decode(errors="replace") for line in found if line.endswith(b"\n")]
        self._names = dict.fromkeys(names[-_MOST_TOLD:])
        self._n_lines = len(found)
        self._is_cut_off = bool(found) and not found[-1].endswith(b"\n")

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Remember a name, durably.

        Raises
        ------
        DataError, OSError
            It cannot be written; it is remembered in memory.
        """
        self._names[name] = None
        while len(self._names) > _MOST_TOLD:
            del self._names[next(iter(self._names))]
        if self._path is None:
            return
        if self._is_cut_off or self._n_lines >= 2 * _MOST_TOLD:
            write_bytes_atomically(self._path, "".join(f"{one}\n" for one in self._names).encode())
            self._n_lines, self._is_cut_off = len(self._names), False
            return
        append(self._path, f"{name}\n".encode(), durable=True)
        self._n_lines += 1
