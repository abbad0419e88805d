"""Which graphs' costs are measured, and on what signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.entrants import NamedModel
from edgequake.benchmarks.signal_days import SignalDay, write_signal_day
from edgequake.edge.manifest import Manifest, load_manifest, shipped_models


@dataclass(frozen=True)
class Subject:
    """One graph of one model."""

    named: NamedModel
    manifest: Manifest
    shipped: bool  # False: asked for beside the others, with --also

    @property
    def title(self) -> str:
        """Name and variant."""
        return f"{self.named.identity.name} {self.named.identity.variant}"

    @property
    def arguments(self) -> tuple[str, str]:
        """What a process is told: name or manifest, and variant."""
        return self.named.model, self.named.identity.variant


def find_subjects(models: Sequence[str], variant: str | None, also: Sequence[str]) -> list[Subject]:
    """Return every variant of the models, or the one that is named, and the further ones.

    Parameters
    ----------
    models : shipped names or manifests; by default all that are shipped.
    also : NAME or MANIFEST, with :VARIANT behind it or without: the model's default one.

    Raises
    ------
    ManifestError
        No such model or variant, or a graph that is not the manifest's.
    """
    found = []
    for model in models or shipped_models():
        manifest, _ = load_manifest(model)
        for name in [variant] if variant else manifest.variants:
            found.append(Subject(NamedModel.find(model, name), manifest, shipped=True))
    for text in also:
        named = NamedModel.parse(text)
        found.append(Subject(named, load_manifest(named.model)[0], shipped=False))
    return found


def steps_per_s(manifest: Manifest) -> float:
    """Return how often the graph is stepped for a second of signal: windows that overlap step rows several times."""
    network, front_end = manifest.network, manifest.front_end
    rows_per_s = manifest.sampling_rate_hz * front_end.rows_per_block / front_end.hop_samples
    overlap = network.window_rows / network.window_hop_rows if network.window_rows and network.window_hop_rows else 1.0
    return rows_per_s / network.rows_per_step * overlap


class SignalDays:
    """Days of signal in one folder, one for each body and sampling rate that is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days: dict[tuple[str, float], SignalDay] = {}

    def of(self, manifest: Manifest) -> SignalDay:
        """Return the day for a model; the first of its kind is written.

        Raises
        ------
        ConfigError
            As `edgequake.benchmarks.signal_days.write_signal_day`.
        """
        key = (manifest.body, manifest.sampling_rate_hz)
        if key not in self._days:
            self._days[key] = write_signal_day(self._folder / f"day-{len(self._days)}", manifest)
        return self._days[key]

    def by_body(self) -> dict[str, SignalDay]:
        """Return the first day of each body."""
        found: dict[str, SignalDay] = {}
        for day in self._days.values():
            found.setdefault(day.body, day)
        return found
