"""What a scan writes: Parquet that other programs read, segments, pages, exports; and what it reads from S3."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgequake.cli import main
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.scan.scan_results import read_days
from edgequake.scan.storage.scan_folder import ScanFolder

from .nights import catalog_of, rows_of, scan_here


def test_duckdb_reads_the_catalogue(scanned: Path, serial: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = (
        f"SELECT network, year, station_id, count(*), min(epoch_ns(onset_time)), max(peak_probability) "
        f"FROM read_parquet('{scanned}/catalog/*/*/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"
    )
    rows = duckdb.sql(query).fetchall()
    assert [row[:3] for row in rows] == [("XX", 2030, "XX_S12"), ("XX", 2030, "XX_S15")]
    assert sum(row[3] for row in rows) == len(serial.splitlines())


def test_pandas_reads_the_catalogue(scanned: Path, serial: str) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(scanned / "catalog").sort_values(["onset_time", "station_id"])
    expected = [line.split(",") for line in serial.splitlines()]
    assert str(table.onset_time.dtype) == "datetime64[ns, UTC]"
    assert list(table.evid) == [row[3] for row in expected]
    assert [f"{p:.4f}" for p in table.peak_probability] == [row[9] for row in expected]
    assert set(table.network) == {"XX"} and set(table.year) == {2030}
    assert table.segment_start.le(table.onset_time).all() and table.segment_stop.ge(table.stop_time).all()


def test_fields_tell_their_units_and_rows_where_they_come_from(scanned: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = list(scanned.rglob("*.parquet"))
    assert paths and all(path.relative_to(scanned).parts[0] == "catalog" for path in paths)
    schemas = {parquet.read_schema(path).to_string() for path in paths}
    assert len(schemas) == 1
    field = parquet.read_schema(paths[0]).field("onset_uncertainty_s")
    assert field.metadata[b"unit"] == b"s" and field.nullable
    (run_id,) = set(parquet.ParquetFile(paths[0]).read().column("run_id").to_pylist())
    provenance = json.loads((scanned / "runs" / f"{run_id}.json").read_text())
    assert provenance["models"]["moon"]["stations"] == ["XX_S12", "XX_S15"]


def test_kept_segments_are_those_of_the_run(scanned: Path, serial: str, serial_run: Path) -> None:
    kept, expected = _samples(scanned / "segments"), _samples(serial_run / "segments")
    assert kept.keys() == expected.keys() and sum(map(len, kept.values())) > 10_000
    assert all(np.array_equal(kept[source_id], expected[source_id]) for source_id in kept)
    assert (scanned / "segments" / "2030" / "XX" / "S12" / "MHZ.D").is_dir()


def _samples(folder: Path) -> dict[str, np.ndarray]:
    """Return the samples of each channel, each once: time in hundredths of a second times 4096, plus the value."""
    found: dict[str, list[np.ndarray]] = {}
    for path in folder.rglob("[!.]*"):
        index = index_file(path) if path.is_file() else None
        for trace in [] if index is None else read_indexed(index, index.headers):
            times = (trace.start_ns / 1e9 + np.arange(len(trace.samples)) / trace.sampling_rate_hz) * 100
            found.setdefault(trace.source_id, []).append(np.rint(times).astype(np.int64) * 4096 + trace.samples)
    return {source_id: np.unique(np.concatenate(own)) for source_id, own in found.items()}


def test_days_add_up(scanned: Path, nights: Path) -> None:
    rows = read_days(ScanFolder(scanned))
    assert [row["date"] for row in rows if row["station_id"] == "XX_S12"] == [f"2030-01-0{day}" for day in range(1, 5)]
    for station in ("S12", "S15"):
        files = [index_file(path) for path in nights.glob(f"{station}.*")]
        spans = [(h.start_ns, h.stop_ns) for index in files for h in index.headers if h.source_id.endswith("M_H_Z")]
        expected_s = sum(stop - start for start, stop in spans) / 1e9  # gaps are the same in all channels
        recorded_s = sum(row["recorded_s"] for row in rows if row["station_id"] == f"XX_{station}")
        assert recorded_s == pytest.approx(expected_s, abs=1.0)


def test_a_scan_is_exported_like_a_run(scanned: Path, serial: str, serial_run: Path, tmp_path: Path) -> None:
    for folder, name in ((scanned, "scan.csv"), (serial_run, "run.csv")):
        assert main(["export", str(folder), "--csv", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "scan.csv").read_bytes() == (tmp_path / "run.csv").read_bytes()
    assert main(["export", str(scanned), "--quakeml", "--out", str(tmp_path / "scan.xml")]) == 0
    text = (tmp_path / "scan.xml").read_text()
    assert text.count("<event ") == len(serial.splitlines())
    assert main(["export", str(scanned), "--sac"]) == 1


def test_a_scan_has_a_page(scanned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(scanned), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "a scan of 2 stations" in page and "XX.S12.00" in page and "No shard has failed." in page
    assert page.count("<img ") == 2
    for arguments, said in (
        (["report", "--limit", "3"], "are of a run; "),
        (["plot"], "is a scan: `edgequake report "),
    ):
        capfd.readouterr()
        assert main([arguments[0], str(scanned), *arguments[1:]]) == 1 and said in capfd.readouterr().err


def test_an_estimate_leaves_nothing_behind(nights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["scan", str(nights), "--out", str(out), "--model", "moon", "--shard-days", "1", "--dry-run", "--json"]
    assert main(arguments) == 0
    values = json.loads(capfd.readouterr().out)
    assert not out.exists()
    assert (values["station_days"], values["n_shards"], values["n_files"]) == (8, 8, 6)
    assert values["n_bytes"] == sum(path.stat().st_size for path in nights.iterdir())
    assert 0 < values["cpu_s_per_day"]["moon"] < 1000


@pytest.mark.slow
def test_a_lead_in_is_measured(nights: Path, serial: str, tmp_path: Path) -> None:
    options = {"stations": ("XX_S12",), "lead_in_s": 4 * 86_400.0, "n_seams": 1, "most_differing": 0.0}
    result = scan_here(nights, tmp_path / "out", **options)
    assert result.seams is not None and not result.seams.is_chained and result.seams.n_seams == 1
    assert result.seams.n_events > 0
    assert catalog_of(tmp_path / "out") == rows_of(
        serial, "XX_S12"
    )  # it begins before the record does: nothing is cut off


@pytest.mark.slow
def test_an_archive_in_s3_is_read(nights: Path, serial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_of = pytest.importorskip("moto.server", reason="no moto: make scan-proof")
    fsspec = pytest.importorskip("fsspec")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("seismic")
        store.put(str(nights) + "/", "seismic/apollo/", recursive=True)
        scan_here("s3://seismic/apollo", tmp_path / "out", shard_days=3)
    finally:
        server.stop()
    assert catalog_of(tmp_path / "out") == serial
    assert not any((tmp_path / "out" / "scratch").iterdir())
