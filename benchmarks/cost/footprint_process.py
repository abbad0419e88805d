"""Load a model as the device does and print what it takes: `python -m edgequake.benchmarks.cost.footprint_process ...`.

Memory is looked at before anything of edgequake is imported, after the imports, and with the model loaded; then the
process says which installed distributions the modules it holds belong to, and how large they are on disk.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INSTALLERS = ("pip", "setuptools", "wheel")
SAME_ARENA_BYTES = 65_536  # tensors further apart than this are no part of one arena


def main() -> int:
    """Load the model and variant of the arguments; print JSON."""
    print(json.dumps(measure(*sys.argv[1:3])))
    return 0


def measure(model: str, variant: str) -> dict[str, Any]:
    """Return state, arena, memory by stage and installed distributions."""
    bare, before = resident_bytes(), set(sys.modules)
    import edgequake.edge.__main__
    import edgequake.edge.detection.network  # noqa: F401
    from edgequake.edge.detection.network import StepNetwork, import_runtime
    from edgequake.edge.manifest.manifest import load_manifest, read_graph

    import_runtime()
    imported = resident_bytes()
    manifest, folder = load_manifest(model)
    described, graph = read_graph(manifest, folder, variant)
    network = StepNetwork(manifest, graph, described)
    loaded = resident_bytes()
    return {
        "runtime": network.runtime,
        "state_bytes": sum(state.nbytes for state in network.state()),
        "arena_bytes": arena_bytes(network._interpreter, graph),
        "resident_bytes": {"interpreter": bare, "imported": imported, "loaded": loaded},
        "distributions_bytes": installed_bytes(
            module for name, module in list(sys.modules.items()) if name not in before
        ),
    }


def resident_bytes() -> int:
    """Return the resident memory of this process now; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def arena_bytes(interpreter: Any, graph: bytes) -> int:
    """Return the extent of the addresses that the runtime gives to the tensors it computes.

    Neither runtime tells the size of its arena, but both tell where each tensor lies. Stored tensors lie in the graph
    itself, and are left out; the few that the runtime has copied elsewhere lie far away from its arena.
    """
    import numpy as np

    graph_at = np.frombuffer(graph, np.uint8).__array_interface__["data"][0]
    places = []
    for detail in interpreter.get_tensor_details():
        try:
            tensor = interpreter.tensor(detail["index"])()
        except ValueError:  # never given memory
            continue
        at = tensor.__array_interface__["data"][0]
        if tensor.nbytes and not graph_at <= at < graph_at + len(graph):
            places.append((at, at + tensor.nbytes))
    return largest_extent(places, SAME_ARENA_BYTES)


def largest_extent(places: list[tuple[int, int]], apart: int) -> int:
    """Return the length of the longest stretch of [start, stop) places with no hole longer than `apart`."""
    extents = [0]
    first = last = 0
    for start, stop in sorted(places):
        if last == 0 or start - last > apart:
            first, last = start, stop
        last = max(last, stop)
        extents.append(last - first)
    return max(extents)


def installed_bytes(modules: Iterable[Any]) -> dict[str, dict[str, int]]:
    """Return the size of all files of each distribution on disk, largest first.

    "imported" are those that the modules belong to; "beside" is what else the environment holds, pip and setuptools
    left out.
    """
    from importlib import metadata

    files = {
        Path(module.__file__).resolve() for module in modules if isinstance(getattr(module, "__file__", None), str)
    }
    imported, beside = {}, {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"])
        paths = {Path(str(distribution.locate_file(file))).resolve() for file in distribution.files or ()}
        if paths & files or name == "edgequake":
            imported[name] = _size_bytes(paths)
        elif name not in INSTALLERS:
            beside[name] = _size_bytes(paths)
    # An installation from a checkout lists none of the files that it means.
    imported["edgequake"] = max(imported.get("edgequake", 0), _size_bytes(_own_files()))
    return {"imported": _largest_first(imported), "beside": _largest_first(beside)}


def _largest_first(sizes: dict[str, int]) -> dict[str, int]:
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _own_files() -> Iterable[Path]:
    import edgequake.edge

    return Path(edgequake.edge.__path__[0]).rglob("*")


def _size_bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
