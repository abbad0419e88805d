"""How a long computation reports how far it has come: one signature for training, benchmarks, reports and exports."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[["float | None", str], None]  # the share done, 0..1 (None: not known), and what is being done


def silent(share: float | None, doing: str) -> None:
    """Report to nobody."""


def part_of(progress: Progress, start: float, stop: float, doing: str | None = None) -> Progress:
    """Return the progress of a part that takes a whole from share `start` to share `stop`.

    Parameters
    ----------
    doing : reported in place of what the part itself says it is doing.
    """

    def report(share: float | None, own: str) -> None:
        progress(None if share is None else start + share * (stop - start), own if doing is None else doing)

    return report
