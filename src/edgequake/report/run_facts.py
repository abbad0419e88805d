"""The figures of a run that its report shows: summary.json and catalog.csv.

Fields are read by their names: a run of an older or newer version may have more of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgequake.edge import strict
from edgequake.edge.catalog import CatalogRow, read_catalog
from edgequake.edge.errors import DataError
from edgequake.edge.ledger import Segment


@dataclass(frozen=True)
class RunFacts:
    """What summary.json says, field by field as `edgequake.edge.summary.Summary` has it, and the catalogue's rows."""

    edgequake_version: str
    model: str
    variant: str
    graph_sha256: str
    runtime: str
    onset_threshold: float
    inputs: tuple[str, ...]
    stations: tuple[str, ...]
    samples_in: int
    bytes_in: int
    samples_kept: int
    bytes_kept: int
    record_s: float
    kept_s: float
    kept_fraction: float
    tears_bridged: int
    samples_bridged: int
    restarts: int
    fill_samples: int
    not_finite_samples: int
    overlap_samples: int
    unreadable_bytes: int
    ignored_channels: tuple[str, ...]
    warnings: tuple[str, ...]
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    segments: tuple[Segment, ...]
    events: tuple[CatalogRow, ...]


def read_facts(folder: Path) -> RunFacts:
    """Read summary.json and catalog.csv.

    Raises
    ------
    DataError
        Either is missing, or not what a run writes.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise DataError(f"{path} is not there, so no run has finished in that folder: give the --out of a finished run")
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as a run's summary ({problem}); run again") from problem
    if not isinstance(values, dict):
        raise DataError(f"{path} is no run's summary: expected a table of fields, got {type(values).__name__}")
    known = {field.name: values[field.name] for field in fields(RunFacts) if field.name in values}
    read = strict.build(RunFacts, {**known, "events": []}, str(path), DataError)
    return RunFacts(**{**vars(read), "events": tuple(read_catalog(folder / "catalog.csv"))})
