"""Libraries of models in C, built once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgequake.edge.detection.c_library import cache_folder, model_hash
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.export_c.exporter import VARIANT, export_files, host_files, prefix_of, write_files
from edgequake.export_c.host_library import FLAGS, build_library, find_compiler
from edgequake.export_c.options import ExportOptions, exact_rates_hz

_CHANNELS = 16  # of a station
_LEAD_S = 3600.0  # a channel further ahead of the others waits


def cached_libraries(models: Iterable[str]) -> Path:
    """Return a folder with the library of each model, for all rates that need no interpolation.

    The folder is named after the sources, the compiler's options and the machine: what has changed is built anew.

    Raises
    ------
    EdgequakeError
        A model cannot be exported, there is no compiler, or it failed.
    """
    names = tuple(models)
    folder = cache_folder() / f"c-{_digest(names)}"
    if not folder.is_dir():
        find_compiler()
        _build(names, folder)
    return folder


def _digest(models: tuple[str, ...]) -> str:
    """Return a hash of the models, of everything in this package, and of the machine."""
    digest = hashlib.sha256(f"{FLAGS} {platform.machine()} {platform.libc_ver()}".encode())
    for path in sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".c", ".h")):
        digest.update(path.read_bytes())
    for model in models:
        manifest, _ = load_manifest(model)
        digest.update(f"{manifest.name} {model_hash(manifest, manifest.variants[VARIANT])}".encode())
    return digest.hexdigest()[:16]


def _build(models: tuple[str, ...], folder: Path) -> None:
    """Build libraries beside `folder` and rename, so that it is complete as soon as it exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".c-", dir=folder.parent))
    try:
        for model in models:
            rates_hz = exact_rates_hz(load_manifest(model)[0])
            manifest, files = export_files(model, ExportOptions(_CHANNELS, rates_hz, _LEAD_S, refinement=False))
            write_files(files | host_files(manifest), partial)
            build_library(partial, prefix_of(manifest))
        if not folder.is_dir():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
