"""The tables of a data folder that is filled day by day: records.csv grows, catalog.csv is begun empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgequake.data.tables import read_table
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.fetch.day_sorting import ChannelSpan, DayFile, duration_s
from edgequake.synthetic.synthetic_dataset import CATALOG_COLUMNS, RECORD_COLUMNS

UNLABELLED = "unlabelled"  # the split of records whose events nobody has catalogued: in no training and no scoring


class RecordTable:
    """records.csv of a folder; rows that are there already are kept as they are."""

    def __init__(self, folder: Path) -> None:
        """Read the table, where there is one.

        Raises
        ------
        DataError
            It cannot be read, or has other columns.
        """
        self.folder = folder
        self._rows: list[dict[str, str]] = []
        path = folder / "records.csv"
        if not path.exists():
            return
        columns = RECORD_COLUMNS.split(",")
        self._rows = read_table(path, columns)
        if self._rows and list(self._rows[0]) != columns:
            raise DataError(f"{path} has columns beside {RECORD_COLUMNS}, which would be lost; name another --out")

    def has_day(self, request: str, date: str) -> bool:
        """Whether a day was fetched by this request and all of its files are there."""
        rows = [row for row in self._rows if row["note"] == request and row["group"] == date]
        return bool(rows) and all((self.folder / row["file"]).is_file() for row in rows)

    def owner_of(self, file: str) -> str | None:
        """What was asked for when a file was fetched, None where the table does not know it."""
        return next((row["note"] for row in self._rows if row["file"] == file), None)

    def add_day(self, body: str, date: str, request: str, source: str, files: Iterable[DayFile]) -> None:
        """Add a day's files, in place of what the same request or the same files had before.

        Raises
        ------
        DataError
            The tables cannot be written.
        """
        held = list(files)
        names = {f"{body}/{file.name}" for file in held}
        replaced = [row for row in self._rows if row["file"] in names or (row["note"], row["group"]) == (request, date)]
        kept = [row for row in self._rows if row not in replaced]
        added = [_row(body, date, request, source, file, span) for file in held for span in file.channels]
        self._rows = [*kept, *added]
        catalog = self.folder / "catalog.csv"
        if not catalog.exists():
            write_bytes_atomically(catalog, f"{CATALOG_COLUMNS}\n".encode())
        write_bytes_atomically(self.folder / "records.csv", self._text().encode())
        for name in {row["file"] for row in replaced} - {row["file"] for row in self._rows}:
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()

    def _text(self) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, RECORD_COLUMNS.split(","), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return buffer.getvalue()


def _row(body: str, date: str, request: str, source: str, file: DayFile, span: ChannelSpan) -> dict[str, str]:
    """A row of records.csv; days are groups, so that an event that several stations heard is never torn apart."""
    return {
        "split": UNLABELLED,
        "body": body,
        "group": date,
        "file": f"{body}/{file.name}",
        "station": file.station,
        "channel": span.channel,
        "sampling_rate_hz": repr(file.sampling_rate_hz),
        "start": format_time(span.start_ns) + "Z",
        "duration_s": f"{duration_s(span):.6f}",
        "n_samples": str(span.n_samples),
        "units": "counts",
        "source": source,
        "note": request,
    }
