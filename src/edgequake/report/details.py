"""The details of a result of `bench accuracy`: onsets, windows, classes and stations; and what peers cost.

Files of before these were measured have none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """The arrivals of a class, or the records of a station."""

    n_arrivals: int
    n_groups: int
    mean: dict[str, float]  # field of the scorer -> mean over the random starts
    recall_interval: tuple[float, float]  # 90 %, of recall by events


@dataclass(frozen=True)
class Windows:
    """Figures by windows; rates that could not be divided are left out."""

    window_s: float
    n_event: float  # means over the random starts
    n_quiet: float
    n_left_out: float
    mean: dict[str, float]  # accuracy, precision, recall, f1, auc
    deviation: dict[str, float]


@dataclass(frozen=True)
class Details:
    """One detector in detail."""

    onset_within: dict[str, float]  # seconds, as text -> share of the arrivals
    by_class: dict[str, Part]
    by_station: dict[str, Part]
    confusion: dict[str, dict[str, float]] | None  # label -> told -> arrivals; None where no class is told
    windows: Windows


@dataclass(frozen=True)
class Peer:
    """What one of SeisBench's models costs."""

    name: str
    weights: str | None  # None: measured untrained
    parameters: int
    us_per_signal_s: float
    n_threads: int
    versions: dict[str, str]
    note: str


def read_details(values: Mapping[str, Any] | None) -> Details | None:
    """Return a detector's details, or None where its file has none."""
    if values is None:
        return None
    confusion = values["confusion"]
    return Details(
        onset_within={str(name): float(one["mean"]) for name, one in values["onset_within"].items()},
        by_class={str(name): _part(part) for name, part in values["by_class"].items()},
        by_station={str(name): _part(part) for name, part in values["by_station"].items()},
        confusion=None
        if confusion is None
        else {str(label): {str(told): float(n) for told, n in row.items()} for label, row in confusion.items()},
        windows=_windows(values["windows"]),
    )


def read_peers(values: Iterable[Mapping[str, Any]]) -> tuple[Peer, ...]:
    """Return what peers cost."""
    return tuple(
        Peer(
            name=str(peer["name"]),
            weights=None if peer["weights"] is None else str(peer["weights"]),
            parameters=int(peer["parameters"]),
            us_per_signal_s=float(peer["us_per_signal_s"]),
            n_threads=int(peer["n_threads"]),
            versions={str(name): str(version) for name, version in peer["versions"].items()},
            note=str(peer["note"]),
        )
        for peer in values
    )


def _part(values: Mapping[str, Any]) -> Part:
    low, high = values["group_recall_interval"]
    return Part(
        n_arrivals=int(values["n_arrivals"]),
        n_groups=int(values["n_groups"]),
        mean={str(name): float(one["mean"]) for name, one in values["spreads"].items()},
        recall_interval=(float(low), float(high)),
    )


def _windows(values: Mapping[str, Any]) -> Windows:
    rates = {name: values[name] for name in ("accuracy", "precision", "recall", "f1", "auc")}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return Windows(
        window_s=float(values["window_s"]),
        n_event=float(values["n_event"]),
        n_quiet=float(values["n_quiet"]),
        n_left_out=float(values["n_left_out"]),
        mean={name: float(rate["mean"]) for name, rate in known.items()},
        deviation={name: float(rate["deviation"]) for name, rate in known.items()},
    )
