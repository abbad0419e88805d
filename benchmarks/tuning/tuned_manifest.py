"""Write a copy of a model with another trigger: NAME.json and its graphs in a folder of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.self_test import read_golden
from edgequake.edge.manifest.manifest import read_graph
from edgequake.results.tuning import LabelTuning, RateTuning

REPORT = "tuning.json"


def require_other_folder(folder: Path, out: Path) -> None:
    """Refuse to write over the model itself, before any work is done.

    Raises
    ------
    ConfigError
        `out` is the folder of the model.
    """
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is the folder of the model itself; name another one for the tuned copy")


def write_tuned(
    tracer: DecisionTracer, out: Path, result: LabelTuning | RateTuning, provenance: dict[str, Any]
) -> None:
    """Write the model's graphs, `tuning.json` and, last, its manifest with the tuned trigger.

    Parameters
    ----------
    tracer : of the model that was tuned.
    provenance : how the trigger was chosen; it becomes `training.tuning`.

    Raises
    ------
    ManifestError
        A graph is missing or does not match the manifest.
    DataError
        `out` cannot be written.
    """
    manifest = tracer.manifest
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot make folder {out}: {problem.strerror or problem}; choose another --out") from problem
    for variant in manifest.variants:
        described, graph = read_graph(manifest, tracer.folder, variant)
        write_bytes_atomically(out / described.file, graph)
        if described.golden is not None:
            write_bytes_atomically(out / described.golden.file, read_golden(manifest, tracer.folder, described))
    write_bytes_atomically(out / REPORT, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    training = {**manifest.training, "tuning": provenance}
    tuned = dataclasses.replace(manifest, trigger=result.trigger, training=training)
    write_bytes_atomically(result.manifest, tuned.to_json().encode())
