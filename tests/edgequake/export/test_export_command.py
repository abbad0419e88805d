"""`edgequake export`: a run of the shipped model in all formats, and the errors of the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.core.inventory import Inventory, Network, Station

from edgequake import cli
from edgequake.synthetic import synthetic_dataset

from .run_folder import write_run

FORMS = {"--quakeml": "events.xml", "--csv": "events.csv", "--snuffler": "events.markers", "--sac": "sac"}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    assert cli.main(arguments) == code
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err
    assert code == 2 or (said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1), said.err
    return said.err


def test_run_of_the_shipped_model_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = synthetic_dataset.synthetic_record(np.random.default_rng(2), 4 * 3600.0, [7200.0], gaps_per_hour=2)
    path = synthetic_dataset.write_miniseed(record, tmp_path / "record.mseed")
    run_dir = tmp_path / "run"
    assert cli.main(["run", str(path), "--out", str(run_dir)]) == 0
    for form, name in FORMS.items():
        assert cli.main(["export", str(run_dir), form]) == 0
        assert (run_dir / name).exists()
    with (run_dir / "catalog.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    picks = [event.picks[0] for event in obspy.read_events(str(run_dir / "events.xml"))]
    assert [str(pick.time)[:-1] for pick in picks] == [row["time_abs(%Y-%m-%dT%H:%M:%S.%f)"] for row in rows]
    assert abs(picks[0].time.ns - record.onsets_ns[0]) < 120e9
    summary = json.loads((run_dir / "summary.json").read_text())
    traces = [
        obspy.read(str(path), format="SAC", round_sampling_interval=False)[0] for path in (run_dir / "sac").iterdir()
    ]
    assert sum(trace.stats.npts for trace in traces) == summary["samples_kept"] > 0


def no_run(run_dir: Path) -> None:
    for path in sorted(run_dir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run_dir.rmdir()


def unfinished(run_dir: Path) -> None:
    (run_dir / "summary.json").unlink()


def other_summary(run_dir: Path) -> None:
    (run_dir / "summary.json").write_text('{"model": "moon"}')


def other_table(run_dir: Path) -> None:
    (run_dir / "catalog.csv").write_text("a,b\n1,2\n")


def cut_off(run_dir: Path) -> None:
    text = (run_dir / "catalog.csv").read_text()
    (run_dir / "catalog.csv").write_text(text[: text.rindex("1971")])


def not_a_station(run_dir: Path) -> None:
    (run_dir / "catalog.csv").write_text((run_dir / "catalog.csv").read_text().replace("XB_ELYSE,", "ELYSE,"))


def damaged_segment(run_dir: Path) -> None:
    (run_dir / "segments" / "XB_ELYSE_one.mseed").write_bytes(b"no record")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_run, "is no folder"),
        (unfinished, "no run has finished"),
        (other_summary, "field 'edgequake_version' is missing"),
        (other_table, "is no edgequake catalogue"),
        (cut_off, "is it cut off?"),
        (not_a_station, "expected a station_id such as XA_S12, got 'ELYSE'"),
        (damaged_segment, "is not miniSEED"),
    ],
)
def test_damaged_runs_are_refused(
    form: str, spoil: Callable[[Path], None], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run")
    spoil(run_dir)
    assert words in refused(["export", str(run_dir), form], capsys)
    assert not (run_dir / FORMS[form]).exists()


def test_sac_without_its_segments_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run")
    (run_dir / "segments" / "XB_ELYSE_one.mseed").unlink()
    assert "XB_ELYSE_one.mseed does not exist" in refused(["export", str(run_dir), "--sac"], capsys)
    (run_dir / "summary.json").write_text(
        json.dumps({**json.loads((run_dir / "summary.json").read_text()), "segments": []})
    )
    assert "has no segments" in refused(["export", str(run_dir), "--sac"], capsys)
    assert not (run_dir / "sac").exists()


@pytest.mark.parametrize("form", FORMS)
def test_existing_files_are_replaced_only_with_force(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run")
    assert cli.main(["export", str(run_dir), form]) == 0
    written = run_dir / FORMS[form]
    (some_file,) = sorted(written.iterdir())[:1] if written.is_dir() else [written]
    before = some_file.read_bytes()
    some_file.write_bytes(b"mine")
    capsys.readouterr()
    assert "--force" in refused(["export", str(run_dir), form], capsys)
    assert some_file.read_bytes() == b"mine"
    assert cli.main(["export", str(run_dir), form, "--force"]) == 0
    assert some_file.read_bytes() == before


@pytest.mark.parametrize(("form", "words"), [("--csv", "is a folder"), ("--sac", "is a file")])
def test_output_of_the_wrong_kind_is_refused(
    form: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run")
    out = tmp_path / "out"
    out.mkdir() if form == "--csv" else out.write_text("")
    assert words in refused(["export", str(run_dir), form, "--out", str(out), "--force"], capsys)


def test_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "nowhere" / "events.csv"
    line = refused(["export", str(write_run(tmp_path / "run")), "--csv", "--out", str(out)], capsys)
    assert "nowhere does not exist" in line


@pytest.mark.parametrize("forms", [[], ["--gcf"]])
def test_a_known_format_must_be_named(forms: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Usage: edgequake export" in refused(["export", str(write_run(tmp_path / "run")), *forms], capsys, code=2)


def test_several_formats_in_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run")
    single = {}
    for form in ("quakeml", "csv", "snuffler"):
        assert cli.main(["export", str(run_dir), f"--{form}", "--out", str(tmp_path / form)]) == 0
        single[form] = (tmp_path / form).read_bytes()
    capsys.readouterr()
    words = ["export", str(run_dir), "--csv", "--quakeml", "--snuffler", "--sac", "--out", str(tmp_path / "all")]
    assert cli.main([*words, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [one["form"] for one in results["exports"]] == ["quakeml", "csv", "snuffler", "sac"]
    for name, form in (("events.xml", "quakeml"), ("events.csv", "csv"), ("events.markers", "snuffler")):
        assert (tmp_path / "all" / name).read_bytes() == single[form]
    assert any((tmp_path / "all" / "sac").glob("*.SAC"))
    assert cli.main(words) == 1  # they exist
    assert "replace it with --force" in capsys.readouterr().err
    assert cli.main(["export", str(run_dir), "--csv", "--quakeml", "--out", str(tmp_path / "csv")]) == 1
    assert "is a file; name a folder for 2 formats" in capsys.readouterr().err


def test_events_get_an_origin_at_their_station(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run")
    places = {"XA": ("S12", -3.01, -23.42), "XB": ("ELYSE", 4.502, 135.623)}
    networks = [Network(code, [Station(name, lat, lon, 0.0)]) for code, (name, lat, lon) in places.items()]
    Inventory(networks).write(str(tmp_path / "stations.xml"), format="STATIONXML")
    words = ["export", str(run_dir), "--quakeml", "--force", "--stations", str(tmp_path / "stations.xml")]
    assert cli.main(words) == 0
    events = obspy.read_events(str(run_dir / "events.xml"))
    assert len(events) == 3
    for event in events:
        origin, (pick,) = event.preferred_origin(), event.picks
        assert origin.time == pick.time and origin.arrivals[0].pick_id == pick.resource_id
        assert (pick.waveform_id.station_code, origin.latitude, origin.longitude) in places.values()
        assert "not located" in origin.comments[0].text
    Inventory(networks[:1]).write(str(tmp_path / "stations.xml"), format="STATIONXML")
    assert cli.main(words) == 1
    assert "has no station XB_ELYSE: it has XA_S12" in capsys.readouterr().err
    assert cli.main(["export", str(run_dir), "--csv", "--stations", str(tmp_path / "stations.xml")]) == 1
    assert "add --quakeml" in capsys.readouterr().err
