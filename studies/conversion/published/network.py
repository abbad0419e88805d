"""What the survey knows of a published network: how it is built, saved and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Make = Callable[[Any, Any], Any]  # of Keras (`keras` or `tf_keras`) and its layers


@dataclass(frozen=True)
class Network:
    """A network that was published, retyped from its description."""

    field: str
    source: str  # author and year, or the project
    make: Make
    kind: str = "rows"  # of the front end: "waveform", "components" (three of them) or "rows"
    rate_hz: float = 100.0
    settings: tuple[str, ...] = ()  # further lines of [network] in the description
    saved: str = "keras"  # "keras", "h5", or "keras 2 h5": written by Keras 2
    way: Make | None = None  # the network after the advice of the refusal has been followed
    way_settings: tuple[str, ...] | None = None  # ... and its settings, where they are other ones
    learn: Make | None = None  # the same layers on shorter windows, on which it learns in less time
    remark: str = ""  # what is known of a limit that it misses
    rows: int = 1600  # of a sequence to train on, for a network that takes any number
    calibration_rows: int = 0  # where other than usual: more, where the extremes of few windows clip those of others
    quakes: bool = False  # trained and compared on quakes with a coda, in place of bursts


CLASSES = ("event_classes = [1]",)  # of a softmax whose column 1 is the event


def classes(*columns: int) -> tuple[str, ...]:
    """Return the setting that says which columns of a softmax are events."""
    return (f"event_classes = {list(columns)}",)


def event(*others: str) -> tuple[str, ...]:
    """Return the setting that names the columns: the event, then others."""
    names = ", ".join(f'"{name}"' for name in ("event", *others))
    return (f"outputs = [{names}]",)
