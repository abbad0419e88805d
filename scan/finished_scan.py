"""A finished scan as other packages see it: as a run with its summary and events, so that it is exported like one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from edgequake.edge.results.catalog import CatalogRow, catalog_text, parse_row
from edgequake.edge.results.summary import Summary, UsedModel, model_fields
from edgequake.results.finished_run import FinishedRun, RunEvent
from edgequake.scan.scan_results import ScanResult, read_days, read_totals
from edgequake.scan.storage.parquet_catalog import ScanRow, catalog_paths, plain_row, read_rows
from edgequake.scan.storage.scan_folder import ScanFolder, read_json


def read_scan(path: Path) -> FinishedRun:
    """Read the events and the figures of a scan.

    Raises
    ------
    ConfigError
        pyarrow is not installed.
    DataError
        No scan has come to its end there, or a file cannot be read.
    """
    folder = ScanFolder(path)
    totals, rows = read_totals(folder), read_rows(catalog_paths(folder))
    return FinishedRun(path, _summary(folder, totals), tuple(map(_event, rows)))


def _event(row: ScanRow) -> RunEvent:
    rounded = parse_row(catalog_text([plain_row(row)]))  # as a run's catalogue has it
    values = {field.name: getattr(rounded, field.name) for field in fields(CatalogRow)}
    return RunEvent(**values, name=row.evid, location=row.location)


def _summary(folder: ScanFolder, totals: ScanResult) -> Summary:
    provenance = read_json(folder.runs / f"{read_json(folder.current_plan)['run_id']}.json")
    used = tuple(
        UsedModel(one["name"], one["variant"], one["graph"], one["threshold"], tuple(one["stations"]))
        for one in provenance["models"].values()
    )
    return Summary(
        edgequake_version=provenance["edgequake"],
        **model_fields(used),
        runtime=", ".join(dict.fromkeys(one["runtime"] for one in provenance["models"].values())),
        inputs=(provenance["options"]["archive"],),
        stations=tuple(sorted({str(row["station_id"]) for row in read_days(folder)})),
        samples_in=totals.samples,
        bytes_in=0,  # an archive's files hold more than what is used of them
        samples_kept=0,  # known of segments, which events share
        bytes_kept=0,
        record_s=totals.record_s,
        kept_s=totals.kept_s,
        kept_fraction=totals.kept_s / max(1e-9, totals.record_s),
        tears_bridged=totals.gaps.get("bridged_gaps", 0),
        samples_bridged=totals.gaps.get("bridged_samples", 0),
        restarts=totals.gaps.get("restarts", 0),
        fill_samples=totals.gaps.get("fill_samples", 0),
        not_finite_samples=totals.gaps.get("not_finite_samples", 0),
        overlap_samples=totals.gaps.get("overlap_samples", 0),
        unreadable_bytes=totals.unreadable_bytes,
        ignored_channels=(),
        warnings=tuple(totals.warnings),
        resumed=0,
        wall_s=0.0,  # of many processes, at many times
        cpu_s=totals.cpu_s,
        peak_memory_bytes=0,
        n_events=totals.n_events,
        models=used,
        out=folder.path,
    )
