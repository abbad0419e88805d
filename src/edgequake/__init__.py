"""edgequake: detect quakes on board a lander and keep only the segments that contain them.

In: seismic records. Out: a catalogue of events and their segments, made on board by `edgequake.edge`; the models for it
from `edgequake.train` and `edgequake.convert`; measurements of both from `edgequake.benchmarks`.
This package itself imports none of them. Read `cli` first, and the layers in CONTRIBUTING.md.
"""

from edgequake._version import __version__

__all__ = ["__version__"]
