"""Power that is lost at a chosen one of the system calls that change a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest


class PowerLossError(BaseException):
    """The process ends here: nothing of the project catches it."""


def lose_power_after(
    patch: pytest.MonkeyPatch, n_calls: int, calls: Iterable[tuple[Any, str]], half_written: bool = False
) -> None:
    """Raise `PowerLossError` before or after one of the calls (owner, name); each counts before and after it is done.

    half_written : `os.write` counts too, once, and its last call writes half of its data.
    """
    left = [n_calls]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise PowerLossError

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            count()
            done = function(*arguments, **named)
            count()
            return done

        return call

    write = os.write

    def write_half(descriptor: int, data: Any) -> int:
        try:
            count()
        except PowerLossError:
            write(descriptor, bytes(data)[: len(data) // 2])
            raise
        return write(descriptor, data)

    for owner, name in calls:
        patch.setattr(owner, name, guarded(getattr(owner, name)))
    if half_written:
        patch.setattr(os, "write", write_half)
