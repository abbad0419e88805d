"""An event that a run has missed and a reviewer has added, and its row as one of the catalogue would be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgequake.edge.archive.sds import station_name
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import NS_PER_S, format_time, parse_time
from edgequake.edge.results.catalog import CatalogRow

PREFIX = "added_"  # of its name; those of the catalogue begin with a network's code, of two letters at most
LONGEST_NS = 86_400 * NS_PER_S
LONGEST_STATION, LONGEST_TEXT = 64, 4000  # letters


@dataclass(frozen=True)
class AddedEvent:
    """What a reviewer has said of an event when adding it.

    Attributes
    ----------
    station_id : NET_STA.
    onset_ns, stop_ns : [onset, stop), ns since 1970 UTC; equal where the end is not known.
    mq_type : class; blank: none.
    note : for people.
    """

    station_id: str
    onset_ns: int
    stop_ns: int
    mq_type: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.station_id) <= LONGEST_STATION:
            raise ConfigError("an event that is added needs its station")
        if not 0 <= self.stop_ns - self.onset_ns <= LONGEST_NS:
            raise ConfigError("an event that is added ends after its onset, within a day")

    @property
    def evid(self) -> str:
        """Its name, the same for the same station and millisecond."""
        stamp = format_time(self.onset_ns)[:23].replace("-", "").replace(":", "")
        return f"{PREFIX}{station_name(self.station_id)}_{stamp}"

    def text(self) -> str:
        """Return it as the value of an action in the log."""
        fields = {
            "station": self.station_id,
            "onset": format_time(self.onset_ns) + "Z",
            "stop": format_time(self.stop_ns) + "Z",
            "class": self.mq_type,
            "note": self.note,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> AddedEvent:
        """Read what `text` returns.

        Raises
        ------
        ConfigError
            It is no such text.
        """
        try:
            fields: Any = json.loads(text)
            station_id, onset, stop, mq_type, note = (
                fields[name] for name in ("station", "onset", "stop", "class", "note")
            )
            if not all(isinstance(one, str) for one in (station_id, onset, stop, mq_type, note)):
                raise TypeError("a field is no text")
            return cls(station_id, parse_time(onset), parse_time(stop), mq_type, note)
        except (ValueError, KeyError, TypeError, DataError, RecursionError) as problem:
            raise ConfigError(f"no event that was added: '{one_line(text)[:80]}' ({problem})") from problem

    def row(self) -> CatalogRow:
        """Return it as a row of a catalogue: no file, segment or probability; peak and priority are 0."""
        return CatalogRow(
            "-", self.onset_ns, 0.0, self.evid, self.mq_type, self.station_id, (), self.stop_ns, 0.0, 0.0, "", 0, 0
        )  # fmt: skip
