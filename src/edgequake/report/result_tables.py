"""Results as tables: each set of records with its detectors, their curves, and figures of other kinds."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.report.results import Accuracy, Figures, OtherResult, Result
from edgequake.results.tables.table import Table
from edgequake.results.tables.words import percent, seconds

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
    models = {result.detector_title(figures.name): result.model_of(figures.name) for figures in result.detectors}
    graphs = "".join(f" Graph of {title}: sha256 {model.sha256[:12]}." for title, model in models.items() if model)
    note = (
        f"{result.n_records} records, {starts}; ± is the deviation between starts. Data sha256 "
        f"{result.data_sha256[:12]}.{graphs} From {result.provenance.file}."
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
        seconds(figures.mean.get("onset_error_s")),
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


def _spread(figures: Figures, name: str) -> str:
    mean = figures.mean.get(name)
    return NONE if mean is None else f"{mean:.2f} ± {figures.deviation[name]:.2f}"


def _by_events(figures: Figures) -> str:
    mean = figures.mean.get("group_recall")
    low, high = figures.recall_interval
    return NONE if mean is None else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _false_rate(figures: Figures) -> str:
    mean, upper = figures.mean.get("false_per_quiet_day"), figures.false_upper
    return NONE if mean is None or upper is None else f"{mean:.1f} (< {upper:.1f})"
