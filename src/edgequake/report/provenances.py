"""Where figures come from: machine, versions, and the graph that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Where figures come from."""

    file: str
    measured_at: str
    processor: str
    machine: str
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


def read_provenance(values: Mapping[str, Any], path: Path) -> Provenance:
    """Return where a result comes from; `values` are those of its file at `path`."""
    where = values["provenance"]
    return Provenance(
        file=path.name,
        measured_at=str(where["measured_at"]),
        processor=str(where["processor"]),
        machine=str(where["machine"]),
        python=str(where["python"]),
        versions={str(name): str(version) for name, version in where["versions"].items()},
    )


def read_model(model: Any) -> ModelIdentity | None:
    """Return a result's model, or None where it names none."""
    if not isinstance(model, Mapping):
        return None
    return ModelIdentity(
        str(model["name"]), str(model["variant"]), str(model["sha256"]), int(model["size_bytes"]),
        int(model["parameters"]),
    )  # fmt: skip
