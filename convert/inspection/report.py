"""How a tensor's integer range fits what it held.

What a conversion made, as data and as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.convert.inspection.operators import ROUNDED_APART
from edgequake.convert.inspection.tflite_reader import read_graph_file
from edgequake.edge.base.errors import GateError
from edgequake.edge.manifest.manifest import Manifest


@dataclass(frozen=True)
class TensorUse:
    """One tensor's range, available and used, in real numbers."""

    tensor: str
    layer: str
    dtype: str
    available_low: float
    available_high: float
    used_low: float
    used_high: float
    clipped_share: float  # of its values that lie at an end of the range, 0..1

    @property
    def used_share(self) -> float:
        """Return the share of the available range that was used, 0..1."""
        return (self.used_high - self.used_low) / (self.available_high - self.available_low)


__all__ = ["ConversionReport", "GateError", "VariantReport"]

CLIPPED_TOLD = 3  # tensors of a variant in the table; --json has all of them
CLIPPED_LEAST = 1e-4  # share of values below which clipping is not worth a line


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
    agreement: dict[str, float]  # all that the manifest says of it, see docs/manifest.md
    clipping: tuple[TensorUse, ...]  # of integer graphs, the most clipped first
    rounded_apart: tuple[str, ...]  # operators of the int8 graph that runtimes may round differently


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
    invoked_in: str | None  # the tflite-runtime that has run every graph
    elapsed_s: float

    def table(self) -> str:
        """Return the report as text for people."""
        head = "variant   size (bytes) runtime from rows compared  max error  rms error last third  flips   events"
        lines = [f"{self.name}: {self.parameters} parameters, {self.n_states} states, {self.elapsed_s:.1f} s", head]
        for item in self.variants:
            mark = "  default" if item.variant == self.default_variant else ""
            lines.append(
                f"{item.variant:<9} {item.size_bytes:>12} {item.minimum_runtime:>12} {item.n_frames or '-':>13} "
                f"{_number(item.probability_max_error):>10} {_number(item.probability_rms_error):>10} "
                f"{_number(item.agreement.get('probability_rms_error_third_3')):>10} "
                f"{_count(item.agreement, 'decision_flips'):>6} {_events(item.agreement):>8}{mark}"
            )
        if self.variants and "events" in self.variants[0].agreement:
            n_events = int(self.variants[0].agreement["events"])
            lines.append(f"events: matched-missed+extra of the {n_events} that Keras finds at the normal threshold")
        lines += [line for item in self.variants for line in (*_clipping(item), *_rounding(item))]
        lines.append(
            f"invoked in {self.invoked_in}" if self.invoked_in else "not invoked in 2.14: no tflite-runtime here"
        )
        return "\n".join([*lines, f"manifest: {self.manifest}"])


def report_of(manifest: Manifest, folder: Path, elapsed_s: float, details: dict[str, Any]) -> ConversionReport:
    """Read the report off a manifest, and off what the worker adds to it.

    Parameters
    ----------
    details : `invoked_in` (a runtime or null) and, where the graphs were verified, `clipping` (variant -> tensors).
    """
    clipping = details.get("clipping", {})
    variants = tuple(
        VariantReport(
            variant=name,
            file=folder / variant.file,
            size_bytes=variant.size_bytes,
            minimum_runtime=variant.minimum_runtime,
            n_frames=int(variant.agreement.get("n_frames", 0)),
            probability_max_error=variant.agreement.get("probability_max_error"),
            probability_rms_error=variant.agreement.get("probability_rms_error"),
            agreement=variant.agreement,
            clipping=tuple(TensorUse(**use) for use in clipping.get(name, ())),
            rounded_apart=_rounded_apart(folder / variant.file) if name == "int8" else (),
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
        invoked_in=details["invoked_in"],
        elapsed_s=elapsed_s,
    )


def _clipping(item: VariantReport) -> list[str]:
    """Return a line for each of the tensors that are clipped most."""
    worst = [use for use in item.clipping if use.clipped_share >= CLIPPED_LEAST][:CLIPPED_TOLD]
    return [
        f"{item.variant}: {use.clipped_share:.2%} of '{use.tensor}' ({use.layer}) is clipped to "
        f"{use.available_low:.3g}..{use.available_high:.3g}"
        for use in worst
    ]


def _rounded_apart(file: Path) -> tuple[str, ...]:
    operators = read_graph_file(file.read_bytes(), str(file)).operators
    return tuple(sorted({operator.name for operator in operators} & ROUNDED_APART))


def _rounding(item: VariantReport) -> list[str]:
    return [f"{item.variant}: {name} may differ by its last bit between runtimes" for name in item.rounded_apart]


def _events(agreement: dict[str, float]) -> str:
    if "events" not in agreement:
        return "-"
    matched, missed, extra = (int(agreement[f"events_{kind}"]) for kind in ("matched", "missed", "extra"))
    return f"{matched}-{missed}+{extra}"


def _count(agreement: dict[str, float], name: str) -> str:
    return str(int(agreement[name])) if name in agreement else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
