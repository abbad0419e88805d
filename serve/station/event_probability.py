"""The network's probabilities around one event, computed again from what is stored of its samples.

    python -m edgequake.serve.station.event_probability RUN_DIR < ROW_OF_CATALOG_CSV

A process of its own: a network takes more memory than the server may, and is needed only where somebody looks at an
event that the monitor has dropped already. It prints one JSON object. The detector begins half an hour before the event
where the archive reaches so far, and with the segment else; then the first probabilities differ from those of the run,
whose background level came from hours.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.archive.monitor_files import FRAME
from edgequake.edge.base.errors import DataError, EdgequakeError
from edgequake.edge.base.layout import STATUS, SUMMARY
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.results.catalog import CatalogRow, parse_row
from edgequake.report.recording.probabilities import Model, probabilities
from edgequake.serve.station.pictures import probability_picture
from edgequake.serve.station.waveforms import RunWaveforms, code_of

_LEAD_NS = 1800 * NS_PER_S  # before the segment, where the archive has it
_MOST_BYTES = 1 << 26


def model_of(out: Path, station_id: str) -> tuple[Model, float]:
    """Return the model that a run uses for a station, and its onset threshold.

    Raises
    ------
    DataError
        The run does not say which, or it is not at hand with the run's graph.
    """
    for name in (STATUS, SUMMARY):
        path = out / name
        if path.is_file() and path.stat().st_size < _MOST_BYTES:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            break
    else:
        raise DataError(f"{out} has neither {STATUS} nor {SUMMARY}, which name its model")
    models = [one for one in fields.get("models", ()) if station_id in one["stations"]] or [fields]
    used = {"name": fields.get("model"), **models[0]}
    manifest, folder = load_manifest(str(used["name"]))
    for variant_name in manifest.variants:
        variant, graph = read_graph(manifest, folder, variant_name)
        if variant.sha256 == used["graph_sha256"]:
            return Model(manifest, graph, variant, variant_name), float(used["onset_threshold"])
    raise DataError(f"the model '{used['name']}' here has no graph like the run's")


def event_probability(out: Path, row: CatalogRow) -> dict[str, Any]:
    """Return the probabilities from a little before an event's segment to its end.

    Raises
    ------
    EdgequakeError
        The model or the samples are not at hand.
    """
    waveforms = RunWaveforms(out)
    segment = waveforms.of_event(row)
    if not segment:
        raise DataError("the samples of the event are not stored any more")
    model, threshold = model_of(out, row.station_id)
    start_ns, stop_ns = min(trace.start_ns for trace in segment), max(trace.stop_ns for trace in segment)
    traces = []
    for source_id in sorted({trace.source_id for trace in segment}):
        traces += waveforms.traces(row.station_id, code_of(source_id), start_ns - _LEAD_NS, stop_ns, [row])
    found = probabilities(model, threshold, row.station_id, sorted(traces, key=lambda trace: trace.start_ns))
    frames = np.zeros(len(found.stop_ns), FRAME)
    frames["stop_ns"], frames["onset"], frames["event"] = found.stop_ns, found.onset, found.event
    frames = frames[(frames["stop_ns"] > start_ns) & (frames["stop_ns"] <= stop_ns)]
    picture = probability_picture(frames, start_ns, stop_ns)
    if picture is None:
        raise DataError("too few samples are stored for the network")
    return {**picture, "threshold": threshold}


def main(arguments: Sequence[str]) -> int:
    """Print the probabilities of an event, or why there are none."""
    with suppress(AttributeError, OSError):  # no such thing on every system
        os.nice(10)  # the machine is the runner's
    try:
        answer = event_probability(Path(arguments[0]), parse_row(sys.stdin.readline()))
    except (EdgequakeError, KeyError, TypeError, ValueError, OSError) as problem:
        answer = {"problem": " ".join(str(problem).split())}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
