"""The folder of a scan (`--out`): the names in it, and the marks of shards that are done or have failed.

scan.json                what is scanned, with which models and options
index.sqlite             what is known of the archive's files
plan.json, plan/         the present plan, and all plans
shards/ID.json           a shard is done: its figures, written after all else of it is durable
failed/ID.json           a shard has failed, and why
states/ID.edgequake      the detector's state after a shard, until the shards after it are done
leases/, drivers/        who works on what at present
catalog/                 the events: Parquet, by network and year
segments/                the kept samples, an SDS archive
seams/, seams.json       what a second look at sampled seams has found
summary.csv, totals.json figures by station and day, and in all
runs/ID.json             provenance of the rows: version, models, options
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError

_FOLDERS = ("plan", "shards", "failed", "states", "leases", "drivers", "catalog", "seams", "runs", "scratch")


class ScanFolder:
    """The folder of a scan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description, self.index = path / "scan.json", path / "index.sqlite"
        self.current_plan, self.plans = path / "plan.json", path / "plan"
        self.leases, self.drivers, self.scratch = path / "leases", path / "drivers", path / "scratch"
        self.catalog, self.segments, self.runs = path / "catalog", path / "segments", path / "runs"
        self.seams, self.seam_report = path / "seams", path / "seams.json"
        self.summary, self.totals = path / "summary.csv", path / "totals.json"

    def make(self) -> None:
        """Make what is missing of the folder.

        Raises
        ------
        DataError
            It cannot be made.
        """
        try:
            for name in _FOLDERS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(f"cannot use output folder {self.path}: {problem.strerror or problem}") from problem

    def mark_done(self, shard_id: str, figures: dict[str, Any]) -> None:
        """Mark a shard as done; everything of it must be durable already."""
        write_json(self._mark("shards", shard_id), figures)
        with suppress(FileNotFoundError):
            self._mark("failed", shard_id).unlink()

    def mark_failed(self, shard_id: str, figures: dict[str, Any]) -> None:
        """Mark a shard as failed."""
        write_json(self._mark("failed", shard_id), figures)

    def is_done(self, shard_id: str) -> bool:
        """Whether a shard is done."""
        return self._mark("shards", shard_id).exists()

    def has_failed(self, shard_id: str) -> bool:
        """Whether a shard has failed."""
        return self._mark("failed", shard_id).exists()

    def done(self) -> set[str]:
        """Return the shards that are done, of this plan and of earlier ones."""
        return _names(self.path / "shards")

    def failed(self) -> set[str]:
        """Return the shards that have failed."""
        return _names(self.path / "failed")

    def figures(self, shard_id: str) -> dict[str, Any]:
        """Return the figures of a shard that is done; raise DataError if they cannot be read."""
        figures: dict[str, Any] = read_json(self._mark("shards", shard_id))
        return figures

    def failure(self, shard_id: str) -> dict[str, Any]:
        """Return what is known of a shard that has failed; raise DataError if it cannot be read."""
        failure: dict[str, Any] = read_json(self._mark("failed", shard_id))
        return failure

    def forgive(self, shard_id: str) -> None:
        """Have a shard that has failed be tried again."""
        with suppress(FileNotFoundError):
            self._mark("failed", shard_id).unlink()

    def state(self, shard_id: str) -> Path:
        """Return the file with the state after a shard."""
        return self.path / "states" / f"{shard_id}.edgequake"

    def catalog_files(self, shard_id: str) -> list[Path]:
        """Return the files of the catalogue that hold a shard's events."""
        return sorted(self.catalog.glob(f"*/*/{shard_id}.parquet"))

    def forget(self, shard_id: str) -> None:
        """Remove what a shard has left that is in no plan any more: its events come from another one."""
        with suppress(FileNotFoundError):
            self._mark("shards", shard_id).unlink()  # first: a shard without a mark is not done
        for path in self.catalog_files(shard_id):
            path.unlink()

    def _mark(self, kind: str, shard_id: str) -> Path:
        return self.path / kind / f"{shard_id}.json"


def is_scan(path: Path) -> bool:
    """Whether a folder is that of a scan."""
    return ScanFolder(path).current_plan.is_file()


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically and durably; raise DataError if it cannot be written."""
    write_bytes_atomically(path, json.dumps(value, indent=1).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a value.

    Raises
    ------
    DataError
        The file cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem


def _names(folder: Path) -> set[str]:
    return set(_marked(folder))


def _marked(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name, dot, ending = entry.name.rpartition(".")
            if dot and ending == "json" and not name.startswith("."):
                yield name
