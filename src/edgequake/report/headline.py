"""The headline table: each detector on each set of records, with what it costs where that was measured."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.report.costs import BaselineCost, Footprint, Installed, Latency
from edgequake.report.results import Accuracy, Figures, Result
from edgequake.results.tables.table import Table
from edgequake.results.tables.words import number, percent, size

NONE = "–"
OBSPY = "none: obspy"  # what an environment without a runtime calls itself
COLUMNS = (
    "detector", "recall", "recall by events\n(90 % interval)", "precision", "false alarms\nper quiet day\n(90 % bound)",
    "kept of records\n≥ 10 h", "quiet time\nkept",
)  # fmt: skip


def headline_table(results: Sequence[Result]) -> Table | None:
    """Return one row for each detector; of the sets of records, those held out as `test` where there are such.

    None without a result of `bench accuracy`.
    """
    sets = [result for result in results if isinstance(result, Accuracy)]
    if not sets:
        return None
    sets = [result for result in sets if result.split == "test"] or sets
    costs = _Costs(results)
    rows = []
    for result in sets:
        seen = f"{result.n_arrivals} arrivals of {result.n_groups} events"
        title = f"**{result.body.capitalize()} {result.split}** ({seen})"
        rows.append((title, *("" for _ in (*COLUMNS[1:], *costs.columns))))
        rows += [_row(result, figures, costs) for figures in result.detectors]
    return Table("", (*COLUMNS, *costs.columns), tuple(rows))


class _Costs:
    """What was measured of models and baselines, and the columns that it fills."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._models = [one for one in results if isinstance(one, Latency) and one.run]
        self._baselines = [one for one in results if isinstance(one, BaselineCost)]
        self._footprints = [one for one in results if isinstance(one, Footprint)]
        self._installed = {one.runtime: one for one in results if isinstance(one, Installed)}
        of_models, of_baselines = ([one.environment for one in found] for found in (self._models, self._baselines))
        self._environments = list(dict.fromkeys([*of_models, *of_baselines]))
        self._runtime = next(iter(one.runtime for one in self._footprints), None)  # the first one that was measured
        others = f":\n{self._runtime};\nSTA/LTA and z: obspy" if self._runtime else ""
        self.columns = (
            *(f"detection, us per second of signal:\n{name}" for name in self._environments),
            f"peak memory{others}", "graph", f"installed{others}",
        )  # fmt: skip

    def of_model(self, sha256: str, graph_bytes: int) -> tuple[str, ...]:
        """Return the cells of a graph."""
        runs = {one.environment: one.run for one in self._models if one.model.sha256 == sha256 and one.run}
        times = (number(runs[name].detection_us.value) if name in runs else NONE for name in self._environments)
        peaks = [
            size(one.peak_bytes.value)
            for one in self._footprints
            if one.model.sha256 == sha256 and one.runtime == self._runtime
        ]
        return (*times, peaks[0] if peaks else NONE, size(graph_bytes), self._installed_size(self._runtime))

    def of_baseline(self, name: str, body: str) -> tuple[str, ...]:
        """Return the cells of a baseline; nothing was measured of one that looks at no sample."""
        found = [one for one in self._baselines if (one.name, one.body) == (name, body)]
        if not found:
            return tuple(NONE for _ in self.columns)
        (one,) = found
        times = (number(one.detection_us.value) if name == one.environment else NONE for name in self._environments)
        return (*times, size(one.process.memory_bytes.value), NONE, self._installed_size(OBSPY))

    def _installed_size(self, runtime: str | None) -> str:
        return size(self._installed[runtime].total_bytes) if runtime in self._installed else NONE


def _row(result: Accuracy, figures: Figures, costs: _Costs) -> tuple[str, ...]:
    model = result.model_of(figures.name)
    title = result.detector_title(figures.name)
    low, high = figures.recall_interval
    by_events, false = figures.mean.get("group_recall"), figures.mean.get("false_per_quiet_day")
    bound = figures.false_upper
    return (
        f"**{title}**" if figures.name == "model" else title,
        _mean(figures, "recall"),
        NONE if by_events is None else f"{by_events:.2f} ({low:.2f} to {high:.2f})",
        _mean(figures, "precision"),
        NONE if false is None or bound is None else f"{false:.1f} (< {bound:.1f})",
        percent(figures.mean.get("kept_long")),
        percent(figures.mean.get("wasted")),
        *(costs.of_model(model.sha256, model.size_bytes) if model else costs.of_baseline(figures.name, result.body)),
    )


def _mean(figures: Figures, name: str) -> str:
    return f"{figures.mean[name]:.2f}" if name in figures.mean else NONE
