"""The summary of a run: its figures as summary.json and as text, and the record time that its fractions refer to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.base.layout import CATALOG, SUMMARY
from edgequake.edge.manifest import schema
from edgequake.edge.results.catalog import CatalogRow, Segment, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles

_MOST_BYTES = 1 << 26  # of a file that names each segment, as earlier versions wrote it: 200 000 of them


@dataclass(frozen=True)
class UsedModel:
    """A model that a run has used, and the stations for which it was chosen; none where the user named it."""

    name: str
    variant: str
    graph_sha256: str
    onset_threshold: float
    stations: tuple[str, ...]


def model_fields(used: Sequence[UsedModel]) -> dict[str, Any]:
    """Return the fields `model`, `variant`, `graph_sha256` and `onset_threshold` of a run.

    Where several models are in use, the texts are joined by ", " in the order of their names, and the threshold is None
    unless it is the same for all.
    """
    thresholds = {one.onset_threshold for one in used}
    return {
        "model": ", ".join(one.name for one in used) or "auto",  # no station has been heard yet
        "variant": ", ".join(dict.fromkeys(one.variant for one in used)),
        "graph_sha256": ", ".join(one.graph_sha256 for one in used),
        "onset_threshold": thresholds.pop() if len(thresholds) == 1 else None,
    }


@dataclass(frozen=True)
class Summary:
    """Figures of one run: the fields of summary.json; `model_fields` describes the first ones.

    Sample counts include all channels that were read. `kept_fraction` is kept_s / record_s: the time covered by the
    segments over the time covered by the records (short gaps included), both summed over the stations.
    """

    edgequake_version: str
    model: str
    variant: str
    graph_sha256: str
    runtime: str
    onset_threshold: float | None
    inputs: tuple[str, ...]
    stations: tuple[str, ...]
    samples_in: int
    bytes_in: int
    samples_kept: int
    bytes_kept: int
    record_s: float
    kept_s: float
    kept_fraction: float
    tears_bridged: int  # gaps that were interpolated
    samples_bridged: int  # in those gaps
    restarts: int  # of the front end, after longer gaps
    fill_samples: int
    not_finite_samples: int
    overlap_samples: int
    unreadable_bytes: int
    ignored_channels: tuple[str, ...]
    warnings: tuple[str, ...]
    resumed: int  # times from a checkpoint; the next three figures are of the last process
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    n_events: int
    models: tuple[UsedModel, ...] = ()  # those that were chosen, each with its stations; empty where one was named
    out: Path = field(default=Path(), compare=False)  # the run's folder, with its catalogue

    @cached_property
    def events(self) -> tuple[CatalogRow, ...]:
        """The rows of the catalogue, in the order of their onsets; read when they are first asked for."""
        return tuple(read_catalog(self.out / CATALOG))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the catalogue, in the order in which they were completed; read as `events` are."""
        return tuple(_read_segments(self.out))

    @property
    def used_models(self) -> tuple[UsedModel, ...]:
        """The models of the run, whether they were chosen or one was named."""
        if self.models or self.onset_threshold is None:
            return self.models
        return (UsedModel(self.model, self.variant, self.graph_sha256, self.onset_threshold, self.stations),)

    def model_of(self, station_id: str) -> UsedModel:
        """Return a station's model; a model that was named is that of all stations.

        Raises
        ------
        DataError
            No model was chosen for the station.
        """
        for one in self.used_models:
            if station_id in one.stations or not self.models:
                return one
        raise DataError(f"the run chose no model for station {station_id}: it comes from another run's files")

    def to_json(self) -> str:
        """Return the text of summary.json; the events and segments are in the catalogue."""
        fields = dataclasses.asdict(self)
        del fields["out"]
        if not fields["models"]:  # as before there was a choice
            del fields["models"]
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Summary:
        """Read a summary.json, beside the catalogue of its run; fields of another version are ignored.

        Raises
        ------
        DataError
            The file cannot be read, or lacks a field.
        """
        try:
            values: Any = json.loads(read_whole(path, _MOST_BYTES))
        except (OSError, ValueError) as problem:
            raise DataError(f"{path} cannot be read as a run's summary ({problem}); run again") from problem
        if not isinstance(values, dict):
            raise DataError(f"{path} is no run's summary: expected a table of fields, got {type(values).__name__}")
        names = {field.name for field in dataclasses.fields(cls)} - {"out"}
        known = {name: value for name, value in values.items() if name in names}
        return dataclasses.replace(schema.build(cls, known, str(path), DataError), out=path.parent)

    def text(self) -> str:
        """Return the summary as text."""
        lines = [
            f"{self.n_events} event(s) in {duration(self.record_s)} of {', '.join(self.stations) or 'nothing'}",
            f"kept {duration(self.kept_s)} = {100 * self.kept_fraction:.1f} % of the record, "
            f"{self.samples_kept} of {self.samples_in} samples, {_size(self.bytes_kept)} of {_size(self.bytes_in)}",
            f"gaps interpolated {self.tears_bridged}, restarts {self.restarts}, fill values {self.fill_samples}, "
            f"not finite {self.not_finite_samples}, unreadable {self.unreadable_bytes} bytes",
            f"{duration(self.wall_s)} wall, {duration(self.cpu_s)} CPU, {self.peak_memory_bytes / 1e6:.0f} MB peak; "
            f"model {self.model} {self.variant}, {self.runtime}",
        ]
        return "\n".join(map(one_line, lines))


def _read_segments(out: Path) -> list[Segment]:
    """Return the segments of a run folder, whose list edgequake 0.1 kept in summary.json.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    if blocks := CatalogFiles(out).blocks(0):
        return [block.segment(block.rows) for block in blocks]
    try:
        listed = json.loads((out / SUMMARY).read_bytes()).get("segments", [])
        return [Segment(**values) for values in listed]
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise DataError(f"the segments listed in {out / SUMMARY} cannot be read: {problem}") from problem


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.1f} kB"


class RecordTime:
    """The time that a station's record covers, from traces in the order of their start times.

    A gap that the front end would interpolate counts as covered, a longer one does not: the files of a folder may lie
    years apart, and a fraction of those years would mean nothing.
    """

    def __init__(self, bridge_ns: int) -> None:
        self._bridge_ns = bridge_ns
        self._start_ns: int | None = None
        self._stop_ns = 0
        self._gaps_ns = 0  # total length of the long gaps
        self._gaps: list[tuple[int, int]] = []  # the long ones, [start, stop)

    def bridge(self, bridge_ns: int) -> None:
        """Count gaps up to another length as covered, from now on."""
        self._bridge_ns = bridge_ns

    def add(self, start_ns: int, stop_ns: int) -> None:
        """Add a trace [start, stop)."""
        if self._start_ns is None:
            self._start_ns, self._stop_ns = start_ns, stop_ns
        if start_ns - self._stop_ns > self._bridge_ns:
            self._gaps.append((self._stop_ns, start_ns))
            self._gaps_ns += start_ns - self._stop_ns
        self._stop_ns = max(self._stop_ns, stop_ns)

    @property
    def total_ns(self) -> int:
        """Time covered so far."""
        return 0 if self._start_ns is None else self._stop_ns - self._start_ns - self._gaps_ns

    def within(self, start_ns: int, stop_ns: int) -> int:
        """Return the time covered in [start, stop), which lies between the first start and the last stop."""
        return stop_ns - start_ns - sum(max(0, min(stop_ns, b) - max(start_ns, a)) for a, b in self._gaps)

    def forget_before(self, time_ns: int) -> None:
        """Drop the gaps before a time; `within` must not be called for anything earlier."""
        self._gaps = [gap for gap in self._gaps if gap[1] > time_ns]

    def state(self) -> State:
        return {name: value for name, value in vars(self).items() if name != "_bridge_ns"}

    def restore(self, state: State) -> None:
        vars(self).update(state)
        self._gaps = [(start_ns, stop_ns) for start_ns, stop_ns in state["_gaps"]]
