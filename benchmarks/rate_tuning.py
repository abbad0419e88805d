"""Tune a model's onset thresholds to an asked rate of false alarms on one's own records, labelled or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks import false_rate
from edgequake.benchmarks.false_rate import (
    ChosenRate,
    RatePoint,
    choose_rates,
    count_labelled,
    count_unlabelled,
    resolution,
    sweep,
)
from edgequake.benchmarks.provenance import ModelIdentity, Provenance, identify, provenance
from edgequake.benchmarks.replay import Tracer, trace_records
from edgequake.benchmarks.station_records import Selection, trace_folder
from edgequake.benchmarks.tuned_manifest import require_other_folder, write_tuned
from edgequake.benchmarks.tuning_tables import rate_tuning_table
from edgequake.dataset import data_hash, is_labelled
from edgequake.edge.errors import ConfigError
from edgequake.edge.manifest import TriggerConfig

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done


@dataclass(frozen=True)
class Quiet:
    """What false alarms were counted on."""

    labelled: bool  # False: every detection counts as false
    part: str  # the split or fold, "all" where there is none
    stations: tuple[str, ...]
    quiet_days: float  # unlabelled: all recorded time
    data_sha256: str
    points: tuple[RatePoint, ...]  # falling thresholds, down to the first with more than was asked of any
    warnings: tuple[str, ...]  # files that could not be used


@dataclass(frozen=True)
class RateTuning:
    """Onset thresholds chosen for a rate of false alarms."""

    asked_per_day: float
    chosen: dict[str, ChosenRate]  # low, normal, high
    quiet: Quiet
    unresolved: str | None  # where the quiet time is too short to show the rate: what it does show
    body: str
    seeds: tuple[int, ...]  # random starts of labelled records; unlabelled ones are run whole
    model: ModelIdentity
    provenance: Provenance
    manifest: Path  # the copy that was written
    trigger: TriggerConfig

    def table(self) -> str:
        """Return the result for people."""
        return rate_tuning_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the result as values that JSON can hold."""
        return {"tuned": "by rate", **dataclasses.asdict(self), "manifest": str(self.manifest)}


def tune_to_rate(
    model: str,
    data: Path,
    out: Path,
    selection: Selection,
    false_per_day: float,
    *,
    variant: str | None = None,
    seeds: int = 5,
    progress: Progress | None = None,
) -> RateTuning:
    """Choose the onset thresholds by the rule of `edgequake.benchmarks.false_rate`, and write the copy into `out`.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    data : folder of records. With labels only what lies outside the labelled spans counts; without, everything does.
    false_per_day : asked of the normal sensitivity, per day of quiet time.
    seeds : random starts of labelled records.

    Raises
    ------
    ConfigError
        A rate that cannot be asked or reached, no quiet time, or `out` is the model's own folder.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    if not 0 < false_per_day < float("inf"):
        raise ConfigError(f"false-per-day {false_per_day:g}: expected a rate above 0")
    tell = progress or (lambda share, doing: None)
    tracer = Tracer(model, variant)
    require_other_folder(tracer.folder, out)
    if is_labelled(data):
        quiet = _labelled(tracer, data, selection, range(seeds), false_per_day, tell)
    else:
        quiet = _unlabelled(tracer, data, selection, false_per_day, tell)
    chosen = choose_rates(quiet.points, false_per_day)
    manifest = tracer.manifest
    thresholds = {name: rate.threshold for name, rate in chosen.items()}
    result = RateTuning(
        asked_per_day=false_per_day,
        chosen=chosen,
        quiet=quiet,
        unresolved=resolution(chosen["normal"], quiet.quiet_days),
        body=manifest.body,
        seeds=tuple(range(seeds)) if quiet.labelled else (),
        model=identify(model, variant)[0],
        provenance=provenance(),
        manifest=out / f"{manifest.name}.json",
        trigger=dataclasses.replace(manifest.trigger, onset_thresholds=thresholds),
    )
    write_tuned(manifest, tracer.folder, result.trigger, _provenance(result), out, result.to_json())
    return result


def _labelled(
    tracer: Tracer, data: Path, selection: Selection, seeds: range, asked_per_day: float, tell: Progress
) -> Quiet:
    records = selection.records(data, tracer.manifest.body)
    passes = trace_records(tracer, records, seeds, lambda share: tell(0.5 * share, "network"))
    points = sweep(
        lambda threshold: count_labelled(passes, tracer.manifest.trigger, threshold),
        asked_per_day,
        lambda share: tell(0.5 + 0.5 * share, "trigger"),
    )
    stations = tuple(sorted({record.station_id for record in records}))
    return Quiet(
        True, selection.words(data), stations, points[0].quiet_days, data_hash(records), tuple(points), warnings=()
    )


def _unlabelled(tracer: Tracer, data: Path, selection: Selection, asked_per_day: float, tell: Progress) -> Quiet:
    if selection.split or selection.fold:
        raise ConfigError(f"{data} has no records.csv, so no splits or folds; leave out --split and --fold")
    traced = trace_folder(tracer, data, selection, lambda share: tell(0.9 * share, "network"))
    points = sweep(
        lambda threshold: count_unlabelled(traced.streams, traced.recorded_days, tracer.manifest.trigger, threshold),
        asked_per_day,
        lambda share: tell(0.9 + 0.1 * share, "trigger"),
    )
    return Quiet(
        False, "all", traced.stations, traced.recorded_days, traced.data_sha256, tuple(points), traced.warnings
    )


def _provenance(result: RateTuning) -> dict[str, Any]:
    """Return what the copy's manifest says of its thresholds."""
    return {
        "by": "rate of false alarms",
        "rule": false_rate.__name__,
        "asked_per_day": result.asked_per_day,
        "labelled": result.quiet.labelled,
        "part": result.quiet.part,
        "stations": list(result.quiet.stations),
        "quiet_days": result.quiet.quiet_days,
        "seeds": list(result.seeds),
        "data_sha256": result.quiet.data_sha256,
        "variant": result.model.variant,
        "chosen": {name: dataclasses.asdict(rate) for name, rate in result.chosen.items()},
    }
