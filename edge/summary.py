"""What a run did: summary.json, and the same in words."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequake import __version__
from edgequake.edge import strict
from edgequake.edge.catalog import CatalogRow
from edgequake.edge.errors import DataError
from edgequake.edge.ledger import Ledger, Segment
from edgequake.edge.memory import peak_memory_bytes
from edgequake.edge.piece import NS_PER_S, channel_of

if TYPE_CHECKING:
    from edgequake.edge.feed import Feed
    from edgequake.edge.inputs import RunConfig
    from edgequake.edge.listener import Tally
    from edgequake.edge.loaded_model import LoadedModel


@dataclass(frozen=True)
class Summary:
    """Figures of one run; the fields of summary.json.

    Sample counts are over all channels that were read. `kept_fraction` is kept_s / record_s: time covered by the kept
    segments over time covered by the records (gaps included), both by station.
    """

    edgequake_version: str
    model: str
    variant: str
    graph_sha256: str
    runtime: str
    onset_threshold: float
    inputs: tuple[str, ...]
    stations: tuple[str, ...]
    samples_in: int
    bytes_in: int
    samples_kept: int
    bytes_kept: int
    record_s: float
    kept_s: float
    kept_fraction: float
    tears_bridged: int
    samples_bridged: int
    restarts: int
    fill_samples: int
    not_finite_samples: int
    overlap_samples: int
    unreadable_bytes: int
    ignored_channels: tuple[str, ...]
    warnings: tuple[str, ...]
    resumed: int  # times the run went on from a checkpoint; the three figures below are of its last process
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    segments: tuple[Segment, ...]
    events: tuple[CatalogRow, ...]

    def to_json(self) -> str:
        """Return the text of summary.json; the events are in catalog.csv."""
        fields = dataclasses.asdict(self)
        fields["n_events"] = len(fields.pop("events"))
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path, events: list[CatalogRow]) -> Summary:
        """Read a summary.json; the events come from the catalogue beside it.

        Raises
        ------
        DataError
            It cannot be read, or another edgequake wrote it.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            del values["n_events"]
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise DataError(f"{path} cannot be read as a summary: {problem}") from problem
        return strict.build(
            cls, {**values, "events": [dataclasses.asdict(row) for row in events]}, str(path), DataError
        )

    def text(self) -> str:
        """Return the summary for people."""
        hours = self.record_s / 3600
        lines = [
            f"{len(self.events)} event(s) in {hours:.1f} h of {', '.join(self.stations) or 'nothing'}",
            f"kept {self.kept_s / 3600:.2f} h = {100 * self.kept_fraction:.1f} % of the record, "
            f"{self.samples_kept} of {self.samples_in} samples, {_size(self.bytes_kept)} of {_size(self.bytes_in)}",
            f"tears bridged {self.tears_bridged}, restarts {self.restarts}, lost samples marked {self.fill_samples}, "
            f"not finite {self.not_finite_samples}, unreadable {self.unreadable_bytes} bytes",
            f"{self.wall_s:.2f} s wall, {self.cpu_s:.2f} s CPU, {self.peak_memory_bytes / 1e6:.0f} MB peak; "
            f"model {self.model} {self.variant}, {self.runtime}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Begun:
    """When this process began its run."""

    wall_s: float = field(default_factory=time.monotonic)
    cpu_s: float = field(default_factory=time.process_time)


def summarise(
    begun: Begun, config: RunConfig, model: LoadedModel, feed: Feed, tally: Tally, ledger: Ledger, n_resumed: int
) -> Summary:
    """Return the figures of a run that is over."""
    return Summary(
        edgequake_version=__version__,
        model=model.manifest.name,
        variant=model.variant_name,
        graph_sha256=model.variant.sha256,
        runtime=model.runtime,
        onset_threshold=model.threshold,
        inputs=config.inputs,
        stations=tuple(sorted(tally.stations)),
        samples_in=tally.samples_in,
        bytes_in=feed.size_bytes,
        samples_kept=sum(segment.n_samples for segment in ledger.segments),
        bytes_kept=sum(segment.size_bytes for segment in ledger.segments),
        record_s=tally.record_ns / NS_PER_S,
        kept_s=tally.kept_ns / NS_PER_S,
        kept_fraction=tally.kept_ns / max(1, tally.record_ns),
        tears_bridged=tally.gaps.bridged_tears,
        samples_bridged=tally.gaps.bridged_samples,
        restarts=tally.gaps.restarts,
        fill_samples=tally.gaps.fill_samples,
        not_finite_samples=tally.gaps.not_finite_samples,
        overlap_samples=tally.gaps.overlap_samples,
        unreadable_bytes=feed.notes.unreadable_bytes,
        ignored_channels=tuple(sorted({channel_of(name) for name in feed.ignored_channels})),
        warnings=tuple(feed.notes.texts()),
        resumed=n_resumed,
        wall_s=time.monotonic() - begun.wall_s,
        cpu_s=time.process_time() - begun.cpu_s,
        peak_memory_bytes=peak_memory_bytes(),
        segments=tuple(ledger.segments),
        events=tuple(ledger.rows()),
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.1f} kB"
