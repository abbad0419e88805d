"""edgequake: detect quakes on board a lander and keep only the segments that contain them.

In: seismic records. Out: a catalogue of events and their segments, made on board by `edgequake.edge`; the models for it
from `edgequake.train` and `edgequake.convert`; measurements of both from `edgequake.benchmarks`.
This package itself imports none of them. Read `cli` first, and the layers in CONTRIBUTING.md.

`edgequake.rows` gives a notebook the rows that the device will compute; it is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgequake._version import __version__

__all__ = ["__version__", "rows"]


def __getattr__(name: str) -> Any:
    if name != "rows":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.convert.device_rows"), name)
