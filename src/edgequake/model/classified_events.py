"""The events that a model found: a sequence, and an obspy Catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, overload

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.catalog import in_catalog_order
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.summary import UsedModel
from edgequake.results.finished_run import RunEvent

if TYPE_CHECKING:
    from obspy.core.event import Catalog


class MemoryLedger(Ledger):
    """A ledger whose segments are not written: what is remembered of each is its hash and its location code."""

    def __init__(self) -> None:
        super().__init__()
        self.locations: dict[str, str] = {}  # by segment
        self._digests: dict[str, bytes] = {}

    def write_segment(self, folder: Path, name: str, data: bytes) -> None:
        """Remember the segment."""
        self._digests[name] = hashlib.sha256(data).digest()
        first = next(iter(RecordScanner("-", Diagnostics(), decode=False).feed(data)), None)
        self.locations[name] = "" if first is None else split_source_id(first.header.source_id).location

    def is_segment(self, folder: Path, name: str, data: bytes) -> bool:
        """Whether a segment consists of these very bytes."""
        return self._digests.get(name) == hashlib.sha256(data).digest()


@dataclass(frozen=True, slots=True)
class ClassifiedEvent(RunEvent):
    """One event: a row of the catalogue that a run would write.

    Attributes
    ----------
    onset_ns, stop_ns : [onset, stop) of the event, nanoseconds since 1970 UTC; the onset is refined.
    onset_uncertainty_s : about two thirds of all onsets lie within this of the true onset; None where unknown.
    peak_probability : largest onset probability.
    station_id, channels : NET_STA, and the codes of its channels around the event.
    kept_start_ns, kept_stop_ns : the span that a run would keep; events that overlap share it.
    mq_type : event class, blank where the model gives none.
    """

    kept_start_ns: int = 0
    kept_stop_ns: int = 0

    @property
    def onset(self) -> str:
        """The onset as ISO 8601 text, UTC, to the microsecond."""
        return format_time(self.onset_ns)

    @property
    def stop(self) -> str:
        """The stop as ISO 8601 text, UTC, to the microsecond."""
        return format_time(self.stop_ns)

    @property
    def kept_start(self) -> str:
        """The start of the kept span as ISO 8601 text, UTC, to the microsecond."""
        return format_time(self.kept_start_ns)

    @property
    def kept_stop(self) -> str:
        """The stop of the kept span as ISO 8601 text, UTC, to the microsecond."""
        return format_time(self.kept_stop_ns)

    def __str__(self) -> str:
        uncertainty = "" if self.onset_uncertainty_s is None else f" +- {self.onset_uncertainty_s:.2f} s"
        kind = f", {self.mq_type}" if self.mq_type else ""
        channels = " ".join(self.channels)
        return f"{self.onset}{uncertainty}  {self.station_id} {channels}  probability {self.peak_probability:.3f}{kind}"


@dataclass(frozen=True, repr=False)
class EventList(Sequence[ClassifiedEvent]):
    """Events in the order of their onsets.

    Attributes
    ----------
    events : the events.
    model : the model that found them.
    edgequake_version : of the software.
    warnings : what was left out of the waveforms, or is suspicious in them.
    """

    events: tuple[ClassifiedEvent, ...]
    model: UsedModel
    edgequake_version: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_ledger(
        cls, ledger: MemoryLedger, model: UsedModel, edgequake_version: str, warnings: tuple[str, ...]
    ) -> EventList:
        """Return the events that a run's ledger holds."""
        events = [
            ClassifiedEvent(
                **{field.name: getattr(row, field.name) for field in fields(row)},
                name=row.evid,
                location=ledger.locations[row.segment],
                kept_start_ns=entry.segment.start_ns,
                kept_stop_ns=entry.segment.stop_ns,
            )
            for entry in ledger.take_new()
            for row in entry.rows
        ]
        return cls(tuple(in_catalog_order(events)), model, edgequake_version, warnings)

    def __len__(self) -> int:
        return len(self.events)

    @overload
    def __getitem__(self, index: int) -> ClassifiedEvent: ...

    @overload
    def __getitem__(self, index: slice) -> EventList: ...

    def __getitem__(self, index: int | slice) -> ClassifiedEvent | EventList:
        if isinstance(index, slice):
            return EventList(self.events[index], self.model, self.edgequake_version, self.warnings)
        return self.events[index]

    def __iter__(self) -> Iterator[ClassifiedEvent]:
        return iter(self.events)

    def __str__(self) -> str:
        title = f"{len(self)} event(s) by {self.model.name} {self.model.variant}"
        return "\n".join([title, *map(str, self.events), *(f"warning: {line}" for line in self.warnings)])

    def __repr__(self) -> str:
        return str(self)  # in a notebook, as obspy shows a Stream

    def to_catalog(self) -> Catalog:
        """Return an obspy Catalog with a pick at each onset: the one that `edgequake export --quakeml` writes.

        Raises
        ------
        ConfigError
            obspy is not installed.
        """
        from edgequake.export.quakeml import CatalogSource, obspy_catalog

        source = CatalogSource(
            self.model.name, self.model.variant, self.edgequake_version, lambda station_id: self.model
        )
        return obspy_catalog(source, self.events)
