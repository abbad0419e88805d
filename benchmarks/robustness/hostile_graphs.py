"""Hostile graphs, offered to `install` and to runs: each must be refused with a reason, or be the same network.

A mutated graph comes with a manifest that has its hash, and with the golden vector of the graph that it was. It is
offered three times: to the check of `install`; to a run that has an old model, by putting it into its folder past that
check; and to a run as its only model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgequake.benchmarks.robustness.graph_mutations import KINDS, mutated
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.edge.operation.install import check_candidate, stage
from edgequake.edge.operation.model_check import TIME_LIMIT_S, read_candidate
from edgequake.edge.operation.model_store import ModelStore
from edgequake.edge.runner import RunConfig, run
from edgequake.results.progress import Progress, silent
from edgequake.results.robustness import HostileGraphs

LONGEST_S = TIME_LIMIT_S + 30.0  # for a self-test, and a run over two and a half hours


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What came of a graph: the reason of its refusal, or None; and what was wrong, or None."""

    refused: str | None
    fault: str | None
    took_s: float


def offer_graphs(
    record: Path, folder: Path, n_graphs: int, seed: int, progress: Progress = silent, model: str = "moon"
) -> HostileGraphs:
    """Offer mutated copies of a model's graph to `install` and to runs over a record.

    Parameters
    ----------
    record : with one event at least that the model finds.
    folder : a new one for models and runs.
    model : name of a shipped model, or the path of a manifest.
    """
    before = run(RunConfig((str(record),), folder / "before", model=model))
    events = [row.evid for row in before.events]

    def one(i: int) -> _Outcome:
        begun_s = time.monotonic()
        own = folder / f"{i}"
        try:
            path = _write(own / "model", model, KINDS[i % len(KINDS)], seed + i)
            refused, fault = _offer(path, record, own, model, before.graph_sha256, events)
        except Exception as problem:  # the very thing that must not be
            refused, fault = None, f"{type(problem).__name__}: {problem}"
        shutil.rmtree(own, ignore_errors=True)
        took_s = time.monotonic() - begun_s
        if fault is None and took_s > LONGEST_S:
            fault = f"took {took_s:.0f} s"
        return _Outcome(refused, fault, took_s)

    outcomes = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # each waits for a process most of the time
        for i, outcome in enumerate(pool.map(one, range(n_graphs)), 1):
            outcomes.append(outcome)
            progress(i / n_graphs, "hostile graphs")
    named = enumerate(outcomes)
    return HostileGraphs(
        n_graphs=n_graphs,
        n_refused=sum(one.refused is not None for one in outcomes),
        failures=tuple(f"{KINDS[i % len(KINDS)]}, seed {seed + i}: {one.fault}" for i, one in named if one.fault),
        longest_s=max((one.took_s for one in outcomes), default=0.0),
        reasons=tuple(sorted({one.refused for one in outcomes if one.refused is not None})),
    )


def _write(folder: Path, model: str, kind: str, seed: int) -> Path:
    """Write a mutated model, whose hashes agree, and return its manifest's path."""
    manifest, source = load_manifest(model)
    variant, graph = read_graph(manifest, source)
    changed = mutated(graph, kind, np.random.default_rng(seed))
    golden = variant.golden
    assert golden is not None
    folder.mkdir(parents=True)
    shutil.copy(source / golden.file, folder / golden.file)
    (folder / variant.file).write_bytes(changed)
    own = dataclasses.replace(variant, sha256=hashlib.sha256(changed).hexdigest(), size_bytes=len(changed))
    hostile = dataclasses.replace(manifest, variants={manifest.default_variant: own}, name="hostile")
    path = folder / "hostile.json"
    path.write_text(hostile.to_json(), encoding="utf-8")
    return path


def _offer(
    path: Path, record: Path, folder: Path, model: str, old_sha256: str, events: list[str]
) -> tuple[str | None, str | None]:
    """Return why a graph was refused, and what was wrong."""
    candidate = read_candidate(path)
    refused = None
    try:
        check_candidate(candidate, None)
    except EdgequakeError as problem:
        refused = str(problem)
    if refused is not None and ("\n" in refused or not refused):
        return refused, f"refused in other than one line: {refused!r}"
    stage(folder / "run", candidate)
    lines: list[str] = []
    summary = run(RunConfig((str(record),), folder / "run", model=model), control=Control(log=lines.append))
    outcome = ModelStore(folder / "run").outcome() or {"state": None, "why": ""}
    if refused is None:
        return None, None if outcome["state"] == "switched" else f"passed, but a run {outcome['state']} it"
    if (summary.graph_sha256, [row.evid for row in summary.events]) != (old_sha256, events):
        return refused, "a run did not go on with its old model"
    if outcome["state"] != "refused" or not outcome["why"] or len(lines) != 1 or "is refused" not in lines[0]:
        return refused, f"a run did not say once why it refused it: {outcome}, {lines}"
    try:
        run(RunConfig((str(record),), folder / "only", model=str(path)))
    except EdgequakeError:
        return refused, None
    return refused, "a run took it as its only model"
