"""The status of a run as a text file for Prometheus: node_exporter's textfile collector, or any scraper of files.

References
----------
Prometheus, Exposition formats, text-based format 0.0.4,
    https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S, parse_time

Labels = Mapping[str, str]
_GAUGE, _COUNTER = "gauge", "counter"


class MetricsFile:
    """The file of --metrics. No result of the run is in it, so a live run goes on where it cannot be written."""

    def __init__(self, path: Path, is_live: bool, log: Callable[[str], None]) -> None:
        self._path, self._is_live, self._log = path, is_live, log
        self._is_failing = False

    def write(self, status: Mapping[str, Any], make_room: Callable[[int], bool] | None) -> None:
        """Write the figures of a status; where a live run cannot, say so once, until it can again.

        Raises
        ------
        DataError
            The file cannot be written, in a run over files.
        """
        try:
            write_bytes_atomically(self._path, metrics_text(status).encode(), make_room)
        except DataError as problem:
            if not self._is_live:
                raise
            if not self._is_failing:
                self._log(f"--metrics: {problem}; detection goes on, it is tried again with each checkpoint")
            self._is_failing = True
        else:
            self._is_failing = False


def metrics_text(status: Mapping[str, Any]) -> str:
    """Return the figures of a run's status (`run_status`) in Prometheus' text format; times are UTC, in seconds."""
    used = status.get("models", [{"name": status["model"], "graph_sha256": status["graph_sha256"]}])
    infos = [
        {"version": status["edgequake_version"], "model": one["name"], "graph": one["graph_sha256"][:12]}
        for one in used
    ]
    last = status["last_sample"]
    lines = [
        *_metric("info", _GAUGE, "Version and models of the run; always 1.", [(labels, 1) for labels in infos]),
        *_metric("running", _GAUGE, "1 while the run goes on, 0 when it has ended.", status["state"] == "running"),
        *_metric("written_timestamp_seconds", _GAUGE, "When this file was written.", _seconds(status["written_at"])),
        *_metric("heard_timestamp_seconds", _GAUGE, "When samples last came.", _seconds(status["heard_at"])),
        *_metric(
            "last_sample_timestamp_seconds",
            _GAUGE,
            "Time after the newest sample of a channel.",
            [({"channel": name}, _seconds(time)) for name, time in last.items()],
        ),
        *_metric("events_total", _COUNTER, "Events in the catalogue.", status["events"]),
        *_metric("short_rises_total", _COUNTER, "Rises too short for an event.", status["rises_let_go"]),
        *_metric("samples_total", _COUNTER, "Samples that came.", status["samples_in"]),
        *_metric("degraded", _GAUGE, "1 while something cannot be written.", "degraded" in status),
        *_metric("deaf", _GAUGE, "1 while what comes cannot be used.", "deaf" in status),
        *_metric("warnings", _GAUGE, "Kinds of warnings so far.", len(status["warnings"])),
        *_metric("peak_memory_bytes", _GAUGE, "Largest memory of the process.", status["peak_memory_bytes"]),
    ]
    if (downlink := status["downlink"]) is not None:
        lines += _metric(
            "downlink_waiting_bytes", _GAUGE, "Of segments that are not delivered.", downlink["bytes_waiting"]
        )
        lines += _metric("downlink_bytes_total", _COUNTER, "Delivered in all passes.", downlink["handed_bytes"])
    return "".join(f"{line}\n" for line in lines)


def _metric(name: str, kind: str, purpose: str, values: Any) -> list[str]:
    """Return the lines of a metric; `values` is one value, or pairs of labels and value; None is left out."""
    samples = values if isinstance(values, list) else [({}, values)]
    known = [(labels, value) for labels, value in samples if value is not None]
    name = f"edgequake_{name}"
    head = [f"# HELP {name} {purpose}", f"# TYPE {name} {kind}"] if known else []
    return head + [f"{name}{_braced(labels)} {float(value)!r}" for labels, value in known]


def _braced(labels: Labels) -> str:
    inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(time: str | None) -> float | None:
    return None if time is None else parse_time(time) / NS_PER_S
