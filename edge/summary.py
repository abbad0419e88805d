"""What a run did: summary.json, and the same in words."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from edgequake.edge.catalog import CatalogRow
from edgequake.edge.segments import Segment


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


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.1f} kB"
