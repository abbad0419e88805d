"""A shipped model as exported to C, and the runner's own detector of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary
from edgequake.edge.detection.detector import Detector
from edgequake.edge.manifest.manifest import Manifest, Variant

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
    refining: CLibrary  # with refined onsets, for the rates at which C refines them
    refined_factors: tuple[int, ...]  # those rates, as multiples of the model's

    def detector(self, threshold: float) -> Detector:
        return Detector(self.manifest, self.graph, self.variant, threshold)

    def c_detector(self, threshold: float) -> CDetector:
        return CDetector(self.library, threshold)
