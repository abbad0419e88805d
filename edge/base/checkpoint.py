"""One file that a run goes on from: versioned, checksummed, written atomically, and never unpickled.

Layout: a line of magic with the format's version, a line with the SHA-256 of all that follows, a line with the length
of the JSON text in bytes, the JSON text (identity and state, an array as {"$array": [dtype, shape, offset]}), and the
arrays' bytes one after the other.

What a streaming object remembers, as plain values: `state()` gives it, `restore()` goes on from it.

Every streaming class of the runner has the pair. A state holds nothing but None, bool, int, float, str, lists and
dictionaries of these with text keys, and numpy arrays, so that a checkpoint can be written without pickle and read by
anything. It says nothing of the configuration: `restore` is called on an object built from the same manifest. Arrays of
a state are not copied: write it out, or let the object rest, before it goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError

_MAGIC = b"edgequake checkpoint 2\n"
_ARRAY = "$array"


@dataclass(frozen=True)
class Checkpoint:
    """What a run was, and all that it remembered."""

    identity: dict[str, Any]  # what must be the same for the state to mean anything: model, version, options
    state: State


def write_checkpoint(path: Path, checkpoint: Checkpoint, make_room: Callable[[int], bool] | None = None) -> int:
    """Write a checkpoint in place of an earlier one and return its size in bytes; `make_room` as in `atomic`.

    Raises
    ------
    DataError
        It cannot be written; the earlier one is untouched.
    """
    arrays: list[bytes] = []
    tree = {"identity": checkpoint.identity, "state": _plain(checkpoint.state, arrays, [0])}
    text = json.dumps(tree, separators=(",", ":")).encode()
    body = b"".join([b"%d\n" % len(text), text, *arrays])
    data = _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    write_bytes_atomically(path, data, make_room)
    return len(data)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    DataError
        It is damaged, of another format version, or no checkpoint.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise DataError(f"checkpoint {path} cannot be read: {problem.strerror or problem}") from problem
    if not data.startswith(_MAGIC):
        raise DataError(f"{path} is no checkpoint that this edgequake reads: expected '{_MAGIC.decode().strip()}'")
    checksum, _, body = data[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise DataError(f"checkpoint {path} is damaged: its {len(body)} bytes do not have the SHA-256 it names")
    length, _, rest = body.partition(b"\n")
    text, arrays = rest[: int(length)], rest[int(length) :]
    tree = json.loads(text)
    return Checkpoint(tree["identity"], _restored(tree["state"], arrays))


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that it can be looked at and does no harm; return its new name."""
    names = (path.with_name(f"{path.name}.set-aside-{i}") for i in range(1, 1000))
    target = next((name for name in names if not name.exists()), path.with_name(f"{path.name}.set-aside"))
    with suppress(FileNotFoundError):
        path.replace(target)
    return target


def _plain(value: Any, arrays: list[bytes], size: list[int]) -> Any:
    """Return a value that JSON can hold; append the bytes of its arrays to `arrays`, `size` of them so far."""
    if isinstance(value, np.ndarray):
        place = {_ARRAY: [value.dtype.str, list(value.shape), size[0]]}
        arrays.append(value.tobytes())
        size[0] += value.nbytes
        return place
    if isinstance(value, dict):
        return {key: _plain(item, arrays, size) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, arrays, size) for item in value]
    return value


def _restored(value: Any, arrays: bytes) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            dtype, shape, offset = value[_ARRAY]
            n_values = int(np.prod(shape, dtype=np.int64))
            return np.frombuffer(arrays, np.dtype(dtype), n_values, offset).reshape(shape).copy()
        return {key: _restored(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    return value


State: TypeAlias = dict[str, Any]
