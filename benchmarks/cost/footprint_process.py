"""Load a model as the device does and print its footprint: `python -m edgequake.benchmarks.cost.footprint_process ...`.

Memory is read before anything of edgequake is imported, after the imports, and with the model loaded. The process then
lists the installed distributions that its modules belong to, with their sizes on disk.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INSTALLERS = ("pip", "setuptools", "wheel")
SAME_ARENA_BYTES = 65_536  # tensors further apart than this do not belong to one arena


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
    """Return the resident memory of this process; 0 where the system does not provide it."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def arena_bytes(interpreter: Any, graph: bytes) -> int:
    """Return the extent of the addresses that the runtime gives to the tensors it computes.

    Neither runtime reports the size of its arena, but both report the address of each tensor. Stored tensors lie in the
    graph itself and are excluded; the few that the runtime has copied elsewhere lie far from its arena.
    """
    import numpy as np

    graph_at = np.frombuffer(graph, np.uint8).__array_interface__["data"][0]
    places = []
    for detail in interpreter.get_tensor_details():
        try:
            tensor = interpreter.tensor(detail["index"])()
        except ValueError:  # it has no memory
            continue
        at = tensor.__array_interface__["data"][0]
        if tensor.nbytes and not graph_at <= at < graph_at + len(graph):
            places.append((at, at + tensor.nbytes))
    return largest_extent(places, SAME_ARENA_BYTES)


def largest_extent(places: list[tuple[int, int]], apart: int) -> int:
    """Return the largest extent of [start, stop) places with no gap longer than `apart` between them."""
    extents = [0]
    first = last = 0
    for start, stop in sorted(places):
        if last == 0 or start - last > apart:
            first, last = start, stop
        last = max(last, stop)
        extents.append(last - first)
    return max(extents)


def installed_bytes(modules: Iterable[Any]) -> dict[str, dict[str, int]]:
    """Return the size of each distribution on disk, largest first.

    "imported" are the distributions that the modules belong to, "beside" the others of the environment except pip and
    setuptools.
    """
    from importlib import metadata

    sources = (getattr(module, "__file__", None) for module in modules)
    files = {os.path.realpath(source) for source in sources if isinstance(source, str)}
    imported, beside = {}, {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"])
        folder = os.path.realpath(str(distribution.locate_file("")))  # once: to resolve each of 50 000 files is slow
        paths = {os.path.normpath(f"{folder}/{file}") for file in distribution.files or ()}
        if paths & files or name == "edgequake":
            imported[name] = _size_bytes(paths)
        elif name not in INSTALLERS:
            beside[name] = _size_bytes(paths)
    # An installation from a checkout does not list its files.
    imported["edgequake"] = max(imported.get("edgequake", 0), _size_bytes(_own_files()))
    return {"imported": _largest_first(imported), "beside": _largest_first(beside)}


def _largest_first(sizes: dict[str, int]) -> dict[str, int]:
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _own_files() -> list[str]:
    import edgequake.edge

    return [str(path) for path in Path(edgequake.edge.__path__[0]).rglob("*")]


def _size_bytes(paths: Iterable[str]) -> int:
    return sum(path.stat().st_size for path in map(Path, paths) if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
