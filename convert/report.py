"""What a conversion made, as data and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.errors import GateError
from edgequake.edge.manifest import Manifest

__all__ = ["ConversionReport", "GateError", "VariantReport"]


@dataclass(frozen=True)
class VariantReport:
    """One converted graph."""

    variant: str
    file: Path
    size_bytes: int
    minimum_runtime: str
    n_frames: int  # rows compared with Keras, 0 when not verified
    probability_max_error: float | None
    probability_rms_error: float | None


@dataclass(frozen=True)
class ConversionReport:
    """A finished conversion."""

    name: str
    manifest: Path
    default_variant: str
    parameters: int
    n_states: int
    warmup_steps: int
    variants: tuple[VariantReport, ...]
    elapsed_s: float

    def table(self) -> str:
        """Return the report as text for people."""
        head = "variant   size (bytes) runtime from rows compared  max error  rms error"
        lines = [f"{self.name}: {self.parameters} parameters, {self.n_states} states, {self.elapsed_s:.1f} s", head]
        for item in self.variants:
            mark = "  default" if item.variant == self.default_variant else ""
            lines.append(
                f"{item.variant:<9} {item.size_bytes:>12} {item.minimum_runtime:>12} {item.n_frames or '-':>13} "
                f"{_number(item.probability_max_error):>10} {_number(item.probability_rms_error):>10}{mark}"
            )
        return "\n".join([*lines, f"manifest: {self.manifest}"])


def report_of(manifest: Manifest, folder: Path, elapsed_s: float) -> ConversionReport:
    """Read the report off a manifest."""
    variants = tuple(
        VariantReport(
            variant=name,
            file=folder / variant.file,
            size_bytes=variant.size_bytes,
            minimum_runtime=variant.minimum_runtime,
            n_frames=int(variant.agreement.get("n_frames", 0)),
            probability_max_error=variant.agreement.get("probability_max_error"),
            probability_rms_error=variant.agreement.get("probability_rms_error"),
        )
        for name, variant in manifest.variants.items()
    )
    return ConversionReport(
        name=manifest.name,
        manifest=folder / f"{manifest.name}.json",
        default_variant=manifest.default_variant,
        parameters=manifest.network.parameters,
        n_states=len(manifest.network.states),
        warmup_steps=manifest.network.warmup_steps,
        variants=variants,
        elapsed_s=elapsed_s,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
