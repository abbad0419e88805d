"""QuakeML, read back by obspy and compared with the catalogue and the QuakeML schema."""

from __future__ import annotations

import re
from pathlib import Path

import obspy
import pytest
from obspy.io.quakeml.core import _validate

from edgequake import cli
from edgequake.edge.formats.waveforms import parse_time

from .run_folder import MODEL, catalog_rows, write_run

# QuakeML-BED 1.2, section 3.1.1: the syntax of a resource identifier.
PUBLIC_ID = re.compile(r"(smi|quakeml):[\w\d][\w\d\-\.\*\(\)_~']{2,}/[\w\d\-\.\*\(\)_~'][\w\d\-\.\*\(\)\+\?_~'=,;#/&]*")


def exported(run_dir: Path) -> Path:
    assert cli.main(["export", str(run_dir), "--quakeml"]) == 0
    return run_dir / "events.xml"


def comments(event: obspy.core.event.Event) -> dict[str, str]:
    return dict(comment.text.split("=", 1) for comment in event.comments)


def test_every_event_of_the_catalogue_is_exported(tmp_path: Path) -> None:
    events = obspy.read_events(str(exported(write_run(tmp_path / "run"))))
    rows = catalog_rows()
    assert len(events) == len(rows) == 3
    for event, row in zip(events, rows, strict=True):
        (pick,) = event.picks
        assert pick.time.ns == parse_time(row["time_abs(%Y-%m-%dT%H:%M:%S.%f)"])
        assert f"{pick.waveform_id.network_code}_{pick.waveform_id.station_code}" == row["station_id"]
        assert pick.waveform_id.channel_code == row["channels"].split()[-1]  # the vertical channel, or the only one
        assert pick.evaluation_mode == "automatic"
        assert pick.phase_hint is None and pick.time_errors.uncertainty is None
        assert pick.method_id.id.endswith(f"/moon/int8/{MODEL['graph_sha256']}")
        assert event.resource_id.id == f"smi:local/edgequake/event/{row['evid']}"
        said = comments(event)
        assert said["peak_probability"] == row["peak_probability"] and said["segment"] == row["segment"]
        assert parse_time(said["stop"]) == parse_time(row["stop_abs"])
    assert [event.picks[0].waveform_id.location_code for event in events] == ["00", "00", "02"]


def test_classes_become_types_only_where_quakeml_has_one(tmp_path: Path) -> None:
    events = obspy.read_events(str(exported(write_run(tmp_path / "run"))))
    assert [event.event_type for event in events] == [None, "meteorite", None]
    assert events[1].event_type_certainty == "suspected"
    assert comments(events[1])["class"] == "impact_mq" and "class" not in comments(events[0])


def test_uncertainties_are_exported_where_the_catalogue_has_them(tmp_path: Path) -> None:
    events = obspy.read_events(str(exported(write_run(tmp_path / "run", ("4.5", "", "0.25")))))
    assert [event.picks[0].time_errors.uncertainty for event in events] == [4.5, None, 0.25]


def test_the_document_conforms_to_the_schema(tmp_path: Path) -> None:
    path = exported(write_run(tmp_path / "run", ("4.5", "", "0.25")))
    assert _validate(str(path))
    found = re.findall(r'(?:publicID|id)="([^"]*)"|<methodID>([^<]*)<', path.read_text())
    identifiers = [first or second for first, second in found]
    assert len(identifiers) >= 3 * 5 and all(PUBLIC_ID.fullmatch(text) for text in identifiers)
    named = re.findall(r'(?:publicID|id)="([^"]*)"', path.read_text())
    assert len(set(named)) == len(named)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    assert exported(write_run(tmp_path / "one")).read_bytes() == exported(write_run(tmp_path / "two")).read_bytes()


def test_events_of_the_same_name_get_different_identifiers(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    text = (run_dir / "catalog.csv").read_text().replace("XA_S12_1,", "XA_S12_0,")
    (run_dir / "catalog.csv").write_text(text)
    events = obspy.read_events(str(exported(run_dir)))
    assert [event.resource_id.id.rpartition("/")[2] for event in events] == ["XA_S12_0", "XA_S12_0_2", "XB_ELYSE_1"]


def test_names_with_unusual_characters_give_valid_identifiers(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    (run_dir / "summary.json").write_text(
        (run_dir / "summary.json").read_text().replace('"moon"', '"my moon & mars/ü"')
    )
    path = exported(run_dir)
    assert _validate(str(path))
    method = obspy.read_events(str(path))[0].picks[0].method_id.id
    assert method.split("/")[3] == "my-moon---mars--" and PUBLIC_ID.fullmatch(method)


def test_a_run_without_events_gives_an_empty_document(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    (run_dir / "catalog.csv").write_text((run_dir / "catalog.csv").read_text().partition("\n")[0] + "\n")
    path = exported(run_dir)
    assert _validate(str(path)) and len(obspy.read_events(str(path))) == 0


def test_the_location_is_empty_where_the_segment_is_deleted(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    (run_dir / "segments" / "XB_ELYSE_one.mseed").unlink()
    events = obspy.read_events(str(exported(run_dir)))
    assert [event.picks[0].waveform_id.location_code for event in events] == ["00", "00", None]


@pytest.mark.parametrize("cell", ["soon", "4,5"])
def test_an_uncertainty_that_is_not_a_number_is_refused(
    cell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run", (f'"{cell}"', "", ""))
    assert cli.main(["export", str(run_dir), "--quakeml"]) == 1
    said = capsys.readouterr().err
    assert f"could not convert string to float: '{cell}'" in said and said.count("\n") == 1
    assert not (run_dir / "events.xml").exists()


def test_codes_longer_than_quakemls_are_whole_in_a_comment(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    catalog = run_dir / "catalog.csv"
    catalog.write_text(catalog.read_text().replace("XB_ELYSE,BHV", "XB_ELYSE4567,B_HYDRO_ZZ"))
    path = exported(run_dir)
    assert _validate(str(path))
    *_, event = obspy.read_events(str(path))
    waveform_id = event.picks[0].waveform_id
    assert (waveform_id.network_code, waveform_id.station_code, waveform_id.channel_code) == ("XB", "ELYSE456", None)
    assert comments(event)["waveform"] == "XB.ELYSE4567.02.B_HYDRO_ZZ"
