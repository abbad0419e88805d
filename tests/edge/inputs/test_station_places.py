"""Which stations a live run takes: places, --station, and floods of forged stations."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.base.checkpoint import read_checkpoint
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.base.station_places import MOST_STATIONS, StationPlaces
from edgequake.edge.formats.miniseed import encode, index_file
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.inputs.datagrams import raw_datagram, station_of_datagram
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run

S = 1_000_000_000


class Machine:
    """A monotonic clock that a test sets, and places that use it."""

    def __init__(self, names: tuple[str, ...] | None = None) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self.diagnostics = Diagnostics()
        self.places = StationPlaces(self.diagnostics, names, self.said.append, lambda: self.now_s)

    def send(self, station_id: str, start_s: float, n: int = 1, record_s: float = 10.0) -> bool:
        """Have `n` records of a station come; return whether the last one is taken."""
        taken = False
        for i in range(n):
            start_ns = round((start_s + i * record_s) * S)
            taken = self.places.takes(station_id, start_ns, start_ns + round(record_s * S))
        return taken


def test_a_station_that_goes_on_keeps_its_place_whatever_comes() -> None:
    machine = Machine()
    assert machine.send("XX_LUN", 0.0, 10)
    for i in range(5000):
        machine.now_s += 0.01
        machine.send(f"ZZ_{i}", 0.0, 10)
        assert machine.places.has("XX_LUN")
    assert len(machine.places.state()) == MOST_STATIONS and machine.send("XX_LUN", 100.0)
    assert machine.said == ["station ZZ_15 is left out: it would be one more than 16; further ones are counted"]
    (text,) = machine.diagnostics.texts()
    assert text.endswith("record(s) of further stations than 16 left out: name yours with --station")


def test_one_that_goes_on_takes_the_place_of_one_that_does_not() -> None:
    """Seven records of ten seconds: sixty seconds after the first one."""
    machine = Machine()
    for i in range(500):
        machine.send(f"ZZ_{i}", 0.0)
    assert not machine.send("XX_LUN", 0.0, 6) and machine.send("XX_LUN", 60.0)
    assert machine.places.take_vacated() == ["ZZ_0"] and machine.send("XX_LUN", 70.0)
    assert not machine.send("XX_OTHER", 0.0, 7, record_s=1e-3), "records of no length prove nothing"


def test_silent_stations_are_forgotten_and_named_ones_are_not() -> None:
    for names, expected in ((None, ["XX_ONCE"]), (("XX_*",), [])):
        machine = Machine(names)
        machine.send("XX_ONCE", 0.0)
        machine.send("XX_LONG", 0.0, 10)
        machine.send("XX_LUN", 0.0, 10)
        machine.now_s = 3700.0
        machine.send("XX_LUN", 100.0)
        assert machine.places.take_vacated() == expected
        machine.now_s = 90_000.0
        machine.send("XX_LUN", 110.0)
        assert machine.places.take_vacated() == (["XX_LONG"] if expected else [])


def test_a_flood_of_unknown_stations_is_hardly_decoded() -> None:
    machine = Machine()
    for i in range(MOST_STATIONS):
        machine.send(f"XX_S{i}", 0.0, 10)
    n_decoded = 0
    for i in range(100_000):
        machine.now_s += 1e-4
        n_decoded += not machine.places.turns_away(f"ZZ_{i % 5000}")
        assert not machine.places.turns_away("XX_S3")
    assert 1000 <= n_decoded <= 1101  # ten seconds, a hundred a second, and the first hundred


def test_its_state() -> None:
    machine = Machine()
    machine.send("XX_LUN", 0.0, 10)
    machine.now_s = 100.0
    other = Machine()
    other.places.restore(machine.places.state())
    assert other.places.state() == machine.places.state() == {"XX_LUN": [100 * S, 90 * S, 100.0]}
    named = Machine(("YY_*",))
    named.places.restore(machine.places.state())
    assert named.places.take_vacated() == ["XX_LUN"] and named.places.state() == {}


@pytest.mark.parametrize("version", [2, 3])
def test_the_station_of_a_datagram_is_that_of_its_record(version: int) -> None:
    station = "LUN" if version == 2 else "LONGSTA8"
    records = encode([Trace(f"FDSN:XX_{station}_00_M_H_Z", 10**18, 6.625, np.arange(2000, dtype=np.int32))])
    headers = []
    at = 0
    while at < len(records):
        size = 512 if version == 2 else 40 + records[at + 33] + int.from_bytes(records[at + 36 : at + 40], "little")
        headers.append(records[at : at + size])
        at += size
    assert len(headers) > 1 and {station_of_datagram(one) for one in headers} == {f"XX_{station}"}
    assert station_of_datagram(records) is None, "of several records, each may be of another station"
    assert all(station_of_datagram(headers[0][:n]) in (None, f"XX_{station}") for n in range(512))


def test_the_station_of_raw_samples() -> None:
    data = raw_datagram("FDSN:XX_LUN_00_M_H_Z", 0, 1.0, np.zeros(3, np.int16))
    assert station_of_datagram(data) == "XX_LUN"
    assert all(isinstance(station_of_datagram(data[:n]), str | None) for n in range(len(data)))


# --- runs ----------------------------------------------------------------------------------------------------------


def mixed(quake_file: Path, folder: Path) -> Path:
    """Return a file of the quake of XX_LUN, and the same under other codes an hour later."""
    data = quake_file.read_bytes()
    path = folder / "mixed.mseed"
    path.write_bytes(data + data.replace(b"LUN  ", b"BAD  "))
    return path


def test_only_named_stations_are_run(quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = run(RunConfig((str(quake_file),), tmp_path / "alone"))
    both = run(RunConfig((str(mixed(quake_file, tmp_path)),), tmp_path / "both"))
    assert both.stations == ("XX_BAD", "XX_LUN")
    for i, patterns in enumerate((["XX_LUN"], ["AA_*", "*_L?N"])):
        options = [word for pattern in patterns for word in ("--station", pattern)]
        assert main(["run", str(tmp_path / "mixed.mseed"), "--out", str(tmp_path / str(i)), *options]) == 0
        said = capsys.readouterr().err
        assert "3 channel(s) of stations left out that --station does not name" in said
        assert (tmp_path / str(i) / "catalog.csv").read_text().replace("mixed", "") == (
            tmp_path / "alone" / "catalog.csv"
        ).read_text().replace(quake_file.stem, "")
    assert len(alone.events) == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("YY_*", "has no station that matches --station YY_*: it has XX_LUN"),
        ("LUN", "--station 'LUN' matches no station; expected NET_STA, as XA_S12, or a pattern"),
    ],
)
def test_patterns_that_match_nothing_are_refused(
    pattern: str, expected: str, quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) if "expected" in expected else pytest.raises(Exception, match="no station"):
        run(RunConfig((str(quake_file),), tmp_path / "out", stations=(pattern,)))
    assert main(["run", str(quake_file), "--out", str(tmp_path / "out"), "--station", pattern]) == 1
    said = capsys.readouterr().err
    assert expected in said and said.count("\n") == 1


def flooded(quake_file: Path, n_forged: int) -> Iterator[bytes]:
    """Yield the records of the quake as they come, the forged ones evenly between them."""
    headers, data = index_file(quake_file).headers, quake_file.read_bytes()
    n_done = 0
    for i, header in enumerate(headers):
        yield data[header.offset : header.offset + header.size_bytes]
        while n_done < n_forged * (i + 1) // len(headers):
            turn, station = divmod(n_done, 300)
            start_ns = header.start_ns + duration_ns(30 * turn, 6.625)
            yield raw_datagram(f"FDSN:ZZ_{station:05d}_00_M_H_Z", start_ns, 6.625, np.arange(30, dtype=np.int32))
            n_done += 1


def run_flooded(
    quake_file: Path, out: Path, stations: tuple[str, ...] | None, n_forged: int
) -> tuple[Summary, list[str]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready, said = threading.Event(), []

    def log(line: str) -> None:
        said.append(line)
        if line.startswith("listening"):
            ready.set()

    def send() -> None:
        ready.wait(30)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for i, datagram in enumerate(flooded(quake_file, n_forged)):
                sender.sendto(datagram, ("127.0.0.1", port))
                if i % 50 == 0:
                    threading.Event().wait(0.003)  # some 10 000 a second: loopback would lose them unread

    thread = threading.Thread(target=send)
    thread.start()
    config = RunConfig((f"udp://:{port}",), out, model="moon", stations=stations, idle_stop_s=1.5, checkpoint_s=1.0)
    summary = run(config, control=Control(log=log))
    thread.join()
    return summary, said


@pytest.mark.slow
def test_a_flood_takes_nothing_from_a_named_station(quake_file: Path, tmp_path: Path) -> None:
    """The long form, with 5000 stations and 10 000 datagrams a second, is `edgequake bench flood`."""
    alone = run(RunConfig((str(quake_file),), tmp_path / "alone", model="moon"))
    summary, said = run_flooded(quake_file, tmp_path / "out", ("XX_LUN",), 20_000)
    assert [(row.onset_ns, row.stop_ns) for row in summary.events] == [
        (row.onset_ns, row.stop_ns) for row in alone.events
    ]
    assert len(summary.events) == 1 and summary.stations == ("XX_LUN",) and summary.samples_in == alone.samples_in
    assert sum(" is left out: it is not one of XX_LUN; further ones are counted" in line for line in said) == 1
    assert any(text.endswith("of stations left out that --station does not name") for text in summary.warnings)
    assert b"ZZ_0" not in (tmp_path / "out" / "checkpoint.edgequake").read_bytes()


@pytest.mark.slow
def test_a_flood_without_names_is_bounded_and_the_first_station_keeps_its_place(
    quake_file: Path, tmp_path: Path
) -> None:
    summary, _ = run_flooded(quake_file, tmp_path / "out", None, 5000)
    assert "XX_LUN" in summary.stations and len(summary.stations) <= 2 * MOST_STATIONS
    rows = read_catalog(tmp_path / "out" / "catalog.csv")
    assert [row.station_id for row in rows] == ["XX_LUN"]
    state = read_checkpoint(tmp_path / "out" / "checkpoint.edgequake").state
    assert "XX_LUN" in json.dumps(state["source"]["router"]["places"])
    data = (tmp_path / "out" / "checkpoint.edgequake").read_bytes()
    assert sum(b"ZZ_%05d" % i in data for i in range(300)) <= 2 * MOST_STATIONS
