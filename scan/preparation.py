"""What a scan does before any shard is run: index, models, bands, and the plan of the archive as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgequake._version import __version__
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.inputs.model_choice import AUTO, ModelChoice
from edgequake.edge.manifest.manifest import Manifest, load_manifest
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.scan.band_choice import Chosen, choose_bands
from edgequake.scan.planning import Plan, PlanOptions, Shard, make_shards
from edgequake.scan.seams import sampled_seams
from edgequake.scan.shard_run import ScanTask
from edgequake.scan.storage.archive_index import ArchiveIndex, IndexedFile, IndexUpdate
from edgequake.scan.storage.archives import RecordArchive, open_archive
from edgequake.scan.storage.scan_folder import ScanFolder, read_json, write_json

_MOST_SEAMS, _SHARDS_PER_SEAM = 4, 20  # looked at unless asked for more: at most a tenth of a long scan is run again
_MOST_ADVICE = 3  # channels that a message names, and files left out


@dataclass(frozen=True)
class ScanConfig:
    """Archive, output folder and options of a scan: the command line of `scan` with units."""

    archive: str  # a folder, or an address that fsspec opens
    out: Path
    model: str = AUTO  # one of the shipped models for each station; or the name of one, or the path of a manifest
    n_workers: int | None = None  # processes of this machine; by default one a core
    scheduler: str | None = None  # address of a Dask scheduler that is running, in their place
    start_ns: int | None = None  # only samples with start <= time < stop
    stop_ns: int | None = None
    stations: tuple[str, ...] | None = None  # patterns of NET_STA; by default all
    shard_days: int = 30  # of a shard at most
    lead_in_s: float | None = None  # run before each shard, which then begins cold; None: shards are chained
    keeps_segments: bool = False
    retries_failed: bool = False
    core: str = "python"
    core_library: Path | None = None
    threshold: float | None = None
    sensitivity: str = "normal"
    n_seams: int | None = None  # looked at a second time; None: some, by the number of shards
    most_differing: float = 0.05  # events gained and lost at them, with a lead-in, for each event

    def __post_init__(self) -> None:
        if self.shard_days < 1:
            raise ConfigError(f"--shard-days {self.shard_days}: expected 1 or more")
        if self.n_workers is not None and self.n_workers < 1:
            raise ConfigError(f"--workers {self.n_workers}: expected 1 or more")
        if self.n_workers is not None and self.scheduler is not None:
            raise ConfigError("--workers starts processes here, --scheduler uses those of a cluster: name one")
        if self.lead_in_s is not None and self.lead_in_s <= 0:
            raise ConfigError(f"--lead-in {self.lead_in_s / 3600:g}: expected more than 0 hours")


@dataclass(frozen=True)
class PreparedScan:
    """A scan that can be driven: its plan, and what the workers need."""

    folder: ScanFolder
    plan: Plan
    task: ScanTask
    seams: tuple[tuple[Shard, Shard], ...]
    is_chained: bool
    update: IndexUpdate
    chosen: Chosen
    warnings: tuple[str, ...]


def prepare(
    config: ScanConfig,
    folder: ScanFolder,
    log: Callable[[str], None],
    others: Iterable[str] = (),
    is_dry: bool = False,
) -> PreparedScan:
    """Bring index and plan up to date.

    Parameters
    ----------
    others : drivers that work in the folder at present.
    is_dry : the plan is only looked at: the folder keeps the one that it has.

    Raises
    ------
    EdgequakeError
        As `scan`; and the archive has changed while others work on it.
    """
    archive = open_archive(config.archive, config.out)
    with closing(ArchiveIndex(folder.index)) as index:
        update = index.update(archive, folder.scratch)
        files = sorted(index.files(), key=lambda file: file.sort_key)
    _tell(archive, update, log)
    unusable = [f"left out: {problem}" for problem in (*update.unreadable, *update.unusable)]
    manifests = _Manifests(config)
    choice = ModelChoice(manifests.named, None, manifests.of, log, None, config.stations)
    chosen = choose_bands(files, choice, None if manifests.named is None else config.model)
    if not chosen.bands:
        raise DataError(f"archive {archive.address} has no channel that {_why_none(files, choice, config, unusable)}")
    left_out = [
        f"{place.title}: band {chosen.bands[place]} is used, {', '.join(bands)} left out"
        for place, bands in chosen.other_bands.items()
        if bands
    ]
    for line in left_out:
        log(line)
    if config.lead_in_s is None and len(chosen.bands) == 1 and config.n_workers != 1:
        log("one station and location: one worker runs its shards, one after the other (all: --parallel-in-time)")
    task, described = _task(config, archive, chosen)
    if not is_dry:
        _describe(folder, config, task, chosen, described)
    diagnostics = Diagnostics()
    options = PlanOptions(
        task.run_id, config.shard_days, config.lead_in_s, manifests.lead_out_s(chosen), config.start_ns, config.stop_ns
    )
    plan = Plan.write(folder.plans, make_shards(files, chosen, options, diagnostics), options.is_chained)
    if not is_dry:
        _make_current(folder, plan, task.run_id, list(others))
    seams = _sampled_seams(plan, config.n_seams)
    states = tuple(first.previous for first, _ in seams if first.previous is not None)
    warnings = (*left_out, *unusable, *diagnostics.texts())
    return PreparedScan(
        folder, plan, replace(task, keep_states=states), seams, options.is_chained, update, chosen, warnings
    )


def _sampled_seams(plan: Plan, n_seams: int | None) -> tuple[tuple[Shard, Shard], ...]:
    """Return the seams to be looked at a second time; each costs as much as its two shards."""
    if n_seams is None:
        n_seams = min(_MOST_SEAMS, 1 + sum(1 for _ in plan.planned()) // _SHARDS_PER_SEAM)
    return tuple(sampled_seams(plan, n_seams)) if n_seams else ()


def _tell(archive: RecordArchive, update: IndexUpdate, log: Callable[[str], None]) -> None:
    """Log what an update of the index has found, and the first reasons for which files are left out."""
    log(
        f"archive {archive.address}: {update.n_files} file(s), {update.n_read} read; {len(update.unusable)} without "
        f"records, {len(update.unreadable)} that cannot be read"
    )
    for problem in update.unreadable[:_MOST_ADVICE]:
        log(f"left out, until a later command can read it: {problem}")
    for problem in update.unusable[:_MOST_ADVICE]:
        log(f"left out: {problem}")


def _why_none(files: Iterable[IndexedFile], choice: ModelChoice, config: ScanConfig, unusable: Sequence[str]) -> str:
    """Return what no channel is: one that the model takes, or one at all."""
    channels = sorted({(source_id, span[2]) for file in files for source_id, span in file.spans.items()})
    if channels:
        whose = "a shipped model" if config.model == AUTO else f"model {config.model}"
        return f"{whose} takes: it has {', '.join(choice.advice(*one) for one in channels[:_MOST_ADVICE])}"
    return "the scan can use" + (f"; the first file left out was {unusable[0][10:]}" if unusable else "")


class _Manifests:
    """The manifests of a scan's models, each read once."""

    def __init__(self, config: ScanConfig) -> None:
        self._found: dict[str, Manifest] = {}
        self.named = None if config.model == AUTO else self.of(config.model)

    def of(self, name: str) -> Manifest:
        """Return a model's manifest; raises EdgequakeError if there is none."""
        if name not in self._found:
            self._found[name] = load_manifest(name)[0]
        return self._found[name]

    def lead_out_s(self, chosen: Chosen) -> dict[str, float]:
        """Return for each model after how long the last event of an interval is complete, with its segment."""
        found = {}
        for name in sorted(set(chosen.models.values())):
            trigger, front_end = self.of(name).trigger, self.of(name).front_end
            found[name] = 2 * trigger.max_event_s + trigger.pre_roll_s + trigger.post_roll_s + front_end.bridge_s
        return found


def _task(config: ScanConfig, archive: RecordArchive, chosen: Chosen) -> tuple[ScanTask, dict[str, dict[str, Any]]]:
    """Return what workers need, and what else is to be told of the models.

    Each model is loaded once: one that cannot be used is refused before any work.
    """
    models, described = {}, {}
    for name in sorted(set(chosen.models.values())):
        own = RunConfig(
            inputs=(),
            out=config.out,
            model=name,
            core=config.core,
            core_library=config.core_library,
            threshold=config.threshold,
            sensitivity=config.sensitivity,
        )
        model = LoadedModel.load(own, lambda line: None)
        models[name] = {"graph": model.variant.sha256, "manifest": model.sha256}
        described[name] = {
            "name": model.manifest.name,
            "variant": model.variant_name,
            "threshold": model.threshold,
            "runtime": model.runtime,
        }
    task = ScanTask(
        out=str(config.out.resolve()),
        archive=archive.address,
        run_id="",
        models=models,
        core=config.core,
        core_library=None if config.core_library is None else str(config.core_library.resolve()),
        threshold=config.threshold,
        sensitivity=config.sensitivity,
        start_ns=config.start_ns,
        stop_ns=config.stop_ns,
        keeps_segments=config.keeps_segments,
    )
    return replace(task, run_id=_run_id(config, models)), described


def _run_id(config: ScanConfig, models: dict[str, dict[str, str]]) -> str:
    """Return the hash of everything that the rows of a shard depend on beside its records."""
    values = {"edgequake": __version__, "models": models, **_options(config)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _options(config: ScanConfig) -> dict[str, Any]:
    return {
        "model": config.model,
        "core": config.core,
        "threshold": config.threshold,
        "sensitivity": config.sensitivity,
        "start_ns": config.start_ns,
        "stop_ns": config.stop_ns,
        "stations": config.stations,
        "shard_days": config.shard_days,
        "lead_in_s": config.lead_in_s,
        "segments": config.keeps_segments,
    }


def _describe(
    folder: ScanFolder, config: ScanConfig, task: ScanTask, chosen: Chosen, described: dict[str, dict[str, Any]]
) -> None:
    """Write what the folder is of, once; refuse the options of another scan."""
    wanted = json.loads(json.dumps({"archive": task.archive, **_options(config)}))
    if folder.description.exists():
        found = read_json(folder.description)
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        if differing:
            raise ConfigError(
                f"{folder.path} belongs to another scan, with another {', another '.join(differing)}: go on with its "
                f"own options, or choose another --out"
            )
    else:
        write_json(folder.description, wanted)
    used = {
        name: {**model, **described[name], "stations": sorted(chosen.stations_of(name))}
        for name, model in task.models.items()
    }
    provenance = {"run_id": task.run_id, "edgequake": __version__, "models": used, "options": wanted}
    write_json(folder.runs / f"{task.run_id}.json", provenance)


def _make_current(folder: ScanFolder, plan: Plan, run_id: str, others: list[str]) -> None:
    """Make a plan the folder's; where it replaces another one, remove what only that one has found."""
    earlier = read_json(folder.current_plan)["plan"] if folder.current_plan.exists() else None
    if earlier == plan.id:
        return
    if others and earlier is not None:
        raise ConfigError(
            f"the archive has changed while {', '.join(others)} scans it into {folder.path}: wait until "
            f"that one has ended"
        )
    ids = {planned.id for planned in plan.planned()}
    for name in (folder.done() | folder.failed()) - ids:
        folder.forget(name)
    write_json(folder.current_plan, {"plan": plan.id, "run_id": run_id, "n_shards": len(ids)})
