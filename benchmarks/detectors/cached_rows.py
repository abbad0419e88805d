"""Decisions of a network on rows of features that are computed once and kept on disk: for somebody who trains.

Computing the rows takes most of the time of a run over labelled records, and they depend on the front end alone.
`RowCache` keeps them in a folder, by a key over the front end's settings, the source of the front end, the record and
the start. `CachedTracer` runs the converted graph on them, `KerasTracer` a Keras network that is still being trained;
both give the `DecisionTrace` that `edgequake.benchmarks.detectors.replay` replays through the runner's own trigger::

    tracer = KerasTracer(model, json.loads(Path("train.json").read_text())["manifest"], RowCache())
    tracer.prepare([(record, start_ns), ...])
    trace = tracer(record, start_ns)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.detectors.replay import (
    Decisions,
    DecisionTrace,
    DecisionTracer,
    SampleSpans,
    StreamDecisionTrace,
)
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.detection.onset import refine_onset
from edgequake.edge.detection.stepper import make_stepper
from edgequake.edge.detection.trigger import decision_of
from edgequake.edge.features import front_end as front_end_module
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import FORMAT, FORMAT_VERSION, Manifest

CACHE_FOLDER = Path(tempfile.gettempdir()) / "edgequake-rows"
BATCH_ROWS = 400_000  # rows in one batch of Keras, zero padding included: about 100 MB of activations

Start = tuple[LabelledRecord, int]  # a record, and the instant from which it is used


@dataclass(frozen=True)
class StreamRows:
    """The rows of one stream, with the times for which it has samples."""

    rows: Rows
    spans: SampleSpans


class RowCache:
    """Rows of features by front end, record and start; a folder that can be deleted at any time."""

    def __init__(self, folder: Path = CACHE_FOLDER) -> None:
        self.folder = folder

    def rows(self, manifest: Manifest, record: LabelledRecord, start_ns: int) -> list[StreamRows]:
        """Return the rows of each of a record's streams from `start_ns` on.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises: an unreadable file, a sampling rate that the model does not accept.
        """
        path = self.folder / f"{_key(manifest, record, start_ns)}.npz"
        if path.is_file():
            return _read(path)
        found = [_computed(manifest, traces) for traces in stream_traces(manifest, record, start_ns)]
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
            np.savez(file, **{k: v for i, one in enumerate(found) for k, v in _arrays(i, one).items()})
        Path(file.name).replace(path)
        return found


class CachedTracer(DecisionTracer):
    """A converted model on cached rows: the decisions of `DecisionTracer`, without computing the rows again."""

    def __init__(self, model: str, variant: str | None = None, rows: RowCache | None = None) -> None:
        super().__init__(model, variant)
        self._rows = rows or RowCache()
        self._network = StepNetwork(self.manifest, self._graph, self.variant)
        self._stepper = make_stepper(self._network, self.manifest)

    def __call__(self, record: LabelledRecord, start_ns: int) -> DecisionTrace:
        """Return the decisions on a record's channels from `start_ns` on; raises as `DecisionTracer`."""
        streams = self._rows.rows(self.manifest, record, start_ns)
        return _trace(self.manifest, record, start_ns, streams, self._runs)

    def _runs(self, rows: Rows) -> list[Decisions]:
        runs = []
        for part in _parts(rows):
            self._stepper.restart()
            flat = rows.rows[part].reshape(-1, rows.rows.shape[2])
            steps = list(self._stepper.push(flat))
            steps += [(len(flat) + last, n_rows, values) for last, n_rows, values in self._stepper.flush()]
            if steps:
                last, n_rows, values = zip(*steps, strict=True)
                runs.append(_decisions(self.manifest, rows, part, np.array(last), np.array(n_rows), np.array(values)))
        return runs


class KerasTracer:
    """A Keras network of mode `continuous` with the manifest that training begins (`train.json`, field `manifest`)."""

    def __init__(self, network: Callable[[Any], Any], partial: Mapping[str, Any], rows: RowCache | None = None) -> None:
        """Take a network (rows of shape (n, n_rows, n_features) to (n, n_steps, n_outputs)) and its partial manifest.

        Raises
        ------
        ConfigError
            The manifest is of a windowed network, or has unknown or missing fields.
        """
        self.manifest = manifest_of(partial)
        if self.manifest.network.mode != "continuous":
            raise ConfigError("a windowed network must be converted first; give its manifest in place of the .keras")
        self._network = network
        self._rows = rows or RowCache()
        self._values: dict[tuple[Path, int], list[npt.NDArray[np.float64]]] = {}

    def __call__(self, record: LabelledRecord, start_ns: int) -> DecisionTrace:
        """Return the decisions on a record's channels from `start_ns` on; raises as `DecisionTracer`."""
        streams = self._rows.rows(self.manifest, record, start_ns)
        if (record.file, start_ns) not in self._values:
            self.prepare([(record, start_ns)])
        values = iter(self._values[record.file, start_ns])
        return _trace(self.manifest, record, start_ns, streams, lambda rows: self._runs(rows, values))

    def prepare(self, starts: Sequence[Start]) -> None:
        """Run the network on many records in batches: much faster than one by one. Records it refuses are left out."""
        parts: dict[tuple[Path, int], list[npt.NDArray[np.float32]]] = {}
        for record, start_ns in starts:
            try:
                streams = self._rows.rows(self.manifest, record, start_ns)
            except DataError:
                continue  # raised again where the record is asked for
            parts[record.file, start_ns] = [
                one.rows.rows[part].reshape(-1, one.rows.rows.shape[2]) for one in streams for part in _parts(one.rows)
            ]
        values = iter(self._probabilities([part for of_record in parts.values() for part in of_record]))
        self._values.update({key: [next(values) for _ in of_record] for key, of_record in parts.items()})

    def _runs(self, rows: Rows, values: Any) -> list[Decisions]:
        per_step = self.manifest.network.rows_per_step
        runs = []
        for part in _parts(rows):
            of_part = next(values)
            if len(of_part):
                last = (np.arange(len(of_part)) + 1) * per_step - 1
                runs.append(_decisions(self.manifest, rows, part, last, np.full(len(last), per_step), of_part))
        return runs

    def _probabilities(self, parts: Sequence[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float64]]:
        """Return the outputs on each part; the network is causal, so zeros behind a part change nothing in it."""
        per_step = self.manifest.network.rows_per_step
        steps = [len(part) // per_step for part in parts]
        order = sorted(range(len(parts)), key=lambda i: steps[i])
        found: dict[int, npt.NDArray[np.float64]] = {}
        while order:
            longest = max(1, steps[order[-1]]) * per_step
            n = max(1, min(len(order), BATCH_ROWS // longest))
            batch, order = order[-n:], order[:-n]
            rows = np.zeros((n, longest, self.manifest.network.n_features), np.float32)
            for place, i in enumerate(batch):
                rows[place, : steps[i] * per_step] = parts[i][: steps[i] * per_step]
            values = np.asarray(self._network(rows), np.float64)
            found.update({i: values[place, : steps[i]] for place, i in enumerate(batch)})
        return [found[i] for i in range(len(parts))]


def manifest_of(partial: Mapping[str, Any]) -> Manifest:
    """Complete the manifest that training begins, as far as rows, decisions and trigger need it: without a graph.

    Raises
    ------
    ConfigError
        Unknown or missing fields, or contradicting values.
    """
    no_graph = {
        "file": "", "sha256": "", "size_bytes": 0, "minimum_runtime": "", "frame_tensor": "", "probability_tensor": "",
        "state_inputs": {}, "state_outputs": {}, "quantization": {}, "agreement": {},
    }  # fmt: skip
    values = {
        **partial,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": {**partial["network"], "states": [], "parameters": 0, "warmup_steps": 0},
        "default_variant": "keras",
        "variants": {"keras": no_graph},
    }
    return schema.build(Manifest, json.loads(json.dumps(values)), "train.json: manifest", ConfigError)


def stream_traces(manifest: Manifest, record: LabelledRecord, start_ns: int) -> list[list[Trace]]:
    """Return the traces of each of a record's streams from `start_ns` on, as the runner reads them."""
    plan = plan_inputs((str(record.file),), manifest, record.channels)
    streams = [[trace.between(start_ns, None) for trace in stream.traces(plan.diagnostics)] for stream in plan.streams]
    return [[trace for trace in traces if len(trace.samples)] for traces in streams]


def _computed(manifest: Manifest, traces: Sequence[Trace]) -> StreamRows:
    rows = station_rows(manifest.front_end, manifest.sampling_rate_hz, traces)
    return StreamRows(rows, SampleSpans.of(traces))


def _trace(
    manifest: Manifest,
    record: LabelledRecord,
    start_ns: int,
    streams: Sequence[StreamRows],
    runs_of: Callable[[Rows], list[Decisions]],
) -> DecisionTrace:
    refine = _refinement(manifest, record, start_ns)
    found = tuple(
        StreamDecisionTrace(tuple(runs_of(one.rows)), one.spans, refine(i) if refine else None)
        for i, one in enumerate(streams)
    )
    return DecisionTrace(record, start_ns, found)


def _refinement(
    manifest: Manifest, record: LabelledRecord, start_ns: int
) -> Callable[[int], Callable[[int], int | None]] | None:
    """Return the refinement of the onsets in a stream; the samples are read when the first one is asked for."""
    config, rate_hz = manifest.onset, manifest.sampling_rate_hz
    if config is None:
        return None

    @lru_cache(maxsize=1)
    def traces() -> list[list[Trace]]:
        return stream_traces(manifest, record, start_ns)

    def of_stream(i: int) -> Callable[[int], int | None]:
        @cache
        def refine(rise_ns: int) -> int | None:
            onset = refine_onset(config, manifest.front_end, traces()[i], rise_ns, model_rate_hz=rate_hz)
            return onset.onset_ns if onset.refined else None

        return refine

    return of_stream


def _parts(rows: Rows) -> list[slice]:
    """Return the blocks between restarts."""
    cuts = [0, *(int(i) for i in np.flatnonzero(rows.restart) if i > 0), len(rows.block)]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]


def _decisions(
    manifest: Manifest, rows: Rows, part: slice, last: Any, n_rows: Any, values: npt.NDArray[np.float64]
) -> Decisions:
    """Return decisions whose last rows are `last` in the flattened rows of a part or beyond; times as in `Detector`."""
    config, rate_hz = manifest.front_end, manifest.sampling_rate_hz
    per_block = config.rows_per_block
    per_row = config.hop_samples // per_block
    lead = config.window_samples - config.hop_samples
    blocks = rows.block[part]
    place = np.minimum(last, len(blocks) * per_block - 1)
    after = (last - place) * per_row  # of a decision that was due at the end
    samples = blocks[place // per_block] * config.hop_samples + lead + (place % per_block + 1) * per_row + after
    stop_ns = rows.t0_ns + np.rint(samples * NS_PER_S / rate_hz).astype(np.int64)
    start_ns = stop_ns - np.rint(n_rows * per_row * NS_PER_S / rate_hz).astype(np.int64)
    window_ns = round(max(manifest.network.window_rows or 0, int(n_rows[0])) * per_row * NS_PER_S / rate_hz)
    network = manifest.network
    manifest.require_event()
    if network.mode == "continuous" and network.lag_rows:
        late_ns = round(network.lag_rows * per_row * NS_PER_S / rate_hz)
        start_ns, stop_ns = start_ns - late_ns, stop_ns - late_ns
    if network.outputs in (("event",), ("onset", "event")):
        return Decisions(start_ns, stop_ns, values[:, 0].copy(), values[:, -1].copy(), start_ns.copy())
    made = [
        decision_of(network.outputs, value, int(a), int(b), window_ns, network.event_classes)
        for value, a, b in zip(values.tolist(), start_ns, stop_ns, strict=True)
    ]
    return Decisions(
        start_ns,
        stop_ns,
        np.array([one.onset for one in made], np.float64),
        np.array([one.event for one in made], np.float64),
        np.array([one.start_ns if one.onset_ns is None else one.onset_ns for one in made], np.int64),
    )


def _arrays(i: int, one: StreamRows) -> dict[str, Any]:
    rows, spans = one.rows, one.spans
    values = {
        "t0_ns": np.int64(rows.t0_ns), "block": rows.block, "rows": rows.rows, "valid": rows.valid,
        "restart": rows.restart, "start_ns": spans.start_ns, "n_samples": spans.n_samples, "rate_hz": spans.rate_hz,
    }  # fmt: skip
    return {f"{i}_{name}": value for name, value in values.items()}


def _read(path: Path) -> list[StreamRows]:
    with np.load(path) as arrays:
        at = {name: arrays[name] for name in arrays.files}
    return [
        StreamRows(
            Rows(int(at[f"{i}_t0_ns"]), *(at[f"{i}_{name}"] for name in ("block", "rows", "valid", "restart"))),
            SampleSpans(at[f"{i}_start_ns"], at[f"{i}_n_samples"], at[f"{i}_rate_hz"]),
        )
        for i in range(sum(name.endswith("_t0_ns") for name in at))
    ]


def _key(manifest: Manifest, record: LabelledRecord, start_ns: int) -> str:
    about = record.file.stat()
    described = [
        _source_hash(), dataclasses.asdict(manifest.front_end), manifest.sampling_rate_hz, record.channels,
        record.file.name, about.st_size, start_ns,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _source_hash() -> str:
    """Return a hash of the code that computes rows: with other code, cached rows do not count."""
    edge = Path(front_end_module.__file__).parents[1]
    digest = hashlib.sha256()
    for folder in ("features", "formats", "inputs", "manifest"):
        for path in sorted((edge / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
