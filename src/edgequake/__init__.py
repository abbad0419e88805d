"""edgequake: detect quakes on board a lander and keep only the segments that contain them.

In: seismic records. Out: a catalogue of events and their segments, made on board by `edgequake.edge`; the models for it
from `edgequake.train` and `edgequake.convert`; measurements of both from `edgequake.benchmarks`.
In Python begin with `load_model`, or `Detector` for an acquisition loop; `rows` gives a notebook the rows that the
device will compute. Each is imported when it is first used. Read `cli` first for the command line, and the layers in
CONTRIBUTING.md.
"""

from __future__ import annotations

from edgequake._version import __version__

TYPE_CHECKING = False  # as `typing` has it, which is not imported: `import edgequake` loads nothing
if TYPE_CHECKING:
    from edgequake.convert.device_rows import rows
    from edgequake.edge.detection.detector import Detector
    from edgequake.model.classified_events import EventList
    from edgequake.model.quake_model import QuakeModel, load_model

__all__ = ["Detector", "EventList", "QuakeModel", "__version__", "load_model", "rows"]

_MODULES = {
    "Detector": "edge.detection.detector",
    "EventList": "model.classified_events",
    "QuakeModel": "model.quake_model",
    "load_model": "model.quake_model",
    "rows": "convert.device_rows",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
