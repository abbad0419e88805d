"""`edgequake fetch` when the data centre, the network or the request fails: one line, and no incomplete day."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from urllib.response import addinfourl

import obspy
import pytest

from edgequake import cli
from edgequake.data import dataset
from edgequake.fetch.bounded_answers import BoundedOpener, OversizeAnswer

from .fdsn_service import FdsnService, bomb

DAYS = ("1971-04-17", "1971-04-18", "1971-04-19")
FAULTS = {
    "500": "Internal server error",
    "503": "temporarily unavailable",
    "429": "Sent too many requests",
    "cut": "IncompleteRead",
    "short": "the transfer is incomplete",
    "html": "is not miniSEED",
}


def fetch(url: str, data: Path, *options: str, start: str = DAYS[0], stop: str = "1971-04-20") -> int:
    return cli.main(
        ["fetch", "moon", "--start", start, "--stop", stop, "--out", str(data), "--base-url", url, *options]
    )


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1, said.err
    return said.err


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_is_repeated_after_a_temporary_fault(fault: str, service: FdsnService, data: Path) -> None:
    service.faults[DAYS[1]] = [fault, fault]
    assert fetch(service.url, data) == 0
    assert service.days_requested == [DAYS[0], DAYS[1], DAYS[1], DAYS[1], DAYS[2]]
    assert len(dataset.load(data)) == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lasting_fault_keeps_the_earlier_days(
    fault: str, service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults[DAYS[1]] = [fault] * 3
    assert fetch(service.url, data) == 1
    line = refusal(capsys)
    assert FAULTS[fault] in line and f"{DAYS[1]}: " in line and "give the same command again" in line
    assert files_below(data) == ["catalog.csv", f"moon/xa.s12.00.mh.6.625hz.{DAYS[0]}.mseed", "records.csv"]
    assert [record.group for record in dataset.load(data)] == [DAYS[0]]
    service.requests.clear()
    assert fetch(service.url, data) == 0
    assert service.days_requested == list(DAYS[1:])
    assert [record.group for record in dataset.load(data)] == list(DAYS)


@pytest.mark.parametrize(("fault", "words"), [("400", "Bad request"), ("403", "Authentication"), ("413", "too much")])
def test_a_refused_request_is_not_repeated(
    fault: str, words: str, service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults[DAYS[0]] = [fault]
    assert fetch(service.url, data) == 1
    line = refusal(capsys)
    assert "refuses the request" in line and words in line
    assert service.days_requested == [DAYS[0]] and not data.exists()


def test_an_interrupt_leaves_no_incomplete_day(
    service: FdsnService, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obspy.clients.fdsn import Client

    whole = Client.get_waveforms

    def interrupted(self: Client, *arguments: object, **options: object) -> object:
        if service.requests:
            raise KeyboardInterrupt
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Client, "get_waveforms", interrupted)
    assert fetch(service.url, data) == 130
    assert [record.group for record in dataset.load(data)] == [DAYS[0]]
    assert len(files_below(data)) == 3


def test_a_full_disk_leaves_no_incomplete_day(
    service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert fetch(service.url, data) == 1
    assert "No space left on device" in refusal(capsys)
    assert files_below(data) == []


def test_the_error_for_an_unknown_station_lists_those_that_exist(
    service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(service.url, data, "--station", "S99") == 1
    line = refusal(capsys)
    assert "no station S99 of network XA" in line and "it has S12, S14" in line
    assert service.requests == [] and not data.exists()


def test_no_data_at_all_is_an_error(service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(service.url, data, "--channel", "LHZ") == 1
    line = refusal(capsys)
    assert "has no data of XA.S12.*.LHZ on the 3 day(s) from 1971-04-17" in line and "--channel" in line
    assert not data.exists()


def test_no_server_answers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:  # bound and not listening: connections are refused
        held.bind(("127.0.0.1", 0))
        assert fetch(f"http://127.0.0.1:{held.getsockname()[1]}", data) == 1
    line = refusal(capsys)
    assert "no FDSN service answers at" in line and "check the network" in line and not data.exists()


@pytest.mark.parametrize("url", ["not a url", "archive", "ftp://archive.example"])
def test_a_malformed_url(url: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(url, data) == 1
    assert "expected a URL such as" in refusal(capsys)


def test_a_data_centre_without_dataselect(
    recorded: obspy.Stream, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FdsnService(recorded, {}, offered=("station",)).served() as served:
        assert fetch(served.url, data) == 1
    assert "does not offer the FDSN service dataselect" in refusal(capsys)


def test_a_network_that_answers_with_a_login_page(
    recorded: obspy.Stream, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FdsnService(recorded, {}, html_only=True).served() as served:
        assert fetch(served.url, data) == 1
    assert "no FDSN service answers at" in refusal(capsys) and not data.exists()


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [
        ("1971-04-18", "1971-04-18", "is not after"),
        ("1971-04-18", "1971-04-17", "is not after"),
        ("tomorrow", "1971-04-17", "time 'tomorrow'"),
        ("1968-12-31", "1971-04-17", "only from 1969-01-01 until 1978-01-01"),
        ("1977-12-31", "1978-01-02", "only from 1969-01-01 until 1978-01-01"),
    ],
)
def test_days_that_cannot_be_requested(
    start: str, stop: str, words: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch("http://127.0.0.1:9", data, start=start, stop=stop) == 1
    assert words in refusal(capsys) and not data.exists()


def test_a_file_of_another_request_is_not_replaced_without_force(
    service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(service.url, data, stop=DAYS[1]) == 0
    before = files_below(data), (data / "records.csv").read_text()
    capsys.readouterr()
    assert fetch(service.url, data, "--channel", "MHZ", stop=DAYS[1]) == 1
    line = refusal(capsys)
    assert "was fetched as XA.S12.*.MH?, and XA.S12.*.MHZ would replace it" in line
    assert (files_below(data), (data / "records.csv").read_text()) == before
    assert fetch(service.url, data, "--channel", "MHZ", "--force", stop=DAYS[1]) == 0
    (record,) = dataset.load(data)
    assert record.channels == ("MHZ",)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("records.csv", "a,b\n1,2\n", "has no column"), ("", None, "is a file; name a data folder")],
)
def test_a_folder_that_is_not_a_data_folder(
    name: str, text: str | None, words: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is None:
        data.write_text("")
    else:
        data.mkdir()
        (data / name).write_text(text)
    assert fetch("http://127.0.0.1:9", data) == 1
    assert words in refusal(capsys)


@pytest.mark.parametrize("missing", ["--start", "--stop", "--out"])
def test_required_options(missing: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"--start": DAYS[0], "--stop": DAYS[1], "--out": str(data)}
    arguments = [word for option, value in given.items() if option != missing for word in (option, value)]
    assert cli.main(["fetch", "moon", *arguments]) == 2
    assert missing in capsys.readouterr().err


def test_a_packed_answer_is_unpacked(service: FdsnService, data: Path) -> None:
    service.faults[DAYS[1]] = ["packed"]
    assert fetch(service.url, data) == 0
    assert service.days_requested == list(DAYS) and len(dataset.load(data)) == 3


@pytest.mark.slow
def test_an_answer_that_unpacks_to_more_than_any_has_is_refused_at_once(
    service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(bomb()) < 1 << 20
    service.faults[DAYS[1]] = ["bomb"]
    assert fetch(service.url, data) == 1
    line = refusal(capsys)
    assert "more than 256 MiB, unpacked" in line and f"{DAYS[1]}: " in line
    assert service.days_requested == list(DAYS[:2])  # not tried again
    assert files_below(data) == ["catalog.csv", f"moon/xa.s12.00.mh.6.625hz.{DAYS[0]}.mseed", "records.csv"]


@pytest.mark.parametrize("is_packed", [True, False])
def test_no_more_is_read_of_an_answer_than_its_limit(is_packed: bool) -> None:
    sent = bomb(8 << 20) if is_packed else bytes(8 << 20)

    class Answer(addinfourl):
        length = 0

    class Opener:
        def open(self, url: str) -> Answer:
            head = {"Content-Encoding": "gzip"} if is_packed else {}
            return Answer(io.BytesIO(sent), head, url, 200)  # type: ignore[arg-type]

    assert BoundedOpener(Opener(), 8 << 20).open("http://x").read() == bytes(8 << 20)
    opener = BoundedOpener(Opener(), (8 << 20) - 1)
    with pytest.raises(OversizeAnswer):
        opener.open("http://x")
    assert opener.oversize is not None
