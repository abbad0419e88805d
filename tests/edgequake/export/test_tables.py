"""The CSV table and the Snuffler markers."""

from __future__ import annotations

import csv
from pathlib import Path

import obspy

from edgequake import cli

from .run_folder import catalog_rows, write_run


def test_table_says_what_the_catalogue_says(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", ("4.5", "", "0.25"))
    out = tmp_path / "table.csv"
    assert cli.main(["export", str(run_dir), "--csv", "--out", str(out)]) == 0
    with out.open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 3
    for line, row in zip(table, catalog_rows(), strict=True):
        assert obspy.UTCDateTime(line["time"]) == obspy.UTCDateTime(row["time_abs(%Y-%m-%dT%H:%M:%S.%f)"])
        assert obspy.UTCDateTime(line["stop"]) == obspy.UTCDateTime(row["stop_abs"])
        assert line["time"].endswith("Z") and f"{line['network']}_{line['station']}" == row["station_id"]
        same = {"channels": "channels", "probability": "peak_probability", "class": "mq_type", "segment": "segment"}
        assert {name: line[name] for name in same} == {name: row[column] for name, column in same.items()}
        assert line["evid"] == row["evid"]
    assert [line["uncertainty_s"] for line in table] == ["4.5", "", "0.25"]
    assert [line["location"] for line in table] == ["00", "00", "02"]


def test_markers_are_in_snufflers_form(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", ("4.5", "", ""))
    assert cli.main(["export", str(run_dir), "--snuffler"]) == 0
    # Pyrocko 2026.6.2 reads these lines as it reads its own: three picks and three spans on these channels.
    assert (run_dir / "events.markers").read_text() == (
        "# Snuffler Markers File Version 0.2\n"
        "phase: 1971-04-08 23:07:35.623456 1971-04-08 23:07:44.623456 9.000000 0 XA.S12.00.MHZ None None None "
        "onset None True\n"
        "1971-04-08 23:07:40.123456 1971-04-08 23:09:10.123456 90.000000 1 XA.S12.00.MH1,XA.S12.00.MH2,XA.S12.00.MHZ\n"
        "phase: 1971-04-08 23:10:00.123456 0 XA.S12.00.MHZ None None None onset None True\n"
        "1971-04-08 23:10:00.123456 1971-04-08 23:11:30.123456 90.000000 1 XA.S12.00.MH1,XA.S12.00.MH2,XA.S12.00.MHZ\n"
        "phase: 2019-06-08 13:20:30.000000 0 XB.ELYSE.02.BHV None None None onset None True\n"
        "2019-06-08 13:20:30.000000 2019-06-08 13:21:10.000000 40.000000 1 XB.ELYSE.02.BHV\n"
    )
