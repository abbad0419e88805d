"""A model's detector in C as a shared library for this machine, made by `edgequake export-c --build`."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import Manifest, Variant

OK, MORE, FULL, LEAD, RATE, CHANNEL, TIME, CLOCK, STATE, SIZE = range(10)  # eq_result of eq_api.h
MOST_EVENTS = 64  # that one call returns
_POINTER, _INT, _LONG, _FLOAT, _UINT = (
    ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_uint32
)  # fmt: skip
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "size": (_UINT, ()),
    "event_size": (_UINT, ()),
    "channels": (_INT, ()),
    "model": (ctypes.c_char_p, ()),
    "init": (None, (_POINTER, _FLOAT)),
    "set_threshold": (None, (_POINTER, _FLOAT)),
    "set_vertical": (None, (_POINTER, _INT, _INT)),
    "push": (
        _INT,
        (_POINTER, _INT, _LONG, _FLOAT, _INT, _POINTER, _UINT, _POINTER, _INT, _POINTER, _POINTER),
    ),
    "push_blocks": (
        _INT,
        (
            _POINTER,
            _INT,
            _LONG,
            _LONG,
            _POINTER,
            _POINTER,
            _POINTER,
            _UINT,
            _LONG,
            _POINTER,
            _INT,
            _POINTER,
            _POINTER,
            _INT,
        ),
    ),
    "log_rows": (None, (_POINTER, _POINTER, _INT, _POINTER)),
    "n_features": (_INT, ()),
    "advance": (_INT, (_POINTER, _LONG, _POINTER, _INT, _POINTER)),
    "finish": (_INT, (_POINTER, _POINTER, _INT, _POINTER)),
    "horizon_ns": (_LONG, (_POINTER,)),
    "counts": (None, (_POINTER, _INT, _POINTER)),
    "save": (_INT, (_POINTER, _POINTER, _UINT, _POINTER)),
    "restore": (_INT, (_POINTER, _POINTER, _UINT)),
    "restarts": (_UINT, (_POINTER,)),
    "short_rises": (_UINT, (_POINTER,)),
    "is_between_events": (_INT, (_POINTER,)),
}


def model_hash(manifest: Manifest, variant: Variant) -> str:
    """Return a hash of everything in a model that a detector depends on, but for its thresholds."""
    values = dataclasses.asdict(manifest)
    del values["training"], values["variants"], values["onset"], values["trigger"]["onset_thresholds"]
    return hashlib.sha256(json.dumps([variant.sha256, values], sort_keys=True).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder of this program's cache, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgequake"


def find_library(manifest: Manifest, variant: Variant, folder: Path | None) -> CLibrary:
    """Return the library of a model from a folder; None: the newest in the user's cache, where `run --core c` puts it.

    Raises
    ------
    ModelError
        There is none of this model and release.
    """
    if folder is not None:
        return library_of(folder, manifest, variant)
    found = cache_folder().glob("c-*") if cache_folder().is_dir() else ()
    for built in sorted(found, key=lambda one: one.stat().st_mtime_ns, reverse=True):
        try:
            return library_of(built, manifest, variant)
        except ModelError:
            continue
    raise ModelError(
        f"no library of model '{manifest.name}' is in {cache_folder()}: run `edgequake run --core c` once, or name a "
        f"folder of `edgequake export-c --build`"
    )


def library_of(folder: Path, manifest: Manifest, variant: Variant) -> CLibrary:
    """Return the library of a model, libeq_NAME.so, from a folder.

    Raises
    ------
    ModelError
        There is none, or it is another model's.
    """
    name = re.sub(r"\W", "_", manifest.name, flags=re.ASCII)
    path = folder / f"libeq_{name}.so"
    if not path.is_file():
        raise ModelError(f"{folder} holds no library of model '{manifest.name}': make it with export-c --build")
    library = CLibrary(path)
    if library.model() != model_hash(manifest, variant).encode():
        raise ModelError(f"{path} is of another model than '{manifest.name}' as it is now: make it again")
    return library


class CEvent(ctypes.Structure):
    _fields_ = (
        ("onset_ns", ctypes.c_int64),
        ("stop_ns", ctypes.c_int64),
        ("trigger_ns", ctypes.c_int64),
        ("peak_probability", ctypes.c_float),
        ("sigma_ms", ctypes.c_int32),
        ("class_index", ctypes.c_int16),
        ("reserved", ctypes.c_int16),
    )


class CLibrary:
    """A model's library, with the types of its functions.

    Raises
    ------
    ModelError
        The file is no such library.
    """

    def __init__(self, path: Path) -> None:
        try:
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, f"eq_host_{name}")
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as problem:
            reason = f"{path} is no library of a model in C ({problem})"
            raise ModelError(f"{reason}: build it with export-c --build") from problem
        if self.event_size() != ctypes.sizeof(CEvent):
            raise ModelError(f"{path} is of another release; build it again with export-c --build")
        self.n_channels = int(self.channels())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # functions are set one by one
