"""edgequake: detect quakes on board a lander and keep only the segments that contain them.

In: seismic records. Out: a catalogue of events and their segments, made on board by `edgequake.edge`; the models for it
from `edgequake.train` and `edgequake.convert`; measurements of both from `edgequake.benchmarks`.
This package itself imports none of them. Read `cli` first, and the layers in CONTRIBUTING.md.

`edgequake.rows`, the rows of the device for a notebook, is imported when it is first used.
"""

from edgequake._version import __version__

__all__ = ["__version__", "rows"]

_MODULES = {"rows": "convert.device_rows"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
