"""When events come home: the report of `bench budget --mission`, and the profile of the mission that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgequake.results.accuracy import Spread
from edgequake.results.provenance import ModelIdentity, Provenance, Report

# Where a figure of a profile comes from.
PUBLIC = "public"  # read in the source named
DERIVED = "derived"  # computed from public figures
ASSUMED = "assumed"  # no public source; a scenario of this benchmark
OPTION = "option"  # given by the user
UNKNOWN = "unknown"  # no public source, and not given


@dataclass(frozen=True)
class ProfileFigure:
    """One figure of a mission's profile; `value` is None where it is unknown."""

    value: float | None
    basis: str  # one of the five above
    source: str


@dataclass(frozen=True)
class MissionProfile:
    """What is known of a mission's seismic data and their way to Earth."""

    name: str
    title: str
    body: str
    stored_sps: ProfileFigure  # samples a second of all channels together, as stored on board
    routine_sps: ProfileFigure  # of these, what is sent routinely
    sample_bits: ProfileFigure  # uncompressed
    look_every_s: ProfileFigure  # time between two routine transmissions, each followed by a look at the data
    contact_every_s: ProfileFigure  # time between two contacts in which alerts could be sent
    facts: tuple[str, ...]  # further public facts, with their sources

    @property
    def routine_bytes_a_day(self) -> float | None:
        """Size of the routine stream of a day of 86 400 s, uncompressed; None where it is unknown."""
        if self.routine_sps.value is None or self.sample_bits.value is None:
            return None
        return self.routine_sps.value * self.sample_bits.value / 8 * 86_400


@dataclass(frozen=True)
class Quartiles:
    """The quarter, the median and the three quarters of `n` values."""

    n: int
    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class MissionPoint:
    """One daily budget and one interval of contacts.

    Delays are from the labelled onset to the contact, pooled over arrivals and random starts. How much earlier is
    pooled over the phases of the routine look as well, and is 0 where the look is first.
    """

    budget_bytes: int  # of a UTC day, at the stored rate
    contact_every_s: float
    reported: Spread  # share of the primary arrivals
    whole: Spread  # share of which all samples around the onset were sent
    report_delay_h: Quartiles | None  # of the reported arrivals; None: there is none, here and below
    whole_delay_h: Quartiles | None
    report_earlier_days: Quartiles | None
    whole_earlier_days: Quartiles | None
    report_earlier_mean_days: float  # over all arrivals; those that are not reported count as 0
    whole_earlier_mean_days: float
    sent_bytes: Spread  # in all missions together, records scaled to the stored rate


@dataclass(frozen=True)
class QueueDepth:
    """The first `n` events of the send queue, where all wait for the same contact; means over the random starts."""

    n: float  # `n_asked`, or the number of all events where there are fewer
    n_asked: int | None  # None: all
    n_quakes: float  # events matched to a labelled arrival
    n_coda: float  # further events in the span of one
    n_false: float
    arrivals: float  # share of the primary arrivals that are among them


@dataclass(frozen=True)
class MissionCurve:
    """One detector."""

    name: str
    settings: str
    recalled: Spread  # share of the primary arrivals
    points: tuple[MissionPoint, ...]
    queue: tuple[QueueDepth, ...]


@dataclass(frozen=True, kw_only=True)
class MissionReport(Report):
    """Detectors side by side on one mission's link, and the source of the figures."""

    kind = "mission"

    mission: MissionProfile
    body: str
    split: str
    seeds: tuple[int, ...]  # of the random starts; none: every record from its own start
    n_records: int
    n_arrivals: int
    n_groups: int
    scored_days: float  # length of the records from their starts on, mean over the random starts
    routine_bytes: float | None  # of the routine stream in that time
    # Least and largest ratio of a record's bytes a second to the stored ones, of records with events; None: no event.
    byte_ratios: tuple[float, float] | None
    data_sha256: str
    model: ModelIdentity
    provenance: Provenance
    curves: tuple[MissionCurve, ...]


def figures(profile: MissionProfile) -> Sequence[tuple[str, ProfileFigure]]:
    """Return the figures of a profile by their names with units."""
    return (
        ("stored [samples/s]", profile.stored_sps),
        ("routinely sent [samples/s]", profile.routine_sps),
        ("bits a sample", profile.sample_bits),
        ("routine look every [s]", profile.look_every_s),
        ("contact every [s]", profile.contact_every_s),
    )
