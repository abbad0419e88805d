"""A copy of a model with another trigger: NAME.json and its graphs in a folder of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.manifest.manifest import Manifest, TriggerConfig, read_graph

REPORT = "tuning.json"


def require_other_folder(folder: Path, out: Path) -> None:
    """Refuse to write over the model itself, before any work is done.

    Raises
    ------
    ConfigError
        `out` is the folder that the model lies in.
    """
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is the folder of the model itself; name another one for the tuned copy")


def write_tuned(
    manifest: Manifest,
    folder: Path,
    trigger: TriggerConfig,
    provenance: dict[str, Any],
    out: Path,
    report: dict[str, Any],
) -> Path:
    """Write the graphs, `tuning.json` and, last, the manifest with another trigger, and return the manifest's path.

    Parameters
    ----------
    folder : where the model's graphs lie.
    provenance : how the trigger was chosen; it becomes `training.tuning`.
    report : all that was tried, for `tuning.json`.

    Raises
    ------
    ManifestError
        A graph is missing or not the manifest's.
    DataError
        `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot make folder {out}: {problem.strerror or problem}; choose another --out") from problem
    for variant in manifest.variants:
        described, graph = read_graph(manifest, folder, variant)
        write_bytes_atomically(out / described.file, graph)
    write_bytes_atomically(out / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    tuned = dataclasses.replace(manifest, trigger=trigger, training={**manifest.training, "tuning": provenance})
    path = out / f"{manifest.name}.json"
    write_bytes_atomically(path, tuned.to_json().encode())
    return path
