"""A shipped model as exported to C, and the runner's own detector of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary
from edgequake.edge.detection.detector import Detector
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions, exact_rates_hz

MODELS = ("moon", "mars", "earth")
IS_LONG = bool(os.environ.get("EDGEQUAKE_C99_LONG"))  # `make c99`


@dataclass(frozen=True)
class Exported:
    """A model and its library in C: three channels, all rates that need no interpolation."""

    manifest: Manifest  # without event classes, which C does not name
    variant: Variant
    graph: bytes
    library: CLibrary
    folder: Path

    @cached_property
    def refining(self) -> CLibrary:
        """The library with refined onsets, for the rates at which C refines them; built when it is first asked for."""
        options = ExportOptions(3, self._refined_rates_hz)
        result = export_model(self.manifest.name, self.folder / "refining", options, build=True)
        assert result.library is not None
        return CLibrary(Path(result.library))

    @property
    def refined_factors(self) -> tuple[int, ...]:
        """Those rates, as multiples of the model's; in the short form those of `earth` only."""
        if not IS_LONG and self.manifest.name != "earth":
            return ()
        return tuple(round(rate_hz / self.manifest.sampling_rate_hz) for rate_hz in self._refined_rates_hz)

    @property
    def _refined_rates_hz(self) -> tuple[float, ...]:
        is_any = self.manifest.name == "earth"
        return exact_rates_hz(self.manifest) if is_any else (self.manifest.sampling_rate_hz,)

    def detector(self, threshold: float) -> Detector:
        return Detector(self.manifest, self.graph, self.variant, threshold)

    def c_detector(self, threshold: float) -> CDetector:
        return CDetector(self.library, threshold)
