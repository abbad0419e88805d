"""What the ground has asked for and what waits to be sent: requests and outbox of a run folder.

The only place of the server that writes into a run folder, by the functions of `edgequake-edge request --send` and
`edgequake-edge acknowledge`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from edgequake.edge.archive.extract import Span
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import REQUESTS
from edgequake.edge.downlink.outbox import acknowledge, outbox_files
from edgequake.edge.downlink.requests import Request, send_request
from edgequake.edge.formats.waveforms import NS_PER_S

MOST_SPAN_S = 31 * 86_400.0  # of a request: the run cuts what it sends at 16 MB anyway
MOST_WAITING = 200  # requests that may wait before no more are taken: the run looks at a thousand
_MOST_SHOWN = 50
_STATES = {".json": "waiting", ".sent": "sent", ".refused": "refused", ".empty": "nothing stored"}


@dataclass(frozen=True)
class ListedRequest:
    """A request in a run folder; its span is None where it cannot be read."""

    name: str
    state: str
    span: Span | None


@dataclass(frozen=True)
class OutboxEntry:
    """A file that waits for the radio, or for its acknowledgement."""

    number: int
    name: str
    size_bytes: int
    age_s: float


class Ground:
    """Requests and outbox of a run folder; safe for several threads."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()

    def requests(self) -> list[ListedRequest]:
        """Return the newest requests, newest first."""
        found = []
        for path in self._newest(_MOST_SHOWN):
            span = None
            with suppress(DataError):
                span = Request.read(path).span
            found.append(ListedRequest(path.stem, _STATES[path.suffix], span))
        return found

    def outbox(self) -> list[OutboxEntry]:
        """Return the first files of the outbox by number."""
        entries, now_s = [], time.time()
        for path in outbox_files(self._out)[:_MOST_SHOWN]:
            with suppress(OSError):  # just deleted by the radio
                status = path.stat()
                entries.append(
                    OutboxEntry(int(path.stem), path.name, status.st_size, max(0.0, now_s - status.st_mtime))
                )
        return entries

    def request(self, span: Span) -> str:
        """Have the run send a span; return a line that says so.

        Raises
        ------
        ConfigError
            The span is empty or too long, or too many requests wait.
        DataError
            It cannot be written.
        """
        length_s = (span.stop_ns - span.start_ns) / NS_PER_S
        if not 0.0 < length_s <= MOST_SPAN_S:
            raise ConfigError(f"a request of {length_s:g} s: expected more than 0 s and at most {MOST_SPAN_S:g} s")
        with self._lock:  # of two at once neither may pass the limit
            if sum(path.suffix == ".json" for path in self._newest(1 << 14)) >= MOST_WAITING:
                raise ConfigError(f"{MOST_WAITING} requests wait already; the run takes them up in its next passes")
            return send_request(self._out, span)

    def acknowledge(self, numbers: Sequence[int]) -> str:
        """Delete files that have been received from the outbox; return a line that says so.

        Raises
        ------
        DataError
            One of them is not there; nothing is deleted then.
        """
        return acknowledge(self._out, numbers)

    def _newest(self, n: int) -> list[Path]:
        folder = self._out / REQUESTS
        try:
            with os.scandir(folder) as entries:
                names = nlargest(n, (entry.name for entry in entries if Path(entry.name).suffix in _STATES))
        except OSError:  # there is no such folder
            return []
        return [folder / name for name in names]
