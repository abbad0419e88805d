"""What an earlier run has left in the output folder: whether it may be replaced, and whether it is the result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from edgequake.edge.base.atomic_files import is_wrong_kind, remove_leftovers
from edgequake.edge.base.checkpoint import set_aside
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import (
    ARCHIVE,
    CATALOG,
    CATALOG_CHECK,
    CHECKPOINT,
    CONTINUOUS,
    HEARTBEAT,
    JOURNAL,
    MODELS,
    MONITOR,
    OUTBOX,
    REQUESTS,
    RESERVE,
    SEGMENTS,
    SET_ASIDE,
    SPOOL,
    STATUS,
    SUMMARY,
    TOLD,
)
from edgequake.edge.inputs.source import Source
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import RunModels
from edgequake.edge.results.summary import Summary

_FILES = (CATALOG, CATALOG_CHECK, CHECKPOINT, JOURNAL, STATUS, SUMMARY, HEARTBEAT, RESERVE, TOLD)
_FOLDERS = (SEGMENTS, ARCHIVE, CONTINUOUS, MONITOR, OUTBOX, REQUESTS, SET_ASIDE, MODELS)


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
    results += [
        out / name for name in (STATUS, JOURNAL, OUTBOX, ARCHIVE, CONTINUOUS, MONITOR, SET_ASIDE, RESERVE, TOLD)
    ]
    return [path for path in results if path.exists()]


def prepare_folder(config: RunConfig, log: Callable[[str], None]) -> None:
    """Make the output folder; with `force`, delete an earlier run's results, summary first.

    Raises
    ------
    DataError
        It cannot be used.
    """
    out = config.out
    try:
        earlier = results_in(out) if config.force and not config.resume else []
        if config.force and config.inputs != ("-",):  # whose own data are there
            earlier += [path for path in [out / SPOOL] if path.exists()]
        for path in earlier:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        _set_wrong_kinds_aside(out, log)
        (out / SEGMENTS).mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        remove_leftovers(out / SEGMENTS)
    except OSError as problem:
        raise DataError(
            f"cannot use output folder {out}: {problem.strerror or problem}; choose another --out"
        ) from problem


def _set_wrong_kinds_aside(out: Path, log: Callable[[str], None]) -> None:
    """Rename what is in the place of a file and is none, and of a folder: a damaged file system mixes them."""
    for name in _FILES + _FOLDERS:
        path = out / name
        if is_wrong_kind(path, name in _FOLDERS):
            kind = "no folder" if name in _FOLDERS else "no file"
            log(f"{path} is {kind}; set aside as {set_aside(path).name}")
