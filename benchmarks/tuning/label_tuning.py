"""Tune a model's trigger on labelled records, and write a copy of its manifest with the new settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer
from edgequake.benchmarks.scoring.pooling import mean_rates
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.tuning.operating_point import (
    QUIET,
    RECALL,
    RULE,
    Choice,
    Passes,
    choose,
    count_grid,
    count_passes,
    decision_s,
    grid,
    with_lag,
)
from edgequake.benchmarks.tuning.tuned_manifest import require_other_folder, write_tuned
from edgequake.data.dataset import data_hash, is_labelled
from edgequake.data.selection import Selection
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
    progress: Progress = silent,
) -> LabelTuning:
    """Choose the trigger by the rule of `edgequake.benchmarks.tuning.operating_point`, and write the copy into `out`.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    seeds : random starts; 0 begins every record at its own start.
    prefer : `QUIET` or `RECALL`: what decides between points that are equally good.

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
    choice, lagged, points = search(passes, manifest.trigger, part_of(progress, 0.5, 1), prefer)
    trigger = with_lag(passes, choice.apply(lagged), choice.normal.threshold)
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
    )
    write_tuned(tracer, out, result, _provenance(result))
    return result


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


def _provenance(result: LabelTuning) -> dict[str, Any]:
    """Return what the copy's manifest records of its trigger's source."""
    return {
        "by": "labels",
        "rule": RULE,
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
