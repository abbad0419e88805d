"""How a run is doing: DIR/status.json, which the runner writes with each checkpoint, and the command that reads it."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequake import __version__
from edgequake.edge.control import Control
from edgequake.edge.errors import DataError
from edgequake.edge.loaded_model import LoadedModel
from edgequake.edge.memory import peak_memory_bytes
from edgequake.edge.piece import format_time
from edgequake.edge.store.held import ARCHIVE
from edgequake.edge.store.outbox import waiting_files
from edgequake.edge.store.sds import DAY_NS, day_files

if TYPE_CHECKING:
    from edgequake.edge.listener import Listeners
    from edgequake.edge.store.downlink import Downlink
    from edgequake.edge.store.store import Store

STATUS = "status.json"  # below a run's folder
_MOST_WARNINGS = 20
_RUNNING, _ENDED = "running", "ended"


def status_of(
    model: LoadedModel, store: Store, listeners: Listeners, n_events: int, warnings: Sequence[str], ended: bool
) -> dict[str, Any]:
    """Return what status.json holds; times are UTC, mission time is that of the newest sample."""
    return {
        "state": _ENDED if ended else _RUNNING,
        "written_at": _iso(time.time_ns()),
        "edgequake_version": __version__,
        "model": model.manifest.name,
        "graph_sha256": model.variant.sha256,
        "onset_threshold": model.threshold,
        "mission_time": None if store.clock_ns is None else _iso(store.clock_ns),
        "last_sample": {name: _iso(stop_ns) for name, stop_ns in sorted(store.heard_ns.items())},
        "samples_in": listeners.tally.samples_in,
        "events": n_events,
        "rises_let_go": listeners.n_let_go,
        "peak_memory_bytes": peak_memory_bytes(),
        "downlink": None if store.downlink is None else _of_downlink(store.downlink),
        "warnings": list(warnings[:_MOST_WARNINGS]),
    }


def read_status(out: Path) -> dict[str, Any]:
    """Return status.json and what only a look at the folder can tell now: `outbox` and `archive`.

    Raises
    ------
    DataError
        There is no such file, or it is damaged.
    """
    path = out / STATUS
    try:
        status: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as problem:
        raise DataError(
            f"{out} has no {STATUS}: expected the --out of a live run, or of one with --archive-bytes, "
            f"--summary-channel or --budget"
        ) from problem
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    status["age_s"] = round(max(0.0, time.time() - path.stat().st_mtime), 1)
    status["outbox"] = _of_outbox(out)
    status["archive"] = _of_archive(out)
    return status


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `status`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def status_command(arguments: argparse.Namespace, control: Control) -> int:
    """Print how a run is doing.

    Raises
    ------
    DataError
        As `read_status`.
    """
    status = read_status(arguments.folder)
    print(json.dumps(status, indent=1) if arguments.json else status_text(status))
    return 0


def status_text(status: dict[str, Any]) -> str:
    """Return a status for people."""
    lines = [
        f"{status['state']}, as of {status['age_s']:.0f} s ago; mission time {status['mission_time'] or 'not begun'}",
        f"model {status['model']} {status['graph_sha256'][:12]}, onset {status['onset_threshold']:g}, "
        f"edgequake {status['edgequake_version']}",
        f"{status['events']} event(s), {status['rises_let_go']} rise(s) let go as too short; "
        f"{status['samples_in']} samples, {status['peak_memory_bytes'] / 1e6:.0f} MB peak",
    ]
    downlink, archive = status["downlink"], status["archive"]
    if downlink is not None:
        lines += [
            f"queue: {downlink['segments_waiting']} segment(s), {downlink['bytes_waiting']} bytes; "
            f"{downlink['segments_begun']} of them begun",
            f"budget: {downlink['spent_bytes']} of {downlink['budget_bytes']} bytes spent on {downlink['day']}; "
            f"{downlink['handed_bytes']} bytes in {downlink['passes']} pass(es) in all",
            f"outbox: {status['outbox']['files']} file(s), {status['outbox']['size_bytes']} bytes not taken yet",
        ]
    if archive is not None:
        lines.append(
            f"archive: {archive['size_bytes']} bytes in {archive['files']} file(s), days {archive['first_day']} to "
            f"{archive['last_day']}"
        )
    lines += [f"last sample of {name}: {time_text}" for name, time_text in status["last_sample"].items()]
    return "\n".join([*lines, *(f"warning: {text}" for text in status["warnings"])])


def _of_downlink(downlink: Downlink) -> dict[str, Any]:
    queue = list(downlink.queue)
    return {
        "budget_bytes": downlink.budget_bytes,
        "day": _day(downlink.day),
        "spent_bytes": downlink.spent_bytes,
        "passes": downlink.n_passes,
        "last_pass": None if downlink.last_ns is None else _iso(downlink.last_ns),
        "handed_bytes": downlink.handed_bytes,
        "segments_waiting": len(queue),
        "segments_begun": sum(item.n_sent > 1 for item in queue),
        "bytes_waiting": sum(item.bytes_left for item in queue),
        "waiting_by_priority": dict(sorted(Counter(f"{item.priority:.1f}" for item in queue).items(), reverse=True)),
    }


def _of_outbox(out: Path) -> dict[str, int]:
    sizes = []
    for path in waiting_files(out):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # the radio has just taken it
            continue
    return {"files": len(sizes), "size_bytes": sum(sizes)}


def _of_archive(out: Path) -> dict[str, Any] | None:
    days, size_bytes = [], 0
    for _, name, path in day_files(out / ARCHIVE):
        try:
            size_bytes += path.stat().st_size
        except FileNotFoundError:
            continue
        days.append(name.day)
    if not days:
        return None
    span = {"first_day": _day(min(days)), "last_day": _day(max(days))}
    return {"files": len(days), "size_bytes": size_bytes, **span}


def _day(day: int) -> str:
    return format_time(day * DAY_NS)[:10]


def _iso(time_ns: int) -> str:
    return f"{format_time(time_ns)}Z"
