"""Lines of the measure on continuous hours: which records and arrivals belong together, and what they add up to.

A *stratum* is a set of records of one kind, for example a Raspberry Shake's hours in town. Three kinds:

- ``hours``: continuous recording. What counts is the events a day that match no row of the catalogue, primary or not,
  and the share of the time that is kept.
- ``arrivals``: quakes to be recalled. Events that match no row are counted too.
- ``kept``: arrivals so dense that single events merge; an arrival counts if what is kept covers its P.

Records of Earth are told apart by the prefix of the file's name, which says what they are (data/README.md). On other
bodies records of 10 h or more are the hours, and all records are the arrivals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from edgequake.benchmarks.scoring.scoring import BODY_RULES, LONG_RECORD_NS, Detections, RecordScore, reach_ns
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

HOURS, ARRIVALS, KEPT = "hours", "arrivals", "kept"
NATURAL, URBAN, SOFT = "natural hours", "urban hours", "soft-ground hours"
PICKED, MICRO, MICRO_HEARD = "local quakes, analysts' picks", "micro-quakes, primary", "micro-quakes, snr >= 2"
LOCAL, IN_HOURS, EMERGENT = "other local quakes", "quakes of the natural hours", "emergent P"
SWARM, LARGE = "swarm, snr >= 4", "large quakes"
NS_PER_HOUR = 3600 * NS_PER_S

_SNR = re.compile(r"snr ([0-9.]+)|([0-9.]+) \([0-9.]+-[0-9.]+ Hz\)")
_MAGNITUDE = re.compile(r"\bM[LWwL]? ?(-?[0-9]+\.[0-9]+)")


@dataclass(frozen=True)
class Stratum:
    """One line of the measure."""

    name: str
    kind: str  # HOURS, ARRIVALS or KEPT
    files: str = ""  # regular expression at the start of a file's name
    least_snr: float | None = None  # only arrivals whose label gives this signal-to-noise ratio in any band
    every: bool = False  # secondary arrivals count as well
    least_ns: int = 0  # only records this long

    def holds(self, record: LabelledRecord) -> bool:
        """Whether a record belongs to the stratum."""
        return bool(re.match(self.files, record.file.name)) and record.stop_ns - record.start_ns >= self.least_ns

    def counts(self, arrival: Arrival) -> bool:
        """Whether an arrival of such a record is to be found."""
        heard = self.least_snr is None or (label_snr(arrival) or 0.0) >= self.least_snr
        return heard and (self.every or arrival.primary)


# The names of PhaseNet's records are NET_STA_ and 16 digits of time, see edgequake.data.phasenet.
EARTH = (
    Stratum(NATURAL, HOURS, r"cont_CI\.|long_(IV\.BDI|AI\.BELA)"),
    Stratum(URBAN, HOURS, r"noise_AM"),
    Stratum(SOFT, HOURS, r"noise_UT"),
    Stratum(PICKED, ARRIVALS, r"[A-Z0-9]{1,2}_[A-Z0-9]{1,5}_\d{16}"),
    Stratum(MICRO, ARRIVALS, r"local_DFDP"),
    Stratum(MICRO_HEARD, ARRIVALS, r"local_DFDP", least_snr=2.0, every=True),
    Stratum(LOCAL, ARRIVALS, r"local_(?!DFDP)|shake_|long_BK"),
    Stratum(IN_HOURS, ARRIVALS, r"cont_CI\.|long_AI\.BELA"),
    Stratum(EMERGENT, ARRIVALS, r"long_.*_2011\.070"),
    Stratum(SWARM, KEPT, r"cont_PB", least_snr=4.0, every=True),
    Stratum(LARGE, ARRIVALS, r"(AZ|II|IU)\."),
)
OTHER = (Stratum("records of 10 h or more", HOURS, least_ns=LONG_RECORD_NS), Stratum("all arrivals", ARRIVALS))


def strata_of(body: str) -> tuple[Stratum, ...]:
    """Return the lines of a body's table."""
    return EARTH if body == "earth" else OTHER


def label_snr(arrival: Arrival) -> float | None:
    """Return the largest signal-to-noise ratio that the label's source states for any band, None where it states none.

    Such a label reads "manual P, ...; snr 2.2 (1-9.9 Hz), 4.5 (8-40 Hz)" or "..., M 1.3, snr 2.6".
    """
    found = [float(a or b) for a, b in _SNR.findall(arrival.label_source)]
    return max(found, default=None)


def label_magnitude(arrival: Arrival) -> float | None:
    """Return the magnitude that the label's source states (M, ML or Mw), None where it states none."""
    found = _MAGNITUDE.search(arrival.label_source)
    return float(found[1]) if found else None


@dataclass(frozen=True)
class StratumCounts:
    """Counts and times of a stratum's records in one pass; they add up over records and over folds."""

    n_records: int = 0
    scored_ns: int = 0
    kept_ns: int = 0
    n_uncatalogued: int = 0  # events that match no row
    n_arrivals: int = 0
    n_found: int = 0  # recalled, or kept for the kind KEPT

    @classmethod
    def of(cls, stratum: Stratum, record: LabelledRecord, found: Detections, score: RecordScore) -> StratumCounts:
        """Count one record of the stratum."""
        rows = [row for row in score.arrivals if stratum.counts(row.arrival)]
        if stratum.kind == KEPT:
            hits = sum(covers(found, row.arrival, record.body) for row in rows)
        else:
            hits = sum(row.recalled for row in rows)
        return cls(1, score.scored_ns, score.kept_ns, len(score.false_ns), len(rows), hits)

    @classmethod
    def total(cls, parts: Iterable[StratumCounts]) -> StratumCounts:
        """Return the counts of several sets of records as those of one."""
        columns = zip(*([getattr(part, field.name) for field in fields(cls)] for part in parts), strict=True)
        return cls(*map(sum, columns))

    @property
    def events_per_day(self) -> float | None:
        """Events without a row, per day of recording; None without any."""
        return self.n_uncatalogued * 24 * NS_PER_HOUR / self.scored_ns if self.scored_ns else None

    @property
    def share_found(self) -> float | None:
        """Recall, or the share of the arrivals kept; None without arrivals."""
        return self.n_found / self.n_arrivals if self.n_arrivals else None

    @property
    def share_kept(self) -> float | None:
        """Time kept over the time recorded; None without any."""
        return self.kept_ns / self.scored_ns if self.scored_ns else None


def covers(found: Detections, arrival: Arrival, body: str) -> bool:
    """Whether what is kept overlaps [t, t + T + p]: the P itself, not merely the time before it."""
    last_ns = arrival.time_ns + reach_ns(arrival, BODY_RULES[body])
    return any(start <= last_ns and stop > arrival.time_ns for start, stop in found.kept)
