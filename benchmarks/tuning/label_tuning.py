"""Tune a model's trigger on labelled records, and write a copy of the manifest with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer, trace_records
from edgequake.benchmarks.scoring.pooling import Counts, RateFigures, add, figures
from edgequake.benchmarks.tuning import operating_point
from edgequake.benchmarks.tuning.operating_point import (
    QUIET,
    RECALL,
    Choice,
    Passes,
    Setting,
    choose,
    decision_s,
    grid,
    score_grid,
    score_traces,
    with_lag,
)
from edgequake.benchmarks.tuning.tuned_manifest import require_other_folder, write_tuned
from edgequake.benchmarks.tuning_tables import label_tuning_table
from edgequake.data.dataset import data_hash, is_labelled
from edgequake.data.selection import Selection
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import SENSITIVITIES, TriggerConfig
from edgequake.results.provenance import ModelIdentity, Provenance, identify, provenance

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done


@dataclass(frozen=True)
class GridPoint:
    """One setting of the trigger, and its figures over the records."""

    setting: Setting
    figures: RateFigures


@dataclass(frozen=True)
class LabelTuning:
    """A trigger chosen on labelled records."""

    body: str
    part: str  # the split or fold
    stations: tuple[str, ...]  # asked for; none: all
    seeds: tuple[int, ...]
    prefer: str
    n_records: int
    n_arrivals: int
    data_sha256: str
    model: ModelIdentity
    provenance: Provenance
    manifest: Path  # the copy that was written
    before: dict[str, RateFigures]  # sensitivity -> figures with the model's own trigger
    after: dict[str, RateFigures]  # ... and with the one chosen
    trigger_before: TriggerConfig
    trigger: TriggerConfig
    grid: tuple[GridPoint, ...]

    def table(self) -> str:
        """Return the result for people."""
        return label_tuning_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the result as values that JSON can hold."""
        return {"tuned": "by labels", **dataclasses.asdict(self), "manifest": str(self.manifest)}


def tune_to_labels(
    model: str,
    data: Path,
    out: Path,
    selection: Selection,
    *,
    variant: str | None = None,
    seeds: int = 5,
    prefer: str = QUIET,
    progress: Progress | None = None,
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
        Nothing that can be preferred, no labels in `data`, no arrival among the records chosen, or `out` is the
        model's own folder.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    if prefer not in (QUIET, RECALL):
        raise ConfigError(f"--prefer {prefer}: expected {QUIET} or {RECALL}")
    tell = progress or (lambda share, doing: None)
    tracer = DecisionTracer(model, variant)
    require_other_folder(tracer.folder, out)
    if not is_labelled(data):
        raise ConfigError(f"{data} has no catalogue to tune by; give --false-per-day to tune on records without labels")
    manifest = tracer.manifest
    records = selection.records(data, manifest.body)
    n_arrivals = sum(arrival.primary for record in records for arrival in record.arrivals)
    if n_arrivals == 0:
        raise ConfigError(f"{data} has no arrival in these records; give --false-per-day to tune on quiet ones")
    passes = trace_records(tracer, records, range(seeds), lambda share: tell(0.5 * share, "network"))
    choice, lagged, points = search(passes, manifest.trigger, lambda s: tell(0.5 + 0.5 * s, "trigger"), prefer)
    trigger = with_lag(passes, choice.apply(lagged), choice.normal.threshold)
    identity, _ = identify(model, variant)
    result = LabelTuning(
        body=manifest.body,
        part=selection.words(data),
        stations=selection.stations,
        seeds=tuple(range(seeds)),
        prefer=prefer,
        n_records=len(records),
        n_arrivals=n_arrivals,
        data_sha256=data_hash(records),
        model=identity,
        provenance=provenance(),
        manifest=out / f"{manifest.name}.json",
        before=_by_sensitivity(passes, manifest.trigger),
        after=_by_sensitivity(passes, trigger),
        trigger_before=manifest.trigger,
        trigger=trigger,
        grid=tuple(GridPoint(setting, figures) for setting, figures in points.items()),
    )
    write_tuned(manifest, tracer.folder, trigger, _provenance(result), out, result.to_json())
    return result


def search(
    passes: Passes, trigger: TriggerConfig, progress: Callable[[float], None] | None = None, prefer: str = QUIET
) -> tuple[Choice, TriggerConfig, dict[Setting, RateFigures]]:
    """Return the choice, the trigger whose lag the grid was scored with, and the grid's figures."""
    lagged = with_lag(passes, trigger, trigger.onset_thresholds["normal"])
    tallies = score_grid(passes, lagged, grid(lagged, decision_s(passes)), progress)
    points = {setting: figures(passed) for setting, passed in tallies.items()}
    return choose(points, prefer), lagged, points


def _by_sensitivity(passes: Passes, trigger: TriggerConfig) -> dict[str, RateFigures]:
    return {name: _figures_at(passes, trigger, trigger.onset_thresholds[name]) for name in SENSITIVITIES}


def _figures_at(passes: Passes, trigger: TriggerConfig, threshold: float) -> RateFigures:
    return figures([add(map(Counts.of, score_traces(traces, trigger, threshold))) for traces in passes])


def _provenance(result: LabelTuning) -> dict[str, Any]:
    """Return what the copy's manifest says of its trigger."""
    return {
        "by": "labels",
        "rule": operating_point.__name__,
        "part": result.part,
        "stations": list(result.stations),
        "seeds": list(result.seeds),
        "prefer": result.prefer,
        "n_records": result.n_records,
        "n_arrivals": result.n_arrivals,
        "data_sha256": result.data_sha256,
        "variant": result.model.variant,
        "figures": {name: dataclasses.asdict(seen) for name, seen in result.after.items()},
    }
