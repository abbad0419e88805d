"""Where a figure was measured: machine, versions, model and data."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("edgequake", "numpy", "scipy", "obspy", "pymseed", "tflite-runtime", "ai-edge-litert")


@dataclass(frozen=True)
class Provenance:
    """Everything beside the model and the data that a figure may depend on."""

    measured_at: str  # UTC, ISO 8601
    machine: str  # architecture
    processor: str
    n_processors: int
    system: str
    python: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ModelIdentity:
    """Which graph was measured."""

    name: str
    variant: str
    sha256: str
    size_bytes: int
    parameters: int


def provenance() -> Provenance:
    """Describe this machine and the packages that are installed."""
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
    """Return which graph a model's name or manifest means, and the body it is for.

    Raises
    ------
    ManifestError
        No such model or variant, or a graph that is not the manifest's.
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
    """Return the processor's name where Linux tells it, else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"
