"""New results compared with reference results: which figures are worse, in words.

Times are compared only as ratios: to the fixed work of `edgequake.benchmarks.cost.kernel`, timed on the same machine at
the same time, or of the graph to the front end. So a reference measured on one machine is valid for others of its kind.
Between kinds of processors even the ratios differ, which `TIME` has to allow for. Accuracy is compared with the
intervals of the reference, and sizes are compared directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgequake.edge.base.errors import ConfigError, DataError

TIME = 1.5  # allowed growth of a ratio of times; beyond it the two spreads must not overlap either
START = 2.0  # likewise of the cold start, which depends mostly on the file system
SIZE = 1.05  # sizes of graphs, states and arenas, and estimated work
MEMORY = 1.15  # resident memory and installed packages, which depend on versions of other software
DEVIATIONS = 3.0  # of the random starts
SLACK = 0.02  # of a share, where all random starts agree

Json = Mapping[str, Any]


def regressions(new: Json, reference: Json) -> list[str]:
    """Return a line for each figure that is worse than that of the reference by more than is allowed.

    Raises
    ------
    ConfigError
        The two are of different kinds or have nothing in common, or there is no rule for this kind.
    DataError
        One of them is not a complete result.
    """
    kind = new.get("benchmark")
    if kind != reference.get("benchmark"):
        raise ConfigError(f"a result of '{kind}' was to be compared with one of '{reference.get('benchmark')}'")
    if kind not in RULES:
        raise ConfigError(f"results of '{kind}' have their own limits and no reference; leave --check out")
    try:
        return list(RULES[str(kind)](new, reference))
    except (KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"no whole result of `bench {kind}`: {problem!r}; measure the reference again") from problem


def same_machine(new: Json, reference: Json) -> bool:
    """Whether two results come from one kind of machine with the same versions, so that times can be compared."""
    names = ("machine", "processor", "n_processors", "python", "versions")
    return all(new["provenance"].get(name) == reference["provenance"].get(name) for name in names)


def agreement(new: Json, reference: Json) -> tuple[int, int]:
    """Return how many measured figures have spreads that overlap, and how many there are in both results."""
    mine, theirs = dict(_measured(new)), dict(_measured(reference))
    shared = mine.keys() & theirs.keys()
    met = sum(mine[key]["low"] <= theirs[key]["high"] and theirs[key]["low"] <= mine[key]["high"] for key in shared)
    return met, len(shared)


def _latency(new: Json, reference: Json) -> Iterator[str]:
    for title, mine, theirs in _pairs(_by_title(new["models"]), _by_title(reference["models"])):
        for step, before in zip(mine["steps"], theirs["steps"], strict=False):
            threads = f"{step['n_threads']} thread{'s'[: step['n_threads'] > 1]}"
            yield from _slower(f"{title}, {threads}: a step", step["p50_per_kernel"], before["p50_per_kernel"], TIME)
        if mine["day"] and theirs["day"]:
            day, before = mine["day"], theirs["day"]
            yield from _slower(f"{title}: detection", day["detection_per_kernel"], before["detection_per_kernel"], TIME)
            of, was = day["graph_per_front_end"], before["graph_per_front_end"]
            yield from _slower(f"{title}: the graph, over the front end,", of, was, TIME)
        if mine["cold_start"] and theirs["cold_start"]:
            mine_s, theirs_s = (_start_per_kernel(one, of) for one, of in ((mine, new), (theirs, reference)))
            yield from _slower(f"{title}: the cold start", mine_s, theirs_s, START)


def _footprint(new: Json, reference: Json) -> Iterator[str]:
    for title, mine, theirs in _pairs(_by_title(new["models"]), _by_title(reference["models"])):
        yield from _larger(f"{title}: the graph", mine["model"]["size_bytes"], theirs["model"]["size_bytes"], SIZE)
        for name, words in (("state_bytes", "the state"), ("arena_bytes", "the arena")):
            yield from _larger(f"{title}: {words}", mine[name], theirs[name], SIZE)
        peak, before = mine["peak_rss_bytes"]["value"], theirs["peak_rss_bytes"]["value"]
        yield from _larger(f"{title}: peak memory", peak, before, MEMORY)
    mine_by, theirs_by = ({_package(one["runtime"]): one for one in of["environments"]} for of in (new, reference))
    for runtime in mine_by.keys() & theirs_by.keys():
        size, before = (sum(of[runtime]["imported_bytes"].values()) for of in (mine_by, theirs_by))
        yield from _larger(f"{runtime}: the installed environment", size, before, MEMORY)


def _energy(new: Json, reference: Json) -> Iterator[str]:
    mine_by, theirs_by = ({(one["name"], one["body"]): one for one in of["consumers"]} for of in (new, reference))
    for (name, body), mine, theirs in _pairs(mine_by, theirs_by):
        cycles = {estimate["device"]: estimate["cycles_per_s"] for estimate in theirs["estimates"]}
        for estimate in mine["estimates"]:
            device = estimate["device"]
            if device in cycles:
                title = f"{name}, {body}, {device}: the estimated work"
                yield from _larger(title, estimate["cycles_per_s"], cycles[device], SIZE, "cycles a second")


def _accuracy(new: Json, reference: Json) -> Iterator[str]:
    if (new["body"], new["split"]) != (reference["body"], reference["split"]):
        asked, came = (f"{of['body']} {of['split']}" for of in (reference, new))
        raise ConfigError(f"results on {came} were to be compared with those on {asked}")
    mine_by, theirs_by = ({one["name"]: one["summary"] for one in of["results"]} for of in (new, reference))
    others = "" if new["data_sha256"] == reference["data_sha256"] else " (other records than the reference's)"
    models = {"model", *new.get("also", {})}
    for name, mine, theirs in _pairs(mine_by, theirs_by):
        if name not in models:
            continue  # baselines are not under test
        title = f"{new['body']} {new['split']}, {name}{others}"
        spreads, before = mine["spreads"], theirs["spreads"]
        low, _ = theirs["group_recall_interval"]
        found = spreads["group_recall"]["mean"]
        if found < low:
            yield f"{title}: recall by events is {found:.2f}, below the reference's interval, which begins at {low:.2f}"
        upper, false = theirs["false_per_quiet_day_upper"], spreads.get("false_per_quiet_day")
        if upper is not None and false is not None and false["mean"] > upper:
            yield f"{title}: {false['mean']:.1f} false alarms per quiet day, above the reference's bound of {upper:.1f}"
        for share, sign in (("recall", 1), ("f1", 1), ("kept", -1)):
            if share in spreads and share in before:
                was = before[share]
                allowed = max(DEVIATIONS * was["deviation"], SLACK)
                if sign * (was["mean"] - spreads[share]["mean"]) > allowed:
                    yield (
                        f"{title}: {share} is {spreads[share]['mean']:.3f}, reference {was['mean']:.3f}, "
                        f"allowed a difference of {allowed:.3f}"
                    )


def _slower(title: str, mine: Json, theirs: Json, allowed: float) -> Iterator[str]:
    """Compare ratios of times: worse only where both the medians and the spreads differ."""
    if mine["value"] > allowed * theirs["value"] and mine["low"] > theirs["high"]:
        yield (
            f"{title} takes {mine['value'] / theirs['value']:.2f} times as long as in the reference, relative to this "
            f"machine's speed; allowed {allowed:g}"
        )


def _larger(title: str, mine: float, theirs: float, allowed: float, unit: str = "bytes") -> Iterator[str]:
    if mine > allowed * theirs:
        amounts = f"{mine:.0f} against {theirs:.0f} {unit}"
        yield f"{title} is {mine / theirs:.2f} times the reference's ({amounts}); allowed {allowed:g}"


def _start_per_kernel(entry: Json, of: Json) -> Json:
    start, kernel_s = entry["cold_start"]["processed_s"], of["kernel_us"]["value"] / 1e6
    return {name: start[name] / kernel_s for name in ("value", "low", "high")}


def _by_title(entries: list[Json]) -> dict[str, Json]:
    return {f"{one['model']['name']} {one['model']['variant']}, {_package(one['runtime'])}": one for one in entries}


def _package(runtime: str) -> str:
    """Return a runtime without its version."""
    return runtime.partition(" ")[0]


def _pairs(mine: dict[Any, Any], theirs: dict[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the entries that both results have.

    Raises
    ------
    ConfigError
        They have nothing in common.
    """
    shared = [key for key in mine if key in theirs]
    if not shared:
        asked, came = (", ".join(map(str, of)) or "nothing" for of in (theirs, mine))
        raise ConfigError(f"nothing to compare: the reference has {asked}, the new result {came}")
    for key in shared:
        yield key, mine[key], theirs[key]


def _measured(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Yield every figure with a spread, under a path that does not depend on the other measurements."""
    if isinstance(value, Mapping):
        if {"value", "low", "high", "n"} == set(value):
            yield path, value
            return
        for name, one in value.items():
            yield from _measured(one, (*path, name))
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping):
                yield from _measured(one, (*path, _name_of(one)))


def _name_of(entry: Json) -> str:
    model = entry.get("model")
    names = [f"{model['name']} {model['variant']}"] if isinstance(model, Mapping) else []
    return ", ".join(
        [*names, *(str(entry[name]) for name in ("name", "body", "runtime", "n_threads") if name in entry)]
    )


RULES: dict[str, Callable[[Json, Json], Iterator[str]]] = {
    "latency": _latency,
    "footprint": _footprint,
    "energy": _energy,
    "accuracy": _accuracy,
}
