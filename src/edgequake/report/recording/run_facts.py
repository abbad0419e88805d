"""The figures of a run that its report shows: summary.json and catalog.csv.

Fields are read by their names: a run of an older or newer version may have more of them.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.manifest import schema
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.results.summary import Summary


def read_facts(folder: Path) -> Summary:
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
    known = {field.name: values[field.name] for field in fields(Summary) if field.name in values}
    read = schema.build(Summary, {**known, "events": []}, str(path), DataError)
    return replace(read, events=tuple(read_catalog(folder / "catalog.csv")))
