"""The report of a conversion, read from the finished manifest and graphs, as data and as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.convert.inspection.operators import RUNTIME_DEPENDENT
from edgequake.convert.inspection.tflite_reader import read_graph_file
from edgequake.edge.manifest.manifest import Manifest
from edgequake.results.tables.table import Table

MAX_CLIPPED_LINES = 3  # tensors per variant in the table; --json has all of them
MIN_CLIPPED_SHARE = 1e-4  # share of values below which clipping is not listed
NEAR_RMS = 0.01  # a hundredth of the range of a probability
COLUMNS = (
    *("variant", "size (bytes)", "runtime from", "rows compared"),
    *("max error", "rms error", "rms last third", "flips", "events", "us a step", ""),
)


@dataclass(frozen=True)
class TensorUse:
    """One tensor's integer range and the part of it that was used, in real numbers."""

    tensor: str
    layer: str
    dtype: str
    available_low: float
    available_high: float
    used_low: float
    used_high: float
    clipped_share: float  # share of its values at an end of the range, 0..1

    @property
    def used_share(self) -> float:
        """Return the share of the available range that was used, 0..1."""
        return (self.used_high - self.used_low) / (self.available_high - self.available_low)


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
    agreement: dict[str, float]  # as in the manifest, see docs/manifest.md
    clipping: tuple[TensorUse, ...]  # of integer graphs, the most clipped first
    rounded_apart: tuple[str, ...]  # operators of the int8 graph that runtimes may round differently
    step_us: float | None = None  # a step takes on this machine

    def cells(self, default_variant: str) -> tuple[str, ...]:
        """Return the graph's row of the table."""
        measured = self.agreement
        matched, missed, extra, flips = (
            str(int(measured[name])) if name in measured else "-"
            for name in ("events_matched", "events_missed", "events_extra", "decision_flips")
        )
        errors = (
            self.probability_max_error,
            self.probability_rms_error,
            measured.get("probability_rms_error_third_3"),
        )
        return (
            self.variant,
            str(self.size_bytes),
            self.minimum_runtime,
            str(self.n_frames or "-"),
            *("-" if error is None else f"{error:.2e}" for error in errors),
            flips,
            f"{matched}-{missed}+{extra}" if "events" in measured else "-",
            "-" if self.step_us is None else f"{self.step_us:.0f}",
            "default" if self.variant == default_variant else "",
        )

    def remarks(self) -> list[str]:
        """Return a line for each of the most clipped tensors and for each operator that depends on the runtime."""
        worst = [use for use in self.clipping if use.clipped_share >= MIN_CLIPPED_SHARE][:MAX_CLIPPED_LINES]
        return [
            f"{self.variant}: {use.clipped_share:.2%} of '{use.tensor}' ({use.layer}) is clipped to "
            f"{use.available_low:.3g}..{use.available_high:.3g}"
            for use in worst
        ] + [f"{self.variant}: {name} may differ by its last bit between runtimes" for name in self.rounded_apart]


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
    remarks: tuple[str, ...] = ()  # on the network as a whole
    recommended: str = ""  # the variant for this machine, by error, size and time
    left_out: dict[str, str] = field(default_factory=dict)  # variant -> why it could not be made

    def table(self) -> str:
        """Return the report as plain text."""
        title = f"{self.name}: {self.parameters} parameters, {self.n_states} states, {self.elapsed_s:.1f} s"
        lines = []
        if self.variants and "events" in self.variants[0].agreement:
            n_events = int(self.variants[0].agreement["events"])
            lines.append(f"events: matched-missed+extra of the {n_events} that Keras finds at the normal threshold")
        lines += [line for item in self.variants for line in item.remarks()]
        lines += self.remarks
        lines += [f"left out: {variant}: {reason}" for variant, reason in self.left_out.items()]
        if self.recommended:
            lines.append(self._recommendation())
        lines.append(
            f"invoked in {self.invoked_in}"
            if self.invoked_in
            else "not invoked in 2.14: no tflite-runtime is installed here"
        )
        rows = tuple(item.cells(self.default_variant) for item in self.variants)
        return Table(title, COLUMNS, rows, (*lines, f"manifest: {self.manifest}")).text()

    def _recommendation(self) -> str:
        """Return the line that recommends a variant for this machine."""
        if self.recommended == self.default_variant:
            return f"recommended here by error, size and time: {self.recommended}, the default"
        return (
            f"recommended here by error, size and time: {self.recommended} (run it with --variant {self.recommended}); "
            f"the default {self.default_variant} is chosen by error and size, the same on every machine"
        )


def report_of(manifest: Manifest, folder: Path, elapsed_s: float, details: dict[str, Any]) -> ConversionReport:
    """Read the report from a manifest, its graphs in `folder`, and the worker's details.

    Parameters
    ----------
    details : `invoked_in` (a runtime or null); where the graphs were verified, `clipping` (variant -> tensors);
        `step_us`, `remarks` and `left_out`, as in the reports.
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
            rounded_apart=_runtime_dependent(folder / variant.file) if name == "int8" else (),
            step_us=details.get("step_us", {}).get(name),
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
        remarks=tuple(details.get("remarks", ())),
        recommended=recommended(variants, manifest.default_variant),
        left_out=dict(details.get("left_out", {})),
    )


def recommended(variants: tuple[VariantReport, ...], default: str) -> str:
    """Return the variant with the least product of bytes and time a step, among those near Keras; "" if unmeasured.

    Near is an rms error of 0.01, or of twice the least error where none is that near. The default stands where it is
    within a tenth of the best: times are no more accurate.
    """
    costs, errors = {}, {}
    for item in variants:
        if item.step_us is None or item.probability_rms_error is None:
            return ""
        costs[item.variant], errors[item.variant] = item.size_bytes * item.step_us, item.probability_rms_error
    limit = max(NEAR_RMS, 2 * min(errors.values(), default=0.0))
    near = [name for name in costs if errors[name] <= limit]
    best = min(near, key=lambda name: costs[name], default="")
    return default if default in near and costs[default] <= 1.1 * costs[best] else best


def _runtime_dependent(file: Path) -> tuple[str, ...]:
    operators = read_graph_file(file.read_bytes(), str(file)).operators
    return tuple(sorted({operator.name for operator in operators} & RUNTIME_DEPENDENT))
