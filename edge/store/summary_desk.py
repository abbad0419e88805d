"""Offers the summary channel's records to the downlink: what the budget leaves over goes to them, newest days only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgequake.edge.store.folders import CONTINUOUS
from edgequake.edge.store.journal import Sent
from edgequake.edge.store.sds import DAY_NS, day_of_name
from edgequake.edge.store.waiting import Level, WaitingSummary

if TYPE_CHECKING:
    from edgequake.edge.store.continuous import Continuous

RECENT_DAYS = 10  # what is older is sent on request only


class SummaryDesk:
    """Knows how much of each file of the summary channel has been sent."""

    def __init__(self, out: Path, continuous: Continuous | None) -> None:
        self._out, self._continuous = out, continuous
        self._taken_bytes: dict[str, int] = {}  # by name below the summary channel's folder

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{CONTINUOUS}/")

    def waiting(self, now_ns: int) -> Iterator[WaitingSummary]:
        """Yield the files with records that have not been sent.

        Raises
        ------
        DataError
            The disk fails.
        """
        if self._continuous is None:
            return
        today = now_ns // DAY_NS
        found = self._continuous.new_records(self._taken_bytes)
        recent = [(day_of_name(records.file), records) for records in found]
        recent = [(day, records) for day, records in recent if today - RECENT_DAYS <= day <= today]
        if recent:
            self._continuous.sync()  # what the ground has had must not get lost and be counted anew
        for day, records in recent:
            source = f"{CONTINUOUS}/{records.file}"
            yield WaitingSummary(
                source,
                self._out / source,
                Level.SUMMARY,
                day * DAY_NS,
                records.start_byte,
                stop_byte=records.stop_byte,
            )

    def took(self, part: Sent) -> None:
        """Bytes of a file are on their way."""
        name = part.source.removeprefix(f"{CONTINUOUS}/")
        self._taken_bytes[name] = part.stop
        oldest = day_of_name(name) - 2 * RECENT_DAYS
        for other in [other for other in self._taken_bytes if day_of_name(other) < oldest]:
            del self._taken_bytes[other]
