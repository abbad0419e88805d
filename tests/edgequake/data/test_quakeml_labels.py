"""`edgequake labels` on documents that obspy writes, and on hand-written ones in the forms of other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.core.event import Arrival, Catalog, Event, EventDescription, Origin, Pick, QuantityError, WaveformStreamID
from obspy.core.inventory import Inventory, Network, Station

from edgequake import cli
from edgequake.data.dataset import load
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time

START = "2024-05-01T12:00:00"
START_NS = parse_time(START)
RATE_HZ = 20.0
BED = 'xmlns:q="http://quakeml.org/xmlns/quakeml/1.2" xmlns="http://quakeml.org/xmlns/bed/1.2"'

# As SeisComP's fdsnws-event and sczip write: phases in the preferred origin's arrivals, hints beside them, a rejected
# pick, and one by the automatic picker of a phase that was picked by hand as well.
SEISCOMP = f"""<?xml version="1.0" encoding="UTF-8"?>
<q:quakeml {BED}>
 <eventParameters publicID="smi:org.gfz-potsdam.de/geofon/EventParameters">
  <event publicID="smi:org.gfz-potsdam.de/geofon/gfz2024abcd">
   <preferredOriginID>smi:org.gfz-potsdam.de/geofon/Origin/2</preferredOriginID>
   <description><text>Near the station</text><type>region name</type></description>
   <type>earthquake</type>
   <pick publicID="smi:local/pick/1"><time><value>2024-05-01T12:01:40.5Z</value></time>
    <waveformID networkCode="GE" stationCode="AAA" locationCode="" channelCode="BHZ"/>
    <phaseHint>P</phaseHint><evaluationMode>automatic</evaluationMode></pick>
   <pick publicID="smi:local/pick/2"><time><value>2024-05-01T12:01:40.1Z</value>
    <lowerUncertainty>0.1</lowerUncertainty><upperUncertainty>0.3</upperUncertainty></time>
    <waveformID networkCode="GE" stationCode="AAA"/><phaseHint>P</phaseHint>
    <evaluationMode>manual</evaluationMode></pick>
   <pick publicID="smi:local/pick/3"><time><value>2024-05-01T12:01:52Z</value></time>
    <waveformID networkCode="GE" stationCode="AAA"/><phaseHint>S</phaseHint>
    <evaluationMode>manual</evaluationMode></pick>
   <pick publicID="smi:local/pick/4"><time><value>2024-05-01T12:01:30Z</value></time>
    <waveformID networkCode="GE" stationCode="AAA"/><evaluationStatus>rejected</evaluationStatus></pick>
   <pick publicID="smi:local/pick/5"><time><value>2024-05-01T12:01:45Z</value></time>
    <waveformID networkCode="GE" stationCode="ZZZ"/><phaseHint>P</phaseHint></pick>
   <origin publicID="smi:org.gfz-potsdam.de/geofon/Origin/1">
    <time><value>2024-05-01T12:01:20Z</value></time>
    <latitude><value>1</value></latitude><longitude><value>2</value></longitude></origin>
   <origin publicID="smi:org.gfz-potsdam.de/geofon/Origin/2">
    <time><value>2024-05-01T12:01:25Z</value></time>
    <latitude><value>1</value></latitude><longitude><value>2</value></longitude>
    <arrival publicID="smi:local/a/2"><pickID>smi:local/pick/2</pickID><phase>Pg</phase></arrival>
    <arrival publicID="smi:local/a/3"><pickID>smi:local/pick/3</pickID><phase>Sg</phase></arrival>
   </origin>
  </event>
  <event publicID="smi:org.gfz-potsdam.de/geofon/gfz2024none"><type>not existing</type>
   <pick publicID="smi:local/pick/9"><time><value>2024-05-01T12:02:10Z</value></time>
    <waveformID networkCode="GE" stationCode="AAA"/><phaseHint>P</phaseHint></pick>
  </event>
 </eventParameters>
</q:quakeml>
"""

# As the Marsquake Service's catalogue: phases in the arrivals alone, windows as picks, the family in a namespace.
MARSQUAKES = f"""<?xml version="1.0" encoding="UTF-8"?>
<q:quakeml {BED} xmlns:mars="http://quakeml.org/xmlns/bed/1.2/mars">
 <eventParameters publicID="smi:insight.mqs/EventParameters">
  <event publicID="smi:insight.mqs/Event/20220109173300.1">
   <preferredOriginID>smi:insight.mqs/Origin/1</preferredOriginID>
   <description><text>S1000a</text><type>earthquake name</type></description>
   <type>other event</type>
   <mars:type>http://quakeml.org/vocab/marsquake/1.0/MarsEventType#BROADBAND</mars:type>
   <origin publicID="smi:insight.mqs/Origin/1">
    <time><value>2024-05-01T12:00:10Z</value></time>
    <latitude><value>3</value></latitude><longitude><value>4</value></longitude>
    <arrival publicID="smi:insight.mqs/a/1"><pickID>smi:insight.mqs/p/1</pickID><phase>start</phase></arrival>
    <arrival publicID="smi:insight.mqs/a/2"><pickID>smi:insight.mqs/p/2</pickID><phase>P</phase></arrival>
    <arrival publicID="smi:insight.mqs/a/3"><pickID>smi:insight.mqs/p/3</pickID><phase>S</phase></arrival>
    <arrival publicID="smi:insight.mqs/a/4"><pickID>smi:insight.mqs/p/4</pickID><phase>end</phase></arrival>
    <arrival publicID="smi:insight.mqs/a/5"><pickID>smi:insight.mqs/p/5</pickID><phase>noise_start</phase></arrival>
    <mars:locationQuality>http://quakeml.org/vocab/marsquake/1.0/LocationQuality#B</mars:locationQuality>
   </origin>
   {{picks}}
  </event>
 </eventParameters>
</q:quakeml>
""".replace("{picks}", "".join(
    f'<pick publicID="smi:insight.mqs/p/{n}"><time><value>2024-05-01T12:{clock}Z</value>{more}</time>'
    f'<waveformID networkCode="XB" stationCode="ELYSE" locationCode="02" channelCode="BHZ"/></pick>'
    for n, clock, more in (
        (1, "00:50", ""), (2, "01:00", "<lowerUncertainty>5</lowerUncertainty><upperUncertainty>10</upperUncertainty>"),
        (3, "02:40", ""), (4, "04:00", ""), (5, "00:05", ""),
    )
))  # fmt: skip

# As ComCat answers a query: no pick, and the event's name in the namespace of the ANSS.
COMCAT = """<?xml version="1.0" encoding="UTF-8"?>
<q:quakeml xmlns="http://quakeml.org/xmlns/bed/1.2" xmlns:catalog="http://anss.org/xmlns/catalog/0.1"
 xmlns:q="http://quakeml.org/xmlns/quakeml/1.2">
 <eventParameters publicID="quakeml:earthquake.usgs.gov/fdsnws/event/1/query?format=quakeml">
  <event catalog:datasource="us" catalog:eventsource="us" catalog:eventid="7000abcd"
   publicID="quakeml:earthquake.usgs.gov/fdsnws/event/1/query?eventid=us7000abcd&amp;format=quakeml">
   <description><type>earthquake name</type><text>30 km SSW of Somewhere</text></description>
   <origin catalog:datasource="us" publicID="quakeml:earthquake.usgs.gov/product/origin/us7000abcd/us/1/product.xml">
    <time><value>2024-05-01T12:00:30.000Z</value></time>
    <longitude><value>20.0</value></longitude><latitude><value>11.0</value></latitude>
    <depth><value>10000</value></depth>
   </origin>
   <type>earthquake</type>
  </event>
 </eventParameters>
</q:quakeml>
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder with six minutes of stations GE_AAA, GE_BBB and XB_ELYSE, without tables."""
    folder = tmp_path / "archive"
    rng = np.random.default_rng(1)
    for station, location in (("GE_AAA", ""), ("GE_BBB", ""), ("XB_ELYSE", "02")):
        samples = rng.integers(-50, 50, 7200).astype(np.int32)
        traces = [Trace(f"FDSN:{station}_{location}_B_H_{name}", START_NS, RATE_HZ, samples) for name in "ZNE"]
        path = folder / "2024" / f"{station}.mseed"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(traces))
    return folder


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def catalog(folder: Path) -> list[dict[str, str]]:
    with (folder / "catalog.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def labelled(folder: Path, *arguments: str) -> list[dict[str, str]]:
    assert cli.main(["labels", *arguments, "--records", str(folder)]) == 0
    return catalog(folder)


def facts(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return [(row["time_abs"][11:-1], row["precision_s"], row["primary"], row["label_source"]) for row in rows]


def test_seiscomp(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = labelled(archive, write(tmp_path, "sc.xml", SEISCOMP))
    assert facts(rows) == [
        ("12:01:40.100000", "0.3", "1", "manual Pg (sc.xml)"),
        ("12:01:52.000000", "1", "0", "manual Sg (sc.xml)"),
    ]
    assert {(row["file"], row["event"], row["event_type"]) for row in rows} == {
        ("2024/GE_AAA.mseed", "gfz2024abcd", "earthquake")
    }
    assert "1 event(s), 0 of them without an arrival in the records; 1 pick(s) of other" in capsys.readouterr().out
    records = load(archive)  # what tune, train and bench read
    assert {record.station_id for record in records} == {"GE_AAA", "GE_BBB", "XB_ELYSE"}
    (record,) = (record for record in records if record.arrivals)
    assert (record.split, record.body, record.group) == ("val", "earth", "2024-05-01")
    assert record.channels == ("BHE", "BHN", "BHZ") and record.stop_ns - record.start_ns == 360 * NS_PER_S
    assert [arrival.time_ns - START_NS for arrival in record.arrivals] == [100_100_000_000, 112_000_000_000]


def test_the_marsquake_service(archive: Path, tmp_path: Path) -> None:
    rows = labelled(archive, write(tmp_path, "mqs.xml", MARSQUAKES), "--split", "test")
    assert facts(rows) == [
        ("12:01:00.000000", "10", "1", "P (mqs.xml)"),
        ("12:02:40.000000", "20", "0", "S (mqs.xml)"),
    ]
    assert {(row["event"], row["event_type"], row["body"], row["split"]) for row in rows} == {
        ("S1000a", "marsquake BROADBAND", "mars", "test")
    }


def test_an_event_of_the_marsquake_service_without_p_begins_at_its_start(archive: Path, tmp_path: Path) -> None:
    text = MARSQUAKES.replace("<phase>P</phase>", "<phase>noise_end</phase>")
    assert facts(labelled(archive, write(tmp_path, "mqs.xml", text)))[0] == (
        "12:00:50.000000", "20", "1", "start (mqs.xml)"
    )  # fmt: skip


def stations_file(folder: Path) -> str:
    places = [Station("AAA", 10.0, 20.0, 0.0), Station("BBB", -60.0, -150.0, 0.0)]
    path = folder / "stations.xml"
    Inventory([Network("GE", places)]).write(str(path), format="STATIONXML")
    return str(path)


@pytest.mark.slow
def test_the_usgs_without_picks(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = write(tmp_path, "comcat.xml", COMCAT)
    assert cli.main(["labels", document, "--records", str(archive)]) == 1
    assert "have no picks; name an inventory with --stations" in capsys.readouterr().err
    (row,) = labelled(archive, document, "--stations", stations_file(tmp_path))
    # One degree away, 10 km deep: a straight ray at 5.8 km/s, iasp91's upper crust. The other station is too far.
    assert float(row["time_rel_s"]) - 30.0 == pytest.approx(np.hypot(111.2, 10.0) / 5.8, abs=0.3)
    assert (row["event"], row["primary"], row["file"]) == ("us7000abcd", "0", "2024/GE_AAA.mseed")
    assert "need not be detected" in capsys.readouterr().out


def test_what_obspy_writes(archive: Path, tmp_path: Path) -> None:
    waveform = WaveformStreamID("GE", "BBB", "", "BHZ")
    time = obspy.UTCDateTime(START) + 77.25
    pick = Pick(time=time, waveform_id=waveform, phase_hint="P", time_errors=QuantityError(uncertainty=0.2))
    origin = Origin(time=time - 9, latitude=0.0, longitude=0.0, arrivals=[Arrival(pick_id=pick.resource_id, phase="P")])
    event = Event(picks=[pick], origins=[origin], event_descriptions=[EventDescription("Here", "region name")])
    Catalog([event]).write(str(tmp_path / "obspy.xml"), format="QUAKEML")
    (row,) = labelled(archive, str(tmp_path / "obspy.xml"))
    assert (row["time_rel_s"], row["precision_s"], row["primary"]) == ("77.250000", "0.2", "1")
    assert row["event"] == str(event.resource_id).rpartition("/")[2]


def test_a_table_that_is_there_is_kept_but_for_the_split(archive: Path, tmp_path: Path) -> None:
    document = write(tmp_path, "sc.xml", SEISCOMP)
    labelled(archive, document)
    table = archive / "records.csv"
    table.write_text(table.read_text().replace(",counts,", ",m/s,"))
    labelled(archive, document, "--force", "--split", "train")
    with table.open(newline="") as file:
        assert {(row["units"], row["split"]) for row in csv.DictReader(file)} == {("m/s", "train")}


def test_units_are_those_that_the_samples_tell(archive: Path, tmp_path: Path) -> None:
    path = archive / "2024" / "GE_BBB.mseed"
    path.write_bytes(encode([Trace("FDSN:GE_BBB__B_H_Z", START_NS, RATE_HZ, np.linspace(-1e-9, 1e-9, 7200))]))
    labelled(archive, write(tmp_path, "sc.xml", SEISCOMP))
    with (archive / "records.csv").open(newline="") as file:
        units = {row["station"]: row["units"] for row in csv.DictReader(file)}
    assert units == {"GE_AAA": "counts", "GE_BBB": "", "XB_ELYSE": "counts"}


def test_several_documents_and_json(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = [write(tmp_path, "sc.xml", SEISCOMP), write(tmp_path, "mqs.xml", MARSQUAKES)]
    assert cli.main(["labels", *documents, "--records", str(archive), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["n_events"], result["n_picked"], result["n_files"], result["n_silent_events"]) == (2, 4, 2, 0)


@pytest.mark.parametrize(
    ("document", "options", "message"),
    [
        ("<not>quakeml</not>", [], "cannot be read as QuakeML"),
        (SEISCOMP, ["--split", "all"], "--split all: expected one of train, val, test"),
        (SEISCOMP, ["--body", "venus"], "--body venus: expected one of moon, mars, earth"),
        (SEISCOMP, ["--precision", "0"], "--precision 0: expected seconds above 0"),
        (SEISCOMP.replace('"AAA"', '"QQQ"'), [], "arrives in the records of"),
        (SEISCOMP, ["--stations", "sc.xml"], "cannot be read as an inventory"),
    ],
)
def test_refusals_write_nothing(
    document: str, options: list[str], message: str, archive: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "sc.xml", document)
    assert cli.main(["labels", "sc.xml", "--records", str(archive), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(archive.glob("*.csv"))


def test_labels_are_replaced_only_on_request(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = write(tmp_path, "sc.xml", SEISCOMP)
    before = labelled(archive, document)
    assert cli.main(["labels", document, "--records", str(archive)]) == 1
    assert "has labels already; replace them with --force" in capsys.readouterr().err
    assert catalog(archive) == before
