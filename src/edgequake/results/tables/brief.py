"""The table that a README shows: at most six rows and six columns, each shipped model and what else does its work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from edgequake.results.accuracy import MODEL, AccuracyReport, DetectorResult
from edgequake.results.continuous import ContinuousReport, StratumPoint, SweptResult
from edgequake.results.cost import BaselineLatency, FootprintReport, LatencyReport, ModelLatency
from edgequake.results.provenance import ModelIdentity, Report
from edgequake.results.tables.table import Table
from edgequake.results.words import NONE, number, percent, rate, size

COLUMNS = ("", "recall", "false alarms a day", "kept", "CPU, s per day of record", "memory")
DAY_S = 86_400
MAX_FALSE_PER_DAY = 5.0  # of a detector whose threshold is chosen here, on the records of the table
LOCAL = "local quakes"  # in the names of the strata whose arrivals count
RIVAL = "STA/LTA"
QUIET, OLDER = "\\*", "†"


def brief_table(reports: Sequence[Report]) -> Table | None:
    """Return the table; of the sets of records, those held out as `test` where there are such.

    None without a result of `bench accuracy`.
    """
    sets = [report for report in reports if isinstance(report, AccuracyReport)]
    if not sets:
        return None
    held_out = [report for report in sets if report.split == "test"] or sets
    swept = [report for report in reports if isinstance(report, ContinuousReport)]
    swept = [report for report in swept if report.split == "test"] or swept
    costs = _BriefCosts(reports)
    bodies = ("moon", "mars") if swept else ("moon", "mars", "earth")
    rows = [row for body in bodies for report in held_out if report.body == body for row in _of(report, costs)]
    rows += [row for report in swept[:1] for row in _swept(report, costs)]
    return Table("", COLUMNS, tuple(rows), (_note(rows),))


def _of(report: AccuracyReport, costs: _BriefCosts) -> Iterator[tuple[str, ...]]:
    """Yield the model's row; on the Moon that of the STA/LTA with the highest recall too."""
    title = report.body.capitalize()
    model = next((one for one in report.results if one.name == MODEL), None)
    if model is not None and report.model is not None:
        yield f"{title}: **{report.model.title}**", *_scores(model), *costs.of_model(report.model)
    rivals = [one for one in report.results if RIVAL in one.name]
    if rivals and report.body == "moon":
        best = max(rivals, key=lambda one: (one.summary.mean("recall") or 0.0, -(_false(one) or 0.0)))
        yield f"{title}: {best.name}", *_scores(best), *costs.of_baseline(best.name, report.body)


def _scores(result: DetectorResult) -> tuple[str, str, str]:
    false, long, quiet = _false(result), result.summary.mean("kept_long"), result.summary.mean("wasted")
    kept = percent(long) if long is not None else f"{percent(quiet)}{QUIET}"
    return rate(result.summary.mean("recall")), NONE if false is None else f"{false:.1f}", kept


def _false(result: DetectorResult) -> float | None:
    return result.summary.mean("false_per_quiet_day")


def _swept(report: ContinuousReport, costs: _BriefCosts) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the model at its threshold, of the best STA/LTA and of PhaseNet, at thresholds chosen here."""
    title = report.body.capitalize()
    model, *others = report.results
    own = _pooled(report, model.points[f"{model.normal:g}"])
    identity = report.model
    if own is not None and identity is not None:
        yield f"{title}: **{identity.title}**", *_cells(own), *costs.of_model(identity)
    for is_wanted in (lambda one: RIVAL in one.name, lambda one: RIVAL not in one.name):
        found = _best(report, filter(is_wanted, others))
        if found is not None:
            name, threshold, figures = found
            kind = name if RIVAL not in name else f"{name.partition(RIVAL)[0]}{RIVAL}"
            yield f"{title}: {kind} at {threshold}", *_cells(figures), *costs.of_rival(kind, report)


def _best(
    report: ContinuousReport, results: Iterable[SweptResult]
) -> tuple[str, str, tuple[float, float, float]] | None:
    """Return name, threshold and figures of the setting with the highest recall at few false alarms."""
    found = []
    for result in results:
        for threshold, points in result.points.items():
            figures = _pooled(report, points)
            if figures is not None and figures[1] <= MAX_FALSE_PER_DAY:
                found.append((figures[0], -figures[1], result.name, threshold, figures))
    if not found:
        return None
    *_, name, threshold, figures = max(found)
    return name, threshold, figures


def _pooled(report: ContinuousReport, points: dict[str, StratumPoint]) -> tuple[float, float, float] | None:
    """Return recall of the local quakes, events a day without a catalogue row, and the share kept of these hours.

    Strata that are not held out (`asked` is false) do not count. None where a detector could not read any.
    """
    strata = [line for line in report.strata if line.asked and line.name in points]
    n_arrivals = sum(line.n_arrivals for line in strata if LOCAL in line.name)
    n_found = sum(points[line.name].n_found for line in strata if LOCAL in line.name)
    hours = [line for line in strata if line.kind == "hours"]
    n_hours = sum(line.hours for line in hours)
    if not (n_arrivals and n_hours):
        return None
    n_false = sum((points[line.name].events_per_day or 0.0) * line.hours for line in hours)
    kept = sum((points[line.name].kept or 0.0) * line.hours for line in hours)
    return n_found / n_arrivals, n_false / n_hours, kept / n_hours


def _cells(figures: tuple[float, float, float]) -> tuple[str, str, str]:
    recall, false, kept = figures
    return rate(recall), f"{false:.1f}", percent(kept)


class _BriefCosts:
    """The measured costs: those of a model by its graph, or else by an older graph of that name."""

    def __init__(self, reports: Sequence[Report]) -> None:
        latencies = [report for report in reports if isinstance(report, LatencyReport)]
        footprints = [report for report in reports if isinstance(report, FootprintReport)]
        self._models: list[ModelLatency] = [one for report in latencies for one in report.models if one.day]
        self._baselines: list[BaselineLatency] = [one for report in latencies for one in report.baselines]
        self._sizes = [one for report in footprints for one in report.models]

    def of_model(self, identity: ModelIdentity) -> tuple[str, str]:
        """Return the cells of a graph: those of the first environment that was measured."""
        timed = _same_graph(self._models, identity)
        sized = _same_graph(self._sizes, identity)
        day = timed.day if timed is not None else None
        return (
            NONE if day is None else _cpu(day.detection_us_per_signal_s.value) + _age(timed, identity),
            NONE if sized is None else size(sized.peak_rss_bytes.value) + _age(sized, identity),
        )

    def of_baseline(self, name: str, body: str) -> tuple[str, str]:
        """Return the cells of a baseline by its name, or by how its name begins."""
        for one in self._baselines:
            if one.body == body and one.name.startswith(name):
                return _cpu(one.detection_us_per_signal_s.value), size(one.process.peak_rss_bytes.value)
        return NONE, NONE

    def of_rival(self, kind: str, report: ContinuousReport) -> tuple[str, str]:
        """Return the cells of a detector of `bench accuracy --continuous`, whose memory may not have been measured."""
        if report.cost is not None and report.cost.name == kind:
            return _cpu(report.cost.cpu_us_per_signal_s), NONE
        return self.of_baseline(kind, report.body)


def _same_graph(measured: Sequence[Any], identity: ModelIdentity) -> Any:
    """Return the measurement of a graph, or else of another graph of the same name and variant."""
    same = [one for one in measured if one.model.sha256 == identity.sha256]
    title = identity.title
    return next(iter(same or [one for one in measured if one.model.title == title]), None)


def _age(measured: Any, identity: ModelIdentity) -> str:
    return "" if measured.model.sha256 == identity.sha256 else OLDER


def _cpu(us_per_signal_s: float) -> str:
    return number(us_per_signal_s * DAY_S / 1e6)


def _note(rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(cell for row in rows for cell in row)
    parts = [
        "Records held out as test. Earth: local quakes, and events without a catalogue row on whole hours; STA/LTA and "
        f"PhaseNet where they find most with at most {MAX_FALSE_PER_DAY:g} of these a day. Kept: of records of 10 h or "
        "more. CPU: detection, one thread, three channels. Memory: of the process.",
        f"{QUIET} of quiet time." if QUIET in cells else "",
        f"{OLDER} measured with an older graph of the model." if OLDER in cells else "",
        f"{NONE} not measured." if any(cell == NONE for row in rows for cell in row) else "",
    ]
    return " ".join(part for part in parts if part)
