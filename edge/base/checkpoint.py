"""Checkpoints: the state of every streaming object of a run, in one file that an interrupted run resumes from.

The file is versioned, checksummed, written atomically and holds no pickles. Layout: a line with the magic text and the
format version; a line with the SHA-256 of everything that follows; a line with the length of the JSON text in bytes;
the JSON text (identity and state, where an array stands as {"$array": [dtype, shape, offset]}); the bytes of the
arrays, one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from edgequake.edge.base.atomic_files import read_whole, write_bytes_atomically
from edgequake.edge.base.errors import DataError

_MOST_BYTES = 1 << 28  # a live run's is a thousandth of that
_MAGIC = b"edgequake checkpoint 5\n"
_ARRAY = "$array"

# None, bool, int, float, str, numpy arrays, and lists and dictionaries (with text keys) of these: a checkpoint can be
# written without pickle and read by any program.
State: TypeAlias = dict[str, Any]


class Stateful(Protocol):
    """A streaming object whose state can be saved and restored.

    A class that has this pair of methods does not document them again unless it promises more or less.
    """

    def state(self) -> State:
        """Return everything that later results depend on, except the configuration.

        Arrays are not copied: write the state out before the object takes more data.
        """

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, in an object that was built from the same configuration."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run, and what must not have changed when it is restored."""

    identity: dict[str, Any]  # model, version and options that the state depends on
    state: State


def write_checkpoint(path: Path, checkpoint: Checkpoint, make_room: Callable[[int], bool] | None = None) -> int:
    """Replace the checkpoint in `path` and return its size in bytes; `make_room` as in `write_bytes_atomically`.

    Raises
    ------
    DataError
        The file cannot be written; the earlier checkpoint is untouched.
    """
    arrays = bytearray()
    tree = {"identity": checkpoint.identity, "state": _plain(checkpoint.state, arrays)}
    text = json.dumps(tree, separators=(",", ":")).encode()
    body = b"".join([b"%d\n" % len(text), text, arrays])
    data = _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    write_bytes_atomically(path, data, make_room)
    return len(data)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    DataError
        The file cannot be read, is damaged, has another format version or is not a checkpoint.
    """
    try:
        data = read_whole(path, _MOST_BYTES)
    except OSError as problem:
        raise DataError(f"checkpoint {path} cannot be read: {problem.strerror or problem}") from problem
    if not data.startswith(_MAGIC):
        found = ascii(data.partition(b"\n")[0][: len(_MAGIC)].decode(errors="replace"))
        raise DataError(
            f"{path} is no checkpoint that this edgequake reads: expected '{_MAGIC.decode().strip()}', got {found}"
        )
    checksum, _, body = data[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise DataError(f"checkpoint {path} is damaged: its {len(body)} bytes do not have the SHA-256 it names")
    try:
        length, _, rest = body.partition(b"\n")
        text, arrays = rest[: int(length)], rest[int(length) :]
        tree = json.loads(text)
        return Checkpoint(dict(tree["identity"]), dict(_restored(tree["state"], arrays)))
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(f"checkpoint {path} is not in the form that this edgequake writes: {problem!r}") from problem


def restored_state(state: State) -> State:
    """Return a state as it would come back from a checkpoint, sharing nothing with the objects that returned it."""
    arrays = bytearray()
    text = json.dumps(_plain(state, arrays))
    restored: State = _restored(json.loads(text), bytes(arrays))
    return restored


def set_aside(path: Path) -> Path:
    """Rename an unusable file, so that it stays available for inspection; return its new path."""
    names = (path.with_name(f"{path.name}.set-aside-{i}") for i in range(1, 1000))
    target = next((name for name in names if not name.exists()), path.with_name(f"{path.name}.set-aside"))
    with suppress(FileNotFoundError):
        path.replace(target)
    return target


def _plain(value: Any, arrays: bytearray) -> Any:
    """Return `value` in JSON types; append the bytes of its arrays to `arrays`."""
    if isinstance(value, np.ndarray):
        reference = {_ARRAY: [value.dtype.str, list(value.shape), len(arrays)]}
        arrays += value.tobytes()
        return reference
    if isinstance(value, dict):
        return {key: _plain(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, arrays) for item in value]
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
