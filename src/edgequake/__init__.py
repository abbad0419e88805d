"""edgequake: detect quakes on a lander and keep only the flagged segments.

Importing this package imports nothing else: the parts are `edgequake.edge` (what flies), `edgequake.train`,
`edgequake.convert` and `edgequake.benchmarks`, each imported where it is used.
"""

from edgequake._version import __version__

__all__ = ["__version__"]
