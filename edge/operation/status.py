"""The status of a run: DIR/status.json, which the runner writes with each checkpoint, and the command that reads it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequake._version import __version__
from edgequake.edge.archive.day_records import RECORD_BYTES
from edgequake.edge.archive.sds import DAY_NS, day_files
from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.control import Control
from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.base.layout import ARCHIVE, CHECKPOINT, STATUS, SUMMARY
from edgequake.edge.base.memory import peak_memory_bytes
from edgequake.edge.base.process_identity import age_s, process_identity, why_dead
from edgequake.edge.downlink.outbox import outbox_files
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import NS_PER_S, format_time, parse_time
from edgequake.edge.results.summary import Summary, model_fields

if TYPE_CHECKING:
    from edgequake.edge.downlink.downlink import Downlink
    from edgequake.edge.downlink.send_queue import SegmentItem
    from edgequake.edge.operation.config import RunConfig
    from edgequake.edge.operation.run_models import RunModels
    from edgequake.edge.operation.services import OnboardServices
    from edgequake.edge.operation.station_run import StationRuns

_MOST_WARNINGS = 20
_MOST_BYTES = 1 << 26  # of the file, which is a thousandth of that
_MOST_NEXT = 20  # segments that are listed, in the order of sending
_RUNNING, _ENDED = "running", "ended"
_DEAD_S = 60.0  # a run is dead if it writes nothing for five checkpoint intervals and this


def run_status(
    config: RunConfig,
    models: RunModels,
    services: OnboardServices,
    stations: StationRuns,
    n_events: int,
    warnings: Sequence[str],
    deaf: str | None,
    degraded: str | None,
    ended: bool,
) -> dict[str, Any]:
    """Return the contents of status.json; times are UTC, mission time is that of the newest sample.

    deaf : what comes and cannot be used, see `Hearing.deaf`.
    degraded : what cannot be written, see `Degraded.text`.
    """
    used = models.used()
    fields = model_fields(used)
    received_at_ns, now_ns = services.received_at_ns, services.clock.now_ns
    return {
        "state": _ENDED if ended else _RUNNING,
        "written_at": _iso(time.time_ns()),
        "host": platform.node(),
        "process": process_identity(),
        "edgequake_version": __version__,
        **{name: fields[name] for name in ("model", "graph_sha256", "onset_threshold")},
        **({"models": [dataclasses.asdict(one) for one in used]} if models.is_auto else {}),
        **({} if models.installation is None else {"installation": models.installation}),
        **({} if deaf is None else {"deaf": deaf}),
        **({} if degraded is None else {"degraded": degraded}),
        "mission_time": None if now_ns is None else _iso(now_ns),
        "heard_at": None if received_at_ns is None else _iso(received_at_ns),
        "stall_after_s": config.stall_after_s,
        "checkpoint_every_s": config.checkpoint_s,
        "last_sample": {name: _iso(stop_ns) for name, stop_ns in sorted(services.last_sample_ns().items())},
        "samples_in": stations.counters.samples_in,
        "events": n_events,
        "rises_let_go": stations.n_short_rises,
        "peak_memory_bytes": peak_memory_bytes(),
        "downlink": None if services.downlink is None else _of_downlink(services.downlink),
        "warnings": list(warnings[:_MOST_WARNINGS]),
    }


def read_status(out: Path) -> dict[str, Any]:
    """Return status.json and the state of the folder now: `health`, `outbox` and `archive`.

    Raises
    ------
    DataError
        There is no such file, or it is damaged.
    """
    path = out / STATUS
    try:
        status: dict[str, Any] = json.loads(read_whole(path, _MOST_BYTES))
    except FileNotFoundError as problem:
        raise DataError(f"{out} has neither {STATUS} nor {SUMMARY}: expected the --out of a run") from problem
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    process = status.get("process") or {}  # older versions do not write it
    # The clock may have been set back since, and a run that has ended writes nothing: the older of two ages is right.
    status["age_s"] = round(max(age_s(process), time.time() - path.stat().st_mtime), 1)
    status["dead"] = why_dead(process, status.get("host"))
    status["silent_s"] = None
    if status["heard_at"] is not None:
        status["silent_s"] = max(0.0, round((time.time_ns() - parse_time(status["heard_at"])) / NS_PER_S, 1))
    status["health"] = _health(status)
    status["outbox"] = _of_outbox(out)
    status["archive"] = _of_archive(out)
    return status


def _health(status: dict[str, Any]) -> str:
    """Return the health of a run: ended, dead, degraded, stalled, deaf or well."""
    if status["state"] == _ENDED:
        return "ended"
    if status["dead"] is not None:
        return f"dead or hanging: {status['dead']}"
    if status["age_s"] > _DEAD_S + 5 * status["checkpoint_every_s"]:
        return f"dead or hanging: nothing written for {duration(status['age_s'])}"
    if status.get("degraded") is not None:
        return f"degraded: {status['degraded']}"
    stall_after_s, silent_s = status["stall_after_s"], status["silent_s"]
    if stall_after_s is not None and silent_s is not None and silent_s >= stall_after_s:
        return f"stalled: no samples for {duration(silent_s)}"
    if status.get("deaf") is not None:  # older versions do not write it
        return f"deaf: {status['deaf']}"
    return "well"


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `status`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def status_command(arguments: argparse.Namespace, control: Control) -> int:
    """Print the status of a run.

    Raises
    ------
    DataError
        As `read_status` and `read_file_run`.
    """
    status, text = read_file_run(arguments.folder) or _live(arguments.folder)
    print(json.dumps(status, indent=1) if arguments.json else text)
    return 0


def _live(out: Path) -> tuple[dict[str, Any], str]:
    status = read_status(out)
    return status, status_text(status)


def read_file_run(out: Path) -> tuple[dict[str, Any], str] | None:
    """Return `state` and `health` of a run over files, with the fields of its summary.json, and the same as text.

    Such a run writes no status.json unless it has an archive, a summary channel or a downlink. None where there is one,
    or where there is no run.

    Raises
    ------
    DataError
        As `Summary.read`.
    """
    if (out / STATUS).exists():
        return None
    if (out / SUMMARY).exists():
        summary = Summary.read(out / SUMMARY)
        fields = {"state": _ENDED, "health": _ENDED, **json.loads(summary.to_json())}
        when = _iso((out / SUMMARY).stat().st_mtime_ns)
        return fields, f"ended at {when}; inputs {one_line(', '.join(summary.inputs))}\n{summary.text()}"
    if (out / CHECKPOINT).exists():
        health = "a run over files that goes on, or was stopped: then --resume continues it"
        return {"state": _RUNNING, "health": health}, health
    return None


def status_text(status: dict[str, Any]) -> str:
    """Return a status as text."""
    lines = [
        f"{status['health']}, as of {duration(status['age_s'])} ago; "
        f"mission time {status['mission_time'] or 'unknown'}",
        f"{_models_text(status)}, edgequake {status['edgequake_version']}",
        f"{status['events']} event(s), {status['rises_let_go']} rise(s) too short for an event; "
        f"{status['samples_in']} samples, {status['peak_memory_bytes'] / 1e6:.0f} MB peak",
    ]
    if (installed := status.get("installation")) is not None:
        why = f": {installed['why']}" if installed["why"] else ""
        lines.append(f"installed model {installed['model']}: {installed['state']}{why}")
    downlink, archive = status["downlink"], status["archive"]
    if downlink is not None:
        lines += [
            f"queue: {downlink['segments_waiting']} segment(s), {downlink['segments_begun']} of them sent in part; "
            f"{downlink['records_waiting']} records, {downlink['bytes_waiting']} bytes",
            f"budget: {downlink['spent_bytes']} of {downlink['budget_bytes']} bytes spent on {downlink['day']}; "
            f"{downlink['handed_bytes']} bytes in {downlink['passes']} pass(es) in all",
            f"outbox: {status['outbox']['files']} file(s), {status['outbox']['size_bytes']} bytes not sent yet",
        ]
    if archive is not None:
        lines.append(
            f"archive: {archive['size_bytes']} bytes in {archive['files']} file(s), {archive['first_sample']} to "
            f"{archive['last_sample']}"
        )
    lines += [f"last sample of {name}: {time_text}" for name, time_text in status["last_sample"].items()]
    lines += [f"warning: {text}" for text in status["warnings"]]
    return "\n".join(map(one_line, lines))


def _models_text(status: dict[str, Any]) -> str:
    used = status.get("models")
    if used is None:
        used = [{**status, "name": status["model"], "stations": ()}]
    texts = [
        f"model {one['name']} {one['graph_sha256'][:12]}, onset {one['onset_threshold']:g}"
        + (f", for {', '.join(one['stations'])}" if one["stations"] else "")
        for one in used
    ]
    return "; ".join(texts) or "model auto: no station has been heard yet"


def _of_downlink(downlink: Downlink) -> dict[str, Any]:
    queue, account = sorted(downlink.queue, key=lambda item: (-_rank(item), item.ready_ns)), downlink.account
    day = account.last_day
    return {
        "budget_bytes": downlink.budget_bytes,
        "day": None if day is None else format_time(day * DAY_NS)[:10],
        "spent_bytes": 0 if day is None else account.spent_bytes(day),
        "passes": account.last_number,
        "last_pass": None if account.last_ns is None else _iso(account.last_ns),
        "handed_bytes": account.total_bytes,
        "segments_waiting": len(queue),
        "segments_begun": sum(item.n_sent > 1 for item in queue),
        "records_waiting": sum(item.records_left for item in queue),
        "bytes_waiting": sum(item.bytes_left for item in queue),
        "next": [
            {
                "segment": item.source,
                "rank": round(_rank(item), 6),
                "records": item.records_left,
                "bytes": item.bytes_left,
            }
            for item in queue[:_MOST_NEXT]
        ],
        "waiting_by_priority": dict(sorted(Counter(f"{item.priority:.1f}" for item in queue).items(), reverse=True)),
    }


def _rank(item: SegmentItem) -> float:
    """Return the rank of an item's next unit; 0 where its file is missing, which the downlink notices later."""
    try:
        return item.next_rank
    except DataError:
        return 0.0


def _of_outbox(out: Path) -> dict[str, int]:
    sizes = []
    for path in outbox_files(out):
        with suppress(OSError):  # just deleted by the radio
            sizes.append(path.stat().st_size)
    return {"files": len(sizes), "size_bytes": sum(sizes)}


def _of_archive(out: Path) -> dict[str, Any] | None:
    found: list[tuple[int, Path, int]] = []
    for _, name, path in day_files(out / ARCHIVE):
        with suppress(OSError):  # just evicted, or a link to itself
            found.append((name.day, path, path.stat().st_size))
    if not found:
        return None
    first_day, last_day = min(found)[0], max(found)[0]
    starts = [time_ns for day, path, _ in found if day == first_day for time_ns in _ends_of(path, 0)[:1]]
    stops = [time_ns for day, path, size in found if day == last_day for time_ns in _ends_of(path, size)[1:]]
    return {
        "files": len(found),
        "size_bytes": sum(size for *_, size in found),
        "first_sample": _iso(min(starts, default=first_day * DAY_NS)),
        "last_sample": _iso(max(stops, default=(last_day + 1) * DAY_NS)),
    }


def _ends_of(path: Path, size_bytes: int) -> list[int]:
    """Return start and stop of a file's first record, or of the one that ends at `size_bytes`; empty: unknown."""
    start_byte = max(0, size_bytes - RECORD_BYTES)
    try:
        header = index_file(path, start_byte, start_byte + RECORD_BYTES).headers[0]
    except DataError:
        return []
    return [header.start_ns, header.stop_ns]


def _iso(time_ns: int) -> str:
    return f"{format_time(time_ns)}Z"
