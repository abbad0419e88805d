"""The tables of a data folder that is filled day by day: records.csv grows, catalog.csv begins without rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgequake.data.tables import CATALOG_COLUMNS, RECORD_COLUMNS, read_table, table_bytes
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.fetch.day_sorting import ChannelSpan, DayFile

UNLABELLED = "unlabelled"  # split of records without a catalogue: neither training nor scoring uses them


class RecordTable:
    """records.csv of a folder; existing rows are kept as they are.

    Raises
    ------
    DataError
        The table exists, but cannot be read or has other columns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[dict[str, str]] = []
        path = folder / "records.csv"
        if path.exists():
            self._rows = read_table(path, RECORD_COLUMNS)
        if self._rows and tuple(self._rows[0]) != RECORD_COLUMNS:
            known = ",".join(RECORD_COLUMNS)
            raise DataError(f"{path} has columns other than {known}, which would be lost; name another --out")

    def has_day(self, request: str, date: str) -> bool:
        """Whether this request has fetched a day and all of the day's files exist."""
        rows = [row for row in self._rows if row["note"] == request and row["group"] == date]
        return bool(rows) and all((self.folder / row["file"]).is_file() for row in rows)

    def owner_of(self, file: str) -> str | None:
        """Return the request that fetched a file; None where the table does not list it."""
        return next((row["note"] for row in self._rows if row["file"] == file), None)

    def add_day(self, body: str, date: str, request: str, source: str, files: Iterable[DayFile]) -> None:
        """Add a day's files; they replace earlier rows of the same request and day, and of the same files.

        Raises
        ------
        DataError
            The tables cannot be written.
        """
        files = list(files)
        names = {f"{body}/{file.name}" for file in files}
        replaced = [row for row in self._rows if row["file"] in names or (row["note"], row["group"]) == (request, date)]
        kept = [row for row in self._rows if row not in replaced]
        added = [_row(body, date, request, source, file, span) for file in files for span in file.channels]
        self._rows = [*kept, *added]
        catalog = self.folder / "catalog.csv"
        if not catalog.exists():
            write_bytes_atomically(catalog, table_bytes(CATALOG_COLUMNS, ()))
        write_bytes_atomically(self.folder / "records.csv", table_bytes(RECORD_COLUMNS, self._rows))
        for name in {row["file"] for row in replaced} - {row["file"] for row in self._rows}:
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()


def _row(body: str, date: str, request: str, source: str, file: DayFile, span: ChannelSpan) -> dict[str, str]:
    """Return a row of records.csv. A day is a group, so that all stations' records of an event stay in one split."""
    return {
        "split": UNLABELLED,
        "body": body,
        "group": date,
        "file": f"{body}/{file.name}",
        "station": file.station,
        "channel": span.channel,
        "sampling_rate_hz": repr(file.sampling_rate_hz),
        "start": format_time(span.start_ns) + "Z",
        "duration_s": f"{(span.last_ns - span.start_ns) / NS_PER_S:.6f}",
        "n_samples": str(span.n_samples),
        "units": "counts",
        "source": source,
        "note": request,
    }
