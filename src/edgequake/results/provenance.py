"""The source of a figure: the machine, the package versions and the model it was measured with."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

PACKAGES = ("edgequake", "numpy", "scipy", "obspy", "pymseed", "tflite-runtime", "ai-edge-litert")


@dataclass(frozen=True)
class Provenance:
    """Everything a figure may depend on besides the model and the data."""

    measured_at: str  # UTC, ISO 8601
    machine: str  # architecture
    processor: str
    n_processors: int
    system: str
    python: str
    versions: dict[str, str]

    @property
    def computer(self) -> str:
        """Processor and architecture."""
        return f"{self.processor} ({self.machine})"


@dataclass(frozen=True)
class ModelIdentity:
    """The graph that was measured."""

    name: str
    variant: str
    sha256: str
    size_bytes: int
    parameters: int

    @property
    def title(self) -> str:
        """Name and variant."""
        return f"{self.name} {self.variant}"


class Report:
    """Base class of the dataclasses that a benchmark returns and writes as JSON."""

    kind: ClassVar[str]  # names the report in its JSON, in the field `kind_field`
    kind_field: ClassVar[str] = "benchmark"
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {self.kind_field: self.kind, **dataclasses.asdict(self), **self.derived()}  # type: ignore[call-overload]

    def derived(self) -> dict[str, Any]:
        """Return the JSON's fields that are not fields of the dataclass, or are written in another way."""
        return {}


def provenance() -> Provenance:
    """Describe this machine and the installed packages."""
    return Provenance(
        measured_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        machine=platform.machine(),
        processor=_processor(),
        n_processors=os.cpu_count() or 1,
        system=platform.platform(),
        python=platform.python_version(),
        versions={name: version for name in PACKAGES if (version := _version(name))},
    )


def identify(model: str, variant: str | None) -> tuple[ModelIdentity, str]:
    """Return the graph that a shipped model's name or a manifest refers to, and the body it is for.

    Raises
    ------
    ManifestError
        The model or the variant does not exist, or the graph is not the one the manifest describes.
    """
    from edgequake.edge.manifest.manifest import load_manifest, read_graph

    manifest, folder = load_manifest(model)
    described, _ = read_graph(manifest, folder, variant)
    name = variant or manifest.default_variant
    identity = ModelIdentity(manifest.name, name, described.sha256, described.size_bytes, manifest.network.parameters)
    return identity, manifest.body


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name from /proc/cpuinfo, or what Python knows where there is no such file."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"
