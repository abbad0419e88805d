"""What an earlier run has left in the output folder: whether it may be replaced, and whether it is the result."""

from __future__ import annotations

from pathlib import Path

from edgequake.edge.base.atomic_files import is_wrong_kind
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.base.layout import (
    ARCHIVE,
    CATALOG,
    CATALOG_CHECK,
    CHECKPOINT,
    CONTINUOUS,
    JOURNAL,
    OUTBOX,
    RESERVE,
    SEGMENTS,
    SET_ASIDE,
    SPOOL,
    STATUS,
    SUMMARY,
)
from edgequake.edge.inputs.source import Source
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import RunModels
from edgequake.edge.results.summary import Summary


def finished_summary(config: RunConfig, models: RunModels, source: Source) -> Summary | None:
    """Return the summary of a run over files that is to be resumed and was complete already.

    Raises
    ------
    ConfigError
        The folder contains the results of another run.
    """
    summary = config.out / SUMMARY
    is_complete = (
        summary.exists() and not is_wrong_kind(summary, is_folder=False) and not (config.out / CHECKPOINT).exists()
    )
    if not (config.resume and source.replayed and is_complete):
        return None
    found = Summary.read(summary)
    graphs, found_graphs = ({one.graph_sha256 for one in used} for used in (models.used(), found.used_models))
    is_same = (found.inputs, found_graphs) == (config.inputs, graphs)
    if not is_same or (config.inputs == ("-",) and found.bytes_in != source.size_bytes):
        raise ConfigError(f"{config.out} contains the results of another run; choose another --out, or --force")
    source.close()
    return found


def require_new_folder(config: RunConfig) -> None:
    """Refuse, before any input is read, to mix the results of two runs.

    Raises
    ------
    ConfigError
        The output folder contains the results of an earlier run, and neither `force` nor `resume` is set.
    """
    out = config.out
    if config.force or config.resume or not (results_in(out) or (out / SPOOL).exists()):
        return
    is_unfinished = (out / CHECKPOINT).exists() or (out / SPOOL).exists()
    unfinished = " (an unfinished one: --resume continues it)" if is_unfinished else ""
    raise ConfigError(
        f"{out} contains the results of an earlier run{unfinished}; choose another --out, or --force to replace them"
    )


def results_in(out: Path) -> list[Path]:
    """Return the files and folders of an earlier run, in the order in which they are to be deleted."""
    results = [
        out / SUMMARY,
        out / CHECKPOINT,
        out / CATALOG,
        out / CATALOG_CHECK,
        *sorted((out / SEGMENTS).glob("*.mseed")),
    ]
    results += [out / name for name in (STATUS, JOURNAL, OUTBOX, ARCHIVE, CONTINUOUS, SET_ASIDE, RESERVE)]
    return [path for path in results if path.exists()]
