"""The benchmark `budget --mission`: which events come home first over a mission's link, and how much earlier.

Each record, from each random start, is a short mission of its own (`edgequake.benchmarks.downlink.simulation`) that
goes on in silence until the routine look would have brought everything. Its contacts are the mission's
(`mission_profiles`), and its downlink is the runner's own.

The records are not the mission's: those of Apollo have 6.6 samples a second of up to three channels, and LEMS stores
100 of six. A record is therefore sent under the budget times a ratio, and the bytes of its samples are divided by it:
the bytes a second of the record, as its segments are encoded, by those of the stored rate, uncompressed. An onset so
takes the same share of the budget as it would at the stored rate. Event reports are the same at every rate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.detectors.detectors import NamedModel
from edgequake.benchmarks.downlink.budget import compared_simulators
from edgequake.benchmarks.downlink.mission_delays import (
    LinkOutcome,
    QueuedEvent,
    link_outcome,
    mission_point,
    queue_depths,
    queued_events,
    sending_order,
)
from edgequake.benchmarks.downlink.mission_profiles import default_budgets, find_profile
from edgequake.benchmarks.downlink.simulation import MissionSimulator, SimulatedMission, deliver
from edgequake.benchmarks.scoring.pooling import NS_PER_DAY, spread
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Selection
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.results.missions import MissionCurve, MissionPoint, MissionProfile, MissionReport
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import provenance

LEAST_BUDGET_BYTES = 1024  # that the runner accepts


@dataclass(frozen=True)
class Link:
    """A mission's link: contacts, the routine look, and what is stored, to which bytes are scaled."""

    contact_every_s: float
    look_every_s: float
    stored_sps: float | None  # samples a second of all channels; None: bytes are those of the records
    sample_bits: float | None  # None: as the records encode them

    @classmethod
    def of(cls, profile: MissionProfile) -> Link:
        """Return the link of a profile."""
        look_s, contact_s = profile.look_every_s.value, profile.contact_every_s.value
        assert look_s is not None and contact_s is not None, "`find_profile` requires them"
        return cls(contact_s, look_s, profile.stored_sps.value, profile.sample_bits.value)

    def byte_ratio(self, record: LabelledRecord, mission: SimulatedMission) -> float:
        """Return the bytes a second of a record's channels, as its segments are encoded, by those that are stored."""
        if self.stored_sps is None:
            return 1.0
        samples = record.sampling_rate_hz * len(record.channels) / self.stored_sps
        n_samples = sum(found.segment.n_samples for found in mission.found)
        if self.sample_bits is None or not n_samples:
            return samples
        return samples * 8 * sum(found.segment.size_bytes for found in mission.found) / (n_samples * self.sample_bits)

    def until_ns(self, mission: SimulatedMission) -> int:
        """Return the contact at which the second look after the record, that with the backfill, is over."""
        contact_ns = round(self.contact_every_s * NS_PER_S)
        last_ns = mission.clock_ns + round(2 * self.look_every_s * NS_PER_S)
        return -(-last_ns // contact_ns) * contact_ns


@dataclass(frozen=True)
class RecordMission:
    """A record's mission: its score, its events in the queue, and what each budget sent."""

    score: RecordScore
    byte_ratio: float  # by which the budget was scaled
    events: tuple[QueuedEvent, ...]
    sent: dict[int, LinkOutcome]  # by budget at the stored rate


def bench_mission(
    mission: str,
    data: Path,
    split: str | None = None,
    budgets: Sequence[int] = (),
    seeds: int = 5,
    *,
    model: str | None = None,
    variant: str | None = None,
    look_every_s: float | None = None,
    contact_every_s: float | None = None,
    stored_sps: float | None = None,
    progress: Progress = silent,
) -> MissionReport:
    """Measure when a model's and STA/LTA's events come home over a mission's link, against the routine look.

    Parameters
    ----------
    mission : name of a profile in `mission_profiles.PROFILES`.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    split : by default val, or all of a packet, which has no splits.
    budgets : bytes of a UTC day for alerts, at the stored rate; by default shares of the routine stream.
    seeds : random starts; 0 begins every record at its own start.
    model : shipped name or path of a manifest, by default the shipped model of the mission's body.
    look_every_s, contact_every_s, stored_sps : in place of the profile's figures; seconds and samples a second.
    progress : called with the share done and the name of the detector.

    Raises
    ------
    ConfigError
        No such mission, a figure that is needed and not public, a model of another body, or a budget or an interval
        that the runner does not accept.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    profile = find_profile(mission, look_every_s, contact_every_s, stored_sps)
    link = Link.of(profile)
    chosen = sorted(set(budgets or default_budgets(profile)))
    for budget in chosen:
        RunConfig((), Path(), budget_bytes=budget, pass_s=link.contact_every_s)  # refuses what the runner refuses
    named = NamedModel.find(model or profile.body, variant)
    if named.body != profile.body:
        raise ConfigError(f"{profile.title} is on the body '{profile.body}', the model {named.model} for {named.body}")
    selection = Selection(split)
    records = selection.records(data, named.body)
    loaded = LoadedModel.load(RunConfig((), Path(), named.model, variant), Control().log)
    simulators = compared_simulators(named, loaded)
    curves, ratios = [], []
    for i, (name, (simulator, settings)) in enumerate(simulators.items()):
        of_detector = part_of(progress, i / len(simulators), (i + 1) / len(simulators), name)
        passes = simulate_link(simulator, records, chosen, link, range(seeds), of_detector)
        curves.append(mission_curve(name, settings, passes, link))
        ratios += [one.byte_ratio for of_pass in passes for one in of_pass if one.events]
    primary = [row for one in passes[0] for row in one.score.primary]  # no detector changes the arrivals and the times
    scored_days = spread([sum(one.score.scored_ns for one in of_pass) / NS_PER_DAY for of_pass in passes]).mean
    routine = profile.routine_bytes_a_day
    return MissionReport(
        mission=profile,
        body=named.body,
        split=selection.describe(data),
        seeds=tuple(range(seeds)),
        n_records=len(records),
        n_arrivals=len(primary),
        n_groups=len({row.arrival.group for row in primary}),
        scored_days=scored_days,
        routine_bytes=None if routine is None else routine * scored_days,
        byte_ratios=(min(ratios), max(ratios)) if ratios else None,
        data_sha256=data_hash(records),
        model=named.identity,
        provenance=provenance(),
        curves=tuple(curves),
    )


def simulate_link(
    simulator: MissionSimulator,
    records: Sequence[LabelledRecord],
    budgets: Sequence[int],
    link: Link,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> list[list[RecordMission]]:
    """Simulate every record under every budget, once per seed; no seeds: once, from the records' own starts.

    Raises
    ------
    EdgequakeError
        As `MissionSimulator.simulate` and `deliver`.
    """

    def simulate(record: LabelledRecord, start_ns: int) -> RecordMission:
        with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
            mission = simulator.simulate(record, start_ns, Path(folder) / "run")
            return send_over(link, record, mission, budgets)

    return run_passes(simulate, records, seeds, progress)


def send_over(link: Link, record: LabelledRecord, mission: SimulatedMission, budgets: Sequence[int]) -> RecordMission:
    """Send the events of a record's mission under each budget, a number of bytes a day at the stored rate."""
    ratio, until_ns = link.byte_ratio(record, mission), link.until_ns(mission)
    sent = {}
    for budget in budgets:
        own_bytes = max(LEAST_BUDGET_BYTES, round(budget * ratio))
        delivered = deliver(mission, own_bytes, link.contact_every_s, until_ns)
        score = score_record(record, mission.start_ns, delivered.detections(mission.rows))
        sent[budget] = link_outcome(score, delivered, ratio)
    return RecordMission(score, ratio, tuple(queued_events(mission, score)), sent)


def mission_curve(name: str, settings: str, passes: Sequence[Sequence[RecordMission]], link: Link) -> MissionCurve:
    """Return the figures of one detector."""
    n_arrivals = sum(len(one.score.primary) for one in passes[0])
    orders = [sending_order(event for one in of_pass for event in one.events) for of_pass in passes]
    recalled = [sum(row.recalled for one in of_pass for row in one.score.primary) for of_pass in passes]
    return MissionCurve(
        name=name,
        settings=settings,
        recalled=spread([n / n_arrivals if n_arrivals else 0.0 for n in recalled]),
        points=tuple(_point(budget, passes, link) for budget in passes[0][0].sent),
        queue=queue_depths(orders, n_arrivals),
    )


def _point(budget: int, passes: Sequence[Sequence[RecordMission]], link: Link) -> MissionPoint:
    outcomes = [[one.sent[budget] for one in of_pass] for of_pass in passes]
    return mission_point(budget, link.contact_every_s, link.look_every_s, outcomes)
