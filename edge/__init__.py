"""The detector for lander-class hardware: standard library, numpy, a TFLite runtime and pymseed, nothing else.

In come traces of raw samples and a model, out come events, their waveforms and what is sent of them. Start with
`runner`; an acquisition loop of one's own needs only the names below, each imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgequake.edge.detection.detector import Detector
    from edgequake.edge.detection.row_network import RowNetwork
    from edgequake.edge.formats.waveforms import Trace
    from edgequake.edge.manifest.manifest import Manifest, load_manifest
    from edgequake.edge.runner import RunConfig, run

__all__ = ["Detector", "Manifest", "RowNetwork", "RunConfig", "Trace", "load_manifest", "run"]

_MODULES = {
    "Detector": "detection.detector",
    "Manifest": "manifest.manifest",
    "RowNetwork": "detection.row_network",
    "RunConfig": "runner",
    "Trace": "formats.waveforms",
    "load_manifest": "manifest.manifest",
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
