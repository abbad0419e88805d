"""Results as tables: each set of records with its detectors, the cost of each model, and the headline of it all."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.report.results import Accuracy, Figures, Latency, OtherResult, Result
from edgequake.report.tables import Table
from edgequake.report.words import percent, size, thousands

NONE = "–"


def accuracy_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table of detectors for each result of `bench accuracy`."""
    return [_accuracy_table(result) for result in results if isinstance(result, Accuracy)]


def _accuracy_table(result: Accuracy) -> Table:
    columns = (
        "detector", "recall", "recall by events (90 % interval)", "captured", "precision", "F1",
        "false alarms per quiet day (90 % bound)", "kept of records ≥ 10 h", "kept of all", "quiet time kept",
        "median onset error",
    )  # fmt: skip
    starts = f"{result.n_seeds} random starts of each record" if result.n_seeds else "every record from its own start"
    model = f" Graph of {result.model.title}: sha256 {result.model.sha256[:12]}." if result.model else ""
    note = (
        f"{result.n_records} records, {starts}; ± is the deviation between starts. Data sha256 "
        f"{result.data_sha256[:12]}.{model} From {result.provenance.file}."
    )
    rows = tuple(_detector_row(result, figures) for figures in result.detectors)
    return Table(result.title, columns, rows, (note,))


def _detector_row(result: Accuracy, figures: Figures) -> tuple[str, ...]:
    captured = figures.mean.get("n_captured")
    return (
        result.detector_title(figures.name),
        _spread(figures, "recall"),
        _by_events(figures),
        NONE if captured is None else f"{captured:.3g} of {result.n_arrivals}",
        _spread(figures, "precision"),
        _spread(figures, "f1"),
        _false_rate(figures),
        percent(figures.mean.get("kept_long")),
        percent(figures.mean.get("kept")),
        percent(figures.mean.get("wasted")),
        _seconds(figures.mean.get("onset_error_s")),
    )


def curve_tables(results: Sequence[Result]) -> list[Table]:
    """Return the points of each curve, for those who cannot see the picture."""
    tables = []
    for result in (result for result in results if isinstance(result, Accuracy)):
        for name, points in result.curves.items():
            kept = "kept of records ≥ 10 h" if result.long_records else "kept"
            rows = tuple((f"{point.threshold:g}", f"{point.recall:.2f}", percent(point.kept)) for point in points)
            title = f"{result.body.capitalize()} {result.split}, {result.detector_title(name)}: recall against kept"
            tables.append(Table(title, ("threshold", "recall", kept), rows))
    return tables


def latency_table(results: Sequence[Result]) -> Table | None:
    """Return what each model costs, or None without a result of `bench latency`."""
    found = [result for result in results if isinstance(result, Latency)]
    if not found:
        return None
    columns = (
        "model", "parameters", "size", "environment", "p50 [us]", "p95 [us]", "p99 [us]", "max [us]",
        "signal in a step [s]", "us per second of signal", "peak memory",
    )  # fmt: skip
    rows = tuple(
        (
            result.model.title, thousands(result.model.parameters), size(result.model.size_bytes), result.environment,
            *(f"{value:.1f}" for value in result.percentiles_us.values()), f"{result.signal_s:.3g}",
            f"{result.us_per_signal_s:.3g}", _memory(result),
        )
        for result in found
    )  # fmt: skip
    note = "Wall time of one step of the graph, its states included. Peak memory: of the whole process over a day."
    return Table("What a step costs", columns, rows, (note,))


def other_tables(results: Sequence[Result]) -> list[Table]:
    """Return the figures of results of other kinds, one by one."""
    return [
        Table(
            f"{result.kind}{f' of {result.model.title}' if result.model else ''}", ("figure", "value"), result.figures,
            (f"From {result.provenance.file}.",),
        )
        for result in results
        if isinstance(result, OtherResult)
    ]  # fmt: skip


def headline_table(results: Sequence[Result]) -> Table | None:
    """Return one row for each detector on each set of records, with what it costs where that was measured.

    None without a result of `bench accuracy`.
    """
    sets = [result for result in results if isinstance(result, Accuracy)]
    costs = [result for result in results if isinstance(result, Latency)]
    if not sets:
        return None
    environments = list(dict.fromkeys(cost.environment for cost in costs))
    columns = (
        "detector", "recall", "recall by events (90 % interval)", "precision", "F1",
        "false alarms per quiet day (90 % bound)", "kept of records ≥ 10 h", "quiet time kept",
        *(f"us per second of signal: {name}" for name in environments),
        "peak memory", "size",
    )  # fmt: skip
    rows = []
    for result in sets:
        seen = f"{result.n_arrivals} arrivals of {result.n_groups} events"
        rows.append((f"**{result.body.capitalize()} {result.split}** ({seen})", *("" for _ in columns[1:])))
        for figures in result.detectors:
            rows.append(_headline_row(result, figures, costs, environments))
    return Table("", columns, tuple(rows))


def _headline_row(
    result: Accuracy, figures: Figures, costs: Sequence[Latency], environments: Sequence[str]
) -> tuple[str, ...]:
    model = result.model if figures.name == "model" else None
    own = [cost for cost in costs if model is not None and cost.model.sha256 == model.sha256]
    cells = (
        result.detector_title(figures.name),
        _mean(figures, "recall"),
        _by_events(figures),
        _mean(figures, "precision"),
        _mean(figures, "f1"),
        _false_rate(figures),
        percent(figures.mean.get("kept_long")),
        percent(figures.mean.get("wasted")),
        *(next((f"{c.us_per_signal_s:.3g}" for c in own if c.environment == name), NONE) for name in environments),
        next((_memory(cost) for cost in own if cost.memory_bytes), NONE),
        size(model.size_bytes) if model else NONE,
    )
    return tuple(f"**{cell}**" if model and i == 0 else cell for i, cell in enumerate(cells))


def _spread(figures: Figures, name: str) -> str:
    mean = figures.mean.get(name)
    return NONE if mean is None else f"{mean:.2f} ± {figures.deviation[name]:.2f}"


def _mean(figures: Figures, name: str) -> str:
    return f"{figures.mean[name]:.2f}" if name in figures.mean else NONE


def _by_events(figures: Figures) -> str:
    mean = figures.mean.get("group_recall")
    low, high = figures.recall_interval
    return NONE if mean is None else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _false_rate(figures: Figures) -> str:
    mean, upper = figures.mean.get("false_per_quiet_day"), figures.false_upper
    return NONE if mean is None or upper is None else f"{mean:.1f} (< {upper:.1f})"


def _seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _memory(cost: Latency) -> str:
    return NONE if cost.memory_bytes is None else size(cost.memory_bytes)
