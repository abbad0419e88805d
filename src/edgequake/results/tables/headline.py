"""The headline table: each detector on each set of records, with its costs where they were measured."""

from __future__ import annotations

from collections.abc import Sequence

from edgequake.results.accuracy import MODEL, AccuracyReport, DetectorResult
from edgequake.results.cost import BaselineLatency, FootprintReport, LatencyReport, ModelLatency
from edgequake.results.provenance import Report
from edgequake.results.tables.accuracy_tables import by_events, false_rate
from edgequake.results.tables.table import Table
from edgequake.results.words import NONE, number, percent, rate, size

OBSPY = "none: obspy"  # the runtime of an environment without one
COLUMNS = (
    "detector", "recall", "recall by events\n(90 % interval)", "precision", "false alarms\nper quiet day\n(90 % bound)",
    "kept of records\n≥ 10 h", "quiet time\nkept",
)  # fmt: skip


def headline_table(reports: Sequence[Report]) -> Table | None:
    """Return one row for each detector; of the sets of records, those held out as `test` where there are such.

    None without a report of `bench accuracy`.
    """
    sets = [report for report in reports if isinstance(report, AccuracyReport)]
    if not sets:
        return None
    costs = _Costs(reports)
    rows = []
    for report in [report for report in sets if report.split == "test"] or sets:
        title = f"**{report.where}** ({report.n_arrivals} arrivals of {report.n_groups} events)"
        rows.append((title, *("" for _ in (*COLUMNS[1:], *costs.columns))))
        rows += [_row(report, result, costs) for result in report.results]
    return Table("", (*COLUMNS, *costs.columns), tuple(rows))


class _Costs:
    """The measured costs of models and baselines, and the columns that they fill."""

    def __init__(self, reports: Sequence[Report]) -> None:
        latencies = [report for report in reports if isinstance(report, LatencyReport)]
        footprints = [report for report in reports if isinstance(report, FootprintReport)]
        self._models: dict[str, list[ModelLatency]] = {}  # by the environment in which they ran, with one thread
        self._baselines: dict[str, list[BaselineLatency]] = {}
        for report in latencies:
            machine = f"{report.provenance.computer}, 1 thread,\n"
            for model in report.models:
                if model.day:
                    self._models.setdefault(machine + model.stack, []).append(model)
            for baseline in report.baselines:
                obspy = f"obspy {report.provenance.versions.get('obspy', '?')}"
                self._baselines.setdefault(machine + obspy, []).append(baseline)
        self._environments = list(dict.fromkeys([*self._models, *self._baselines]))
        self._footprints = [model for report in footprints for model in report.models]
        self._installed = {one.runtime: one for report in footprints for one in report.all_environments}
        self._runtime = next((one.runtime for one in self._footprints), None)  # the first one that was measured
        others = f":\n{self._runtime};\nSTA/LTA and z: obspy" if self._runtime else ""
        self.columns = (
            *(f"detection, us per second of signal:\n{name}" for name in self._environments),
            f"peak memory{others}", "graph", f"installed{others}",
        )  # fmt: skip

    def of_model(self, sha256: str, graph_bytes: int) -> tuple[str, ...]:
        """Return the cells of a graph."""
        runs = {
            name: model.day.detection_us_per_signal_s.value
            for name, models in self._models.items()
            for model in models
            if model.model.sha256 == sha256 and model.day
        }
        peaks = (
            size(one.peak_rss_bytes.value)
            for one in self._footprints
            if one.model.sha256 == sha256 and one.runtime == self._runtime
        )
        return (*self._times(runs), next(peaks, NONE), size(graph_bytes), self._installed_size(self._runtime))

    def of_baseline(self, name: str, body: str) -> tuple[str, ...]:
        """Return the cells of a baseline; empty ones for a baseline that reads no samples and has no cost."""
        found = {
            environment: one
            for environment, baselines in self._baselines.items()
            for one in baselines
            if (one.name, one.body) == (name, body)
        }
        if not found:
            return tuple(NONE for _ in self.columns)
        times = self._times({environment: one.detection_us_per_signal_s.value for environment, one in found.items()})
        peak_bytes = next(iter(found.values())).process.peak_rss_bytes.value
        return (*times, size(peak_bytes), NONE, self._installed_size(OBSPY))

    def _times(self, us: dict[str, float]) -> list[str]:
        return [number(us[name]) if name in us else NONE for name in self._environments]

    def _installed_size(self, runtime: str | None) -> str:
        return size(self._installed[runtime].total_bytes) if runtime in self._installed else NONE


def _row(report: AccuracyReport, result: DetectorResult, costs: _Costs) -> tuple[str, ...]:
    model, title, summary = report.model_of(result.name), report.detector_title(result.name), result.summary
    return (
        f"**{title}**" if result.name == MODEL else title,
        rate(summary.mean("recall")),
        by_events(summary),
        rate(summary.mean("precision")),
        false_rate(summary),
        percent(summary.mean("kept_long")),
        percent(summary.mean("wasted")),
        *(costs.of_model(model.sha256, model.size_bytes) if model else costs.of_baseline(result.name, report.body)),
    )
