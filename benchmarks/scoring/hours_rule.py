"""Operating points from continuous hours: the rule by which `earth` gets its thresholds, on `val` and never on `test`.

A model for people's stations is judged by how often it is wrong on an ordinary day, so its thresholds come from hours
without quakes round them. Of each sensitivity, the threshold is the lowest one at which, and at every higher one,

- the natural hours have at most `natural_per_day` events that match no row of the catalogue, and
- the urban and the soft-ground hours, taken together, have at most `disturbed_per_day`.

The limits are `LIMITS`. A kind of hours that there is no record of sets no limit, but natural ones there must be. Soft
ground is in `train` alone: its limit keeps a model from answering traffic, it proves nothing about unknown ground.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.scoring.strata import NATURAL, SOFT, URBAN, StratumCounts
from edgequake.edge.base.errors import ConfigError

RULE = "edgequake.benchmarks.hours_rule"  # the rule's name in manifests
DISTURBED = (URBAN, SOFT)


@dataclass(frozen=True)
class Limits:
    """The most events a day without a row of the catalogue."""

    natural_per_day: float
    disturbed_per_day: float


# Two unexplained events on an ordinary day are what one person looks at; two an hour are noticed beside a road.
LIMITS = {"low": Limits(0.5, 12.0), "normal": Limits(2.0, 48.0), "high": Limits(10.0, 240.0)}


def choose_by_hours(
    counts: Mapping[float, Mapping[str, StratumCounts]], limits: Mapping[str, Limits] = LIMITS
) -> dict[str, float]:
    """Return the threshold of each sensitivity by the rule that this module states.

    Parameters
    ----------
    counts : threshold -> name of the stratum -> what it adds up to.

    Raises
    ------
    ConfigError
        There are no natural hours, or even the highest threshold is above a limit.
    """
    if not all(_rate([at.get(NATURAL)]) is not None for at in counts.values()) or not counts:
        raise ConfigError("there are no natural hours to choose thresholds by; give continuous records without labels "
                          "and --false-per-day, or --split with such hours")  # fmt: skip
    falling = sorted(counts, reverse=True)
    return {name: _lowest(falling, counts, limit, name) for name, limit in limits.items()}


def _lowest(
    falling: Sequence[float], counts: Mapping[float, Mapping[str, StratumCounts]], limit: Limits, name: str
) -> float:
    reached = None
    for threshold in falling:
        natural = _rate([counts[threshold].get(NATURAL)])
        disturbed = _rate([counts[threshold].get(stratum) for stratum in DISTURBED])
        if (natural or 0.0) > limit.natural_per_day or (disturbed or 0.0) > limit.disturbed_per_day:
            break
        reached = threshold
    if reached is None:
        raise ConfigError(
            f"even at onset threshold {falling[0]:g} the model finds more than {limit.natural_per_day:g} events a day "
            f"in natural or {limit.disturbed_per_day:g} in disturbed hours, the limits of '{name}'; train it on such "
            "hours, or give --false-per-day"
        )
    return reached


def _rate(parts: Sequence[StratumCounts | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return StratumCounts.total(known).events_per_day if known else None
