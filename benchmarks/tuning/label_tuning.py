"""Tune a model's trigger on labelled records, and write a copy of its manifest with the new settings."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer, replay
from edgequake.benchmarks.scoring import hours_rule
from edgequake.benchmarks.scoring.continuous import measure, select
from edgequake.benchmarks.scoring.pooling import mean_rates
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.benchmarks.scoring.strata import HOURS, NATURAL
from edgequake.benchmarks.tuning.operating_point import (
    QUIET,
    RECALL,
    RULE,
    THRESHOLDS,
    Choice,
    Passes,
    choose,
    count_grid,
    count_passes,
    decision_s,
    grid,
    with_lag,
)
from edgequake.benchmarks.tuning.threshold_intervals import label_intervals
from edgequake.benchmarks.tuning.tuned_manifest import require_other_folder, write_tuned
from edgequake.data.dataset import data_hash, is_labelled
from edgequake.data.selection import Selection
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import SENSITIVITIES, TriggerConfig
from edgequake.results.accuracy import RateFigures
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import identify, provenance
from edgequake.results.tuning import GridPoint, LabelTuning, Setting


def tune_to_labels(
    model: str,
    data: Path,
    out: Path,
    selection: Selection,
    *,
    variant: str | None = None,
    seeds: int = 5,
    prefer: str = QUIET,
    intervals: bool = False,
    progress: Progress = silent,
) -> LabelTuning:
    """Choose the trigger by the rule of `edgequake.benchmarks.tuning.operating_point`, and write the copy into `out`.

    Where the records hold natural hours (Earth), the thresholds are those of `edgequake.benchmarks.scoring.hours_rule`
    instead, and nothing else changes.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    seeds : random starts; 0 begins every record at its own start.
    prefer : `QUIET` or `RECALL`: what decides between points that are equally good.
    intervals : also say how far the choice can be trusted, by the bootstrap over records.

    Raises
    ------
    ConfigError
        An unknown preference, no labels in `data`, no arrival in the chosen records, or `out` is the model's own
        folder.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    if prefer not in (QUIET, RECALL):
        raise ConfigError(f"--prefer {prefer}: expected {QUIET} or {RECALL}")
    tracer = DecisionTracer(model, variant)
    require_other_folder(tracer.folder, out)
    if not is_labelled(data):
        raise ConfigError(f"{data} has no catalogue to tune by; give --false-per-day to tune on records without labels")
    manifest = tracer.manifest
    records = selection.records(data, manifest.body)
    n_arrivals = sum(arrival.primary for record in records for arrival in record.arrivals)
    if n_arrivals == 0:
        raise ConfigError(f"{data} has no arrival in these records; give --false-per-day to tune on quiet ones")
    passes = run_passes(tracer, records, range(seeds), part_of(progress, 0, 0.5, "network"))
    thresholds = thresholds_by_hours(tracer, data, selection)
    points: dict[Setting, RateFigures] = {}
    if thresholds is None:
        choice, lagged, points = search(passes, manifest.trigger, part_of(progress, 0.5, 1), prefer)
        trigger = with_lag(passes, choice.apply(lagged), choice.normal.threshold)
    else:
        # The lag stays: it cannot be told from labels of other precision than the onsets, as those of large quakes are.
        trigger = dataclasses.replace(manifest.trigger, onset_thresholds=thresholds)
    result = LabelTuning(
        body=manifest.body,
        part=selection.describe(data),
        stations=selection.stations,
        seeds=tuple(range(seeds)),
        prefer=prefer,
        n_records=len(records),
        n_arrivals=n_arrivals,
        data_sha256=data_hash(records),
        model=identify(model, variant)[0],
        provenance=provenance(),
        manifest=out / f"{manifest.name}.json",
        before=_by_sensitivity(passes, manifest.trigger),
        after=_by_sensitivity(passes, trigger),
        trigger_before=manifest.trigger,
        trigger=trigger,
        grid=tuple(GridPoint(setting, figures) for setting, figures in points.items()),
        intervals=label_intervals(passes, trigger, prefer) if intervals else {},
    )
    rule = RULE if thresholds is None else hours_rule.RULE
    write_tuned(tracer, out, result, _provenance(result, rule))
    return result


def thresholds_by_hours(tracer: DecisionTracer, data: Path, selection: Selection) -> dict[str, float] | None:
    """Return the thresholds by the rule for continuous hours; None where the chosen records have no natural hours.

    Each record is run once, from its first random start: in hours without arrivals the start hardly matters.

    Raises
    ------
    ConfigError
        Even the highest threshold is above a limit of `edgequake.benchmarks.scoring.hours_rule`.
    """
    with tempfile.TemporaryDirectory(prefix="edgequake-tune-") as folder:
        found = select(data, tracer.manifest.body, Path(folder), selection.split, selection.fold)
        strata = [
            dataclasses.replace(one, records=tuple(r for r in one.records if selection.includes(r.station_id)))
            for one in found
            if one.stratum.kind == HOURS
        ]
        if not any(one.stratum.name == NATURAL and one.asked and one.records for one in strata):
            return None

        def detector(record: LabelledRecord, start_ns: int) -> dict[float, Detections]:
            trace = tracer(record, start_ns)
            return {threshold: replay(trace, tracer.manifest.trigger, threshold) for threshold in THRESHOLDS}

        measured = measure(detector, strata, range(1))
    outcomes = measured.outcomes.items()
    return hours_rule.choose_by_hours(
        {threshold: {name: outcome.total for name, outcome in by_name.items()} for threshold, by_name in outcomes}
    )


def search(
    passes: Passes, trigger: TriggerConfig, progress: Progress = silent, prefer: str = QUIET
) -> tuple[Choice, TriggerConfig, dict[Setting, RateFigures]]:
    """Return the choice, the trigger with the lag at which the grid was scored, and the grid's figures."""
    lagged = with_lag(passes, trigger, trigger.onset_thresholds["normal"])
    counts = count_grid(passes, lagged, grid(lagged, decision_s(passes)), progress)
    points = {setting: mean_rates(of_passes) for setting, of_passes in counts.items()}
    return choose(points, prefer), lagged, points


def _by_sensitivity(passes: Passes, trigger: TriggerConfig) -> dict[str, RateFigures]:
    return {name: mean_rates(count_passes(passes, trigger, trigger.onset_thresholds[name])) for name in SENSITIVITIES}


def _provenance(result: LabelTuning, rule: str) -> dict[str, Any]:
    """Return what the copy's manifest records of its trigger's source."""
    return {
        "by": "labels",
        "rule": rule,
        "part": result.part,
        "stations": list(result.stations),
        "seeds": list(result.seeds),
        "prefer": result.prefer,
        "n_records": result.n_records,
        "n_arrivals": result.n_arrivals,
        "data_sha256": result.data_sha256,
        "variant": result.model.variant,
        "figures": {name: dataclasses.asdict(figures) for name, figures in result.after.items()},
    }
